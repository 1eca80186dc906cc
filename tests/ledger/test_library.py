"""Lua does not roll back: rules for the library's source, so that nothing is ever half-written."""

import itertools
import re

import pytest
from ledger.lua_source import Calls, commands, functions, texts, without_comments
from redis.exceptions import ResponseError

from redemption.domain.outcome import BUDGET_DAY_RANK, NEVER_ISSUED_RANK, SAME_ORDER_RANK, Outcome
from redemption.ledger.library import _PARTS, Library, assembled, library

WRITING = {"APPEND", "HSET", "HSETNX", "HINCRBY", "HDEL", "PEXPIREAT", "UNLINK", "XADD", "ZADD", "ZREMRANGEBYSCORE"}
READING = {
    "EXISTS",
    "GETRANGE",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HLEN",
    "HMGET",
    "HSCAN",
    "STRLEN",
    "TIME",
    "XLEN",
    "XINFO",
    "ZCARD",
    "ZCOUNT",
    "ZRANGEBYSCORE",
    "ZREVRANGEBYSCORE",
}
APPLYING = ("frame.apply(", "frame.commit(", "frame.close(", "operation.apply(", "limits.apply_")
"""Calls that write."""
RECORDS = ("unpack_coupon(", "unpack_customer(", "unpack_claims(", "unpack_code(")
MAY_RAISE = ("error(", "request_content(", "struct.unpack(", *RECORDS)
LOCALS = 60


FUNCTIONS = [pytest.param(name, text, id=f"{part}: {name}") for part, name, text in functions()]


def test_every_command_is_known_to_read_or_to_write():
    used = {name for text in texts().values() for _, name in commands(text)}
    assert used - WRITING == READING
    assert used <= WRITING | READING
    called = sum(len(re.findall(r"(?:command|redis\.p?call)\(", text)) for text in texts().values())
    assert called == sum(len(commands(text)) for text in texts().values()), "each names its command"


def test_no_command_has_another_name():
    """Else the tests of this file would not see it."""
    for part, text in texts().items():
        code = re.sub(r"\bcommand = redis\.call *\n", "", without_comments(text))
        assert re.findall(r"\bredis\b(?!\.(?:p?call\('|register_function\(|acl_check_cmd\())", code) == [], part
        assert re.findall(r"\bcommand\b(?!\(')", code) == [], part


def deciding(calls):
    """All functions that run while an item is decided."""
    begin = [(part, name) for part, name in calls.texts if "decide" in name and name != "decide_items"]
    return calls.reached(*begin)


def writing(calls):
    """All functions that run while an item is applied, or a call is closed."""
    return calls.reached(*(function for function in calls.texts if re.search(r"\.(apply|close|commit)", function[1])))


def writes_in(calls, function):
    text = calls.texts[function]
    return [command for _, command in commands(text) if command in WRITING] + [
        call for call in APPLYING if call in text
    ]


def reads_in(calls, function):
    text = calls.texts[function]
    return [command for _, command in commands(text) if command not in WRITING] + [
        call for call in MAY_RAISE if call in text
    ]


def test_what_a_decision_calls_writes_nothing():
    """However deep: `decide` calls functions that are not named so."""
    calls = Calls(texts())
    assert {("orders", "read_tokens"), ("limits", "read_customer"), ("idempotency", "idempotency.find")} <= deciding(
        calls
    )
    assert {function: found for function in deciding(calls) if (found := writes_in(calls, function))} == {}


def test_what_writes_calls_nothing_that_reads_or_raises():
    calls = Calls(texts())
    assert {("idempotency", "reap"), ("limits", "limits.apply_redemption"), ("campaigns", "changes")} <= writing(calls)
    assert {function: found for function in writing(calls) if (found := reads_in(calls, function))} == {}


PLANTED = [
    (
        "orders",
        "      token.record = used_record(",
        "redis.call('HSET', token.key, token.field, '')",
        writes_in,
    ),
    ("orders", "      coupon = command('HGET', key, field)", "command('HSET', key, field, '')", writes_in),
    (
        "limits",
        "  local redeemed, day, today, holds = unpack_customer",
        "command('HSET', key, customer, '')",
        writes_in,
    ),
    ("campaigns", "    call.campaigns[number] = campaign", "redis.call('HDEL', key, 'x')", writes_in),
    ("idempotency", "  local oldest = call.generations", "redis.call('EXISTS', 'x')", reads_in),
    ("campaigns", "    if value ~= (stored[index] or 0) then", "error('planted')", reads_in),
    ("limits", "  local redeemed, discount = campaign.redeemed", "command('HGET', token.key, customer)", reads_in),
]


@pytest.mark.parametrize(("part", "line", "planted", "found_in"), PLANTED)
def test_the_checks_of_what_is_called_can_fail(part, line, planted, found_in):
    """A command or an error that is planted in a function below is seen, whatever the function is called."""
    sources = texts()
    assert sources[part].count(f"\n{line}") == 1
    calls = Calls(sources | {part: sources[part].replace(f"\n{line}", f"\n{planted}\n{line}")})
    reached = deciding(calls) if found_in is writes_in else writing(calls)
    assert [found for function in reached for found in found_in(calls, function)] != []


@pytest.mark.parametrize("hidden", ["local hset = redis.call", "redis['call']('HSET', 'a', 'b', 'c')", "f(command)"])
def test_the_check_of_other_names_can_fail(monkeypatch, hidden):
    changed = texts() | {"orders": texts()["orders"] + f"\n{hidden}\n"}
    monkeypatch.setitem(globals(), "texts", lambda: changed)
    with pytest.raises(AssertionError):
        test_no_command_has_another_name()


def test_all_functions_are_looked_at():
    names = {param.values[0] for param in FUNCTIONS}
    assert {
        "orders.decide",
        "orders.apply",
        "claim.decide",
        "claim.apply",
        "limits.apply_issue",
        "frame.close",
    } <= names
    assert len(names) > 80


@pytest.mark.parametrize(("name", "text"), FUNCTIONS)
def test_what_decides_writes_nothing(name, text):
    if "decide" not in name or name == "decide_items":
        return
    assert not {command for _, command in commands(text)} & WRITING
    assert not [call for call in APPLYING if call in text]


@pytest.mark.parametrize(("name", "text"), FUNCTIONS)
def test_what_applies_neither_reads_nor_raises(name, text):
    if not re.search(r"\b(apply|close|commit)", name):
        return
    assert {command for _, command in commands(text)} <= WRITING
    assert not [call for call in MAY_RAISE if call in text]


@pytest.mark.parametrize(("name", "text"), FUNCTIONS)
def test_after_the_first_write_nothing_is_read_and_nothing_raises(name, text):
    """Except for what is returned at the end: the header as it is now."""
    if name == "decide_items":  # a loop: the next item begins behind the one that wrote
        return
    writes = [place for place, command in commands(text) if command in WRITING]
    writes += [text.index(call) for call in APPLYING if call in text]
    if not writes:
        return
    after = text[min(writes) :]
    after = after.replace("return redis.call('HGETALL', header)", "")
    assert {command for _, command in commands(after)} <= WRITING
    assert not [call for call in MAY_RAISE if call in after]


@pytest.mark.parametrize("part", _PARTS)
async def test_every_file_has_room_for_sixty_more_names(house, part):
    """A function of Lua has 200 local names at most, and each file is one."""
    more = "".join(f"local name_{index} = {index}\n" for index in range(LOCALS))
    changed = {name: more + text if name == part else text for name, text in texts().items()}
    grown = assembled(changed)
    assert isinstance(grown, Library)
    await house.redis.function_load(grown.text)
    await house.redis.function_delete(f"redemption_{grown.suffix}")


async def test_the_check_of_local_names_can_fail(house):
    """Shows that the test above can fail."""
    more = "".join(f"local name_{index} = {index}\n" for index in range(201))
    grown = assembled(texts() | {"keys": more + texts()["keys"]})
    with pytest.raises(ResponseError, match="more than 200 local variables"):
        await house.redis.function_load(grown.text)


NAMING = re.compile(r"  local [\w, ]+ = (tonumber\()?(args|key_names)\[\d")


@pytest.mark.parametrize(("name", "text"), FUNCTIONS)
def test_arguments_have_names_before_anything_is_done_with_them(name, text):
    """The first lines name the arguments by their places; a loop over the rest begins by naming them."""
    signature, *lines = text.split("\n")
    body = list(itertools.dropwhile(NAMING.match, lines))
    assert not [line for line in (signature, *body) if re.search(r"\b(args|key_names)\[\d", line)], name
    in_loops = [line for line in (signature, *body) if re.search(r"\b(args|key_names)\[", line)]
    assert [line for line in in_loops if re.match(r" +local [\w, ]+ = ", line)] == in_loops, name


def test_the_check_of_argument_names_can_fail():
    """A check that finds nothing may look at nothing."""
    named = {name for name, text in (param.values for param in FUNCTIONS) if re.search(r"\bargs\[\d", text)}
    assert {"frame.begin", "frame.begin_writing", "define.call", "reads.campaigns", "open_ledger.upgrade"} <= named
    for rest in ("args[6]", "args[index]", "key_names[1]"):
        text = f"function f(key_names, args)\n  local first = args[5]\n  local call = begin()\n  return {rest}"
        with pytest.raises(AssertionError):
            test_arguments_have_names_before_anything_is_done_with_them("f", text)


NUMBERS_OF_OUTCOMES = {*map(int, Outcome), NEVER_ISSUED_RANK, SAME_ORDER_RANK, BUDGET_DAY_RANK}
POSITIONS = {
    "campaigns": {10},
    "codes": {10, 20, 30},
    "limits": {40},
    "orders": {10},
    "records": {10, 14, 20},
    "warnings": {10, 40, 60, 330, 600},
    "watch": {40, 150, 500},
}
"""Such numbers that mean something else: lengths, powers, seconds, and positions in a record or in the arguments."""


@pytest.mark.parametrize(("part", "text"), texts().items())
def test_numbers_of_outcomes_come_from_python_alone(part, text):
    """From the table ``OUTCOME``; a number in brackets is an index."""
    code = re.sub(r"'[^'\n]*'|\[\d+\]", "", without_comments(text))
    spelled = {int(number) for number in re.findall(r"(?<![\w.])\d+(?![\w.])", code)}
    assert spelled & NUMBERS_OF_OUTCOMES == POSITIONS.get(part, set())


def test_the_table_of_outcomes_has_every_one_that_is_used():
    """A name that it lacks would be nil."""
    ranks = {
        "NEVER_ISSUED_RANK": NEVER_ISSUED_RANK,
        "SAME_ORDER_RANK": SAME_ORDER_RANK,
        "BUDGET_DAY_RANK": BUDGET_DAY_RANK,
    }
    expected = {outcome.name: outcome.value for outcome in Outcome} | ranks
    table = re.search(r"(?m)^local OUTCOME = \{ (.*) \}$", library().text)[1]
    assert {name: int(number) for name, number in re.findall(r"(\w+) = (\d+)", table)} == expected
    used = {name for text in texts().values() for name in re.findall(r"\bOUTCOME\.(\w+)", text)}
    assert {"APPROVED", "SAME_ORDER_RANK"} <= used <= expected.keys()


def test_the_library_is_what_its_files_are():
    assert assembled(texts()) == library()


async def test_the_librarys_name_is_its_content():
    assert library().text.startswith(f"#!lua name=redemption_{library().suffix}\n")
    assert library().name("redeem") == f"redeem_{library().suffix}".encode()


def test_permissions_are_asked_for_every_command_that_is_used():
    """A command that is missing in ``permissions.lua`` would fail at a customer's first order."""
    asked = set(
        re.findall(
            r"'([A-Z]+)(?: (?:STREAM )?%s[^']*)?'", texts()["permissions"].partition("COMMANDS")[2].partition("\n}")[0]
        )
    )
    used = {name for text in texts().values() for _, name in commands(text)}
    assert asked == used
