"""What rules and lists say about a request before the ledger counts."""

from dataclasses import replace

import pytest
from builders.keysets import keyset_of
from builders.rules import accounts_rule, velocity_rule

from redemption.domain.order import GUEST, MINOR_MAX, NO_RISK_CONTEXT, Customer, RiskContext
from redemption.domain.risk.assessment import NO_ACTIVE_RULES, NO_CHECKS, ActiveRules, Assessment, assess
from redemption.domain.risk.given_subjects import GivenSubject, read_subject
from redemption.domain.risk.lists import ListEntry, ListKind, Lists
from redemption.domain.risk.rules import RuleMode, Rules, WithoutSubject
from redemption.domain.risk.subjects import SubjectKind, coupon_subject, digest_of, named
from redemption.domain.signed.digest import Digests

KEYSET = keyset_of(environment="development", development=True, now=1_700_000_000)
DIGESTS = Digests(KEYSET.privacy_root, environment=KEYSET.environment).for_program("shop")
ANN = Customer("ann", person_id="person")
RISK = RiskContext("phone", "192.0.2.7", "card")
CUSTOMER, PERSON, DEVICE, NETWORK, PAYMENT, COUPON, RANGE = SubjectKind
DENY, ALLOW = ListKind.DENY, ListKind.ALLOW
NOW = 1000


def listed(kind, what, *, expires_at=0, on=DENY):
    """An entry of a subject, named as an operator does."""
    given = GivenSubject(COUPON, campaign=what[0], serial=what[1]) if kind is COUPON else GivenSubject(kind, what)
    return ListEntry(on, read_subject(given, DIGESTS, "subject"), "", expires_at, 1, "operator")


def active(*rules, accounts=(), entries=()):
    lists = Lists()
    for entry in entries:
        lists.put(entry)
    return ActiveRules(1, 1, Rules(velocity=rules, accounts=tuple(accounts)).numbered(), lists)


def assessed(rules, customer=ANN, risk=RISK, *, coupons=((1, 0),), campaigns=(1,), now=NOW, placed=None):
    return assess(
        rules,
        rules.of_redeem if placed is None else placed,
        digests=DIGESTS,
        customer=customer,
        risk=risk,
        coupons=coupons,
        campaigns=campaigns,
        now_ms=now * 1000,
    )


def checks(*pairs):
    """Checks as the ledger reads them: the position of each rule, and the digest of its subject."""
    found = [bytes((position,)) + digest_of(DIGESTS, kind, named(kind, ANN, RISK)) for position, kind in pairs]
    return bytes((len(found),)) + b"".join(found)


def test_without_rules_and_lists_nothing_is_said():
    assert assessed(NO_ACTIVE_RULES) == Assessment(denied_coupons=set(), exempt=set())
    assert not NO_ACTIVE_RULES.judges_orders
    assert not NO_ACTIVE_RULES.judges_claims


@pytest.mark.parametrize("kind", [CUSTOMER, PERSON, DEVICE, NETWORK, PAYMENT])
def test_a_rule_counts_the_subject_of_a_request(kind):
    found = assessed(active(velocity_rule("a", subject=kind)))
    assert (found.checks, found.missing) == (checks((1, kind)), ())


def test_an_address_counts_as_the_ledger_has_it_however_it_is_written():
    rules = active(velocity_rule("a", subject=NETWORK))
    written = assessed(rules, risk=RiskContext(network_address="::ffff:192.0.2.7"))
    assert written.checks == checks((1, NETWORK))


@pytest.mark.parametrize(
    ("rule", "campaigns", "counted"),
    [
        (velocity_rule("a"), (1,), True),
        (velocity_rule("a", campaign=1), (1, 2), True),
        (velocity_rule("a", campaign=3), (1, 2), False),
        (velocity_rule("a", operations=1), (1,), True),
        (velocity_rule("a", operations=2), (1,), False),
    ],
)
def test_a_rule_judges_its_campaign_and_its_operations(rule, campaigns, counted):
    assert (assessed(active(rule), campaigns=campaigns).checks != NO_CHECKS) is counted


def test_the_rules_of_claims_are_those_that_judge_claims():
    rules = active(velocity_rule("a", operations=1), velocity_rule("b", operations=2), velocity_rule("c"))
    assert [placed.position for placed in rules.of_redeem] == [1, 3]
    assert [placed.position for placed in rules.of_claim] == [2, 3]
    assert assessed(rules, placed=rules.of_claim).checks == checks((2, CUSTOMER), (3, CUSTOMER))


@pytest.mark.parametrize(
    ("rule", "customer", "risk", "lacking"),
    [
        (velocity_rule("a", subject=DEVICE), ANN, NO_RISK_CONTEXT, (DEVICE,)),
        (velocity_rule("a"), GUEST, RISK, (CUSTOMER,)),
        (velocity_rule("a", subject=PERSON), Customer("ann"), RISK, (PERSON,)),
        (accounts_rule("a"), GUEST, RISK, (CUSTOMER,)),
        (accounts_rule("a"), ANN, NO_RISK_CONTEXT, (DEVICE,)),
        (accounts_rule("a"), GUEST, NO_RISK_CONTEXT, (DEVICE, CUSTOMER)),
    ],
)
def test_what_a_request_lacks_is_named_and_refused_only_where_the_rule_says_so(rule, customer, risk, lacking):
    def kinds(**changes):
        one = replace(rule, **changes)
        rules = active(accounts=[one]) if hasattr(one, "customers") else active(one)
        found = assessed(rules, customer, risk)
        assert found.checks == NO_CHECKS
        assert [missing.kinds for missing in found.missing] == [lacking]
        return found.lacking(1)

    assert kinds() == ()
    assert kinds(without_subject=WithoutSubject.REFUSE) == lacking
    assert kinds(without_subject=WithoutSubject.REFUSE, mode=RuleMode.SHADOW) == ()
    assert kinds(without_subject=WithoutSubject.REFUSE, campaign=1) == lacking


def test_a_signal_that_two_rules_need_is_named_once_and_only_for_their_campaigns():
    needed = {"subject": DEVICE, "without_subject": WithoutSubject.REFUSE}
    rules = active(velocity_rule("a", **needed, campaign=1), velocity_rule("b", **needed, campaign=2))
    found = assessed(rules, risk=NO_RISK_CONTEXT, campaigns=(1, 2))
    assert (found.lacking(1), found.lacking(2), found.lacking(3)) == ((DEVICE,), (DEVICE,), ())


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (CUSTOMER, "ann"),
        (PERSON, "person"),
        (DEVICE, "phone"),
        (NETWORK, "192.0.2.7"),
        (NETWORK, "192.0.2.0/24"),
        (NETWORK, "192.0.0.0/8"),
        (PAYMENT, "card"),
    ],
)
def test_a_listed_subject_is_denied_or_exempt(kind, what):
    rules = (velocity_rule("a", subject=kind), velocity_rule("b", subject=PAYMENT if kind is not PAYMENT else DEVICE))
    denied = assessed(active(*rules, entries=[listed(kind, what)]))
    assert denied.denied
    allowed = assessed(active(*rules, entries=[listed(kind, what, on=ALLOW)]))
    assert (allowed.denied, allowed.checks) == (False, checks((2, rules[1].subject)))


@pytest.mark.parametrize(
    ("kind", "what"),
    [(CUSTOMER, "bob"), (DEVICE, "ann"), (NETWORK, "192.0.3.0/24"), (NETWORK, "2001:db8::/32"), (PAYMENT, "cash")],
)
def test_another_subject_is_neither(kind, what):
    assert assessed(active(entries=[listed(kind, what)])).denied is False


def test_a_guest_without_signals_is_named_by_no_entry():
    entries = [listed(CUSTOMER, "ann"), listed(NETWORK, "192.0.0.0/8"), listed(COUPON, (1, 0))]
    found = assessed(active(entries=entries), GUEST, NO_RISK_CONTEXT)
    assert (found.denied, found.denied_coupons) == (False, {(1, 0)})


def test_denied_coupons_are_those_of_the_request():
    entries = [listed(COUPON, (1, 0)), listed(COUPON, (1, 1)), listed(COUPON, (2, 5))]
    found = assessed(active(entries=entries), coupons=((1, 0), (2, 0), (2, 5)))
    assert (found.denied, found.denied_coupons) == (False, {(1, 0), (2, 5)})
    assert coupon_subject(1, 0).text == "1:0"


@pytest.mark.parametrize(
    ("entries", "is_denied", "since", "until"),
    [
        ([], False, 0, None),
        ([listed(CUSTOMER, "ann")], True, 0, None),
        ([listed(CUSTOMER, "ann", expires_at=NOW + 1)], True, 0, NOW + 1),
        ([listed(CUSTOMER, "ann", expires_at=NOW)], False, NOW, None),
        ([listed(CUSTOMER, "ann", expires_at=NOW - 5)], False, NOW - 5, None),
        ([listed(CUSTOMER, "bob", expires_at=NOW + 1)], False, 0, None),
        ([listed(CUSTOMER, "ann", expires_at=NOW + 9, on=ALLOW)], False, 0, NOW + 9),
        ([listed(CUSTOMER, "ann", expires_at=NOW + 9), listed(DEVICE, "phone", expires_at=NOW + 5)], True, 0, NOW + 5),
        (
            [listed(CUSTOMER, "ann", expires_at=NOW - 9), listed(DEVICE, "phone", expires_at=NOW - 5)],
            False,
            NOW - 5,
            None,
        ),
        ([listed(NETWORK, "192.0.2.7", expires_at=NOW), listed(NETWORK, "192.0.2.0/24")], True, NOW, None),
        ([listed(NETWORK, "192.0.2.0/24", expires_at=NOW), listed(NETWORK, "192.0.0.0/16")], True, NOW, None),
        ([listed(COUPON, (1, 0), expires_at=NOW + 2)], False, 0, NOW + 2),
        ([listed(COUPON, (1, 0), expires_at=NOW)], False, NOW, None),
    ],
)
def test_it_holds_from_the_last_expiry_to_the_next_one(entries, is_denied, since, until):
    found = assessed(active(velocity_rule("a"), entries=entries))
    assert found.denied is is_denied
    assert found.since_ms == since * 1000
    assert found.until_ms == (MINOR_MAX if until is None else until * 1000)


def test_only_subjects_that_somebody_asks_for_are_digested():
    """Each digest takes a microsecond; of an address range, the address is needed as well."""
    assert active(velocity_rule("a")).wanted == (CUSTOMER,)
    assert active(entries=[listed(NETWORK, "192.0.2.0/24"), listed(COUPON, (1, 0))]).wanted == (NETWORK,)
    assert active(accounts=[accounts_rule("a")], entries=[listed(PERSON, "x")]).wanted == (PERSON, DEVICE)
