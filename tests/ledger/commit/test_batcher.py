"""Group commit, on lanes that reply as a test wants: which orders are sent when, and what each reply means."""

import asyncio
import struct

import pytest
from builders.calls import calling
from ledger.commit.orders import submitted
from redis.exceptions import ResponseError
from refused import refused
from structlog.testing import capture_logs
from waiting import SECONDS_MAX, comes, settled

from redemption.domain.errors import DeadlinePassed, LedgerRefused, LedgerUnavailable, Overloaded
from redemption.ledger import reachability
from redemption.ledger.commit import batcher as module
from redemption.ledger.commit.batcher import Batcher
from redemption.ledger.reachability import GRACE_SECONDS, LedgerDown, Reachability
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.reply_errors import LedgerFull, LedgerNotTrusted

EPOCH = "0123456789abcdef"
PATIENCE_SECONDS = 10 * SECONDS_MAX
"""No deadline comes while a test waits: a test that is about deadlines puts the clock forward."""


class FakeLane:
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


class Running:
    """A running batcher, and the parts it uses."""

    def __init__(self, batcher, lane, health):
        self.batcher, self.lane, self.health = batcher, lane, health

    def __getattr__(self, name):
        return getattr(self.batcher, name)


@pytest.fixture
async def running(tmp_path):
    """A batcher with one lane."""
    lane = FakeLane()
    health = LedgerHealth()
    health.on_check(None)
    told = []
    health.on_change(told.append)
    fence = Fence(tmp_path / "fence", "keyset", {})
    built = Batcher(
        lanes=[lane],
        fence=fence,
        clock=Clock(),
        outbox_max=10,
        waiting_max=8_192,
        redefined=lambda *_: None,
        health=health,
        reachability=Reachability(),
    )
    built.start()
    yield Running(built, lane, told)
    await built.stop()


def waits(seconds=PATIENCE_SECONDS):
    """A caller who waits for so long."""
    return calling(seconds=seconds)


def submit(batcher, *names, program="p", tokens=1, seconds=PATIENCE_SECONDS, rejudged=False):
    caller = waits(seconds)
    return submitted(batcher, program, [(name.encode(), tokens, caller) for name in names], rejudged=rejudged)


async def done(*deliveries):
    """Wait until no order is waiting."""
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*(delivery.done for delivery in deliveries))


async def sent(running, count=1):
    """Wait until so many flushes have left; while the gate is closed, what is submitted then waits."""
    await comes(lambda: len(running.lane.sent) >= count)


async def answered(*deliveries):
    """The answers of all, in their order; the first failure among them is raised."""
    await done(*deliveries)
    answers = [answer for delivery in deliveries for answer in delivery.answers]
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return [answer.decode() for answer in answers]


async def test_an_order_alone_leaves_at_once(running):
    assert await answered(submit(running, "a")) == ["a"]
    assert running.lane.calls() == [[b"a"]]


async def test_orders_that_arrive_during_a_call_go_together_in_the_next(running):
    running.lane.gate.clear()
    first = submit(running, "a")
    await sent(running)
    rest = [submit(running, name) for name in "bcd"]
    running.lane.gate.set()
    assert await answered(first, *rest) == ["a", "b", "c", "d"]
    assert running.lane.calls() == [[b"a"], [b"b", b"c", b"d"]]


async def test_a_call_is_bounded_in_tokens(running):
    running.lane.gate.clear()
    first = submit(running, "x")
    await sent(running)
    futures = [submit(running, f"{index}", tokens=30) for index in range(10)]
    running.lane.gate.set()
    await answered(first, *futures)
    assert [len(call) for call in running.lane.calls()] == [1, 4, 4, 2]


async def test_a_call_is_bounded_in_bytes(running):
    running.lane.gate.clear()
    first = submit(running, "x")
    await sent(running)
    futures = [submit(running, "y" * 100_000) for _ in range(5)]
    running.lane.gate.set()
    await answered(first, *futures)
    assert [len(call) for call in running.lane.calls()] == [1, 2, 2, 1]


async def test_programs_take_turns(running):
    """A program with much to do does not keep another one waiting for more than one flush."""
    running.lane.gate.clear()
    first = submit(running, "x")
    await sent(running)
    loud = [submit(running, f"loud{index}", program="loud") for index in range(900)]
    quiet = submit(running, "quiet", program="quiet")
    running.lane.gate.set()
    await answered(quiet)
    assert [len(payloads(call)) for call in running.lane.sent[1]] == [128, 1]
    await answered(first, *loud)


async def test_single_orders_go_before_the_remainder_of_a_big_batch(running):
    running.lane.gate.clear()
    first = submit(running, "x")
    await sent(running)
    batch = submit(running, *(f"batch{index}" for index in range(256)))
    single = [submit(running, f"single{index}") for index in range(80)]
    running.lane.gate.set()
    await answered(first, batch, *single)
    second, third = running.lane.calls()[1:3]
    assert sum(order.startswith(b"single") for order in second) == 96 - 64, "the batch's first part came first"
    assert sum(order.startswith(b"batch") for order in second) == 64 + 32, "and its remainder keeps a share"
    assert sum(order.startswith(b"single") for order in third) == 80 - 32


async def test_orders_judged_again_go_first(running):
    running.lane.gate.clear()
    first = submit(running, "x")
    await sent(running)
    futures = [submit(running, "new"), submit(running, "again", rejudged=True)]
    running.lane.gate.set()
    await answered(first, *futures)
    assert running.lane.calls()[1] == [b"again", b"new"]


async def test_a_second_call_is_in_flight_only_when_many_wait(tmp_path):
    lanes = [FakeLane(), FakeLane()]
    for lane in lanes:
        lane.gate.clear()
    both = Batcher(
        lanes=lanes,
        fence=Fence(tmp_path / "f", "k", {}),
        clock=Clock(),
        outbox_max=1,
        waiting_max=8_192,
        redefined=lambda *_: None,
        health=LedgerHealth(),
        reachability=Reachability(),
    )
    both.start()
    futures = [submit(both, "a")]
    await comes(lambda: any(lane.sent for lane in lanes))
    futures += [submit(both, f"{index}") for index in range(63)]
    await settled()
    assert sum(len(lane.sent) for lane in lanes) == 1
    futures.append(submit(both, "the sixty-fourth"))
    await comes(lambda: all(lane.sent for lane in lanes))
    assert [len(lane.sent) for lane in lanes] == [1, 1]
    for lane in lanes:
        lane.gate.set()
    await answered(*futures)
    await both.stop()


async def test_a_lost_connection_sends_the_identical_orders_again(running):
    running.lane.script = [ConnectionError("lost"), ConnectionError("lost")]
    assert await answered(submit(running, "a")) == ["a"]
    assert running.lane.calls() == [[b"a"]] * 3
    assert running.lane.opened == 3
    assert running.health == [False, True]


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
async def test_a_call_that_was_not_executed_is_sent_again(running, reply):
    running.lane.script = [ResponseError(reply)] * 2
    assert await answered(submit(running, "a")) == ["a"]
    assert len(running.lane.sent) == 3


async def test_a_missing_library_is_loaded_by_opening_again(running):
    running.lane.script = [ResponseError("ERR Function not found")]
    with capture_logs() as logs:
        assert await answered(submit(running, "a")) == ["a"]
    assert running.lane.opened == 2
    assert running.health == []
    assert ["FUNCTION FLUSH" in entry["event"] for entry in logs] == [True]


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
async def test_a_refusing_ledger_fails_at_once(running, reply):
    await answered(submit(running, "before"))
    running.lane.script = [reply] * 2
    with pytest.raises(LedgerRefused) as raised:
        await answered(submit(running, "a"))
    assert "secret" not in raised.value.message
    assert running.health == ([] if type(raised.value) is LedgerRefused else [False])
    asked_again = isinstance(raised.value, LedgerFull)  # for what needs no write
    assert len(running.lane.sent) == (3 if asked_again else 2)


async def test_a_full_ledger_is_asked_once_more_for_what_needs_no_write(running):
    """F: the order would have to be written, so nothing was done."""
    await answered(submit(running, "before"))
    head = struct.pack(">QQ16s", 1000, 1, EPOCH.encode())
    running.lane.script = [ResponseError("OOM no memory"), [head, [], b"P-remembered", b"F"]]
    remembered, new = submit(running, "a"), submit(running, "b")
    assert await answered(remembered) == ["P-remembered"]
    with pytest.raises(LedgerFull, match="nothing was done"):
        await answered(new)
    assert [b"FCALL\r\n$33\r\nbatch_without_writes_" in call for (call,) in running.lane.sent] == [False, False, True]
    assert running.health == [False], "until a check finds that it has memory again"


async def test_one_connection_that_is_closed_says_nothing_of_the_ledger(running):
    running.lane.script = [ConnectionError("killed")]
    assert await answered(submit(running, "a")) == ["a"]
    assert running.health == []


async def test_a_program_without_a_ledger_is_not_trusted(running):
    running.lane.script = [ResponseError("NOLEDGER no ledger")]
    with refused(LedgerNotTrusted, "redemption ledger adopt --program NAME"):
        await answered(submit(running, "a"))


async def test_a_ledger_that_forgot_is_not_asked_any_more(running):
    await answered(submit(running, "a"))
    running.lane.script = [ResponseError("NOTTRUSTED this is not the ledger")]
    with pytest.raises(LedgerNotTrusted):
        await answered(submit(running, "b"))
    assert running.health == [False]


async def test_every_call_carries_what_is_remembered_of_the_ledger(running):
    await answered(submit(running, "a"))
    await answered(submit(running, "b"))
    assert [call.split(b"\r\n")[10] for packed in running.lane.sent for call in packed] == [
        b"",
        EPOCH.encode() + b"101",
    ]


async def test_a_failure_of_one_program_does_not_change_the_health(running):
    running.lane.script = [ResponseError("NOLEDGER no ledger"), ResponseError("WRONGTYPE a planted key")]
    for _ in range(2):
        with pytest.raises(LedgerRefused):
            await answered(submit(running, "a"))
    assert running.health == []


async def test_callers_are_told_when_their_deadline_comes(running, clock):
    """An order that was sent may have been approved; an order that was not sent was certainly not."""
    running.lane.gate.clear()
    in_doubt = submit(running, "a")
    await sent(running)
    unsent = submit(running, "b")
    patient = submit(running, "c", seconds=2 * PATIENCE_SECONDS)
    clock.forward(PATIENCE_SECONDS)
    with pytest.raises(LedgerUnavailable, match="same request id"):
        await answered(in_doubt)
    with pytest.raises(DeadlinePassed):
        await answered(unsent)
    assert not patient.done.done()
    running.lane.gate.set()
    assert await answered(patient) == ["c"]
    assert running.lane.calls()[1] == [b"c"], "nobody waits for b any more"


async def test_an_order_whose_caller_left_is_dropped_and_the_others_are_answered(running):
    running.lane.gate.clear()
    first = submit(running, "a")
    await sent(running)
    callers = [waits() for _ in range(3)]
    together = submitted(
        running, "p", [(name, 1, caller) for name, caller in zip([b"b", b"c", b"d"], callers, strict=True)]
    )
    callers[1].gone = True
    running.lane.gate.set()
    await done(first, together)
    assert running.lane.calls() == [[b"a"], [b"b", b"d"]]
    left = together.answers[1]
    assert isinstance(left, LedgerUnavailable)
    assert [together.answers[0], together.answers[2]] == [b"b", b"d"]


async def test_a_call_without_callers_does_not_delay_the_next(running):
    """The connection is lost, and the call's only caller leaves before the sweep notices."""
    running._tasks[-1].cancel()  # the sweep: it notices nothing
    running.lane.script = [ConnectionError("lost")]
    running.lane.gate.clear()
    callers = [waits() for _ in range(2)]
    together = submitted(running, "p", [(b"b", module.PROGRAM_WEIGHT_MAX, callers[0]), (b"c", 1, callers[1])])
    await sent(running)
    callers[0].gone = True
    running.lane.gate.set()
    await done(together)
    assert together.answers[1] == b"c"
    assert running.lane.calls() == [[b"b"], [b"c"]]


@pytest.fixture
def forgiven(monkeypatch):
    """However long the ledger stays away, it is not taken to be down."""
    monkeypatch.setattr(reachability, "GRACE_SECONDS", 10 * PATIENCE_SECONDS)


@pytest.mark.usefixtures("forgiven")
@pytest.mark.parametrize("leaves", [True, False], ids=["left", "too late"])
async def test_an_order_that_was_answered_with_nothing_done_is_not_sent_later(running, clock, leaves):
    """They were taken from the queue but could not be sent: there is no connection to the ledger."""
    running.lane.opening = LedgerUnavailable("not now")
    late, patient = waits(), waits(2 * PATIENCE_SECONDS)
    told = [submitted(running, "p", [(name, 1, caller)]) for name, caller in ((b"b", late), (b"c", patient))]
    await comes(lambda: running._in_flight and not running._waiting)
    late.gone = leaves
    if not leaves:
        clock.forward(PATIENCE_SECONDS)
    await done(told[0])
    running.lane.opening = None
    await done(told[1])
    assert running.lane.calls() == [[b"c"]]
    assert told[1].answers[0] == b"c"
    if not leaves:
        assert isinstance(told[0].answers[0], DeadlinePassed)


async def test_an_order_whose_caller_leaves_while_connecting_is_not_sent(running, monkeypatch):
    asked, connected, opening = asyncio.Event(), asyncio.Event(), running.lane.open

    async def slowly():
        asked.set()
        await connected.wait()
        await opening()

    monkeypatch.setattr(running.lane, "open", slowly)
    callers = [waits() for _ in range(2)]
    together = submitted(running, "p", [(b"b", 1, callers[0]), (b"c", 1, callers[1])])
    await asked.wait()
    callers[0].gone = True
    connected.set()
    await done(together)
    assert running.lane.calls() == [[b"c"]]


async def test_a_call_is_sent_again_unchanged_although_some_callers_left(running):
    """It is not known whether it was done: another call might be done beside it."""
    running.lane.gate.clear()
    callers = [waits() for _ in range(2)]
    together = submitted(running, "p", [(b"b", 1, callers[0]), (b"c", 1, callers[1])])
    await sent(running)
    callers[0].gone = True
    running.lane.script = [ConnectionError("lost")]
    running.lane.gate.set()
    await done(together)
    assert running.lane.calls() == [[b"b", b"c"], [b"b", b"c"]]


REFUSALS = ["OOM command not allowed", "READONLY You can't write against a read only replica.", "MISCONF no disk"]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refused_call_that_was_sent_before_is_in_doubt(running, refusal):
    """The first time the connection was lost; only the second time was refused."""
    running.lane.script = [ConnectionError("lost"), ResponseError(refusal)]
    with pytest.raises(LedgerUnavailable, match="may have approved"):
        await answered(submit(running, "a"))
    running.lane.script = [ResponseError(refusal)] * 2
    with pytest.raises(LedgerRefused):
        await answered(submit(running, "b"))


async def test_a_call_sent_before_the_ledger_lost_its_trust_is_in_doubt(running):
    running.lane.script = [ConnectionError("lost")]
    running.lane.gate.clear()
    delivery = submit(running, "a")
    await sent(running)
    running.lane.gate.set()
    running.lane.opening = LedgerNotTrusted("another one")
    with pytest.raises(LedgerUnavailable, match="may have approved"):
        await answered(delivery)


@pytest.mark.usefixtures("forgiven")
async def test_an_order_that_the_ledger_did_not_execute_is_not_in_doubt(running, clock):
    """Sent again without the orders whose callers left; who waits too long learns that nothing was done."""
    running.lane.script = [ResponseError("LOADING the dataset in memory")] * 100_000
    callers = [waits(2 * PATIENCE_SECONDS) for _ in range(2)]
    together = submitted(running, "p", [(b"b", 1, callers[0]), (b"c", 1, callers[1])])
    late = submit(running, "d")
    await sent(running)
    callers[0].gone = True
    clock.forward(PATIENCE_SECONDS)
    with pytest.raises(DeadlinePassed, match="nothing was done"):
        await answered(late)
    running.lane.script = []
    await done(together)
    assert running.lane.calls()[-1] == [b"c"]


async def test_a_call_that_cannot_be_packed_leaves_nobody_waiting(running, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "pack_call", lambda *_: 1 / 0)
        with pytest.raises(LedgerUnavailable, match="the answer was lost"):
            await answered(submit(running, "a"))
    assert await answered(submit(running, "b")) == ["b"]


async def test_orders_of_callers_who_left_take_no_place_in_the_queue(running, monkeypatch):
    monkeypatch.setattr(running.batcher, "_waiting_max", 4)
    running.lane.gate.clear()
    first = submit(running, "a")
    await sent(running)
    callers = [waits() for _ in range(4)]
    together = submitted(running, "p", [(b"b", 1, caller) for caller in callers])
    with pytest.raises(Overloaded):
        submit(running, "c")
    for caller in callers[:3]:
        caller.gone = True
    await comes(lambda: running._waiting == 1)
    later = submit(running, *"def")
    running.lane.gate.set()
    assert await answered(first, later) == ["a", "d", "e", "f"]
    assert together.answers[3] == b"b"
    assert running._waiting == 0


async def test_each_of_those_who_came_together_has_its_own_deadline(running, clock):
    """The caller with the short deadline gets an error then; the other one gets its answer when the ledger replies."""
    running.lane.gate.clear()
    together = submitted(running, "p", [(b"b", 1, waits(2 * PATIENCE_SECONDS)), (b"c", 1, waits())])
    await sent(running)
    clock.forward(PATIENCE_SECONDS)
    await comes(lambda: together.answers[1])
    assert isinstance(together.answers[1], LedgerUnavailable)
    assert together.answers[0] is None
    running.lane.gate.set()
    await done(together)
    assert together.answers[0] == b"b"


async def test_while_the_ledger_is_known_to_be_down_orders_fail_at_once(running, clock):
    """In the first moments they wait for a new connection; then nobody has to wait for a deadline."""
    running.lane.opening = LedgerUnavailable("not now")
    early = submit(running, "a")
    await comes(lambda: running._reachability.lost_at is not None)
    assert not early.done.done()
    clock.forward(GRACE_SECONDS)
    with pytest.raises(LedgerDown, match="nothing was done") as raised:
        await answered(early)
    assert raised.value.retry_after_seconds == 1.0
    with pytest.raises(LedgerDown):
        submit(running, "b")
    running._reachability.on_reply()  # the check found it
    running.lane.opening = None
    assert await answered(submit(running, "c")) == ["c"]
    assert running.lane.calls() == [[b"c"]]


async def test_orders_fail_at_once_while_a_connection_is_being_opened_in_vain(running, clock, monkeypatch):
    """A host that does not answer at all keeps a lane busy with opening a connection."""

    async def never():
        await asyncio.Event().wait()

    monkeypatch.setattr(running.lane, "open", never)
    on_its_way = submit(running, "a")
    await comes(lambda: running._in_flight)
    waiting = submit(running, "b")
    running._reachability.on_failure()
    clock.forward(GRACE_SECONDS)
    for delivery in (on_its_way, waiting):
        with pytest.raises(LedgerDown):
            await answered(delivery)


async def test_an_order_that_was_sent_waits_for_its_answer_while_the_ledger_is_down(running, clock):
    """It may have been approved; so it is sent again, and its answer counts as a sign of life."""
    running.lane.script = [ConnectionError("lost")]
    running.lane.gate.clear()
    in_doubt = submit(running, "a")
    await sent(running)
    waiting = submit(running, "b")
    running.lane.opening = LedgerUnavailable("not now")
    running.lane.gate.set()
    await comes(lambda: running._reachability.lost_at is not None)
    clock.forward(GRACE_SECONDS)
    with pytest.raises(LedgerDown):
        await answered(waiting)
    assert not in_doubt.done.done()
    running.lane.opening = None
    assert await answered(in_doubt) == ["a"]
    assert await answered(submit(running, "c")) == ["c"]
    assert running.lane.calls() == [[b"a"], [b"a"], [b"c"]]


@pytest.mark.parametrize("in_doubt", [True, False], ids=["sent", "unsent"])
async def test_a_caller_who_left_does_not_delay_the_failure_of_the_others(running, clock, in_doubt):
    running.lane.gate.clear()
    if not in_doubt:
        submit(running, "a")
        await sent(running)
    callers = [waits() for _ in range(2)]
    together = submitted(running, "p", [(b"b", 1, callers[0]), (b"c", 1, callers[1])])
    await sent(running)
    callers[0].gone = True
    clock.forward(PATIENCE_SECONDS)
    await done(together)
    assert isinstance(together.answers[1], LedgerUnavailable if in_doubt else DeadlinePassed)


@pytest.mark.usefixtures("forgiven")
async def test_a_flush_nobody_waits_for_is_given_up(running, clock):
    running.lane.script = [ConnectionError("lost")] * 100_000
    given_up = submit(running, "a")
    await sent(running, 3)
    clock.forward(PATIENCE_SECONDS)
    with pytest.raises(LedgerUnavailable):
        await answered(given_up)
    await comes(lambda: not running._in_flight)
    before = len(running.lane.sent)
    running.lane.script = []
    assert await answered(submit(running, "b")) == ["b"]
    assert running.lane.calls()[before:] == [[b"b"]]


async def test_a_ledger_that_is_not_trusted_fails_everybody_at_once(running):
    running.lane.opening = LedgerNotTrusted("not this one")
    with pytest.raises(LedgerNotTrusted):
        await answered(submit(running, "a"))


async def test_a_full_queue_refuses(running, monkeypatch):
    monkeypatch.setattr(running.batcher, "_waiting_max", 10)
    running.lane.gate.clear()
    full = submit(running, *"0123456789")
    with pytest.raises(Overloaded):
        submit(running, "one too many")
    running.lane.gate.set()
    assert len(await answered(full)) == 10


async def test_orders_judged_again_keep_their_place_in_a_full_queue(running, monkeypatch):
    monkeypatch.setattr(running.batcher, "_waiting_max", 1)
    running.lane.gate.clear()
    futures = [submit(running, "a"), submit(running, "b", "c", rejudged=True)]
    running.lane.gate.set()
    assert len(await answered(*futures)) == 3


async def test_a_flush_is_bounded_over_all_programs(running):
    running.lane.gate.clear()
    first = submit(running, "x")
    await sent(running)
    futures = [
        submit(running, *(f"{program}{index}" for index in range(4)), program=program, tokens=31)
        for program in ("a", "b", "c")
    ]
    running.lane.gate.set()
    await answered(first, *futures)
    assert [[len(payloads(call)) for call in packed] for packed in running.lane.sent] == [[1], [4, 4], [4]]


async def test_after_a_stop_nothing_is_taken(running):
    await running.stop()
    with pytest.raises(LedgerUnavailable):
        submit(running, "a")


async def test_a_campaign_that_cannot_be_read_costs_nobody_an_answer(running, monkeypatch):
    def unreadable(*_):
        raise LedgerRefused("cannot be read")

    monkeypatch.setattr(running.batcher, "_redefined", unreadable)
    head = struct.pack(">QQ16s", 1000, 1, EPOCH.encode())
    running.lane.script = [[head, [1, 1, b""], b"x"]]
    assert await answered(submit(running, "a")) == ["x"]


async def test_a_stop_tells_everybody(running):
    running.lane.gate.clear()
    on_its_way = submit(running, "a")
    await sent(running)
    waiting = submit(running, "b")
    await running.stop()
    for delivery in (on_its_way, waiting):
        with pytest.raises(LedgerUnavailable):
            await answered(delivery)


async def test_a_reply_of_the_wrong_shape_does_not_stop_the_line(running):
    head = struct.pack(">QQ16s", 1000, 1, EPOCH.encode())
    running.lane.script = [[head, []]]
    with pytest.raises(LedgerUnavailable):
        await answered(submit(running, "a"))
    running.lane.seq = 2000
    assert await answered(submit(running, "b")) == ["b"]


async def test_nothing_is_kept_of_an_idle_program(running):
    running.lane.gate.clear()
    futures = [submit(running, "a", "b", program=f"p{index}") for index in range(500)]
    await sent(running)
    assert running._queues
    running.lane.gate.set()
    await answered(*futures)
    assert await answered(submit(running, "c", program="p7")) == ["c"]
    assert (running._queues, len(running._rotation)) == ({}, 0)
