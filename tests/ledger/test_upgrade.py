"""A ledger of format 2 becomes one of this version's: recorded data of a server of that version, and its own functions.

``format_2.json`` holds its keys, its signing keys, and what it answered, at once and when the request was forgotten;
``format_2.lua`` is its library. The days in it are moved to today.
"""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from builders.calls import calling
from builders.keysets import keyset_from
from builders.times import DAY_MS
from redis.exceptions import ResponseError
from refused import refused

from redemption.domain.errors import LedgerRefused
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.signed.receipt import ReceiptKeys
from redemption.domain.signed.settlement import Settlements
from redemption.ledger.trust.reply_errors import LedgerNotTrusted
from redemption.rpc.convert.orders import redeem_request_from, write_decision
from redemption.service.issuer import MintRequest
from redemption.v1 import redemption_service_pb2

PROGRAM = "format-2"
BUCKETS = 4096
OLD_LIBRARY = (Path(__file__).parent / "format_2.lua").read_text(encoding="utf-8")
OLD_SUFFIX = OLD_LIBRARY.partition("SUFFIX = '")[2][:12]
RECORDED = json.loads((Path(__file__).parent / "format_2.json").read_text())
STILL_USED = (0, 1, 2, 3, 5)
"""Of the recorded requests; the fifth one's coupon was given back, and used by the sixth."""
HEADER = f"{{{PROGRAM}}}:ledger"


def moved(name, days):
    """A key's name, with the day of remembered requests moved."""
    parts = name.split(":")
    return ":".join([*parts[:2], str(int(parts[2]) + days), *parts[3:]]) if parts[1] == "r" else name


async def load(redis):
    """Write what was recorded, as if it had been today."""
    recorded = bytes.fromhex(RECORDED["keys"][HEADER]["value"][b"clock".hex()])
    days = int(time.time() * 1000) // DAY_MS - int(recorded) // DAY_MS
    for name, key in RECORDED["keys"].items():
        value = key["value"]
        if key["type"] == "hash":
            fields = {bytes.fromhex(field): bytes.fromhex(text) for field, text in value.items()}
            await redis.hset(moved(name, days), mapping=fields)
        elif key["type"] == "zset":
            await redis.zadd(name, {bytes.fromhex(member): score for member, score in value.items()})
        else:
            for entry in value:
                await redis.xadd(name, {bytes.fromhex(field): bytes.fromhex(text) for field, text in entry.items()})
    await redis.hincrby(HEADER, "clock", days * DAY_MS)
    await redis.hincrby(HEADER, "reaped", days * BUCKETS)


def remember(path, seq=RECORDED["seq"]):
    """Write the fence of a machine that knows the ledger up to a call."""
    path.write_text(json.dumps({"programs": {PROGRAM: {"epoch": RECORDED["epoch"], "seq": seq}}}))


@pytest_asyncio.fixture
async def old(house, tmp_path):
    """A new server on the old ledger, which nobody has upgraded yet."""
    remember(tmp_path / "old.fence")
    server = house.another(tmp_path / "old.fence", program=PROGRAM, keyset=keyset_from(RECORDED["keyset"]))
    await server.delete("*")
    await load(server.redis)
    yield server
    await server.stop()


async def answers(server):
    """What the server answers to the recorded requests."""
    told = []
    for each in RECORDED["requests"]:
        request = redemption_service_pb2.RedeemRequest.FromString(bytes.fromhex(each["request"]))
        response = redemption_service_pb2.RedeemResponse()
        write_decision(await server.send(redeem_request_from(request)), response.decision)
        told.append(parts_of(response))
    return told


def parts_of(response):
    """An answer: all of it but the settlement, and what that says; later versions add to it what the lines cost."""
    presented, response.decision.settlement = response.decision.settlement, b""
    rest = response.SerializeToString(deterministic=True)
    if not presented:
        return rest, None
    settlement = Settlements(ReceiptKeys(keyset_from(RECORDED["keyset"]))).verify(presented, program=PROGRAM)
    redemptions = [replace(each, line_amounts=()) for each in settlement.redemptions]
    return rest, (settlement.key_id, settlement.order_id, redemptions)


def recorded_answers(field):
    """What the older version answered to the recorded requests."""
    kept = [bytes.fromhex(each[field]) for each in RECORDED["requests"]]
    return [parts_of(redemption_service_pb2.RedeemResponse.FromString(answer)) for answer in kept]


async def counted(server):
    """The counters of both campaigns."""
    return [(await server.ledger.campaigns.counters(PROGRAM, number, offers=1)) for number in (1, 2)]


async def test_an_old_ledger_is_not_served_and_the_way_out_is_named(old):
    before = await old.dump()
    (row,) = await old.ledger.operations.status(PROGRAM)
    assert "redemption ledger upgrade" in row["trusted"]
    await old.start()
    way_out = "stop the servers of the older version, then run: redemption ledger upgrade"
    with refused(LedgerRefused, way_out):
        await answers(old)
    assert await old.dump() == before


async def test_approvals_are_told_again_field_for_field(old):
    """At once, on the next day, after a restart, and from the coupons' records alone when the request is forgotten."""
    (row,) = await old.ledger.operations.upgrade(None, PROGRAM)
    assert (row["program"], row["was"], row["format"], row["trusted"]) == (PROGRAM, "2", "3", "yes")
    await old.start()
    assert old.ledger.health.failure is None
    recorded = recorded_answers("answer")
    assert await answers(old) == recorded
    assert [(each.issued, each.redeemed) for each in await counted(old)] == [(9, 4), (5, 3)]
    await old.set_clock(old.ledger.now_ms() + DAY_MS)
    assert await answers(old) == recorded
    again = old.another(old.fence.path.with_name("again"))
    old.ledger._saving.save()
    again.fence.path.write_bytes(old.fence.path.read_bytes())
    again.fence.learn_adoptions()
    await again.start()
    assert await answers(again) == recorded
    await again.set_clock(again.ledger.now_ms() + 2 * DAY_MS)
    forgotten = recorded_answers("answer_when_forgotten")
    told = await answers(again)
    assert [told[index] for index in STILL_USED] == [forgotten[index] for index in STILL_USED]
    assert [each.redeemed for each in await counted(again)] == [4, 3]
    await again.stop()


async def test_what_was_issued_and_claimed_is_told_again(old):
    await old.ledger.operations.upgrade(None, PROGRAM)
    await old.start()
    order = MintRequest(PROGRAM, RECORDED["mint"]["request_id"], 1, 0, 2)
    minted = [each.token async for chunk in await old.issuer.mint(calling(), order) for each in chunk]
    assert minted == RECORDED["mint"]["tokens"]
    claim = RECORDED["claim"]
    assert (await old.claim(claim["code"], "ann", request_id=claim["request_id"])).token == claim["token"]
    assert [each.issued for each in await counted(old)] == [9, 5]


async def test_upgrading_again_changes_nothing(old):
    (first,) = await old.ledger.operations.upgrade(None, PROGRAM)
    before = await old.dump()
    assert await old.ledger.operations.upgrade(None, PROGRAM) == [first | {"was": "3"}]
    assert await old.dump() == before


async def test_another_machine_learns_that_it_was_done(old, tmp_path):
    remember(tmp_path / "other.fence")
    other = old.another(tmp_path / "other.fence")
    await old.ledger.operations.upgrade(None, PROGRAM)
    await other.ledger.operations.upgrade(None, PROGRAM)
    await other.start()
    assert other.ledger.health.failure is None
    assert await answers(other) == recorded_answers("answer")
    await other.stop()


async def test_a_ledger_that_is_behind_is_not_upgraded_but_can_be_adopted(old, tmp_path):
    remember(tmp_path / "ahead.fence", seq=RECORDED["seq"] + 1)
    ahead = old.another(tmp_path / "ahead.fence")
    before = await old.dump()
    (row,) = await ahead.ledger.operations.upgrade(None, PROGRAM)
    assert (row["format"], "it was rolled back" in row["trusted"]) == ("2", True)
    assert (await ahead.ledger.operations.status(PROGRAM))[0]["trusted"] == row["trusted"], (
        "not that it has to be upgraded"
    )
    assert await old.dump() == before
    assert (await ahead.ledger.operations.adopt(PROGRAM))["format"] == "3"
    await ahead.start()
    assert await answers(ahead) == recorded_answers("answer")
    await ahead.stop()


async def test_a_stranger_does_not_upgrade_it(old, tmp_path):
    stranger = old.another(tmp_path / "stranger.fence", keyset=None)
    before = await old.dump()
    (row,) = await stranger.ledger.operations.upgrade(None, PROGRAM)
    assert (row["format"], row["trusted"].startswith("it belongs to keyset")) == ("2", True)
    with pytest.raises(LedgerNotTrusted):  # the ledger holds to it by itself
        await stranger.ledger._functions.call("upgrade", PROGRAM, stranger.fence.keyset_id, "f" * 16)
    assert await old.dump() == before
    await stranger.stop()


async def test_a_program_that_is_not_remembered_is_upgraded_by_its_name(old, tmp_path):
    other = old.another(tmp_path / "empty.fence")
    other.fence.observe("another", "e" * 16, 7)
    (row,) = await other.ledger.operations.upgrade(PROGRAM, "demo")
    assert (row["program"], row["was"], row["format"], row["trusted"]) == (PROGRAM, "2", "3", "yes")
    assert await other.ledger.operations.upgrade("nobody's", "demo") == []
    await other.stop()


async def test_what_is_left_of_earlier_days_is_removed(old):
    """Remembered requests of days that the old version had not come to remove."""
    reaped = int(await old.redis.hget(HEADER, "reaped"))
    day = reaped // BUCKETS - 5
    await old.redis.hset(HEADER, "reaped", day * BUCKETS + 7)
    for bucket in (7, 4000):
        await old.redis.hset(f"{{{PROGRAM}}}:r:{day}:{bucket}", "x", "y")
    await old.redis.hset(f"{{{PROGRAM}}}:r:{day + 4}:9", "x", "y")
    await old.ledger.operations.upgrade(None, PROGRAM)
    campaign = await old.ledger.campaigns.load(PROGRAM, 2)
    for _ in range(300):
        await old.mint(campaign)
    left = {key.split(b":")[2] for key in await old.keys("r:*")}
    assert not left & {b"%d" % (day + passed) for passed in range(6)}
    assert len((await old.redis.hget(HEADER, "generations")).split(b" ")) == 2


async def test_money_of_a_day_that_began_without_counting_it_counts_from_the_upgrade(old):
    key = f"{{{PROGRAM}}}:campaign:1"
    await old.redis.hset(key, "budget_day", 1)
    discount = await old.redis.hget(key, "discount")
    await old.ledger.operations.upgrade(None, PROGRAM)
    assert await old.redis.hmget(key, "budget_day", "budget_start") == [None, discount]
    assert await old.redis.hget(f"{{{PROGRAM}}}:campaign:2", "budget_start") is None


# Servers of the older version, which go on asking


def issue_args(known, number):
    """What ``issue`` of format 2 is called with: one coupon of campaign 2."""
    ends = 2**45
    return (known, 100, 2, 1, 1, b"request%03d" % number, b"content!", 0, 2**32 - 1, 7, 0, 0, 1, 0, ends)


async def test_the_old_functions_issue_nothing_twice_under_load(old):
    """Eight of them ask without a pause while the ledger is upgraded; each block is issued once, before or after."""
    await old.redis.function_load(OLD_LIBRARY, replace=True)
    known = f"{RECORDED['epoch']}{RECORDED['seq']}".encode()
    issued, refused, numbers = {}, {}, iter(range(1_000))

    async def ask():
        for number in numbers:
            try:
                reply = await old.redis.fcall(f"issue_{OLD_SUFFIX}", 1, f"{{{PROGRAM}}}", *issue_args(known, number))
                issued[number] = int(reply[1])
            except ResponseError as error:
                refused[number] = str(error).partition(" ")[0]

    before = int(await old.redis.hget(f"{{{PROGRAM}}}:campaign:2", "issued"))
    asking = [asyncio.create_task(ask()) for _ in range(8)]
    while len(issued) < 100:
        await asyncio.sleep(0)
    await old.ledger.operations.upgrade(None, PROGRAM)
    await asyncio.gather(*asking)
    assert issued
    assert set(refused.values()) == {"NOTTRUSTED"}
    assert issued.keys().isdisjoint(refused)
    counters = await old.ledger.campaigns.counters(PROGRAM, 2, offers=1)
    assert counters.issued == before + len(issued) == before + len(set(issued.values()))
    for number in (min(issued), max(issued)):
        request = b"request%03d" % number
        block = await old.ledger.issuing.issued_before(PROGRAM, RequestIdentity("", request, b"content!"))
        assert block.first == issued[number]


@pytest.mark.parametrize("function", ["issue", "batch", "define", "revoke_serials", "archive_step", "codes"])
async def test_old_functions_that_learn_of_the_new_epoch_still_change_nothing(old, function):
    """A server of the older version on the same machine reads the fence, too."""
    await old.redis.function_load(OLD_LIBRARY, replace=True)
    await old.ledger.operations.upgrade(None, PROGRAM)
    before = await old.dump()
    args = issue_args(old.fence.known(PROGRAM), 1)
    with pytest.raises(ResponseError):
        await old.redis.fcall(f"{function}_{OLD_SUFFIX}", 1, f"{{{PROGRAM}}}", *args)
    assert await old.dump() == before
