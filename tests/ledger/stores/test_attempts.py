"""Attempts in vain: what one server process counts, and what it learns of the others through the ledger."""

import asyncio

from redemption.domain.errors import LedgerRefused
from redemption.domain.risk.attempts import NOTHING_REPORTED, Minute, Tried, pack_report
from redemption.domain.risk.rules import LockOut, Rules
from redemption.domain.risk.subjects import Subject, SubjectKind
from redemption.ledger import keys
from redemption.ledger.stores import attempts
from redemption.ledger.stores.attempts import EXCHANGE_SECONDS

PHONE, HOME = Subject(SubjectKind.DEVICE, b"phone..."), Subject(SubjectKind.NETWORK, b"home....")
MINUTE_MS = 60_000
SECONDS_MAX = 20


def fail(house, count=1, *, subjects=(PHONE,), codes=False):
    house.ledger.attempts.fail(house.program, subjects, count, codes=codes)


def locked(house, subject=PHONE):
    return house.ledger.attempts.locked_until_ms(house.program, subject) is not None


def report_of(failures, *subjects, codes=False):
    """A packed report: PHONE and others failed so often each."""
    minute = Minute(0)
    for subject in subjects or [PHONE]:
        minute.fail([subject.packed], failures, codes=codes)
    return pack_report(minute.report())


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
    assert await house.ledger.attempts.locked_out(house.program) == 1


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


async def test_reports_are_heard_although_newer_rules_cannot_be_read(house, other, monkeypatch):
    await house.campaign()
    fail(house)
    await exchange(house)

    async def unreadable(*_):
        raise LedgerRefused("rules of a newer version")

    monkeypatch.setattr(house.ledger.rules, "load_newer", unreadable)
    await other.ledger.rules.load(other.program)
    fail(other, 9)
    await exchange(other, house)
    assert locked(house)


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

    await exchange(other, house)  # each begins
    await at(end_ms - 10)
    fail(other, 9)
    await at(end_ms + 10)
    fail(other, 1)
    assert other.ledger.attempts._programs[other.program].unsent is not None
    await exchange(other, house)
    assert locked(house)
    reported = await house.ledger.attempts.reported(house.program, 2)
    assert reported.failures == {end_ms // MINUTE_MS - 1: 9, end_ms // MINUTE_MS: 1}
    assert reported.of(PHONE) == Tried(0, 10)
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
    assert (reported.of(PHONE), reported.of(HOME)) == (Tried(1, 7), Tried(0, 3))


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
    await house.redis.hset(key, b"older", report_of(10))
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


async def report(house, process, packed, *, minutes_ago=0):
    """What another process reported of a minute."""
    minute = house.ledger.now_ms() // MINUTE_MS - minutes_ago
    await house.redis.hset(keys.attempts(house.program, minute), process, packed)
    return minute


async def until(asked):
    """Wait until something is true."""
    async with asyncio.timeout(SECONDS_MAX):
        while not asked():
            await asyncio.sleep(0)


async def test_a_process_that_sees_its_first_claim_by_code_learns_at_once_who_is_locked_out(house):
    """Three lock-outs, of which the last one lasts until four minutes after its minute; no failure here, no wait."""
    await house.campaign()
    for minutes_ago in (4, 3, 2):
        minute = await report(house, b"other", report_of(10), minutes_ago=minutes_ago)
    assert not locked(house)
    assert house.ledger.attempts.knows(house.program)
    await house.ledger.attempts._beginning
    assert locked(house)
    assert house.ledger.attempts.locked_until_ms(house.program, PHONE) == (minute + 1 + 4) * MINUTE_MS


async def test_the_hour_before_is_counted_by_the_rules_of_the_program(house, other):
    """Also if nobody read them here yet: a look at who tried most is the first that is asked."""
    await house.campaign()
    rules = Rules(lock_out=LockOut(failures=3)).numbered()
    await house.ledger.rules.define(house.program, rules, expected=0, what="applied", principal="test")
    await report(house, b"third", report_of(3))
    await other.ledger.attempts.reported(other.program, 10)
    assert locked(other)


async def test_what_is_long_over_locks_nobody_out(house):
    """Nine failures in each of many minutes, and one more now."""
    await house.campaign()
    for minutes_ago in range(2, 60):
        await report(house, b"other", report_of(9), minutes_ago=minutes_ago)
    fail(house)
    await exchange(house)
    assert not locked(house)


async def test_begins_for_several_programs_come_one_after_the_other(house, monkeypatch):
    running, most = 0, 0
    store = house.ledger.attempts

    async def begin(_program):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    monkeypatch.setattr(store, "_try_to_exchange", begin)
    for number in range(5):
        store._begin(f"program {number}")
    await store._beginning
    assert (most, store._to_begin) == (1, {})


async def test_a_quiet_program_is_forgotten_whole_and_what_is_lately_is_read_again_once(house, clock):
    """Its own reports are read as those of others are; what came before is counted once."""
    await house.campaign()
    fail(house, 6)
    await exchange(house)
    store, own = house.ledger.attempts, house.ledger.attempts._process
    await store._beginning
    store._programs[house.program].active_ms -= 11 * MINUTE_MS
    clock.forward(EXCHANGE_SECONDS)
    await until(lambda: not store._programs)
    await house.redis.delete(*[keys.attempts(house.program, house.ledger.now_ms() // MINUTE_MS)])
    await report(house, own, report_of(10), minutes_ago=15)
    await report(house, own, report_of(10), minutes_ago=14)
    fail(house, 10)
    await exchange(house, house)
    left_ms = store.locked_until_ms(house.program, PHONE) - house.ledger.now_ms()
    assert 3 * MINUTE_MS < left_ms <= 4 * MINUTE_MS, "the third in a row"


async def test_a_subject_that_is_missing_from_one_report_counts_once(house):
    """The hundred with most attempts change; an honest shopper who mistyped six times is not locked out for it."""
    await house.campaign()
    await exchange(house)
    for _ in range(5):
        await report(house, b"other", report_of(6))
        await exchange(house)
        await report(house, b"other", report_of(7, HOME))
        await exchange(house)
    assert not locked(house)
    await report(house, b"other", report_of(10))
    await exchange(house)
    assert locked(house)


async def test_subjects_of_one_process_and_minute_are_remembered_up_to_a_bound(house, monkeypatch):
    monkeypatch.setattr(attempts, "HEARD_MAX", 1)
    await house.campaign()
    await exchange(house)
    await report(house, b"other", report_of(1))
    await exchange(house)
    await report(house, b"other", report_of(20, PHONE, HOME))
    await exchange(house)
    assert locked(house)
    assert not locked(house, HOME)


async def test_exchanges_of_a_program_never_overlap(house, monkeypatch):
    """Else an older reply that is read last would be counted again."""
    await house.campaign()
    store, running = house.ledger.attempts, []
    call = store._functions.call

    async def watched(function, *args):
        running.append(function)
        assert running.count("attempts") <= 1
        try:
            return await call(function, *args)
        finally:
            running.remove(function)

    fail(house)
    monkeypatch.setattr(store._functions, "call", watched)
    await asyncio.gather(*(exchange(house) for _ in range(10)))


async def test_reading_an_hour_of_eight_processes_lets_others_run(house):
    """It pauses after each step; here it is counted how often others had a turn."""
    await house.campaign()
    minute = house.ledger.now_ms() // MINUTE_MS
    for number in range(minute - 59, minute + 1):
        minutes_ago = minute - number
        names = [Subject(SubjectKind.DEVICE, (minutes_ago * 100 + each).to_bytes(8)) for each in range(100)]
        for process in range(8):
            await house.redis.hset(keys.attempts(house.program, number), b"other %d" % process, report_of(1, *names))
    turns, done = 0, False

    async def others():
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    reported = await house.ledger.attempts.reported(house.program, 60)
    done = True
    await beside
    assert len(reported.failures) >= 59, "the oldest minute may be over meanwhile"
    assert set(reported.failures.values()) == {800}
    assert turns > 10


async def test_an_exchange_is_one_call_and_tells_of_changed_rules(house, other, monkeypatch):
    await house.campaign()
    fail(house)
    await exchange(house)
    calls, plain = [], house.ledger._functions._call

    async def counted(send, function, *args):
        calls.append(function)
        return await plain(send, function, *args)

    monkeypatch.setattr(house.ledger._functions, "_call", counted)
    await exchange(house)
    fail(house)
    await exchange(house)
    assert calls == ["attempts", "exchange_attempts"]
    await other.apply_rules(lock_out=LockOut(failures=5))
    await exchange(house)
    assert calls[2:] == ["attempts", "rules_since"]
    assert house.ledger.rules.cached(house.program).rules.lock_out.failures == 5
