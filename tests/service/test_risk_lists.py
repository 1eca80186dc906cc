"""Managing deny lists and allow lists on the real ledger, and what entries do to the decisions of all servers."""

import asyncio

import pytest
from builders.calls import calling
from builders.rules import velocity_rule
from house import given

from redemption.domain.errors import InvalidRequest, LedgerRefused, LimitReached
from redemption.domain.order import RiskContext
from redemption.domain.outcome import Outcome
from redemption.domain.risk import lists
from redemption.domain.risk.given_subjects import GivenRef
from redemption.domain.risk.lists import ListKind
from redemption.domain.risk.subjects import SubjectKind
from redemption.ledger.stores import rules as rules_store
from redemption.service import risk_lists
from redemption.service.risk_lists import PAGE_SIZE, SUBJECTS_MAX, EntriesUnwanted, EntriesWanted

ANN = (SubjectKind.CUSTOMER, "ann")
DENIED, APPROVED, EXCEEDED = Outcome.DENYLISTED, Outcome.APPROVED, Outcome.VELOCITY_EXCEEDED


async def version(house):
    """The version of rules and lists in the ledger."""
    return int(await house.redis.hget(house.key("ledger"), "rules") or 0)


async def listed(house, kind=None, page_size=0):
    """All entries, page by page."""
    entries, after = [], b""
    while True:
        page = await house.risk_lists.list(calling(), house.program, kind, after=after, page_size=page_size)
        entries += page.entries
        if not page.next_key:
            return entries
        after = page.next_key


async def outcome(house, token, customer="ann", **context):
    """What an order with one coupon is answered."""
    return (await house.redeem(token, customer=customer, **context)).outcome


# Adding, removing, listing


async def test_entries_are_listed_as_they_were_added(house, other):
    added = await house.list_subjects(ANN, (7, 42), (SubjectKind.NETWORK, "192.0.2.0/24"), reason="羊毛党")
    assert added.total == 3
    assert [entry.subject.text for entry in added.entries[1:]] == ["7:42", "192.0.2.0/24"]
    assert {entry.reason for entry in added.entries} == {"羊毛党"}
    await house.list_subjects((SubjectKind.DEVICE, "phone"), kind=ListKind.ALLOW, expires_in_ms=60_000)
    for server in (house, other):
        entries = await listed(server, page_size=1)
        assert entries[:3] == sorted(added.entries, key=lambda entry: entry.key)
        assert [entry.list for entry in entries] == [ListKind.DENY] * 3 + [ListKind.ALLOW]
        assert await listed(server, ListKind.ALLOW) == entries[3:]
        assert await listed(server, ListKind.DENY) == entries[:3]


async def test_people_are_kept_as_digests_only(house):
    await house.list_subjects(ANN, (SubjectKind.NETWORK, "203.0.113.77"), (SubjectKind.PERSON, "id-card-99"))
    for text in (b"ann", b"203.0.113.77", b"id-card-99"):
        assert text not in b"".join(await house.redis.hkeys(house.key("listed")))
        assert text not in b"".join(await house.redis.hvals(house.key("listed")))


async def test_a_repeated_addition_changes_nothing_and_another_reason_changes_the_entry(house):
    (first,) = (await house.list_subjects(ANN, reason="a")).entries
    (again,) = (await house.list_subjects(ANN, reason="a")).entries
    assert (again, await version(house)) == (first, 1)
    changed = await house.list_subjects(ANN, reason="b", expires_in_ms=60_000)
    assert (changed.total, changed.entries[0].reason, await version(house)) == (1, "b", 2)


async def test_two_ways_to_name_a_subject_make_one_entry(house):
    """Addresses of one /64 are one customer; an operator who pastes a log need not know."""
    names = ["2001:db8::1", "2001:db8::2", "192.0.2.7", "::ffff:192.0.2.7", "192.0.2.7/32"]
    added = await house.list_subjects(*((SubjectKind.NETWORK, name) for name in names))
    assert (added.total, len(added.entries)) == (2, 5)
    assert added.entries[0] is added.entries[1]


async def test_removing_takes_names_and_what_was_listed(house, other):
    subjects = [ANN, (7, 42), (SubjectKind.NETWORK, "192.0.2.0/24"), (SubjectKind.NETWORK, "192.0.2.7")]
    entries = (await house.list_subjects(*subjects)).entries
    kinds = [SubjectKind.CUSTOMER, SubjectKind.COUPON, SubjectKind.NETWORK, SubjectKind.NETWORK]
    refs = [GivenRef(kind, entry.subject.text) for kind, entry in zip(kinds, entries, strict=True)]
    unwanted = EntriesUnwanted(ListKind.DENY, [given(ANN), given((SubjectKind.CUSTOMER, "bob"))], [*refs, *refs])
    done = await other.risk_lists.remove(calling(), house.program, unwanted)
    assert (done.removed, done.total) == (4, 0)
    again = await other.risk_lists.remove(calling(), house.program, unwanted)
    assert (again.removed, again.total, await version(house)) == (0, 0, 2)
    assert await listed(house) == []


async def test_what_the_service_showed_is_added(house, other):
    """Of somebody whom only a digest names, and together with those who are named by ids."""
    (entry,) = (await house.list_subjects(ANN)).entries
    await house.unlist_subjects(ANN)
    refs = [GivenRef(SubjectKind.CUSTOMER, entry.subject.text), GivenRef(SubjectKind.NETWORK, "192.0.2.0/24")]
    asked = EntriesWanted(ListKind.DENY, [given((SubjectKind.DEVICE, "d"))], refs=refs)
    added = await other.risk_lists.add(calling(), house.program, asked)
    assert [one.subject.text for one in added.entries[1:]] == [entry.subject.text, "192.0.2.0/24"]
    assert (added.total, added.entries[1].subject) == (3, entry.subject)


async def test_an_entry_of_one_list_is_not_removed_from_the_other(house):
    await house.list_subjects(ANN, kind=ListKind.ALLOW)
    assert (await house.unlist_subjects(ANN, kind=ListKind.DENY)).removed == 0
    assert len(await listed(house)) == 1


def wanted(*subjects, kind=ListKind.DENY, **changes):
    return EntriesWanted(kind, [given(subject) for subject in subjects], **changes)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (wanted(), "subjects"),
        (wanted(*[ANN] * (SUBJECTS_MAX + 1)), "subjects"),
        (wanted(ANN, reason="x" * 129), "reason"),
        (wanted(ANN, reason="a\nb"), "reason"),
        (wanted(ANN, expires_at_ms=1000), "expire_time"),
        (wanted(ANN, expires_at_ms=2**42), "expire_time"),
        (wanted(ANN, (SubjectKind.CUSTOMER, "")), "subjects[1].customer_id"),
        (wanted((SubjectKind.PERSON, "x" * 129)), "subjects[0].person_id"),
        (wanted((SubjectKind.DEVICE, "")), "subjects[0].device_id"),
        (wanted((SubjectKind.PAYMENT, "")), "subjects[0].payment_fingerprint"),
        (wanted(ANN, ANN, ANN, (SubjectKind.NETWORK, "192.0.2.1/24")), "subjects[3].network"),
        (wanted((SubjectKind.NETWORK, "somewhere")), "subjects[0].network"),
        (wanted((0, 42)), "subjects[0].coupon"),
        (wanted((7, 2**40)), "subjects[0].coupon"),
        (wanted((7, 42), kind=ListKind.ALLOW), "subjects[0].coupon"),
        (wanted(kind=ListKind.ALLOW, refs=[GivenRef(SubjectKind.COUPON, "7:42")]), "refs[0].id"),
        (wanted(refs=[GivenRef(SubjectKind.CUSTOMER, "ann")]), "refs[0].id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_addition_names_the_field_and_adds_nothing(house, asked, field):
    with pytest.raises(InvalidRequest) as refused:
        await house.risk_lists.add(calling(), house.program, asked)
    assert [violation.field for violation in refused.value.violations] == [field]
    assert await house.keys() == []


async def test_too_many_subjects_are_told_the_bound_and_how_many_there_are(house):
    with pytest.raises(InvalidRequest, match="must be 1 to 1000, refs together with subjects; there are 1001"):
        await house.risk_lists.add(calling(), house.program, wanted(*[ANN] * 1001))
    refs = [GivenRef(SubjectKind.CUSTOMER, "0" * 16)]
    unwanted = EntriesUnwanted(ListKind.DENY, [given(ANN)] * 1000, refs)
    with pytest.raises(InvalidRequest, match="1 to 1000, refs together with subjects; there are 1001"):
        await house.risk_lists.remove(calling(), house.program, unwanted)
    with pytest.raises(InvalidRequest, match="refs: must be"):
        await house.risk_lists.remove(calling(), house.program, EntriesUnwanted(ListKind.DENY, [], refs * 1001))


@pytest.mark.parametrize(
    ("ref", "field"),
    [
        (GivenRef(SubjectKind.CUSTOMER, "ann"), "refs[0].id"),
        (GivenRef(SubjectKind.CUSTOMER, "ABCDEF0123456789"), "refs[0].id"),
        (GivenRef(SubjectKind.NETWORK, "192.0.2.1/24"), "refs[0].id"),
        (GivenRef(SubjectKind.NETWORK, "192.0.2.7/32"), "refs[0].id"),
        (GivenRef(SubjectKind.COUPON, "7"), "refs[0].id"),
        (GivenRef(SubjectKind.COUPON, "0:42"), "refs[0].id"),
    ],
)
async def test_what_was_never_listed_is_no_reference(house, ref, field):
    with pytest.raises(InvalidRequest) as refused:
        await house.risk_lists.remove(calling(), house.program, EntriesUnwanted(ListKind.DENY, [], [ref]))
    assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize(("page_size", "after"), [(-1, b""), (1001, b""), (1, b"x" * 65)])
async def test_a_malformed_page_is_refused(house, page_size, after):
    with pytest.raises(InvalidRequest, match="page_"):
        await house.risk_lists.list(calling(), house.program, None, after=after, page_size=page_size)


async def test_a_page_that_names_no_size_has_a_hundred_entries(house):
    await house.list_subjects(*((SubjectKind.CUSTOMER, f"c{index}") for index in range(PAGE_SIZE + 1)))
    page = await house.risk_lists.list(calling(), house.program, None, after=b"", page_size=0)
    assert (len(page.entries), page.total) == (PAGE_SIZE, PAGE_SIZE + 1)
    rest = await house.risk_lists.list(calling(), house.program, None, after=page.next_key, page_size=0)
    assert (len(rest.entries), rest.next_key) == (1, b"")


async def test_entries_that_change_between_pages_are_neither_lost_nor_told_twice(house, other):
    await house.list_subjects(*((SubjectKind.CUSTOMER, f"c{index}") for index in range(20)))
    before = await listed(house)
    first = await house.risk_lists.list(calling(), house.program, None, after=b"", page_size=10)
    gone = [GivenRef(entry.subject.kind, entry.subject.text) for entry in (before[3], before[9], before[15])]
    await other.risk_lists.remove(calling(), house.program, EntriesUnwanted(ListKind.DENY, [], gone))
    rest = await house.risk_lists.list(calling(), house.program, None, after=first.next_key, page_size=10)
    assert (first.entries, rest.entries) == (before[:10], before[10:15] + before[16:])


async def test_a_program_without_a_ledger_gets_one_only_in_development(house, tmp_path):
    async with house.another(tmp_path / "fence-2", program="nobody", may_create_ledger=False, learns=False) as strict:
        assert await listed(strict) == []
        assert (await strict.unlist_subjects(ANN)).removed == 0
        with pytest.raises(LedgerRefused):
            await strict.list_subjects(ANN)


# Room


@pytest.fixture
def small(monkeypatch):
    """Both lists have room for ten entries."""
    for module in (lists, rules_store, risk_lists):
        monkeypatch.setattr(module, "ENTRIES_MAX", 10)


async def later(house, milliseconds):
    """Put the ledger's clock forward, and have the server learn of it."""
    await house.set_clock(house.ledger.now_ms() + milliseconds)
    await house.campaign()


def customers(first, last):
    return [(SubjectKind.CUSTOMER, f"c{index}") for index in range(first, last)]


async def test_more_entries_than_there_is_room_for_are_refused_as_a_whole(house, small):
    await house.list_subjects(*customers(0, 8), reason="first")
    with pytest.raises(LimitReached, match=r"have 8 entries and room for 10; 3 more do not fit"):
        await house.list_subjects(*customers(7, 11))
    assert len(await listed(house)) == 8
    assert (await house.list_subjects(*customers(0, 10), reason="second")).total == 10
    assert (await house.unlist_subjects(*customers(0, 10))).removed == 10


async def test_the_ledger_itself_refuses_what_does_not_fit(house, other, small, monkeypatch):
    """Two servers may add at the same time, and neither knows of the other's entries."""
    await house.list_subjects(*customers(0, 8))
    monkeypatch.setattr(risk_lists, "ENTRIES_MAX", 1000)
    with pytest.raises(LimitReached, match="have 8 entries, and room for 10"):
        await other.list_subjects(*customers(8, 11))


async def test_entries_that_have_expired_make_room(house, small):
    """As few calls as possible: in the same one that adds."""
    await house.list_subjects(*customers(0, 5), expires_in_ms=5_000)
    await house.list_subjects(*customers(5, 10))
    await later(house, 10_000)
    with pytest.raises(LimitReached, match=r"of which 4 have expired, and room for 10; 6 more do not fit"):
        await house.list_subjects(*customers(4, 5), *customers(10, 16))
    added = await house.list_subjects(*customers(4, 5), *customers(10, 12))
    texts = {entry.subject.text for entry in await listed(house)}
    assert added.total == len(texts) == 8
    assert {entry.subject.text for entry in added.entries} <= texts


async def test_an_entry_that_another_server_renewed_is_not_removed_as_expired(house, other, small, monkeypatch):
    """Between reading the lists and changing them, the entry was given another expiry."""
    await house.list_subjects(*customers(0, 1), expires_in_ms=5_000)
    await house.list_subjects(*customers(1, 10))
    await later(house, 10_000)
    load, renewed = house.ledger.rules.load, []

    async def load_and_renew(program):
        found = await load(program)
        if not renewed:
            renewed.append(await other.list_subjects(*customers(0, 1)))
        return found

    monkeypatch.setattr(house.ledger.rules, "load", load_and_renew)
    with pytest.raises(LimitReached):
        await house.list_subjects(*customers(10, 11))
    assert renewed[0].entries[0] in await listed(other)


# What entries do


@pytest.mark.parametrize(
    ("subject", "context"),
    [
        (ANN, {}),
        ((SubjectKind.PERSON, "p"), {"person": "p"}),
        ((SubjectKind.DEVICE, "phone"), {"risk": RiskContext(device_id="phone")}),
        ((SubjectKind.NETWORK, "192.0.2.7"), {"risk": RiskContext(network_address="192.0.2.7")}),
        ((SubjectKind.NETWORK, "192.0.2.7"), {"risk": RiskContext(network_address="::ffff:192.0.2.7")}),
        ((SubjectKind.NETWORK, "192.0.2.0/24"), {"risk": RiskContext(network_address="192.0.2.7")}),
        ((SubjectKind.NETWORK, "192.0.2.0/24"), {"risk": RiskContext(network_address="::ffff:192.0.2.7")}),
        ((SubjectKind.NETWORK, "2001:db8::9"), {"risk": RiskContext(network_address="2001:db8::7")}),
        ((SubjectKind.NETWORK, "2001:db8::/32"), {"risk": RiskContext(network_address="2001:db8:1::7")}),
        ((SubjectKind.PAYMENT, "card"), {"risk": RiskContext(payment_fingerprint="card")}),
        ((1, 0), {}),
    ],
)
async def test_whoever_is_denied_is_refused_everywhere_until_the_entry_is_removed(house, other, subject, context):
    """Redeem, Quote and Claim of another server, which has the rules from before in its memory."""
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    await other.quote(token, customer="ann")
    await house.list_subjects(subject)
    assert await outcome(other, token, **context) is DENIED
    assert (await other.quote(token, customer="ann", **context)).together.outcome is DENIED
    if isinstance(subject[0], SubjectKind):
        who = {"risk": context["risk"]} if "risk" in context else {"person_id": context.get("person", "")}
        assert (await other.claim(campaign, "ann", **who)).outcome is DENIED
    await house.unlist_subjects(subject)
    assert await outcome(other, token, **context) is APPROVED


@pytest.mark.parametrize(
    ("subject", "risk"),
    [
        (ANN, RiskContext()),
        ((SubjectKind.DEVICE, "ben"), RiskContext(device_id="BEN")),
        ((SubjectKind.NETWORK, "192.0.2.0/24"), RiskContext(network_address="192.0.3.7")),
        ((SubjectKind.NETWORK, "2001:db8::/64"), RiskContext(network_address="2001:db8:0:1::7")),
        ((1, 1), RiskContext()),
        ((2, 0), RiskContext()),
    ],
)
async def test_whoever_is_not_named_is_not_denied(house, subject, risk):
    (token,) = await house.mint(await house.campaign())
    await house.list_subjects(subject)
    assert await outcome(house, token, "ben", risk=risk) is APPROVED


async def test_a_denied_coupon_takes_its_order_along_and_no_other(house):
    campaign = await house.campaign()
    first, second = await house.mint(campaign, 2)
    await house.list_subjects((campaign.number, 0))
    assert [await outcome(house, token) for token in (first, second)] == [DENIED, APPROVED]


async def test_an_approved_request_is_answered_as_before_after_its_customer_was_denied(house, other):
    (token,) = await house.mint(await house.campaign())
    attempt = house.attempt(token, customer="ann")
    approved = await house.send(attempt)
    await house.list_subjects(ANN)
    assert await other.send(attempt) == approved


async def test_deny_wins_over_allow(house):
    (token,) = await house.mint(await house.campaign())
    await house.list_subjects(ANN, kind=ListKind.ALLOW)
    await house.list_subjects(ANN, kind=ListKind.DENY)
    assert await outcome(house, token) is DENIED


async def test_an_allowed_subject_is_exempt_and_the_others_of_its_request_are_not(house, other):
    """A shop's own terminal may redeem as often as it likes; each customer at it may not."""
    rules = [
        velocity_rule("device", subject=SubjectKind.DEVICE, limit=1, burst=1),
        velocity_rule("customer", limit=2, burst=2),
    ]
    await house.apply_rules(*rules)
    tokens = await house.mint(await house.campaign(), 6)
    terminal = {"risk": RiskContext(device_id="terminal")}
    assert [await outcome(house, token, **terminal) for token in tokens[:2]] == [APPROVED, EXCEEDED]
    await other.list_subjects((SubjectKind.DEVICE, "terminal"), kind=ListKind.ALLOW)
    assert [await outcome(house, token, "bob", **terminal) for token in tokens[1:4]] == [APPROVED, APPROVED, EXCEEDED]
    assert await outcome(house, tokens[4], "cat", risk=RiskContext(device_id="phone")) is APPROVED
    assert await outcome(house, tokens[5], "dan", risk=RiskContext(device_id="phone")) is EXCEEDED


async def test_a_denied_customer_learns_nothing_about_codes_on_any_server(house, other):
    """Also from a server that has not heard of the entry: it would answer CODE_INVALID, and that would be a guess."""
    campaign = await house.campaign()
    (code,) = await house.mint_codes(campaign)
    wrong = "0000000000000000"
    assert (await other.claim(wrong, "bob")).outcome is not DENIED
    guess = (await house.mint_codes(campaign))[0]
    await house.delete("code:*")
    assert (await other.claim(guess, "ann")).outcome is Outcome.CODE_INVALID
    await house.list_subjects(ANN)
    assert (await other.claim(guess, "ann")).outcome is DENIED
    assert (await other.claim(code, "ann")).outcome is DENIED
    assert (await other.claim(code, "bob")).outcome is Outcome.CODE_INVALID


async def test_a_claimed_code_is_answered_again_after_its_customer_was_denied(house):
    (code,) = await house.mint_codes(await house.campaign())
    claimed = await house.claim(code, "ann", request_id="claim-1")
    await house.list_subjects(ANN)
    assert await house.claim(code, "ann", request_id="claim-1") == claimed


async def test_an_entry_ends_at_its_instant_by_the_ledgers_clock(house, other):
    """A server's clock is only an estimate: neither one that runs ahead nor one that is late decides."""
    campaign = await house.campaign(ends_at_ms=house.ledger.now_ms() + 10**9)
    tokens = await house.mint(campaign, 2)
    await house.list_subjects(ANN, expires_in_ms=3_600_000)
    expires_at = (await listed(house))[0].expires_at
    await other.ledger.rules.load(house.program)
    assert await outcome(other, tokens[0]) is DENIED
    await house.set_clock(expires_at * 1000 + 1)
    assert await outcome(other, tokens[0]) is APPROVED
    quoted = await house.quote(tokens[1], customer="ann", at_ms=expires_at * 1000 - 1)
    assert quoted.together.outcome is DENIED
    quoted = await house.quote(tokens[1], customer="ann", at_ms=expires_at * 1000)
    assert quoted.together.outcome is APPROVED


async def test_an_entry_is_not_over_before_the_ledgers_clock_says_so(house, monkeypatch):
    """The server believes that it is an hour later; the ledger has it judge again."""
    (token,) = await house.mint(await house.campaign())
    await house.list_subjects(ANN, expires_in_ms=1_800_000)
    now_ms = house.ledger.now_ms
    monkeypatch.setattr(house.redeemer, "_ledger", Late(house.ledger, now_ms() + 3_600_000))
    assert await outcome(house, token) is DENIED


class Late:
    """A ledger whose clock a server estimates wrongly."""

    def __init__(self, ledger, now_ms):
        self._ledger, self._now_ms = ledger, now_ms

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def now_ms(self):
        return self._now_ms


# Under way


@pytest.mark.parametrize("by_claims", [False, True], ids=["redeem", "claim"])
async def test_every_decision_that_begins_after_the_answer_obeys_it_on_both_servers(house, other, by_claims):
    """Orders and claims of the customer run on both servers all the time, while entries come and go."""
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 400)
    await other.ledger.rules.load(house.program)
    state = {"denied": False, "since": 0}
    wrong, count = [], 0

    async def run(server, mine):
        nonlocal count
        for token in mine:
            denied, since = state["denied"], state["since"]
            if by_claims:
                found = (await server.claim(campaign, "ann")).outcome
            else:
                found = await outcome(server, token)
            count += 1
            if state["since"] == since and since % 2 == 0 and (found is DENIED) != denied:
                wrong.append((since, denied, found))

    async def change():
        for denied in (True, False) * 5:
            state["since"] += 1  # odd: a change is under way, and both answers are right
            await (house.list_subjects(ANN) if denied else house.unlist_subjects(ANN))
            state["denied"] = denied
            state["since"] += 1
            for _ in range(20):
                await asyncio.sleep(0)
                await other.redis.ping()

    async with asyncio.TaskGroup() as group:
        for lane in range(8):
            group.create_task(run((house, other)[lane % 2], tokens[lane * 50 : lane * 50 + 50]))
        group.create_task(change())
    assert (wrong, count) == ([], 400)


async def test_a_server_that_missed_many_changes_reads_only_these_and_judges_by_none_of_them_before(house, other):
    """5,000 entries came and one thousand went: more than a reply to an order has."""
    (token,) = await house.mint(await house.campaign())
    await house.list_subjects((SubjectKind.CUSTOMER, "early"))
    await other.ledger.rules.load(house.program)
    for start in range(0, 5000, 1000):
        await house.list_subjects(*customers(start, start + 1000))
    await house.unlist_subjects((SubjectKind.CUSTOMER, "early"), *customers(1, 1000))
    before = await house.commands()
    assert await outcome(other, token, "c4999") is DENIED
    assert await outcome(other, token, "c0") is DENIED
    assert await outcome(other, token, "early") is APPROVED
    after = await house.commands()
    assert after.get("cmdstat_hscan", 0) == before.get("cmdstat_hscan", 0)
    active = other.ledger.rules.cached(house.program)
    assert (active.version, len(active.lists)) == (await version(house), 4001)


async def test_a_server_that_missed_more_changes_than_are_logged_reads_everything(house, other):
    """The log keeps 200,000 entries; here it is full of entries that were removed long ago."""
    (token,) = await house.mint(await house.campaign())
    await house.list_subjects((SubjectKind.CUSTOMER, "early"))
    await other.ledger.rules.load(house.program)
    await house.list_subjects(*customers(0, 10))
    await house.redis.zadd(house.key("listed_log"), {b"%d" % number: 2 for number in range(199_990)})
    await house.unlist_subjects((SubjectKind.CUSTOMER, "early"))
    await house.list_subjects(*customers(10, 20))
    assert other.ledger.rules.cached(house.program).version < int(await house.redis.hget(house.key("rules"), "floor"))
    assert await house.redis.zcard(house.key("listed_log")) <= 200_000
    assert await outcome(other, token, "c0") is DENIED
    assert await outcome(other, token, "early") is APPROVED
    active = other.ledger.rules.cached(house.program)
    assert (active.version, len(active.lists)) == (await version(house), 20)
