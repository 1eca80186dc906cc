"""Attacks, one kind after the other: how much memory they cost, and what an ordinary caller notices.

The kinds: unread answers, unfinished messages, calls that take long to answer, more idle connections than a process
may open files, and calls that are cancelled at once. Meanwhile an ordinary caller redeems from another process. Run it
with ``make bench-attacks``. It only measures; ``tests/rpc/transport`` tests what each caller is answered.
"""

import argparse
import multiprocessing
import secrets
import select
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Event
from typing import NamedTuple

import command
import grpc
import psutil
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hpack import Encoder
from report import Report
from shop import BATCH_REDEEM, REDEEM, Shop
from under_test import UnderTest, redemption_server, settle

from redemption.client import connect
from redemption.client.stub import RedemptionClient
from redemption.v1 import campaign_pb2 as v1
from redemption.v1.campaign_service_pb2 import CreateCampaignRequest, ListCampaignsRequest

ROUNDS = 3
SECONDS = 3.0
AFTER_SECONDS = 3.0
REDEEM_EVERY_SECONDS = 0.01
REDEEM_SECONDS_MAX = 5.0
ORDINARY_CALLS_MAX = 4_000
FILES = 1_024
LARGE_BYTES = 4 * 2**20
SKUS, SKU_BYTES = 1_000, 48
LARGE_CAMPAIGNS = 60
PROGRAM = "attacks"
LIST = "/redemption.v1.CampaignService/ListCampaigns"
CREATE = "/redemption.v1.CampaignService/CreateCampaign"
RESETS_IN_ONE_WRITE = 500
FRAME_BYTES_MAX = 16_384
SOCKET_BYTES = 2**18
STATUSES = {str(code.value[0]): code.name for code in grpc.StatusCode}


class Damage(NamedTuple):
    """The effect of one attack.

    Attributes:
        before: Memory of the worker before it, in MB.
        most: The largest memory of the worker during it, in MB.
        after: Memory of the worker 3 s after the attacker left, in MB.
        p50: Median latency of the ordinary caller's redeems during it, in ms.
        p99: Their 99th percentile, in ms.
        slowest: The slowest one, in ms.
        failed: How many of them failed.
        ends: How the attacker's calls and connections ended, and how often.
    """

    before: float
    most: float
    after: float
    p50: float
    p99: float
    slowest: float
    failed: int
    ends: str


class Attacker:
    """One connection that is correct HTTP/2 but otherwise hostile; counts how its calls ended."""

    def __init__(self, address: tuple[str, int], *, reads: bool = True) -> None:
        self.ends: Counter[str] = Counter()
        self.open = True
        self._reads = reads
        self._socket = socket.create_connection(address)
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket)
        self._http2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._http2.initiate_connection()
        self._http2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1 if reads else 0})
        self._http2.increment_flow_control_window(2**30)
        self._unsent: dict[int, memoryview] = {}
        self._repeated: dict[int, tuple[str, bytes]] = {}
        self._finished = True
        self._out = b""

    def call(self, method: str, messages: Sequence[bytes], *, finished: bool = True, again: bool = False) -> None:
        """Begin calls; of unfinished calls the last ten bytes are not sent. A call that ends may be begun again."""
        for message in messages:
            stream = self._http2.get_next_available_stream_id()
            self._http2.send_headers(stream, _head(method))
            if again:
                self._repeated[stream] = method, message
            framed = b"\0" + len(message).to_bytes(4) + message
            self._unsent[stream] = memoryview(framed if finished else framed[:-10])
            self._finished = finished

    def reset(self, method: str, message: bytes, seconds: float) -> None:
        """Begin calls and cancel each at once, as fast as possible."""
        until, stream = time.monotonic() + seconds, 1
        self.stay(0.01)
        head = Encoder().encode(
            [(*field, True) for field in _head(method)]
        )  # marked as sensitive, so that they are never indexed
        framed = b"\0" + len(message).to_bytes(4) + message
        while self.open and time.monotonic() < until:
            for _ in range(RESETS_IN_ONE_WRITE):
                name = stream.to_bytes(4)
                self._out += len(head).to_bytes(3) + b"\1\4" + name + head
                self._out += len(framed).to_bytes(3) + b"\0\0" + name + framed
                self._out += b"\0\0\4\3\0" + name + b"\0\0\0\10"
                stream += 2
            while self.open and self._out and time.monotonic() < until:
                self._exchange(until)

    def stay(self, seconds: float) -> None:
        """Send as much as the server's windows allow, and read what comes."""
        until = time.monotonic() + seconds
        while self.open:
            self._fill()
            self._out += self._http2.data_to_send()
            if not self._exchange(until):
                return

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _fill(self) -> None:
        for stream in list(self._unsent):
            while (left := self._unsent[stream]) and len(self._out) < SOCKET_BYTES:
                size = min(len(left), FRAME_BYTES_MAX, self._http2.local_flow_control_window(stream))
                if not size:
                    break
                self._http2.send_data(stream, left[:size].tobytes(), end_stream=self._finished and size == len(left))
                self._unsent[stream] = left[size:]
                self._out += self._http2.data_to_send()
            if not left:
                del self._unsent[stream]

    def _exchange(self, until: float) -> bool:
        """Write and read as much as possible now; return whether there is time left."""
        if (left := until - time.monotonic()) < 0:
            return False
        self._poll.modify(self._socket, select.POLLIN | (select.POLLOUT if self._out else 0))
        ready = dict(self._poll.poll(1000 * min(left, 0.1))).get(self._socket.fileno(), 0)
        try:
            if ready & select.POLLOUT:
                self._out = self._out[self._socket.send(self._out) :]
            if ready & ~select.POLLOUT:
                self._take(self._socket.recv(2**20))
        except OSError:
            self._take(b"")
        return True

    def _take(self, data: bytes) -> None:
        if not data:
            self.open = False
            self.ends["connection closed"] += 1
            return
        try:
            events = self._http2.receive_data(data)
        except ProtocolError:
            return  # an event of a stream that this side dropped already
        for event in events:
            if isinstance(event, DataReceived) and self._reads:
                self._http2.increment_flow_control_window(event.flow_controlled_length or 1)
            elif isinstance(event, TrailersReceived | ResponseReceived):
                status = dict(event.headers or ()).get("grpc-status")
                if status is not None:
                    self.ends[STATUSES[str(status)]] += 1
            elif isinstance(event, StreamReset | StreamEnded):
                self.ends["reset"] += isinstance(event, StreamReset)
                self._unsent.pop(event.stream_id, None)
                ended = self._repeated.pop(event.stream_id, None)
                if ended is not None:
                    self.call(ended[0], [ended[1]], again=True)
            elif isinstance(event, ConnectionTerminated):
                self.ends[(event.additional_data or b"GOAWAY").decode()] += 1
                self.open = False


def unread_answers(address: tuple[str, int], seconds: float) -> str:
    """Request 500 answers of 3 MB, and read none."""
    with attacking(address, seconds, reads=False) as attacker:
        asked = ListCampaignsRequest(program=PROGRAM, page_size=LARGE_CAMPAIGNS).SerializeToString()
        attacker.call(LIST, [asked] * 500)
    return ends(attacker)


def unfinished_messages(address: tuple[str, int], seconds: float) -> str:
    """Send 128 messages of 4 MiB, each without its last ten bytes."""
    with attacking(address, seconds) as attacker:
        attacker.call(BATCH_REDEEM, [b"\x12" * LARGE_BYTES] * 128, finished=False)
    return ends(attacker)


def long_to_handle(method: str, messages: Sequence[bytes], address: tuple[str, int], seconds: float) -> str:
    """Send many messages at once that take long to handle, and each again when it was answered."""
    with attacking(address, seconds) as attacker:
        attacker.call(method, messages, again=True)
    return ends(attacker)


def idle_connections(address: tuple[str, int], seconds: float) -> str:
    """Open 1,300 connections to a process that may open 1,024 files."""
    opened = [Attacker(address) for _ in range(1_300)]
    for attacker in opened:
        attacker.stay(0.01)
    time.sleep(seconds)
    for attacker in opened:
        attacker.stay(0.01)
        attacker.close()
    return ends(*opened)


def taken_back(address: tuple[str, int], seconds: float) -> str:
    """Begin calls and cancel each at once, as fast as possible; connect again if the server closes the connection."""
    until, attackers = time.monotonic() + seconds, []
    while (left := until - time.monotonic()) > 0:
        attacker = Attacker(address)
        attacker.reset(REDEEM, b"x" * 40, left)
        attacker.close()
        attackers.append(attacker)
    return ends(*attackers)


@contextmanager
def attacking(address: tuple[str, int], seconds: float, *, reads: bool = True) -> Iterator[Attacker]:
    """Yield one attacker, who then stays for some seconds."""
    attacker = Attacker(address, reads=reads)
    yield attacker
    attacker.stay(seconds)
    attacker.close()


def ends(*attackers: Attacker) -> str:
    """Return how the attackers' calls ended, and how often, as text."""
    counts = sum((attacker.ends for attacker in attackers), Counter[str]())
    return ", ".join(f"{what} {count:,}" for what, count in counts.most_common() if count) or "nothing"


def _head(method: str) -> list[tuple[str, str]]:
    names = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "attacker"}
    return [*names.items(), ("content-type", "application/grpc"), ("te", "trailers")]


def within(message: bytes, *fields: int) -> bytes:
    """Return a message that has another one in a field, and so on; the innermost field is the first."""
    for number in fields:
        size, length = len(message), b""
        while size > 0x7F:  # noqa: PLR2004 - a varint has seven bits in each byte
            length += bytes([size & 0x7F | 0x80])
            size >>= 7
        message = bytes([number << 3 | 2]) + length + bytes([size]) + message
    return message


ATTACKS: dict[str, Callable[[tuple[str, int], float], str]] = {
    "nobody": lambda _, seconds: time.sleep(seconds) or "",
    "500 answers of 3 MB unread": unread_answers,
    "128 messages of 4 MiB unfinished": unfinished_messages,
    "300 lists of 3 MB": partial(
        long_to_handle,
        LIST,
        [ListCampaignsRequest(program=PROGRAM, page_size=LARGE_CAMPAIGNS).SerializeToString()] * 300,
    ),
    "20 batches of 4 MB of empty orders": partial(
        long_to_handle, BATCH_REDEEM, [b"\x12\0" * (LARGE_BYTES // 2 - 9)] * 20
    ),
    "20 batches of 4 MB of empty lines": partial(
        # An order of a batch (field 2) has a checkout (2) with an order (3), whose lines are field 3.
        long_to_handle,
        BATCH_REDEEM,
        [within(b"\x1a\0" * (LARGE_BYTES // 2 - 20), 3, 2, 2)] * 20,
    ),
    "calls taken back": taken_back,
    "1,300 idle connections": idle_connections,
}


def large_campaign(number: int) -> v1.Campaign:
    """Return a definition of 51 KB."""
    now = int(time.time())
    skus = [f"{number:04}-{index:06}".ljust(SKU_BYTES, "x") for index in range(SKUS)]
    campaign = v1.Campaign(program=PROGRAM, name=f"large {number}", currency_code="CNY", time_zone="Asia/Shanghai")
    campaign.start_time.seconds, campaign.end_time.seconds = now - 86_400, now + 30 * 86_400
    offer = campaign.offers.add(name="20% off")
    offer.percent_off.basis_points, offer.percent_off.cap_minor = 2_000, 100_00
    offer.conditions.include.skus.extend(skus)
    campaign.limits.redemptions = 1_000_000
    return campaign


def campaign_of_windows() -> v1.Campaign:
    """Return a definition of 21 KB that is refused: 100 offers with 100 windows each."""
    campaign = large_campaign(0)
    del campaign.offers[0].conditions.include.skus[:]
    campaign.offers[0].conditions.windows.extend([v1.Window()] * 100)
    campaign.offers.extend([campaign.offers[0]] * 99)
    return campaign


def checked(campaigns: Sequence[v1.Campaign]) -> list[bytes]:
    """Return requests that only check whether campaigns would be created."""
    return [
        CreateCampaignRequest(
            request_id=secrets.token_hex(8), campaign=campaign, validate_only=True
        ).SerializeToString()
        for campaign in campaigns
    ]


@contextmanager
def ordinary(authority: str, requests: Sequence[bytes]) -> Iterator[list[tuple[float, str]]]:
    """Redeem all the time from another process; at the end the list has the milliseconds and status of each call."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    ended = context.Event()
    process = context.Process(target=_redeem, args=(authority, requests, there, ended))
    process.start()
    found: list[tuple[float, str]] = []
    try:
        here.recv()  # wait until it is connected
        yield found
    finally:
        ended.set()
        found += here.recv()
        process.join()


def _redeem(authority: str, requests: Sequence[bytes], results: Pipe, ended: Event) -> None:
    found = []
    with grpc.insecure_channel(authority) as channel:
        redeem = channel.unary_unary(REDEEM)
        each = iter(requests)
        redeem(next(each), timeout=REDEEM_SECONDS_MAX)
        results.send(True)
        for request in each:
            if ended.wait(REDEEM_EVERY_SECONDS):
                break
            began, status = time.perf_counter(), "OK"
            try:
                redeem(request, timeout=REDEEM_SECONDS_MAX)
            except grpc.RpcError as error:
                status = error.code().name
            found.append((1000 * (time.perf_counter() - began), status))
        results.send(found)


def measure(server: UnderTest, attack: Callable[[tuple[str, int], float], str], seconds: float) -> Damage:
    """Run one attack for some seconds; return its effect."""
    shop = Shop(server.authority, campaigns=1)
    requests = [request.SerializeToString() for request in shop.requests(ORDINARY_CALLS_MAX)]
    shop.close()
    settle()
    before, memory, ended = _megabytes(server), [0.0], threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            memory.append(_megabytes(server))

    looking = threading.Thread(target=look)
    looking.start()
    with ordinary(server.authority, requests) as found:
        attack_ends = attack(server.address, seconds)
    time.sleep(AFTER_SECONDS)
    ended.set()
    looking.join()
    times = sorted(milliseconds for milliseconds, _ in found) or [0.0]
    return Damage(
        before,
        max(memory),
        _megabytes(server),
        statistics.median(times),
        times[len(times) * 99 // 100],
        times[-1],
        sum(status != "OK" for _, status in found),
        attack_ends,
    )


def _megabytes(server: UnderTest) -> float:
    return sum(worker.memory_info().rss for worker in server.workers) / 1e6


def run_all(rounds: int, seconds: float, transports: Sequence[str]) -> Report:
    """Measure each attack on a new server."""
    definitions = checked([large_campaign(number) for number in range(100)])
    windows = checked([campaign_of_windows()] * 100)
    attacks = ATTACKS | {
        "100 definitions of 51 KB": partial(long_to_handle, CREATE, definitions),
        "100 definitions of 10,000 windows": partial(long_to_handle, CREATE, windows),
    }
    found: dict[tuple[str, str], list[Damage]] = {}
    for _ in range(rounds):
        for name, attack in attacks.items():
            for transport in transports:
                with ExitStack() as stack:
                    server = stack.enter_context(redemption_server(transport=transport))
                    for worker in server.workers if attack is idle_connections else ():
                        worker.rlimit(psutil.RLIMIT_NOFILE, (FILES, FILES))
                    with connect(server.authority) as channel:
                        for number in range(LARGE_CAMPAIGNS if "list" in name or "answers" in name else 0):
                            asked = CreateCampaignRequest(
                                request_id=secrets.token_hex(8), campaign=large_campaign(number)
                            )
                            RedemptionClient(channel).create_campaign(asked)
                    found.setdefault((name, transport), []).append(measure(server, attack, seconds))
    report = Report("attacks", {"rounds": str(rounds), "seconds": f"{seconds:g}"})
    for transport in transports:
        rows, notes = [], []
        for (name, carried_by), each in found.items():
            if carried_by == transport:
                figures = [
                    f"{statistics.median(one[place] for one in each):,.{digits}f}"
                    for place, digits in enumerate((0, 0, 0, 1, 1, 1, 0))
                ]
                rows.append((name, *figures))
                notes.append(f"{name}: {each[0].ends}")
        report.add(f"{transport}: worker's MB, the ordinary caller's ms; medians", _HEADER, rows, *notes[1:])
    report.data = {"cases": {f"{name}, {transport}": each for (name, transport), each in found.items()}}
    return report


_HEADER = ("attack", "before", "most", "after", "p50", "p99", "slowest", "failed")


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and write the results; return the exit code."""

    def measure_all(arguments: argparse.Namespace) -> tuple[Report, int]:
        return run_all(arguments.rounds, arguments.seconds, arguments.transports), 0

    return command.run(__doc__, measure_all, rounds=ROUNDS, seconds=SECONDS, transports=True, given=given)


if __name__ == "__main__":
    sys.exit(main())
