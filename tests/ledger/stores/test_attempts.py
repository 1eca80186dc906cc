"""Attempts in vain: what one server process counts, and what it learns of the others through the ledger."""

from builders.times import DAY_MS

from redemption.domain.risk.attempts import NOTHING_REPORTED, Report, Reported, Tried, pack_report
from redemption.domain.risk.rules import LockOut, Rules
from redemption.domain.risk.subjects import Subject, SubjectKind
from redemption.ledger import keys

PHONE, HOME = Subject(SubjectKind.DEVICE, b"phone..."), Subject(SubjectKind.NETWORK, b"home....")
MINUTE_MS = 60_000


def fail(house, count=1, *, subjects=(PHONE,), codes=False):
    house.ledger.attempts.fail(house.program, subjects, count, codes=codes)


def locked(house, subject=PHONE):
    return house.ledger.attempts.locked_until_ms(house.program, subject) is not None


async def exchange(*houses):
    """What each process does once a second."""
    for house in houses:
        await house.ledger.attempts._exchange(house.program)


async def test_a_process_locks_out_by_itself(house):
    await house.campaign()
    fail(house, 9)
    assert not locked(house)
    fail(house)
    assert locked(house)
    assert house.ledger.attempts.locked_out(house.program) == 1


async def test_the_failures_of_all_processes_count_together_after_one_exchange(house, other):
    """Five here and five there: each learns of the other's."""
    await house.campaign()
    await other.ledger.rules.load(other.program)
    fail(house, 5)
    fail(other, 5)
    assert not locked(house)
    assert not locked(other)
    await exchange(house, other, house)
    assert locked(house)
    assert locked(other)


async def test_a_report_that_is_heard_again_counts_once(house, other):
    await house.campaign()
    await other.ledger.rules.load(other.program)
    fail(other, 6)
    for _ in range(5):
        await exchange(other, house)
    assert not locked(house)
    fail(other, 3)
    await exchange(other, house, house)
    assert not locked(house)
    fail(other, 1)
    await exchange(other, house)
    assert locked(house)


async def test_the_end_of_a_minute_loses_no_failure(house, other):
    """Those that were counted after the last report of a minute are reported in the next one."""
    await house.campaign()
    await other.ledger.rules.load(other.program)
    end_ms = (house.ledger.now_ms() // MINUTE_MS + 10) * MINUTE_MS

    async def at(now_ms):
        await house.set_clock(now_ms)
        for server in (house, other):
            server.ledger._clock.set(now_ms)

    await at(end_ms - 10)
    fail(other, 9)
    await at(end_ms + 10)
    fail(other, 1)
    assert other.ledger.attempts._programs[other.program].unsent is not None
    await exchange(other, house)
    assert locked(house)
    reported = await house.ledger.attempts.reported(house.program, 2)
    assert reported == Reported({end_ms // MINUTE_MS - 1: 9, end_ms // MINUTE_MS: 1}, {PHONE: Tried(0, 10)})
    assert reported.failures_of_last_minute(end_ms + 20_000) == 1 + 6


async def test_programs_that_callers_invent_are_not_counted(house):
    house.ledger.attempts.fail("invented", [PHONE], 100, codes=False)
    assert house.ledger.attempts.locked_until_ms("invented", PHONE) is None
    assert house.ledger.attempts._programs == {}
    assert await house.ledger.attempts.reported("invented", 10) == NOTHING_REPORTED


async def test_a_program_that_another_process_created_is_counted_from_the_next_second_on(house, other):
    await house.campaign()
    assert not other.ledger.attempts.fail(house.program, [PHONE], 5, codes=False)
    await other.ledger.attempts._look_for_programs()
    assert other.ledger.attempts.fail(house.program, [PHONE], 10, codes=False)
    assert locked(other)


async def test_of_programs_that_callers_invent_few_are_looked_for(house, monkeypatch):
    asked = []
    monkeypatch.setattr(house.ledger.attempts._functions, "begun", record(asked))
    for number in range(1_000):
        house.ledger.attempts.fail(f"invented-{number}", [PHONE], 1, codes=False)
    house.ledger.attempts.fail("invented-7", [PHONE], 9, codes=False)
    await house.ledger.attempts._look_for_programs()
    await house.ledger.attempts._look_for_programs()
    assert len(asked) == 4
    assert asked[0] == "invented-7"


def record(asked):
    """A call that notes its argument."""

    async def begun(program):
        asked.append(program)
        return False

    return begun


async def test_the_budget_of_codes_is_of_all_processes_together(house, other):
    await house.campaign()
    rules = Rules(lock_out=LockOut(code_failures_per_minute=20)).numbered()
    await house.ledger.rules.define(house.program, rules, expected=0, what="applied", principal="test")
    await other.ledger.rules.load(other.program)
    fail(house, 12, subjects=(), codes=True)
    fail(other, 12, subjects=(), codes=True)
    spent = [server.ledger.attempts.codes_spent_until_ms(house.program) for server in (house, other)]
    assert spent == [None, None]
    await exchange(house, other, house)
    assert all(server.ledger.attempts.codes_spent_until_ms(house.program) for server in (house, other))


async def test_what_was_tried_in_vain_is_told_of_all_processes(house, other):
    await house.campaign()
    await other.ledger.rules.load(other.program)
    fail(house, 3, subjects=(PHONE, HOME))
    house.ledger.attempts.refuse(house.program, [PHONE])
    fail(other, 4)
    await exchange(other)
    reported = await house.ledger.attempts.reported(house.program, 10)
    assert sum(reported.failures.values()) == 7
    assert reported.subjects == {PHONE: Tried(1, 7), HOME: Tried(0, 3)}


async def test_reports_go_by_themselves_after_an_hour(house):
    await house.campaign()
    fail(house)
    await exchange(house)
    minute = house.ledger.now_ms() // MINUTE_MS
    key = keys.attempts(house.program, minute)
    assert await house.redis.hlen(key) == 1
    assert 0 < await house.redis.pttl(key) <= 61 * MINUTE_MS


async def test_nothing_is_written_while_nobody_fails(house):
    await house.campaign()
    fail(house)
    await exchange(house)
    before = await house.redis.hget(keys.ledger(house.program), "seq")
    await exchange(house, house)
    assert await house.redis.hget(keys.ledger(house.program), "seq") == before


async def test_a_report_that_cannot_be_read_is_left_out(house):
    """It is of a newer version, or damaged."""
    await house.campaign()
    minute = house.ledger.now_ms() // MINUTE_MS
    key = keys.attempts(house.program, minute)
    await house.redis.hset(key, b"newer", b"\x09 whatever")
    await house.redis.hset(key, b"older", pack_report(Report(10, 0, {PHONE: Tried(0, 10)})))
    fail(house, 0)
    await exchange(house)
    assert locked(house)


async def test_a_key_of_another_type_is_no_end(house, capsys):
    """The loop goes on with the next program and the next second."""
    await house.campaign()
    await house.redis.set(keys.attempts(house.program, house.ledger.now_ms() // MINUTE_MS), "not a hash")
    fail(house)
    store = house.ledger.attempts
    assert not store._exchanging.done()
    assert store._programs[house.program].minute.changed


async def test_a_quiet_program_is_forgotten(house):
    await house.campaign()
    fail(house)
    assert house.program in house.ledger.attempts._programs
    house.ledger._clock.set(house.ledger.now_ms() + DAY_MS)
    assert house.ledger.attempts._of(house.program).minute.changed is False
