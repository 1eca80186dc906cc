"""Every server has campaigns looked at, every few seconds, and logs what its call found."""

import asyncio

import pytest
from house import House
from ledger.watched import Watched, thresholds_of
from structlog.testing import capture_logs
from waiting import comes

from redemption.domain.outcome import Outcome
from redemption.domain.risk.lists import ListEntry, ListKind
from redemption.domain.risk.rules import Rules, VelocityRule
from redemption.domain.risk.subjects import Subject, SubjectKind
from redemption.ledger import watching
from redemption.ledger.trust.reply_errors import LedgerFull
from redemption.server.embedded_valkey import EmbeddedValkey


async def over_budget(house):
    """A campaign that is to be warned of."""
    watched = await Watched.of(house, budget_spent_basis_points=5000)
    await watched.count(discount=600_000)
    await house.set_clock(watched.now_ms)
    return watched


async def without_checks(house):
    """No check of the ledger is under way, which would time out when the test puts the clock forward."""
    house.ledger._watching.cancel()
    await asyncio.wait({house.ledger._watching})


async def spent_less(watched):
    """The warning is to be cleared."""
    await watched.count(discount=0)
    watched.now_ms += 5000
    await watched.house.set_clock(watched.now_ms)


async def test_the_server_whose_call_found_it_logs_a_warning_and_no_other(house, other):
    watched = await over_budget(house)
    await other.ledger.rules.load(house.program)
    with capture_logs() as logs:
        for server in (house, other, house):
            await server.ledger.watching.look()
    said = {
        "event": "a warning is raised",
        "log_level": "warning",
        "program": house.program,
        "campaign": 1,
        "reason": "BUDGET_SPENT",
        "description": "60 % of the budget is spent; the threshold is 50 %",
    }
    assert logs == [said]
    await spent_less(watched)
    with capture_logs() as logs:
        for server in (other, house):
            await server.ledger.watching.look()
    assert logs == [said | {"event": "a warning is cleared", "log_level": "info"}]


async def test_every_few_seconds_it_looks_by_itself_until_the_server_stops(house, clock):
    watched = await over_budget(house)
    await without_checks(house)
    with capture_logs() as logs:
        clock.forward(watching.WATCH_SECONDS)
        await comes(lambda: logs)
        assert [entry["event"] for entry in logs] == ["a warning is raised"]
        await spent_less(watched)
        clock.forward(watching.WATCH_SECONDS)
        await comes(lambda: len(logs) == 2)
    await house.ledger.watching.stop()
    assert house.ledger.watching._task.done()


@pytest.mark.parametrize("has_rules", [False, True])
async def test_a_program_without_thresholds_costs_no_call(house, other, has_rules):
    """Once its rules are in memory: they are read once, which finds out that there are none."""
    await house.campaign()
    if has_rules:
        rules = Rules(velocity=(VelocityRule("device", SubjectKind.DEVICE, 5, 60_000, 5),)).numbered()
        await house.ledger.rules.define(house.program, rules, expected=0, what="applied", principal="test")
    async with house.another(house.fence.path.with_name("third")) as idle:
        await idle.ledger.rules.load(house.program)
        for server in (house, idle):
            await server.ledger.watching.look()
        idle.ledger.rules.clear()
        before = await house.commands()
        for server in (house, idle) * 5:
            await server.ledger.watching.look()
        assert (await house.commands()).get("cmdstat_fcall") == before.get("cmdstat_fcall")


async def test_a_server_that_nobody_called_yet_watches_all_the_same(house):
    """A restart must not leave warnings as they are until somebody buys something."""
    await over_budget(house)
    await house.ledger._save_fence()
    async with house.another(house.fence.path) as again:
        again.ledger.rules.clear()  # as when there was no time to read them at the start
        with capture_logs() as logs:
            await again.ledger.watching.look()
    assert [entry["event"] for entry in logs] == ["a warning is raised"]


async def test_a_server_with_older_rules_learns_of_the_thresholds_in_force(house, other):
    watched = await over_budget(house)
    await other.ledger.rules.load(house.program)
    watched.active = await thresholds_of(house, budget_spent_basis_points=7000)
    with capture_logs() as logs:
        await other.ledger.watching.look()
        assert other.ledger.rules.cached(house.program).version == watched.active.version
        await other.ledger.watching.look()
    assert logs == []


async def test_list_entries_that_others_add_all_the_time_do_not_keep_it_from_looking(house, other):
    """As a deny list grows during an attack: each entry is a version of the rules of its own."""
    watched = await over_budget(house)
    await other.ledger.rules.load(house.program)
    entry = ListEntry(ListKind.DENY, Subject(SubjectKind.CUSTOMER, bytes(8)), "", 0, 1, "operator")
    await house.ledger.rules.change_lists(house.program, [entry], [], reason="", principal="operator")
    with capture_logs() as logs:
        await other.ledger.watching.look()
    assert [entry["event"] for entry in logs] == ["a warning is raised"]
    assert other.ledger.rules.cached(house.program).version == watched.active.version + 1


async def test_only_so_many_programs_are_read_in_one_round(house, monkeypatch):
    await over_budget(house)
    monkeypatch.setattr(watching, "LOADS_MAX", 0)
    house.ledger.rules.clear()
    await house.ledger.watching.look()
    assert house.ledger.rules.cached(house.program) is None
    monkeypatch.setattr(watching, "LOADS_MAX", 1)
    await house.ledger.watching.look()
    assert house.ledger.rules.cached(house.program) is not None


async def test_many_campaigns_take_several_calls_of_one_round(house):
    watched = await over_budget(house)
    stored = await house.redis.hgetall(house.key("campaign:1"))
    for number in range(2, 301):
        await house.redis.hset(house.key(f"campaign:{number}"), mapping=stored)
    await house.redis.hset(house.key("ledger"), "campaigns", 300)
    with capture_logs() as logs:
        for _ in range(10):  # 40 are found in each
            await house.ledger.watching.look()
            watched.now_ms += 5000
            await house.set_clock(watched.now_ms)
        assert {entry["campaign"] for entry in logs} == set(range(1, 301))
        before = await house.commands()
        await house.ledger.watching.look()
        after = await house.commands()
    assert 1 < after["cmdstat_fcall"] - before["cmdstat_fcall"] <= watching.CALLS_MAX


@pytest.mark.parametrize("error", [RuntimeError("no idea"), LedgerFull("it is full")])
async def test_a_failure_is_logged_once_and_ends_nothing(house, clock, monkeypatch, error):
    await over_budget(house)
    await without_checks(house)
    calls = []

    async def fails(*_):
        calls.append(1)
        raise error

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(house.ledger.warnings, "watch", fails)
        for count in (1, 2, 3):
            clock.forward(watching.WATCH_SECONDS)
            await comes(lambda count=count: len(calls) == count)
            await asyncio.sleep(0)
    assert [(entry["event"], str(error) in entry["cause"]) for entry in logs] == [
        ("the campaigns of a program are not watched", True)
    ]
    with capture_logs() as logs:
        await house.ledger.watching.look()
    assert [entry["event"] for entry in logs] == ["a warning is raised"]
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(house.ledger.warnings, "watch", fails)
        await house.ledger.watching.look()
    assert len(logs) == 1, "it worked in between"


async def test_a_ledger_without_memory_keeps_its_warnings_and_tells_them(tmp_path):
    """Nothing can be written, so nothing is raised or cleared; orders are answered as without early warning."""
    server = EmbeddedValkey(tmp_path / "data", memory_bytes_max=64 * 2**20)
    await server.start()
    try:
        async with House(server.url, tmp_path / "fence", program="shop") as shop:
            watched = await over_budget(shop)
            (token,) = await shop.mint(watched.campaign)
            await shop.redeem(token)
            await shop.ledger.watching.look()
            await watched.count(discount=0)
            await shop.set_clock(watched.now_ms + 5000)
            await shop.redis.config_set("maxmemory", "1mb")
            with capture_logs() as logs:
                for _ in range(2):
                    await shop.ledger.watching.look()
            assert [entry["event"] for entry in logs] == ["the campaigns of a program are not watched"]
            assert set(await watched.raised()) == {"BUDGET_SPENT"}
            assert (await shop.redeem(token)).outcome is Outcome.ALREADY_REDEEMED
            await shop.redis.config_set("maxmemory", "64mb")
            await shop.ledger.check()
            await shop.ledger.watching.look()
            assert await watched.raised() == {}
    finally:
        await server.stop()
