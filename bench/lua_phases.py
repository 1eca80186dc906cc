"""Where an order's time goes inside the ledger's function: by what is asked of it, and by the function's own parts.

The parts are timed in a copy of the library under another name, on a private ledger. What a file of the library gives
to others stands in a table, so it can be exchanged for a function that looks at the clock, at the end of the same text.
"""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from prepacked import LIMITS, OFFER, Packer, Spent, send
from private import Private, mint, open_campaign

from redemption.ledger.library import library

ROUNDS = 5
ORDERS = 1_024
"""In one round of each case: 16 calls of 64."""
EMPTY = "an empty call"
CASES = {
    "a request that is repeated": b"P",
    "a refusal: the coupon is spent": b"N",
    "an approval": b"A",
}
"""What is asked, and how the ledger's reply begins (see ``lua/redeem.lua``); each does more than the one before."""
TOP = ("frame.begin_writing", "redeem.decide", "redeem.apply", "campaigns.definitions", "frame.close", "frame.head")
PARTS = (
    "requests.find",
    "campaigns.of",
    "keys.used",
    "limits.decide_redemption",
    "records.pack_used_coupon",
    "requests.place",
    "records.pack_request",
    "limits.apply_redemption",
)
"""Functions of the library that do not call each other, but when a generation of remembered requests begins."""
_REGISTERS = "local register = (function()"
_TIMER = """
local timed_functions = {}
local function timed(name, inner)
  local entry = { name, 0, 0 }
  timed_functions[#timed_functions + 1] = entry
  return function(...)
    local began = os.clock()
    local one, two, three, four = inner(...)
    entry[3] = entry[3] + (os.clock() - began)
    entry[2] = entry[2] + 1
    return one, two, three, four
  end
end
local nothing = timed('nothing', function() end)
"""
_TELL = """
local function tell()
  local told = {}
  for _ = 1, 1000 do nothing() end -- what looking at the clock itself takes
  for index, entry in ipairs(timed_functions) do
    told[index] = { entry[1], entry[2], string.format('%.9f', entry[3]) }
    entry[2], entry[3] = 0, 0
  end
  return told
end
redis.register_function('timed_' .. SUFFIX, tell)
"""


@dataclass(frozen=True, slots=True)
class Case:
    """What one order cost in a case: microseconds in the function, and in the commands that it called."""

    name: str
    script_us: float
    commands_us: float
    commands: float

    @property
    def lua_us(self) -> float:
        """Of Lua itself."""
        return self.script_us - self.commands_us


async def cases(private: Private, size: int) -> tuple[list[Case], Spent]:
    """Measure all cases in calls of a size, in turn, with real orders; returns also what approvals spent, an order."""
    campaign, packer = await open_campaign(private, OFFER, limits=LIMITS), Packer(private)
    found: dict[str, list[Spent]] = {name: [] for name in (EMPTY, *CASES)}
    for _ in range(ROUNDS):
        tokens = [minted.token for minted in await mint(private, campaign, ORDERS)]
        random.shuffle(tokens)
        fresh = packer.calls(await packer.items(tokens), size)
        spent_coupons = packer.calls(await packer.items(tokens), size)
        empty = [packer.call([])] * len(fresh)
        asked = (
            ("an approval", fresh),
            ("a request that is repeated", fresh),
            ("a refusal: the coupon is spent", spent_coupons),
            (EMPTY, empty),
        )
        for name, calls in asked:
            before = await Spent.by(private)
            answers = send(private, calls).answers
            found[name].append(await Spent.by(private) - before)
            _require(name, answers)
    return [_case(name, spent) for name, spent in found.items()], found["an approval"][-1]


def _require(name: str, answers: Sequence[bytes]) -> None:
    wrong = [answer for answer in answers if not answer.startswith(CASES.get(name, b""))]
    if wrong or len(answers) != (ORDERS if name in CASES else 0):
        raise RuntimeError(f"{name}: {len(answers)} answers, {len(wrong)} of them something else: {wrong[:1]}")


def _case(name: str, rounds: Sequence[Spent]) -> Case:
    return Case(
        name,
        statistics.median(spent.script_us for spent in rounds) / ORDERS,
        statistics.median(spent.called_us for spent in rounds) / ORDERS,
        sum(count for count, _ in rounds[-1].called.values()) / ORDERS,
    )


def instrumented(functions: Sequence[str], name: str) -> str:
    """Return the library's text under another name, with some of its functions timed."""
    text = library().text.replace(library().suffix, name)
    timing = _TIMER + "".join(f"{each} = timed('{each}', {each})\n" for each in functions)
    return text.replace(_REGISTERS, timing + _REGISTERS, 1) + _TELL


async def timed(private: Private, functions: Sequence[str], size: int, name: str) -> list[tuple[str, float, float]]:
    """Time functions while orders are approved; returns name, calls and microseconds for each order."""
    await private.redis.function_load(instrumented(functions, name), replace=True)
    campaign, packer = await open_campaign(private, OFFER, limits=LIMITS), Packer(private)
    tokens = [minted.token for minted in await mint(private, campaign, ORDERS * ROUNDS)]
    random.shuffle(tokens)
    await private.redis.fcall(f"timed_{name}", 0)
    send(private, packer.calls(await packer.items(tokens), size, function=f"batch_{name}".encode()))
    told = await private.redis.fcall(f"timed_{name}", 0)
    (_, count, seconds), *entries = told
    clock_us = 1e6 * float(seconds) / count
    found = []
    for function, calls, seconds in entries:
        each = calls / len(tokens)
        found.append((function.decode(), each, 1e6 * float(seconds) / len(tokens) - clock_us * each))
    return found
