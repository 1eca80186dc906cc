"""Group commit by itself, on a ledger of straw: who travels when, and what every kind of answer means."""

import asyncio
import struct

import pytest
from house import calling
from ledger.commit.orders import submitted
from redis.exceptions import ResponseError
from waiting import SECONDS_MAX, comes, settled

from redemption.domain.errors import DeadlinePassed, LedgerRefused, LedgerUnavailable, Overloaded
from redemption.ledger.commit import batcher as module
from redemption.ledger.commit.batcher import Batcher
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.reply_errors import LedgerFull, LedgerNotTrusted

EPOCH = "0123456789abcdef"
PATIENCE_SECONDS = 10 * SECONDS_MAX
"""No deadline comes while a test waits: a test that is about deadlines puts the clock forward."""


class Straw:
    """A connection that answers as a test wants: by default at once, each order with its own payload."""

    def __init__(self):
        self.is_open = False
        self.opened = 0
        self.sent = []
        self.seq = 100
        self.script = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.opening = None

    async def open(self):
        if self.opening:
            raise self.opening
        self.is_open = True
        self.opened += 1

    async def close(self):
        self.is_open = False

    async def exchange(self, packed, seconds_max):
        self.sent.append(packed)
        await self.gate.wait()
        answer = self.script.pop(0) if self.script else None
        if isinstance(answer, ConnectionError):
            self.is_open = False
            raise answer
        if answer is not None:
            return [answer for _ in packed]
        replies = []
        for call in packed:
            self.seq += 1
            head = struct.pack(">QQ16s", self.seq, 1_700_000_000_000, EPOCH.encode())
            replies.append([head, [], *payloads(call)])
        return replies

    def calls(self):
        """The payloads of every call."""
        return [payloads(call) for packed in self.sent for call in packed]


def payloads(call):
    """The orders' payloads of a packed call."""
    parts = call.split(b"\r\n")
    arguments = parts[2::2][: int(parts[0][1:])]
    return arguments[8:]


class Line:
    """A batcher at work, and what stands around it."""

    def __init__(self, batcher, straw, health):
        self.batcher, self.straw, self.health = batcher, straw, health

    def __getattr__(self, name):
        return getattr(self.batcher, name)


@pytest.fixture
async def line(tmp_path):
    """A batcher with one lane."""
    straw = Straw()
    health = LedgerHealth()
    health.on_check(None)
    told = []
    health.on_change(told.append)
    fence = Fence(tmp_path / "fence", "keyset")
    built = Batcher(
        lanes=[straw],
        fence=fence,
        clock=Clock(),
        outbox_max=10,
        waiting_max=8_192,
        redefined=lambda *_: None,
        health=health,
    )
    built.start()
    yield Line(built, straw, told)
    await built.stop()


def waits(seconds=PATIENCE_SECONDS):
    """A caller who waits for so long."""
    return calling(deadline=asyncio.get_running_loop().time() + seconds)


def submit(batcher, *names, program="p", tokens=1, seconds=PATIENCE_SECONDS, again=False):
    caller = waits(seconds)
    return submitted(batcher, program, [(name.encode(), tokens, caller) for name in names], again=again)


async def done(*deliveries):
    """Wait until nobody waits any more."""
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*(delivery.done for delivery in deliveries))


async def sent(line, count=1):
    """Wait until so many flushes have left; while the gate is closed, what is submitted then waits."""
    await comes(lambda: len(line.straw.sent) >= count)


async def answered(*deliveries):
    """The answers of all, in their order; the first failure among them is raised."""
    await done(*deliveries)
    answers = [answer for delivery in deliveries for answer in delivery.answers]
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return [answer.decode() for answer in answers]


async def test_an_order_alone_leaves_at_once(line):
    assert await answered(submit(line, "a")) == ["a"]
    assert line.straw.calls() == [[b"a"]]


async def test_what_arrives_meanwhile_travels_together(line):
    line.straw.gate.clear()
    first = submit(line, "a")
    await sent(line)
    rest = [submit(line, name) for name in "bcd"]
    line.straw.gate.set()
    assert await answered(first, *rest) == ["a", "b", "c", "d"]
    assert line.straw.calls() == [[b"a"], [b"b", b"c", b"d"]]


async def test_a_call_is_bounded_in_tokens(line):
    line.straw.gate.clear()
    first = submit(line, "x")
    await sent(line)
    futures = [submit(line, f"{index}", tokens=30) for index in range(10)]
    line.straw.gate.set()
    await answered(first, *futures)
    assert [len(call) for call in line.straw.calls()] == [1, 4, 4, 2]


async def test_a_call_is_bounded_in_bytes(line):
    line.straw.gate.clear()
    first = submit(line, "x")
    await sent(line)
    futures = [submit(line, "y" * 100_000) for _ in range(5)]
    line.straw.gate.set()
    await answered(first, *futures)
    assert [len(call) for call in line.straw.calls()] == [1, 2, 2, 1]


async def test_programs_take_turns(line):
    """A program with much to do does not keep another one waiting for more than one flush."""
    line.straw.gate.clear()
    first = submit(line, "x")
    await sent(line)
    loud = [submit(line, f"loud{index}", program="loud") for index in range(900)]
    quiet = submit(line, "quiet", program="quiet")
    line.straw.gate.set()
    await answered(quiet)
    assert [len(payloads(call)) for call in line.straw.sent[1]] == [128, 1]
    await answered(first, *loud)


async def test_single_orders_go_before_the_remainder_of_a_big_batch(line):
    line.straw.gate.clear()
    first = submit(line, "x")
    await sent(line)
    batch = submit(line, *(f"batch{index}" for index in range(256)))
    single = [submit(line, f"single{index}") for index in range(80)]
    line.straw.gate.set()
    await answered(first, batch, *single)
    second, third = line.straw.calls()[1:3]
    assert sum(order.startswith(b"single") for order in second) == 96 - 64, "the batch's first part came first"
    assert sum(order.startswith(b"batch") for order in second) == 64 + 32, "and its remainder keeps a share"
    assert sum(order.startswith(b"single") for order in third) == 80 - 32


async def test_orders_judged_again_go_first(line):
    line.straw.gate.clear()
    first = submit(line, "x")
    await sent(line)
    futures = [submit(line, "new"), submit(line, "again", again=True)]
    line.straw.gate.set()
    await answered(first, *futures)
    assert line.straw.calls()[1] == [b"again", b"new"]


async def test_a_second_call_is_in_flight_only_when_many_wait(tmp_path):
    straws = [Straw(), Straw()]
    for straw in straws:
        straw.gate.clear()
    both = Batcher(
        lanes=straws,
        fence=Fence(tmp_path / "f", "k"),
        clock=Clock(),
        outbox_max=1,
        waiting_max=8_192,
        redefined=lambda *_: None,
        health=LedgerHealth(),
    )
    both.start()
    futures = [submit(both, "a")]
    await comes(lambda: any(straw.sent for straw in straws))
    futures += [submit(both, f"{index}") for index in range(63)]
    await settled()
    assert sum(len(straw.sent) for straw in straws) == 1
    futures.append(submit(both, "the sixty-fourth"))
    await comes(lambda: all(straw.sent for straw in straws))
    assert [len(straw.sent) for straw in straws] == [1, 1]
    for straw in straws:
        straw.gate.set()
    await answered(*futures)
    await both.stop()


async def test_a_lost_connection_sends_the_identical_orders_again(line):
    line.straw.script = [ConnectionError("lost"), ConnectionError("lost")]
    assert await answered(submit(line, "a")) == ["a"]
    assert line.straw.calls() == [[b"a"]] * 3
    assert line.straw.opened == 3
    assert line.health == [False, True]


@pytest.mark.parametrize(
    "reply",
    [
        "BUSY running a script",
        "LOADING the dataset",
        "NOREPLICAS not enough",
        "MOVED 1 127.0.0.1:1",
        "ASK 1 127.0.0.1:1",
        "CLUSTERDOWN Hash slot not served",
        "TRYAGAIN later",
        "MASTERDOWN link is down",
    ],
)
async def test_what_was_not_executed_is_sent_again(line, reply):
    line.straw.script = [ResponseError(reply)] * 2
    assert await answered(submit(line, "a")) == ["a"]
    assert len(line.straw.sent) == 3


async def test_a_missing_library_is_loaded_by_opening_again(line):
    line.straw.script = [ResponseError("ERR Function not found")]
    assert await answered(submit(line, "a")) == ["a"]
    assert line.straw.opened == 2


@pytest.mark.parametrize(
    "reply",
    [
        ResponseError("READONLY secret text"),
        ResponseError("OOM secret text"),
        ResponseError("MISCONF secret text"),
        ResponseError("BUSYGROUP secret text"),
        ResponseError("WRONGTYPE secret text"),
        ResponseError("ERR secret text"),
    ],
    ids=str,
)
async def test_a_refusing_ledger_fails_at_once(line, reply):
    await answered(submit(line, "before"))
    line.straw.script = [reply]
    with pytest.raises(LedgerRefused) as raised:
        await answered(submit(line, "a"))
    assert "secret" not in raised.value.message
    assert line.health == ([False] if isinstance(raised.value, LedgerFull) else [])
    assert len(line.straw.sent) == 2


async def test_a_program_without_a_ledger_is_not_trusted(line):
    line.straw.script = [ResponseError("NOLEDGER no ledger")]
    with pytest.raises(LedgerNotTrusted, match="redemption ledger adopt --program NAME"):
        await answered(submit(line, "a"))


async def test_a_ledger_that_forgot_is_not_asked_any_more(line):
    await answered(submit(line, "a"))
    line.straw.script = [ResponseError("NOTTRUSTED this is not the ledger")]
    with pytest.raises(LedgerNotTrusted):
        await answered(submit(line, "b"))
    assert line.health == [False]


async def test_what_is_remembered_of_the_ledger_goes_along(line):
    await answered(submit(line, "a"))
    await answered(submit(line, "b"))
    assert [call.split(b"\r\n")[10] for packed in line.straw.sent for call in packed] == [b"", EPOCH.encode() + b"101"]


async def test_one_programs_trouble_is_not_the_servers(line):
    line.straw.script = [ResponseError("NOLEDGER no ledger"), ResponseError("WRONGTYPE a planted key")]
    for _ in range(2):
        with pytest.raises(LedgerRefused):
            await answered(submit(line, "a"))
    assert line.health == []


async def test_callers_are_told_when_their_deadline_comes(line, clock):
    """One whose order was sent may have been approved; one whose order never left was certainly not."""
    line.straw.gate.clear()
    in_doubt = submit(line, "a")
    await sent(line)
    unsent = submit(line, "b")
    patient = submit(line, "c", seconds=2 * PATIENCE_SECONDS)
    clock.forward(PATIENCE_SECONDS)
    with pytest.raises(LedgerUnavailable, match="same request id"):
        await answered(in_doubt)
    with pytest.raises(DeadlinePassed):
        await answered(unsent)
    assert not patient.done.done()
    line.straw.gate.set()
    assert await answered(patient) == ["c"]
    assert line.straw.calls()[1] == [b"c"], "nobody waits for b any more"


async def test_an_order_whose_caller_left_stays_at_home_and_its_company_is_answered(line):
    line.straw.gate.clear()
    first = submit(line, "a")
    await sent(line)
    callers = [waits() for _ in range(3)]
    together = submitted(
        line, "p", [(name, 1, caller) for name, caller in zip([b"b", b"c", b"d"], callers, strict=True)]
    )
    callers[1].gone = True
    line.straw.gate.set()
    await done(first, together)
    assert line.straw.calls() == [[b"a"], [b"b", b"d"]]
    left = together.answers[1]
    assert isinstance(left, LedgerUnavailable)
    assert [together.answers[0], together.answers[2]] == [b"b", b"d"]


async def test_a_call_that_nobody_waits_for_keeps_nobody_waiting_who_came_with_it(line):
    """The connection is lost, and the only one in that call leaves before the sweep notices."""
    line._tasks[-1].cancel()  # the sweep: it notices nothing
    line.straw.script = [ConnectionError("lost")]
    line.straw.gate.clear()
    callers = [waits() for _ in range(2)]
    together = submitted(line, "p", [(b"b", module.PROGRAM_WEIGHT_MAX, callers[0]), (b"c", 1, callers[1])])
    await sent(line)
    callers[0].gone = True
    line.straw.gate.set()
    await done(together)
    assert together.answers[1] == b"c"
    assert line.straw.calls() == [[b"b"], [b"c"]]


@pytest.mark.parametrize("leaves", [True, False], ids=["left", "too late"])
async def test_what_was_told_that_nothing_was_done_is_not_done_when_the_ledger_is_back(line, clock, leaves):
    """They were taken for a call, but could not be sent: nothing leads to the ledger."""
    line.straw.opening = LedgerUnavailable("not now")
    late, patient = waits(), waits(2 * PATIENCE_SECONDS)
    told = [submitted(line, "p", [(name, 1, caller)]) for name, caller in ((b"b", late), (b"c", patient))]
    await comes(lambda: line._in_flight and not line._waiting)
    late.gone = leaves
    if not leaves:
        clock.forward(PATIENCE_SECONDS)
    await done(told[0])
    line.straw.opening = None
    await done(told[1])
    assert line.straw.calls() == [[b"c"]]
    assert told[1].answers[0] == b"c"
    if not leaves:
        assert isinstance(told[0].answers[0], DeadlinePassed)


async def test_who_leaves_while_the_connection_is_made_is_left_at_home(line, monkeypatch):
    asked, connected, opening = asyncio.Event(), asyncio.Event(), line.straw.open

    async def slowly():
        asked.set()
        await connected.wait()
        await opening()

    monkeypatch.setattr(line.straw, "open", slowly)
    callers = [waits() for _ in range(2)]
    together = submitted(line, "p", [(b"b", 1, callers[0]), (b"c", 1, callers[1])])
    await asked.wait()
    callers[0].gone = True
    connected.set()
    await done(together)
    assert line.straw.calls() == [[b"c"]]


async def test_what_was_sent_goes_again_as_it_was_though_some_have_left(line):
    """It is not known whether it was done: another call might be done beside it."""
    line.straw.gate.clear()
    callers = [waits() for _ in range(2)]
    together = submitted(line, "p", [(b"b", 1, callers[0]), (b"c", 1, callers[1])])
    await sent(line)
    callers[0].gone = True
    line.straw.script = [ConnectionError("lost")]
    line.straw.gate.set()
    await done(together)
    assert line.straw.calls() == [[b"b", b"c"], [b"b", b"c"]]


REFUSALS = ["OOM command not allowed", "READONLY You can't write against a read only replica.", "MISCONF no disk"]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refusal_of_what_may_have_been_done_before_does_not_say_that_nothing_was(line, refusal):
    """The first time the connection was lost; what is refused is only the second time."""
    line.straw.script = [ConnectionError("lost"), ResponseError(refusal)]
    with pytest.raises(LedgerUnavailable, match="may have approved"):
        await answered(submit(line, "a"))
    line.straw.script = [ResponseError(refusal)]
    with pytest.raises(LedgerRefused):
        await answered(submit(line, "b"))


async def test_a_ledger_that_comes_back_untrusted_says_nothing_of_what_was_sent_before(line):
    line.straw.script = [ConnectionError("lost")]
    line.straw.gate.clear()
    delivery = submit(line, "a")
    await sent(line)
    line.straw.gate.set()
    line.straw.opening = LedgerNotTrusted("another one")
    with pytest.raises(LedgerUnavailable, match="may have approved"):
        await answered(delivery)


async def test_what_the_ledger_did_not_execute_is_not_in_doubt(line, clock):
    """It goes again without those who left, and who waits too long is told that nothing was done."""
    line.straw.script = [ResponseError("LOADING the dataset in memory")] * 100_000
    callers = [waits(2 * PATIENCE_SECONDS) for _ in range(2)]
    together = submitted(line, "p", [(b"b", 1, callers[0]), (b"c", 1, callers[1])])
    late = submit(line, "d")
    await sent(line)
    callers[0].gone = True
    clock.forward(PATIENCE_SECONDS)
    with pytest.raises(DeadlinePassed, match="nothing was done"):
        await answered(late)
    line.straw.script = []
    await done(together)
    assert line.straw.calls()[-1] == [b"c"]


async def test_a_call_that_cannot_be_packed_leaves_nobody_waiting(line, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "pack_call", lambda *_: 1 / 0)
        with pytest.raises(LedgerUnavailable, match="the answer was lost"):
            await answered(submit(line, "a"))
    assert await answered(submit(line, "b")) == ["b"]


async def test_those_who_left_take_no_place_in_the_queue(line, monkeypatch):
    monkeypatch.setattr(line.batcher, "_waiting_max", 4)
    line.straw.gate.clear()
    first = submit(line, "a")
    await sent(line)
    callers = [waits() for _ in range(4)]
    together = submitted(line, "p", [(b"b", 1, caller) for caller in callers])
    with pytest.raises(Overloaded):
        submit(line, "c")
    for caller in callers[:3]:
        caller.gone = True
    await comes(lambda: line._waiting == 1)
    later = submit(line, *"def")
    line.straw.gate.set()
    assert await answered(first, later) == ["a", "d", "e", "f"]
    assert together.answers[3] == b"b"
    assert line._waiting == 0


async def test_each_of_those_who_came_together_has_its_own_deadline(line, clock):
    """Who is in a hurry is told at its own deadline, and the other is answered when the ledger answers."""
    line.straw.gate.clear()
    together = submitted(line, "p", [(b"b", 1, waits(2 * PATIENCE_SECONDS)), (b"c", 1, waits())])
    await sent(line)
    clock.forward(PATIENCE_SECONDS)
    await comes(lambda: together.answers[1])
    assert isinstance(together.answers[1], LedgerUnavailable)
    assert together.answers[0] is None
    line.straw.gate.set()
    await done(together)
    assert together.answers[0] == b"b"


@pytest.mark.parametrize("in_doubt", [True, False], ids=["sent", "unsent"])
async def test_who_left_does_not_keep_its_company_from_being_told_that_the_ledger_is_silent(line, clock, in_doubt):
    line.straw.gate.clear()
    if not in_doubt:
        submit(line, "a")
        await sent(line)
    callers = [waits() for _ in range(2)]
    together = submitted(line, "p", [(b"b", 1, callers[0]), (b"c", 1, callers[1])])
    await sent(line)
    callers[0].gone = True
    clock.forward(PATIENCE_SECONDS)
    await done(together)
    assert isinstance(together.answers[1], LedgerUnavailable if in_doubt else DeadlinePassed)


async def test_a_flush_nobody_waits_for_is_given_up(line, clock):
    line.straw.script = [ConnectionError("lost")] * 100_000
    given_up = submit(line, "a")
    await sent(line, 3)
    clock.forward(PATIENCE_SECONDS)
    with pytest.raises(LedgerUnavailable):
        await answered(given_up)
    await comes(lambda: not line._in_flight)
    before = len(line.straw.sent)
    line.straw.script = []
    assert await answered(submit(line, "b")) == ["b"]
    assert line.straw.calls()[before:] == [[b"b"]]


async def test_a_ledger_that_is_not_trusted_fails_everybody_at_once(line):
    line.straw.opening = LedgerNotTrusted("not this one")
    with pytest.raises(LedgerNotTrusted):
        await answered(submit(line, "a"))


async def test_a_full_queue_refuses(line, monkeypatch):
    monkeypatch.setattr(line.batcher, "_waiting_max", 10)
    line.straw.gate.clear()
    full = submit(line, *"0123456789")
    with pytest.raises(Overloaded):
        submit(line, "one too many")
    line.straw.gate.set()
    assert len(await answered(full)) == 10


async def test_orders_judged_again_keep_their_place_in_a_full_queue(line, monkeypatch):
    monkeypatch.setattr(line.batcher, "_waiting_max", 1)
    line.straw.gate.clear()
    futures = [submit(line, "a"), submit(line, "b", "c", again=True)]
    line.straw.gate.set()
    assert len(await answered(*futures)) == 3


async def test_a_flush_is_bounded_over_all_programs(line):
    line.straw.gate.clear()
    first = submit(line, "x")
    await sent(line)
    futures = [
        submit(line, *(f"{program}{index}" for index in range(4)), program=program, tokens=31)
        for program in ("a", "b", "c")
    ]
    line.straw.gate.set()
    await answered(first, *futures)
    assert [[len(payloads(call)) for call in packed] for packed in line.straw.sent] == [[1], [4, 4], [4]]


async def test_after_a_stop_nothing_is_taken(line):
    await line.stop()
    with pytest.raises(LedgerUnavailable):
        submit(line, "a")


async def test_a_campaign_that_cannot_be_read_costs_nobody_an_answer(line, monkeypatch):
    def unreadable(*_):
        raise LedgerRefused("cannot be read")

    monkeypatch.setattr(line.batcher, "_redefined", unreadable)
    head = struct.pack(">QQ16s", 1000, 1, EPOCH.encode())
    line.straw.script = [[head, [1, 1, b""], b"x"]]
    assert await answered(submit(line, "a")) == ["x"]


async def test_a_stop_tells_everybody(line):
    line.straw.gate.clear()
    on_its_way = submit(line, "a")
    await sent(line)
    waiting = submit(line, "b")
    await line.stop()
    for delivery in (on_its_way, waiting):
        with pytest.raises(LedgerUnavailable):
            await answered(delivery)


async def test_a_reply_of_the_wrong_shape_does_not_stop_the_line(line):
    head = struct.pack(">QQ16s", 1000, 1, EPOCH.encode())
    line.straw.script = [[head, []]]
    with pytest.raises(LedgerUnavailable):
        await answered(submit(line, "a"))
    line.straw.seq = 2000
    assert await answered(submit(line, "b")) == ["b"]


async def test_nothing_is_kept_of_a_program_that_has_nothing_to_do(line):
    line.straw.gate.clear()
    futures = [submit(line, "a", "b", program=f"p{index}") for index in range(500)]
    await sent(line)
    assert line._queues
    line.straw.gate.set()
    await answered(*futures)
    assert await answered(submit(line, "c", program="p7")) == ["c"]
    assert (line._queues, len(line._rotation)) == ({}, 0)
