"""Rules and lists as the ledger keeps them, and as a server has them in memory."""

import hashlib
import struct
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.rules import RULES, velocity_rule
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.errors import Conflict, LedgerRefused, LimitReached, ServiceError
from redemption.domain.outcome import Outcome
from redemption.domain.risk.assessment import NO_ACTIVE_RULES
from redemption.domain.risk.lists import ListEntry, ListKind
from redemption.domain.risk.rules import Rules
from redemption.domain.risk.subjects import Subject, SubjectKind, coupon_subject
from redemption.ledger.stores import rules as stored
from redemption.ledger.stores.rules import pack_entry, pack_rules, unpack_entry, unpack_rules

DENIED, APPROVED = Outcome.DENYLISTED, Outcome.APPROVED
FIVE = Rules(velocity=(velocity_rule("five"),)).numbered()


def entry(number, **changes):
    """A deny entry of a customer."""
    fields = {"reason": "resale", "expires_at": 0, "added_at": 1_700_000_000, "principal": "operator"} | changes
    return ListEntry(ListKind.DENY, Subject(SubjectKind.CUSTOMER, number.to_bytes(8)), **fields)


async def change(server, put=(), removed=(), **more):
    """Change the lists of a server's program."""
    wanted = {"reason": "", "principal": "operator"} | more
    return await server.ledger.rules.change_lists(server.program, put, removed, **wanted)


async def define(server, rules, expected=0, what="updated"):
    """Replace the rules of a server's program."""
    store = server.ledger.rules
    return await store.define(server.program, rules, expected=expected, what=what, principal="operator")


def cached(server):
    return server.ledger.rules.cached(server.program)


def forget(server):
    server.ledger.rules.clear()


def keys_of(active):
    return {each.key for each in active.lists._entries.values()}


# The format


@given(RULES)
def test_rules_come_back_as_they_were_written(rules):
    rules = rules.numbered()
    assert unpack_rules(pack_rules(rules)) == rules
    assert repr(unpack_rules(pack_rules(rules))) == repr(rules)  # also the class of each part and each number


TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), TEXTS, TEXTS)
def test_an_entry_comes_back_as_it_was_written(expires_at, added_at, reason, principal):
    for subject in (Subject(SubjectKind.RANGE, b"4\x18\xc0\x00\x02\x00"), coupon_subject(7, 2**40 - 1)):
        written = ListEntry(ListKind.ALLOW, subject, reason, expires_at, added_at, principal)
        assert unpack_entry(written.key, pack_entry(written)) == written


def test_a_principal_of_any_length_fits_into_an_entry():
    long = entry(1, principal="名" * 100)
    read = unpack_entry(long.key, pack_entry(long))
    assert read.principal.startswith("名" * 85)
    assert read.reason == long.reason


DEFINITION = pack_rules(FIVE)
UNREADABLE_DEFINITIONS = [
    b"2" + DEFINITION[1:],
    DEFINITION.replace(b'"velocity"', b'"velocities"'),
    DEFINITION.replace(b'"limit":5', b'"limit":5,"later":1'),
    DEFINITION.replace(b'"mode":1', b'"mode":9'),
    DEFINITION[:-1],
    b"1\xff",
]
KEY, VALUE = entry(1).key, pack_entry(entry(1))
UNREADABLE_ENTRIES = [
    (KEY, b"\x02" + VALUE[1:]),
    (KEY, VALUE[:5]),
    (b"\x03" + KEY[1:], VALUE),
    (b"\x01\x09" + KEY[2:], VALUE),
    (b"\x01", VALUE),
    (b"\x01\x07", VALUE),
    (b"\x01\x074\x63\x00\x00\x00\x00", VALUE),
]


@pytest.mark.parametrize("definition", UNREADABLE_DEFINITIONS)
async def test_rules_that_cannot_be_read_refuse_their_program_until_they_are_mended(house, other, definition):
    """Of a newer server, or damaged: nobody may be approved by rules that are not those in force."""
    (token,) = await house.mint(await house.campaign())
    await other.ledger.rules.load(house.program)
    await define(house, FIVE)
    await house.redis.hset(house.key("rules"), "definition", definition)
    forget(house)
    for server in (house, other):
        for _ in range(2):
            with pytest.raises(LedgerRefused, match=f"the rules of program '{house.program}'.*newer version"):
                await server.redeem(token, customer="ann")
        assert cached(server) is None
        with pytest.raises(LedgerRefused):
            await server.risk_rules.get(calling(), house.program)
    await house.redis.hset(house.key("rules"), "definition", DEFINITION)
    assert (await other.redeem(token, customer="ann")).outcome is APPROVED


@pytest.mark.parametrize(("key", "value"), UNREADABLE_ENTRIES)
async def test_an_entry_that_cannot_be_read_refuses_its_program_until_it_is_gone(house, other, key, value):
    (token,) = await house.mint(await house.campaign())
    await other.ledger.rules.load(house.program)
    await change(house, [entry(1)])
    await house.redis.hdel(house.key("listed"), entry(1).key)
    await house.redis.hset(house.key("listed"), key, value)
    await house.redis.zadd(house.key("listed_log"), {key: 1})
    forget(house)
    for server in (house, other):
        for _ in range(2):
            with pytest.raises(LedgerRefused, match="cannot be read"):
                await server.redeem(token, customer="ann")
            with pytest.raises(LedgerRefused, match="cannot be read"):
                await server.claim((await house.campaigns.get(calling(), house.program, 1)), "ann")
    await change(house, removed=[key])
    assert (await other.redeem(token, customer="ann")).outcome is APPROVED


# Reading everything


async def test_a_program_without_rules_is_read_once(house):
    await house.campaign()
    before = await house.commands()
    assert cached(house) is NO_ACTIVE_RULES
    await house.redeem((await house.mint(await house.campaigns.get(calling(), house.program, 1)))[0])
    after = await house.commands()
    assert after.get("cmdstat_hscan", 0) == before.get("cmdstat_hscan", 0)


async def test_a_program_without_a_ledger_has_no_rules_and_gets_no_place_in_memory(house):
    assert await house.ledger.rules.load("nobody-here") is NO_ACTIVE_RULES
    assert house.ledger.rules.cached("nobody-here") is None


async def test_many_entries_are_read_page_by_page(house, other):
    for start in range(0, 3000, 1000):
        await change(house, [entry(start + index) for index in range(1000)])
    await define(house, FIVE)
    active = await other.ledger.rules.load(house.program)
    assert (active.version, active.changed, active.rules) == (4, 4, FIVE)
    assert keys_of(active) == {entry(index).key for index in range(3000)}


async def test_changes_while_pages_are_read_are_not_lost(house, other, monkeypatch):
    """Between two pages, entries come, change and go, and the rules change."""
    for start in range(0, 2000, 1000):
        await change(house, [entry(start + index) for index in range(1000)])
    functions, pages = other.ledger.rules._functions, 0
    call = functions.call

    async def call_and_change(function, program, *args):
        nonlocal pages
        reply = await call(function, program, *args)
        if function == "rules_page":
            pages += 1
            put = [entry(5000 + pages), entry(pages, reason=f"page {pages}")]
            await change(house, put, [entry(1000 + pages).key])
            if pages == 2:
                await define(house, FIVE)
        return reply

    monkeypatch.setattr(functions, "call", call_and_change)
    active = await other.ledger.rules.load(house.program)
    assert pages > 3
    assert active.rules == FIVE
    assert keys_of(active) == keys_of(cached(house))
    assert all(active.lists.find(entry(page).key).reason == f"page {page}" for page in range(1, pages + 1))
    assert (active.version, active.changed) == (cached(house).version, cached(house).changed)


async def test_pages_that_were_read_are_kept_when_reading_the_changes_fails(house, other, monkeypatch):
    """The next reader goes on with the changes; no order finds rules that are not complete yet."""
    for start in range(0, 2000, 1000):
        await change(house, [entry(start + index) for index in range(1000)])
    functions, called = other.ledger.rules._functions, []
    call = functions.call

    async def call_and_fail(function, program, *args):
        called.append(function)
        if function == "rules_since" and called.count("rules_since") == 1:
            raise LedgerRefused("not now")
        return await call(function, program, *args)

    monkeypatch.setattr(functions, "call", call_and_fail)
    with pytest.raises(LedgerRefused, match="not now"):
        await other.ledger.rules.load(house.program)
    assert cached(other) is None
    pages = called.count("rules_page")
    assert len((await other.ledger.rules.load(house.program)).lists) == 2000
    assert called.count("rules_page") == pages


async def test_changes_come_in_whole_versions_and_end_with_the_one_in_force(house, other):
    """A reply has about a thousand entries; a version with more of them comes whole."""
    await change(house, [entry(0)])
    store, functions = other.ledger.rules, other.ledger.rules._functions
    await store.load(house.program)
    await change(house, [entry(number) for number in range(1, 901)])
    await define(house, FIVE)
    await change(house, [entry(number) for number in range(901, 1801)])
    await change(house, [entry(number) for number in range(2000, 3000)], [entry(number).key for number in range(500)])
    since, seen = 1, []
    while since < 5:
        in_force, blob = await functions.call("rules_since", house.program, since)
        _, since, changed, _ = stored._CHANGED.unpack_from(blob)
        seen.append((int(in_force), since, changed))
    assert seen == [(5, 2, 0), (5, 4, 3), (5, 5, 0)]
    active = await store.load(house.program)
    assert (active.version, active.changed, active.rules) == (5, 3, FIVE)
    assert keys_of(active) == keys_of(cached(house))


async def test_rules_that_change_faster_than_they_can_be_read_end_in_a_failure(house, other, monkeypatch):
    """More entries change between two reads than one reply has, each time."""
    monkeypatch.setattr(stored, "CATCHING_UP_MAX", 2)
    await change(house, [entry(index) for index in range(1000)])
    functions, numbers = other.ledger.rules._functions, iter(range(10**6))
    call = functions.call

    async def call_and_change(function, program, *args):
        if function == "rules_since":
            for _ in range(2):
                await change(house, [entry(next(numbers)) for _ in range(1000)])
        return await call(function, program, *args)

    monkeypatch.setattr(functions, "call", call_and_change)
    with pytest.raises(LedgerRefused, match="change faster"):
        await other.ledger.rules.load(house.program)


# Reading changes


async def test_a_server_learns_only_what_changed(house, other):
    await change(house, [entry(1), entry(2)])
    await other.ledger.rules.load(house.program)
    before = await house.commands()
    await change(house, [entry(3)], [entry(1).key])
    active = await other.ledger.rules.load(house.program)
    after = await house.commands()
    assert after["cmdstat_hscan"] == before["cmdstat_hscan"]
    assert (active.version, active.changed, keys_of(active)) == (2, 0, {entry(2).key, entry(3).key})


async def test_replies_in_another_order_leave_the_newest_rules(house, other):
    """Two calls are in flight at a time; the earlier reply may be handled later."""
    functions, store = house.ledger.rules._functions, other.ledger.rules
    await change(house, [entry(1)])
    await store.load(house.program)
    await change(house, [entry(2)], [entry(1).key])
    _, earlier = await functions.call("rules_since", house.program, 1)
    await define(house, FIVE)
    await change(house, [entry(1)], [entry(2).key])
    _, later = await functions.call("rules_since", house.program, 1)
    for reply in (later, earlier, later):
        store.redefined(house.program, reply)
        assert (cached(other).version, cached(other).rules, keys_of(cached(other))) == (4, FIVE, {entry(1).key})


async def test_an_order_that_holds_the_rules_from_before_keeps_their_version(house):
    """Its judgement is outdated for the ledger, although the lists around it have changed in place."""
    await change(house, [entry(1)])
    before = cached(house)
    await change(house, [entry(2)])
    assert (before.version, cached(house).version) == (1, 2)


async def test_changes_of_a_program_that_is_not_in_memory_are_left_for_its_next_reader(house):
    await change(house, [entry(1)])
    _, reply = await house.ledger.rules._functions.call("rules_since", house.program, 0)
    forget(house)
    house.ledger.rules.redefined(house.program, reply)
    assert cached(house) is None


@pytest.mark.parametrize(
    "reply", [b"R\x00\x00\x00\x09", b"", b"C\x00", b"C\x00\x00\x00\x09\x00\x00\x00\x09\x00\x00\x00\x02{}"]
)
async def test_a_reply_that_cannot_be_applied_leaves_nothing_in_memory(house, reply):
    """With R, the log does not reach so far back; the next order reads everything."""
    await change(house, [entry(1)])
    try:
        house.ledger.rules.redefined(house.program, reply)
    except LedgerRefused:
        assert reply[:1] != b"R"
    assert cached(house) is None
    assert keys_of(await house.ledger.rules.load(house.program)) == {entry(1).key}


async def test_a_server_that_knows_a_later_version_than_the_ledger_reads_everything(house):
    """An operator restored the ledger, and accepted that it is older."""
    await change(house, [entry(1)])
    known = cached(house)
    house.ledger.rules._active[house.program] = replace(known, version=99)
    assert (await house.ledger.rules.load(house.program)).version == 1


# Memory


async def test_only_so_many_programs_are_in_memory(house, monkeypatch):
    """One that was dropped is read again when it is needed; nothing is decided without its rules."""
    monkeypatch.setattr(stored, "PROGRAMS_MAX", 1)
    (token,) = await house.mint(await house.campaign())
    await house.list_subjects((SubjectKind.CUSTOMER, "ann"))
    second = f"{house.program}-second"
    store = house.ledger.rules
    await store.define(second, FIVE, expected=0, what="updated", principal="operator")
    assert (cached(house), store.cached(second).rules) == (None, FIVE)
    assert (await house.redeem(token, customer="ann")).outcome is DENIED
    assert store.cached(second) is None


async def test_only_so_many_entries_are_in_memory_but_those_of_one_program_in_any_case(house, monkeypatch):
    monkeypatch.setattr(stored, "ENTRIES_KEPT_MAX", 3)
    await change(house, [entry(1), entry(2)])
    second = f"{house.program}-second"
    wanted = [entry(index) for index in range(2)]
    store = house.ledger.rules
    await store.change_lists(second, wanted, [], reason="", principal="operator")
    assert cached(house) is None
    await store.change_lists(second, [entry(index) for index in range(5)], [], reason="", principal="operator")
    assert len(store.cached(second).lists) == 5


async def test_rules_of_a_ledger_that_was_replaced_are_forgotten(house):
    """In another ledger, the same version may be other rules."""
    await change(house, [entry(1)])
    await house.delete("*")
    await house.ledger.check()
    assert cached(house) is None


async def test_a_read_that_began_before_the_ledger_was_replaced_is_not_kept(house, monkeypatch):
    await change(house, [entry(1)])
    forget(house)
    functions = house.ledger.rules._functions
    call = functions.call

    async def call_and_replace(function, program, *args):
        reply = await call(function, program, *args)
        if function == "rules_page":
            house.ledger.rules.clear()
        return reply

    monkeypatch.setattr(functions, "call", call_and_replace)
    await house.ledger.rules.load(house.program)
    assert cached(house) is None


# Changing


async def test_a_definition_replaces_only_the_one_that_is_named(house):
    await define(house, FIVE)
    with pytest.raises(Conflict, match=r"rules\.etag"):
        await define(house, Rules())
    assert (await define(house, Rules(), expected=1)).version == 2


async def test_entries_come_change_and_go_together_or_not_at_all(house, monkeypatch):
    assert vars_of(await change(house, [entry(1), entry(2)], [entry(3).key])) == (2, 0)
    assert vars_of(await change(house, [entry(1, reason="x"), entry(3)], [entry(2).key, entry(9).key])) == (2, 1)
    assert keys_of(cached(house)) == {entry(1).key, entry(3).key}
    monkeypatch.setattr(stored, "ENTRIES_MAX", 2)
    before = await house.dump()
    with pytest.raises(LimitReached, match="the lists have 2 entries, and room for 2"):
        await change(house, [entry(4), entry(5)], [entry(1).key])
    assert await house.dump() == before
    assert vars_of(await change(house, [entry(4)], [entry(1).key])) == (2, 1)


def vars_of(changed):
    return changed.total, changed.removed


async def test_a_change_that_changes_nothing_writes_nothing(house):
    await change(house, [entry(1)])
    before = await house.dump()
    assert vars_of(await change(house, removed=[entry(2).key])) == (1, 0)
    assert await house.dump() == before


async def test_lists_that_others_changed_meanwhile_are_a_conflict_where_a_version_is_expected(house, other):
    await change(house, [entry(1)])
    await change(other, [entry(2)], expected=1)
    with pytest.raises(Conflict):
        await change(house, [entry(3)], expected=1)
    assert keys_of(await house.ledger.rules.load(house.program)) == {entry(1).key, entry(2).key}


async def test_every_change_is_an_event_with_who_asked_for_it(house):
    await define(house, FIVE, what="updated")
    await change(house, [entry(1)], reason="resale")
    await change(house, [entry(index) for index in range(2, 500)])
    definition = pack_rules(FIVE)
    digest = hashlib.sha256(definition).hexdigest().encode()
    assert await house.events() == [
        [b"rules_changed", b"operator", 1, b"updated", definition, digest],
        [b"list_changed", b"operator", 2, b"resale", [entry(1).key]],
        [b"list_changed", b"operator", 3, b"", 498],
    ]


async def test_a_large_definition_is_named_by_its_digest_only(house):
    rules = Rules(velocity=tuple(velocity_rule(f"rule-{index:03}") for index in range(32))).numbered()
    assert len(pack_rules(rules)) > 4096
    await define(house, rules)
    ((*_, definition, digest),) = await house.events()
    assert (definition, digest) == (b"", hashlib.sha256(pack_rules(rules)).hexdigest().encode())


@pytest.mark.parametrize("key", ["listed", "listed_log", "rules"])
async def test_a_key_of_another_type_fails_the_change_and_leaves_no_trace(house, key):
    await house.campaign()
    await house.redis.set(house.key(key), "somebody else's")
    before = await house.dump()
    with pytest.raises(ServiceError):
        await change(house, [entry(1)])
    assert await house.dump() == before


async def test_counts_are_read_with_the_ledgers_clock(house):
    await define(house, FIVE)
    for did, count in ((1, 2), (3, 1)):
        for _ in range(count):
            house.ledger.orders.count_rule(house.program, 7, did)
    await house.ledger._refusal_counts.send()
    counted = await house.ledger.rules.counts(house.program)
    assert counted.counts == {(7, 1): 2, (7, 3): 1}
    assert abs(counted.as_of_ms - house.ledger.now_ms()) < 60_000


def test_numbers_that_do_not_fit_are_an_error_before_anything_is_sent():
    with pytest.raises(struct.error):
        pack_entry(entry(1, expires_at=2**32))


# A start


async def test_a_server_that_starts_has_the_rules_of_the_programs_that_it_knows(house, tmp_path):
    """The first order does not wait for them."""
    await change(house, [entry(1)])
    async with house.another(tmp_path / "fence-2") as second:
        await second.ledger.rules.load(house.program)
        second.ledger.rules.clear()
        await second.ledger.rules.preload(second.ledger._fence.programs())
        assert keys_of(cached(second)) == {entry(1).key}
    async with house.another(tmp_path / "fence-2") as third:
        assert keys_of(cached(third)) == {entry(1).key}


async def test_rules_that_cannot_be_read_do_not_keep_a_server_from_starting(house, tmp_path):
    async with house.another(tmp_path / "fence-2") as second:
        await define(second, FIVE)
        await house.redis.hset(house.key("rules"), "definition", b"2")
    async with house.another(tmp_path / "fence-2") as third:
        assert cached(third) is None
        with pytest.raises(LedgerRefused, match="cannot be read"):
            await third.ledger.rules.load(house.program)
