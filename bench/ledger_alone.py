"""The ledger without a server in front: calls that were packed before the run, on two connections like the batcher's.

The calls are those that the server would send: the orders go through the real use case, to the point where it calls the
ledger.
"""

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hiredis
from generator import ANSWERS_MIN, BUSY_PART_MAX, RECEIVE_BYTES, SECONDS_MAX, Run
from private import calling
from shop import PROGRAM

from redemption.domain.errors import LedgerUnavailable
from redemption.domain.ports.orders import RedeemItem
from redemption.domain.signed.check_values import check_values
from redemption.domain.signed.keyset import Keyset
from redemption.ledger.commit.batcher import LANES
from redemption.ledger.commit.lane import pack_call
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.ledger import RedisLedger
from redemption.ledger.library import library
from redemption.ledger.trust.fence import Fence
from redemption.ledger.wire.orders import pack_item
from redemption.rpc.convert.orders import redeem_request_from
from redemption.server.embedded_valkey import EmbeddedValkey
from redemption.server.keyset_file import read_keyset
from redemption.service.use_cases import UseCases
from redemption.settings import Settings
from redemption.v1.redemption_service_pb2 import RedeemRequest

OUTBOX_MAX = 65_536
CLOCK_APART_MS_MAX = 3_600_000
"""Large, because calls are sent long after they were packed, and carry the clock of that time."""
DEADLINE_SECONDS = 60.0


class Recorder:
    """A ledger that answers all calls except orders: it records these as they would be sent."""

    def __init__(self, ledger: RedisLedger) -> None:
        self._ledger = ledger
        self.packed: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the ledger
        return getattr(self._ledger, name)

    @property
    def orders(self) -> "Recorder":
        """This object itself: it records orders."""
        return self

    def decide(self, _: str, items: Sequence[RedeemItem], **__: object) -> None:
        """Record orders."""
        for item in items:
            self.packed.append(pack_item(item))
            item.on_reply(item, LedgerUnavailable("written down, not sent"))


@asynccontextmanager
async def _recorder(directory: Path) -> AsyncIterator[tuple[Recorder, Keyset, bytes]]:
    """Open the ledger of a running server, only to read; yield it with the mark that a server sends with its calls."""
    keyset = read_keyset(Settings(keyset=directory / "demo.keyset", data_dir=directory / "ledger"))
    fence = Fence(directory / "bench.fence", keyset.id, check_values(keyset))
    ledger = RedisLedger(
        Endpoint(EmbeddedValkey(directory / "ledger").url, "strict"), fence=fence, may_create_ledger=False
    )
    await ledger.start()
    try:
        await ledger.campaigns.load(PROGRAM, 1)
        yield Recorder(ledger), keyset, fence.known(PROGRAM)
    finally:
        await ledger.stop()


def pack(directory: Path, requests: Sequence[RedeemRequest], size: int) -> list[bytes]:
    """Return the calls for these orders, with exactly ``size`` orders in each.

    Args:
        directory: The directory with the ledger and the keyset of the server under test.
        requests: The requests.
        size: Orders in one call.
    """

    async def packed() -> list[bytes]:
        async with _recorder(directory) as (recorder, keyset, known):
            redeemer = UseCases(keyset, recorder).redeemer  # type: ignore[arg-type]
            deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
            await redeemer.redeem_all(
                calling("anonymous", deadline=deadline), [redeem_request_from(request) for request in requests]
            )
            packed = recorder.packed
            return [pack_batch(known, packed[at : at + size]) for at in range(0, len(packed) - size + 1, size)]

    return asyncio.run(packed())


def pack_batch(known: bytes, items: Sequence[bytes]) -> bytes:
    """Return the call for some packed orders, with the mark that a server sends."""
    frame = (known, int(time.time() * 1000), CLOCK_APART_MS_MAX, OUTBOX_MAX)
    return pack_call(library().name("batch"), PROGRAM, [*frame, *items])


def ledger_loop(directory: Path, calls: Sequence[bytes], *, seconds: float) -> Run:
    """Keep one call in flight on each connection, for some seconds or until all calls were sent.

    Raises:
        ConnectionError: The ledger closed the connection.
    """
    path = str(EmbeddedValkey(directory / "ledger").socket_path)
    run, clock = Run(warm=LANES), time.perf_counter
    waiting: Iterator[bytes] = iter(calls)
    with contextlib.ExitStack() as stack:
        lanes = [_Lane(stack.enter_context(socket.socket(socket.AF_UNIX)), path) for _ in range(LANES)]
        cpu, began = time.process_time(), clock()
        busy: list[_Lane] = []
        while True:
            for lane in lanes:
                call = next(waiting, None) if lane not in busy and clock() - began < seconds else None
                if call is not None:
                    run.sent += 1
                    lane.send(call)
                    busy.append(lane)
            if not busy:
                break
            readable, _, _ = select.select(busy, (), (), SECONDS_MAX)
            if not readable:
                run.failures["no answer"] += len(busy)
                break
            busy = [lane for lane in busy if lane not in readable or not lane.receive(run)]
            if clock() - began < seconds:
                run.note(clock())
        run.cpu_seconds = time.process_time() - cpu
        part = run.cpu_seconds / (clock() - began)
    if part > BUSY_PART_MAX:
        run.invalid = f"the generator worked for {part:.0%} of the time"
    elif run.in_time < ANSWERS_MIN:
        run.invalid = f"only {run.in_time} answers were counted"
    return run


class _Lane:
    """One connection to the ledger, with at most one call in flight."""

    def __init__(self, connection: socket.socket, path: str) -> None:
        self._connection = connection
        self._connection.connect(path)
        self._reader = hiredis.Reader()
        self._sent_at = 0.0

    def fileno(self) -> int:
        """The file descriptor, for the selector."""
        return self._connection.fileno()

    def send(self, call: bytes) -> None:
        """Send a call."""
        self._sent_at = time.perf_counter()
        self._connection.sendall(call)

    def receive(self, run: Run) -> bool:
        """Read what came; return whether the reply is complete."""
        data = self._connection.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the ledger closed the connection")
        self._reader.feed(data)
        reply = self._reader.gets()
        if reply is False:
            return False
        if isinstance(reply, Exception):
            run.failures[str(reply)] += 1
        else:
            run.latencies.append(time.perf_counter() - self._sent_at)
            run.answers += reply[2:]
        return True


def approvals(answers: Sequence[bytes]) -> int:
    """Count the approvals in the ledger's replies, for orders with one token."""
    return sum(answer[:1] == b"A" for answer in answers)
