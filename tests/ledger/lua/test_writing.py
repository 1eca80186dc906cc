"""An error after the first write, at whatever line: the whole call fails, and no item is told that nothing was done.

Each line that runs after the first write of a batch is made to raise, one at a time, in a library of its own.
"""

import re

from builders.times import DAY_MS
from ledger.claims import claim_item
from ledger.desk import changed, digest
from ledger.lua_source import Calls, texts, without_comments
from redis.exceptions import ResponseError

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import Offer
from redemption.domain.risk.rules import AccountsRule, RuleCounts, Rules, VelocityRule
from redemption.domain.risk.subjects import SubjectKind
from redemption.ledger.library import assembled
from redemption.ledger.wire.claims import pack_claim
from redemption.ledger.wire.orders import pack_item, pack_release
from redemption.ledger.wire.reversals import pack_reversal

OPERATIONS = [
    ("orders", "orders.apply"),
    ("release", "release.apply"),
    ("reverse", "reverse.apply"),
    ("claim", "claim.apply"),
    ("frame", "frame.close"),
]
DECIDING = [
    ("orders", "orders.decide"),
    ("release", "release.decide"),
    ("reverse", "reverse.decide"),
    ("claim", "claim.decide"),
]
PLANTED = "error('planted')"
TEN_YEARS_MS = 3_660 * DAY_MS
LINES_MIN = 100
KINDS = 9


def lines_that_write():
    """Each line of the functions that only run when an item is applied or the call is closed: file and line number."""
    sources = texts()
    calls = Calls(sources)
    for part, name in sorted(calls.reached(*OPERATIONS) - calls.reached(*DECIDING)):
        lines = without_comments(sources[part]).split("\n")
        first = next(number for number, line in enumerate(lines) if re.match(rf"(local )?function {name}\(", line))
        if lines[first].endswith(" end"):
            continue
        last = lines.index("end", first)
        yield from ((part, number) for number in range(first + 1, last) if lines[number].strip())


def planted(part, number, what=PLANTED):
    """The library with something in front of a line."""
    lines = texts()[part].split("\n")
    return assembled(texts() | {part: "\n".join([*lines[:number], what, *lines[number:]])})


async def items(desk):
    """One item of each kind that writes differently; generations of old requests and a hold that is over are there.

    The rules count something in a hash that is there, in a new one, and of a refused order.
    """
    rules = Rules(
        velocity=(VelocityRule("device", SubjectKind.DEVICE, 5, 60_000, 5),),
        accounts=(AccountsRule("farm", SubjectKind.DEVICE, 2, 60, counts=RuleCounts.ATTEMPTS),),
    )
    await desk.ledger.rules.define(desk.program, rules.numbered(), expected=0, what="applied", principal="test")
    offers = (Offer(amount_off(200_00, 50_00)), Offer(amount_off(0, 10_00)))
    campaign = await desk.campaign(offers=offers, issued_per_day=50)
    several = {"merchant_minor": 10_00, "offer_index": 1, "slot": 5, "slot_limit": 9}
    day = desk.today(campaign) - 1
    yesterday = desk.token(campaign, 9, day=day)
    device, farm = b"\x01\x01" + digest("phone", 8), b"\x01\x02" + digest("phone", 8)
    await desk.send(changed(desk.order(yesterday), rules_version=1, checks=device))
    orders = [
        changed(desk.order(desk.token(campaign, 0)), rules_version=1, checks=device),
        changed(desk.order(desk.token(campaign, 1, **several), customer="ann"), rules_version=1, checks=farm),
    ]
    await desk.held(desk.token(campaign, 10, slot=4, slot_limit=9, day=day), customer="cat", seconds=1, rules_version=1)
    await desk.later(5)
    earlier = several | {"slot": 4, "day": day}
    confirmed, held = await desk.held(desk.token(campaign, 11, **earlier), customer="ann", rules_version=1)
    released, of_released = await desk.held(desk.token(campaign, 12, day=day - 1), customer="ben", rules_version=1)
    await desk.held(desk.token(campaign, 13, day=day), customer="ben", order="replaced", rules_version=1)
    await desk.redis.hset(desk.house.key("u:1:0"), "13", await with_generation(desk, 13))
    orders += [
        desk.confirm(confirmed, held),
        desk.hold(desk.token(campaign, 14), customer="dan", order="replaced", rules_version=1),
    ]
    redeemed = [
        changed(desk.order(desk.token(campaign, serial, **earlier), customer=customer), rules_version=1)
        for serial, customer in ((15, "eva"), (16, "eva"), (17, "fay"))
    ]
    replies = await desk.send(*redeemed)
    reversals = [
        desk.reversal(order, reply, restores=restores)
        for order, reply, restores in zip(redeemed, replies, (True, False, True), strict=True)
    ]
    now_ms = desk.ledger.now_ms()
    old = f"2:4096:{now_ms} 1:4096:{now_ms - 5 * DAY_MS}"
    await desk.redis.hset(desk.house.key("ledger"), mapping={"generations": old, "reaped": 4_090})
    release = pack_release(desk.release_item(released, of_released))
    return [
        *map(pack_item, orders),
        release,
        *map(pack_reversal, reversals),
        pack_claim(claim_item(campaign, day=desk.today(campaign), rules_version=1)),
    ]


async def with_generation(desk, serial):
    """The record of a held coupon as if it had been given back before."""
    record = await desk.redis.hget(desk.house.key("u:1:0"), str(serial))
    return b"\x32" + record[1:] + b"\x00\x01"


class Ledger:
    """Copies of a ledger, each for one call of one library."""

    def __init__(self, desk):
        self._redis = desk.redis
        self._program = desk.program
        self._now_ms = desk.ledger.now_ms()
        self._copies = 0

    async def batch(self, library, packed):
        """Decide items on a copy; returns the replies to them, or the text of the error."""
        self._copies += 1
        copy = f"{self._program}-{self._copies}"
        begin = f"{{{self._program}}}:".encode()
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key in await self._redis.keys(f"{{{self._program}}}:*"):
                pipeline.copy(key, key.replace(begin, f"{{{copy}}}:".encode()))
            await pipeline.execute()
        try:
            await self._redis.function_load(library.text)
        except ResponseError as error:
            return str(error)
        try:
            arguments = (b"", self._now_ms, TEN_YEARS_MS, 1_000, *packed)
            reply = await self._redis.fcall(library.name("batch").decode(), 1, f"{{{copy}}}", *arguments)
            return [each[:1] for each in reply[2:]]
        except ResponseError as error:
            return str(error)
        finally:
            await self._redis.function_delete(f"redemption_{library.suffix}")


async def test_an_error_after_the_first_write_fails_the_whole_call(desk):
    """Every such line is reached by these items; a line that is not would need another item here."""
    packed, ledger = await items(desk), Ledger(desk)
    assert await ledger.batch(planted("keys", 0, "-- nothing"), packed) == [b"A"] * KINDS
    replies = {line: await ledger.batch(planted(*line), packed) for line in lines_that_write()}
    # A line in the middle of a statement cannot have another one in front.
    tried = {line: reply for line, reply in replies.items() if "Error compiling" not in reply}
    assert {line: reply for line, reply in tried.items() if "planted" not in reply} == {}
    assert len(tried) > LINES_MIN


async def test_an_error_before_the_first_write_fails_one_item_alone(desk):
    """Shows that the test above can fail: this item is told that nothing was done."""
    packed, ledger = await items(desk), Ledger(desk)
    number = next(at for at, line in enumerate(texts()["orders"].split("\n")) if "principal = sub(packed" in line)
    assert await ledger.batch(planted("orders", number), packed) == [b"E"] * 4 + [b"A"] * 5
