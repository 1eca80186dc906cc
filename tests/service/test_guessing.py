"""Guessing tokens and exchange codes: who guesses waits, ordinary shoppers beside them notice nothing."""

import asyncio
import secrets

import pytest
import structlog
from builders.calls import calling
from structlog.testing import capture_logs
from waiting import settled

from redemption.domain.judging.claiming import Claim, CodeGiven
from redemption.domain.order import Customer, RiskContext
from redemption.domain.outcome import Disposition, Outcome
from redemption.domain.risk.lists import ListEntry, ListKind
from redemption.domain.risk.rules import LockOut, RuleMode, Rules, VelocityRule
from redemption.domain.risk.subjects import Subject, SubjectKind, digest_of
from redemption.domain.signed.digest import DigestKind
from redemption.domain.signed.exchange_code import write_code
from redemption.ledger import keys
from redemption.ledger.trust.reply_errors import NoLedger
from redemption.service.guessing import PLACE_SECONDS_MAX, PLACE_WAITING_MAX
from redemption.service.quoter import QuoteRequest
from redemption.service.risk_reports import LOCK_OUT, RuleDid

HOME = "192.0.2.7"
PHONE = RiskContext(device_id="phone", network_address=HOME)
WAITS, INVALID, APPROVED = Outcome.VELOCITY_EXCEEDED, Outcome.TOKEN_INVALID, Outcome.APPROVED
FAILURES = 10
"""So many lock out, unless the program's rules say otherwise."""
MINUTE_MS = 60_000


def forged():
    """A text that looks like a token."""
    return "AQ" + secrets.token_urlsafe(60)[:62]


async def guess(house, count=1, *, customer=None, risk=PHONE):
    """Send orders with a forged token each, one after the other; returns the last decision."""
    for _ in range(count):
        decision = await house.redeem(forged(), customer=customer, risk=risk)
    return decision


async def use_rules(house, **rules):
    """Let a program have rules."""
    await house.ledger.rules.define(
        house.program, Rules(**rules).numbered(), expected=0, what="applied", principal="test"
    )


async def guess_code(house, count=1, *, customer="eve", risk=PHONE):
    """Claim for made-up codes, one after the other; returns the last answer."""
    for _ in range(count):
        claimed = await house.claim(write_code(secrets.token_bytes(10)), customer, risk=risk)
    return claimed


async def test_after_ten_failed_tokens_a_device_waits(house):
    await house.campaign()
    assert (await guess(house, FAILURES - 1)).outcome is INVALID
    decision = await guess(house)
    (verdict,) = decision.verdicts
    assert (decision.outcome, decision.disposition) == (WAITS, Disposition.TRY_LATER)
    assert house.ledger.now_ms() < verdict.detail.try_after_ms <= house.ledger.now_ms() + MINUTE_MS
    assert (await guess(house, risk=RiskContext(device_id="another phone"))).outcome is INVALID


async def test_a_genuine_order_is_answered_whoever_sends_it(house):
    """The one who guessed has a coupon of their own."""
    (token, other) = await house.mint(await house.campaign(), 2)
    await guess(house, 3 * FAILURES, customer="eve")
    assert (await house.redeem(token, customer="eve", risk=PHONE)).outcome is APPROVED
    both = await house.redeem(other, forged(), customer="eve", risk=PHONE)
    assert [verdict.outcome for verdict in both.verdicts] == [Outcome.NOT_EVALUATED, WAITS]
    assert (await house.redeem(other, customer="eve", risk=PHONE)).outcome is APPROVED


async def test_each_token_that_fails_counts(house):
    """Else an order of 32 tokens would be 32 guesses for one."""
    await house.campaign()
    decision = await house.redeem(*(forged() for _ in range(FAILURES)), risk=PHONE)
    assert decision.outcome is WAITS


@pytest.mark.parametrize(
    ("customer", "risk"),
    [("eve", RiskContext()), (None, RiskContext(device_id="phone"))],
    ids=["customer", "device"],
)
async def test_customers_and_devices_are_locked_out(house, customer, risk):
    await house.campaign()
    assert (await guess(house, FAILURES, customer=customer, risk=risk)).outcome is WAITS


async def test_an_address_is_not_locked_out_unless_the_rules_say_so(house):
    """Many people share one; it is counted what would have been."""
    await house.campaign()
    home = RiskContext(network_address=HOME)
    assert (await guess(house, 2 * FAILURES, risk=home)).outcome is INVALID
    counted = house.ledger._refusal_counts._counts[house.program]
    assert counted[0, LOCK_OUT * 4 + RuleDid.WOULD_REFUSE] == FAILURES + 1
    await use_rules(house, lock_out=LockOut(networks=RuleMode.ENFORCE))
    assert (await guess(house, risk=home)).outcome is WAITS


async def test_who_names_nobody_is_never_locked_out(house):
    await house.campaign()
    assert (await guess(house, 3 * FAILURES, risk=RiskContext())).outcome is INVALID


async def test_a_calling_service_is_alarmed_on_and_not_locked_out(house):
    """One vandal must not lock out a whole shop."""
    (token,) = await house.mint(await house.campaign())
    structlog.reset_defaults()
    with capture_logs() as logs:
        for number in range(150):
            await guess(house, customer=f"customer {number}", risk=RiskContext())
    alarms = [log for log in logs if "somebody may be guessing" in log["event"]]
    assert [(log["failures"], log["program"]) for log in alarms] == [(100, house.program)]
    assert (await house.redeem(token)).outcome is APPROVED


async def test_failed_tokens_cost_the_ledger_nothing(house, monkeypatch):
    await house.campaign()
    monkeypatch.setattr(house.ledger.orders, "decide", None)
    assert (await guess(house, 50)).outcome is WAITS


async def test_a_quote_counts_and_answers_alike(house):
    (token,) = await house.mint(await house.campaign())
    await guess(house, FAILURES)
    attempt = house.attempt(forged(), token, risk=PHONE)
    quote = await house.quoter.quote(calling(seconds=60), QuoteRequest(attempt.checkout))
    assert [verdict.outcome for verdict in quote.alone] == [WAITS, APPROVED]
    assert quote.together.outcome is WAITS
    only = house.attempt(forged(), risk=PHONE)
    quote = await house.quoter.quote(calling(seconds=60), QuoteRequest(only.checkout))
    assert quote.together.outcome is WAITS


async def test_an_allowed_device_is_not_counted(house):
    """A shop's own till, at which customers try their coupons all day."""
    await house.campaign()
    digests = house.redeemer._digests.for_program(house.program)
    till = Subject(SubjectKind.DEVICE, digest_of(digests, SubjectKind.DEVICE, "till"))
    entry = ListEntry(ListKind.ALLOW, till, "our own", 0, 0, "test")
    await house.ledger.rules.change_lists(house.program, [entry], [], reason="", principal="test")
    risk = RiskContext(device_id="till")
    assert (await guess(house, 3 * FAILURES, risk=risk)).outcome is INVALID
    assert (await guess(house, FAILURES, customer="eve", risk=risk)).outcome is WAITS, "the customer is"


async def test_after_ten_failed_codes_no_code_is_looked_up(house):
    """Not even the right one: its record is made unreadable, and nobody notices."""
    campaign = await house.campaign()
    (code,) = await house.mint_codes(campaign)
    assert (await guess_code(house, FAILURES)).outcome is Outcome.CODE_INVALID
    for key in await house.keys("code:*"):
        await house.redis.delete(key)
        await house.redis.set(key, "not a hash")
    claimed = await house.claim(code, "eve", risk=PHONE)
    assert (claimed.outcome, claimed.disposition) == (WAITS, Disposition.TRY_LATER)
    assert house.ledger.now_ms() < claimed.detail.try_after_ms <= house.ledger.now_ms() + MINUTE_MS


async def test_many_guesses_at_once_are_no_more_guesses(house):
    """Of a hundred that are sent together, ten are looked up; the others wait for them, and are refused."""
    campaign = await house.campaign()
    await house.mint_codes(campaign)
    answers = await asyncio.gather(*(guess_code(house) for _ in range(100)))
    outcomes = [answer.outcome for answer in answers]
    assert outcomes.count(Outcome.CODE_INVALID) == FAILURES
    assert outcomes.count(WAITS) == 100 - FAILURES
    assert lock_outs_counted(house) == 100 - FAILURES
    nobody_waits(house)


async def test_who_failed_already_has_fewer_guesses_at_once(house):
    campaign = await house.campaign()
    await house.mint_codes(campaign)
    await guess_code(house, FAILURES - 1)
    answers = await asyncio.gather(*(guess_code(house) for _ in range(20)))
    assert [answer.outcome for answer in answers].count(Outcome.CODE_INVALID) == 1


def lock_outs_counted(house):
    """How often lock-out refused somebody."""
    return house.ledger._refusal_counts._counts[house.program][0, LOCK_OUT * 4 + RuleDid.REFUSED]


def nobody_waits(house):
    guessing = house.claimer._guessing
    assert (guessing._under_way, guessing._waiting) == ({}, {})


async def test_many_good_codes_at_one_till_are_all_answered(house):
    """Forty customers at once, more than may fail: they wait for each other."""
    codes = await house.mint_codes(await house.campaign(), 40)
    claims = [house.claim(code, f"customer {number}", risk=PHONE) for number, code in enumerate(codes)]
    assert {claimed.outcome for claimed in await asyncio.gather(*claims)} == {APPROVED}
    nobody_waits(house)


async def test_codes_that_wait_too_long_are_refused_and_nothing_is_counted(house, clock, monkeypatch):
    """The ledger does not answer: ten are under way, a hundred wait for a place, and others are refused at once."""
    *codes, last = await house.mint_codes(await house.campaign(), 120 + 1)
    counted_max = FAILURES + 1
    await use_rules(house, velocity=(VelocityRule("device", SubjectKind.DEVICE, counted_max, MINUTE_MS, counted_max),))
    claims, answering = claims_without_an_answer(house, monkeypatch, codes)
    (waiting,) = await until_waiting(house, PLACE_WAITING_MAX)
    waiting[0].cancel()  # as if its caller had left
    clock.forward(PLACE_SECONDS_MAX)
    await until_waiting(house, 0)
    answering.set()
    answers = await asyncio.gather(*claims, return_exceptions=True)
    outcomes = [answer.outcome for answer in answers if not isinstance(answer, BaseException)]
    assert (outcomes.count(APPROVED), outcomes.count(WAITS)) == (FAILURES, 109)
    assert house.program not in house.ledger._refusal_counts._counts
    reported = await house.ledger.attempts.reported(house.program, 1)
    assert reported.refused_of == {}
    nobody_waits(house)
    assert (await house.claim(last, risk=PHONE)).outcome is APPROVED, "the rule has room for one more"


async def test_who_is_denied_is_counted_as_refused_also_without_a_place(house, clock, monkeypatch):
    codes = await house.mint_codes(await house.campaign(), 120)
    await house.list_subjects((SubjectKind.DEVICE, "phone"))
    claims, answering = claims_without_an_answer(house, monkeypatch, codes)
    await until_waiting(house, PLACE_WAITING_MAX)
    clock.forward(PLACE_SECONDS_MAX)
    await until_waiting(house, 0)
    answering.set()
    assert {answer.outcome for answer in await asyncio.gather(*claims)} == {Outcome.DENYLISTED}
    reported = await house.ledger.attempts.reported(house.program, 1)
    assert max(reported.refused_of.values()) == len(codes)


async def test_who_is_locked_out_while_waiting_for_a_place_is_told_so(house, clock, monkeypatch):
    codes = await house.mint_codes(await house.campaign(), FAILURES + 2)
    claims, answering = claims_without_an_answer(house, monkeypatch, codes)
    await until_waiting(house, 2)
    await guess(house, FAILURES)
    clock.forward(PLACE_SECONDS_MAX)
    await until_waiting(house, 0)
    answering.set()
    waited = [answer for answer in await asyncio.gather(*claims) if answer.outcome is WAITS]
    assert len(waited) == 2
    assert all(answer.detail.try_after_ms > house.ledger.now_ms() + MINUTE_MS // 2 for answer in waited)
    assert lock_outs_counted(house) == 1 + 2, "the last guess, and those two"


async def test_who_was_called_and_found_no_place_is_the_next_one_all_the_same(house):
    """A code that fails frees its place, and there is one place fewer."""
    guessing, program = house.claimer._guessing, house.program
    await house.campaign()
    await use_rules(house, lock_out=LockOut(failures=2))
    begun, releases = [], {name: asyncio.Event() for name in "abcd"}

    async def claim(name):
        async with guessing.code_under_way(calling(seconds=60), program, Customer("ann"), PHONE) as wait:
            assert wait is None
            begun.append(name)
            await releases[name].wait()

    tasks = [asyncio.create_task(claim(name)) for name in releases]
    await until_waiting(house, 2)
    house.ledger.attempts.fail(program, guessing._subjects(program, Customer("ann"), PHONE), 1, codes=True)
    for name in "ab":
        releases[name].set()
        await settled()
    assert begun == ["a", "b", "c"]
    for name in "cd":
        releases[name].set()
    await asyncio.wait(tasks, timeout=20)
    assert begun == ["a", "b", "c", "d"]
    nobody_waits(house)


def claims_without_an_answer(house, monkeypatch, codes):
    """Claim each code, all at once, on one phone; the ledger does not answer until the event is set."""
    answering = asyncio.Event()
    claim = house.ledger.issuing.claim

    async def slow(*args, **named):
        await answering.wait()
        return await claim(*args, **named)

    monkeypatch.setattr(house.ledger.issuing, "claim", slow)
    claims = [house.claim(code, f"customer {number}", risk=PHONE) for number, code in enumerate(codes)]
    return [asyncio.create_task(each) for each in claims], answering


async def until_waiting(house, count):
    """Wait until so many codes of one subject wait; returns what waits, by subject."""
    waiting = house.claimer._guessing._waiting
    async with asyncio.timeout(20):
        while sum(map(len, waiting.values())) != count:
            await asyncio.sleep(0)
    return list(waiting.values())


async def test_a_place_that_its_waiter_does_not_take_is_the_next_ones(house, monkeypatch):
    """The first waiter's caller leaves at the very moment in which it is called."""
    guessing, program = house.claimer._guessing, house.program
    await house.campaign()
    await use_rules(house, lock_out=LockOut(failures=1))
    ended = []

    async def claim(name, release):
        async with guessing.code_under_way(calling(seconds=60), program, Customer("ann"), PHONE) as wait:
            await release.wait()
        ended.append((name, wait))

    releases = [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.create_task(claim(name, release)) for name, release in zip("abc", releases, strict=True)]
    await until_waiting(house, 2)
    releases[2].set()
    releases[0].set()
    while not ended:
        await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait(tasks, timeout=20)
    assert ended == [("a", None), ("c", None)]
    nobody_waits(house)


async def test_a_claim_by_code_begins_to_learn_what_others_saw(house):
    """A process that sees no failure would never hear whom the others locked out."""
    (code,) = await house.mint_codes(await house.campaign())
    assert house.program not in house.ledger.attempts._programs
    assert (await house.claim(code, risk=PHONE)).outcome is APPROVED
    assert house.program in house.ledger.attempts._programs


async def test_a_program_that_a_caller_invents_is_counted_nowhere(house):
    """Else its counts would be sent to the ledger, in vain, for ever."""
    await house.campaign()
    codes = [CodeGiven(write_code(secrets.token_bytes(10))) for _ in range(30)]
    claims = [
        house.claimer.claim(calling(), Claim("invented", f"claim {number}", code, Customer("eve"), PHONE))
        for number, code in enumerate(codes)
    ]
    answers = await asyncio.gather(*claims, return_exceptions=True)
    assert {type(answer) for answer in answers} == {NoLedger}
    assert "invented" not in house.ledger._refusal_counts._counts
    assert "invented" not in house.ledger.attempts._programs
    nobody_waits(house)


async def test_a_quote_is_one_failure_however_many_of_its_tokens_fail(house):
    """A shopper's wallet may have many tokens of a key that is gone."""
    await house.campaign()
    for _ in range(FAILURES - 1):
        assert (await house.quote(*(forged() for _ in range(30)), risk=PHONE)).together.outcome is INVALID
    assert (await house.quote(forged(), risk=PHONE)).together.outcome is WAITS


async def test_one_request_locks_out_for_the_first_time_only(house):
    await house.campaign()
    decision = await house.redeem(*(forged() for _ in range(30)), risk=PHONE)
    assert decision.verdicts[0].detail.try_after_ms <= house.ledger.now_ms() + MINUTE_MS


async def test_a_claim_that_was_approved_is_answered_again_whoever_waits(house):
    campaign = await house.campaign()
    (code,) = await house.mint_codes(campaign)
    first = await house.claim(code, "eve", risk=PHONE, request_id="mine")
    assert first.outcome is APPROVED
    await guess_code(house, FAILURES + 1)
    assert await house.claim(code, "eve", risk=PHONE, request_id="mine") == first


async def test_a_code_that_was_typed_wrongly_is_no_guess(house):
    campaign = await house.campaign()
    (code,) = await house.mint_codes(campaign)
    wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
    for _ in range(3 * FAILURES):
        assert (await house.claim(wrong, "ann", risk=PHONE)).outcome is Outcome.CODE_MISTYPED
    assert (await house.claim(code, "ann", risk=PHONE)).outcome is APPROVED


async def test_when_the_budget_of_codes_is_spent_only_those_who_failed_wait(house):
    campaign = await house.campaign()
    (one, two) = await house.mint_codes(campaign, 2)
    await use_rules(house, lock_out=LockOut(code_failures_per_minute=20))
    structlog.reset_defaults()
    with capture_logs() as logs:
        for number in range(20):
            await guess_code(house, customer=f"eve {number}", risk=RiskContext())
    assert (await house.claim(one, "eve 7")).outcome is WAITS
    assert (await house.claim(one, "ann", risk=PHONE)).outcome is APPROVED
    assert (await house.claim(two, "ben", risk=PHONE)).outcome is APPROVED
    assert [log["log_level"] for log in logs if "budget of failed exchange codes" in log["event"]] == ["warning"]


async def test_shoppers_beside_one_who_guesses_notice_nothing(house):
    """Same service, same address: every shopper is answered, while one device guesses at the same time."""
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 100)
    shoppers = [
        house.redeem(token, customer=f"ann {index}", risk=RiskContext(f"phone {index}", HOME))
        for index, token in enumerate(tokens)
    ]
    *decisions, last = await asyncio.gather(*shoppers, guess(house, 300, customer="eve"))
    assert {decision.outcome for decision in decisions} == {APPROVED}
    assert last.outcome is WAITS


async def test_nothing_of_the_ledger_names_anybody_in_plain(house):
    await house.campaign()
    await guess(house, FAILURES, customer="eve", risk=PHONE)
    await house.ledger.attempts._exchange(house.program)
    minute = house.ledger.now_ms() // MINUTE_MS
    (report,) = (await house.redis.hgetall(keys.attempts(house.program, minute))).values()
    digest = house.redeemer._digests.for_program(house.program).digest(DigestKind.DEVICE, b"phone")
    assert digest in report
    for plain in (b"eve", b"phone", HOME.encode()):
        assert plain not in report
