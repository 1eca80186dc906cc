"""What Python does for one Redeem: how many function calls, in which files, and which objects it creates.

A whole server runs in this process, with a real ledger. A client in another thread redeems coupons one after the other,
and each function that the server's thread enters meanwhile is counted. The result is the median over the redemptions,
so that work beside them does not count. ``python tools/trace_redeem.py``
"""

import asyncio
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import grpc
import uvloop
from rich.console import Console
from rich.table import Table

import redemption
from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import Campaign, Limits, Offer
from redemption.domain.signed.check_values import check_values
from redemption.domain.signed.keyset import Keyset
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.ledger import RedisLedger
from redemption.ledger.trust.fence import Fence
from redemption.rpc.server import RpcConfig, RpcServer
from redemption.server.embedded_valkey import EmbeddedValkey
from redemption.service.issuer import MintRequest
from redemption.service.use_cases import UseCases
from redemption.v1.outcome_pb2 import OUTCOME_APPROVED
from redemption.v1.redemption_service_pb2 import RedeemRequest
from redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub

PROGRAM = "trace"
PACKAGE = str(Path(redemption.__file__).parent)
GENERATED = "<string>"
"""The file name of functions that dataclasses generate."""
WARM, TRACED = 50, 31
DAY_MS = 86_400_000
SECONDS_MAX = 10.0
FUNCTIONS_SHOWN = 12
BY_THE_CLOCK = ("Batcher._sweep", "Listener._keep_time")
"""Functions that run every 10 or 20 ms, whether orders come or not. They and what they call are left out: how many of
them fall into one redemption depends on how busy the machine is."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What one redemption does.

    Attributes:
        calls: How often each function (file and name) is entered.
        made: How many objects of each class are created by an ``__init__`` written in Python.
    """

    calls: Mapping[tuple[str, str], int]
    made: Mapping[str, int]

    @property
    def total(self) -> int:
        """Function calls in total."""
        return sum(self.calls.values())

    @property
    def files(self) -> Mapping[str, int]:
        """Function calls by file."""
        found: Counter[str] = Counter()
        for (file, _), count in self.calls.items():
            found[file] += count
        return found


@dataclass(slots=True)
class Recorder:
    """A profile function that counts which functions its thread enters."""

    functions: Counter[CodeType] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    left_out: FrameType | None = None

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Count a function that is entered."""
        if frame is self.left_out and event == "return":
            self.left_out = None
        if event != "call" or self.left_out is not None:
            return
        code = frame.f_code
        if code.co_qualname in BY_THE_CLOCK:
            self.left_out = frame
            return
        if not code.co_filename.startswith(PACKAGE) and code.co_filename != GENERATED:
            return
        self.functions[code] += 1
        if code.co_name in ("__init__", "__new__"):
            made = frame.f_locals.get("self", frame.f_locals.get("_cls"))
            self.made[made.__name__ if isinstance(made, type) else type(made).__name__] += 1


def trace() -> Trace:
    """Redeem coupons at a server in this process; return what one redemption does."""
    return uvloop.run(_trace())


async def _trace() -> Trace:
    with tempfile.TemporaryDirectory(prefix="redemption-trace-") as directory:
        valkey = EmbeddedValkey(Path(directory) / "ledger")
        await valkey.start()
        keyset = Keyset.generate(
            environment="development", development=True, now=int(time.time()), random=secrets.token_bytes
        )
        fence = Fence(Path(directory) / "fence", keyset.id, check_values(keyset))
        ledger = RedisLedger(Endpoint(valkey.url, "strict"), fence=fence, may_create_ledger=True)
        use_cases = UseCases(keyset, ledger)
        server = RpcServer(use_cases, RpcConfig())
        ledger.health.on_change(server.set_serving)
        await ledger.start()
        port = await server.start()
        try:
            tokens = await _minted(use_cases, ledger.now_ms())
            return await _traced(f"127.0.0.1:{port}", tokens)
        finally:
            await server.drain(0)
            await ledger.stop()
            await valkey.stop()


async def _minted(services: Any, now_ms: int) -> list[str]:  # noqa: ANN401 - the use cases
    caller = CallInfo("trace", "trace", "", float("inf"))
    campaign = await services.campaigns.create(
        caller,
        "trace",
        Campaign(
            program=PROGRAM,
            name="50 off 200",
            currency_code="CNY",
            time_zone="Asia/Shanghai",
            starts_at_ms=now_ms - DAY_MS,
            ends_at_ms=now_ms + DAY_MS,
            offers=(Offer(amount_off(200_00, 50_00)),),
            limits=Limits(redemptions=10**9, redemptions_per_customer=5, redemptions_per_day=10**9),
        ),
    )
    order = MintRequest(PROGRAM, "mint", campaign.number, 0, WARM + TRACED)
    return [minted.token async for chunk in await services.issuer.mint(caller, order) for minted in chunk]


async def _traced(address: str, tokens: list[str]) -> Trace:
    recorders = [Recorder() for _ in range(TRACED)]
    loop = asyncio.get_running_loop()
    with _client(address) as redeem:
        for index, token in enumerate(tokens[:WARM]):
            await loop.run_in_executor(None, redeem, index, token)
        for index, (token, recorder) in enumerate(zip(tokens[WARM:], recorders, strict=True)):
            redeeming = loop.run_in_executor(None, redeem, WARM + index, token)
            sys.setprofile(recorder)
            await redeeming
            sys.setprofile(None)
    functions = {code for recorder in recorders for code in recorder.functions}
    names = {name for recorder in recorders for name in recorder.made}
    calls: Counter[tuple[str, str]] = Counter()
    for code in functions:
        calls[_place(code)] += int(statistics.median(recorder.functions[code] for recorder in recorders))
    made = {name: int(statistics.median(recorder.made[name] for recorder in recorders)) for name in names}
    return Trace({place: count for place, count in calls.items() if count}, {name: n for name, n in made.items() if n})


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """Yield a function that redeems one coupon, to be called in another thread."""
    with grpc.insecure_channel(address) as channel:
        stub = RedemptionServiceStub(channel)  # type: ignore[no-untyped-call]

        def redeem(index: int, token: str) -> None:
            assert threading.current_thread() is not threading.main_thread()
            answer = stub.Redeem(_request(index, token), timeout=SECONDS_MAX)
            assert answer.decision.outcome == OUTCOME_APPROVED, answer

        yield redeem


def _request(index: int, token: str) -> RedeemRequest:
    request = RedeemRequest(request_id=f"request-{index}")
    checkout = request.checkout
    checkout.program = PROGRAM
    checkout.tokens.append(token)
    checkout.order.order_id = f"order-{index}"
    checkout.order.currency_code = "CNY"
    checkout.order.lines.add(line_id="1", sku="sku-1", quantity=1, amount_minor=238_00)
    checkout.customer.customer_id = f"customer-{index}"
    return request


def _place(code: CodeType) -> tuple[str, str]:
    if code.co_filename == GENERATED:
        return "(made by dataclasses)", code.co_qualname
    return str(Path(code.co_filename).relative_to(PACKAGE)), code.co_qualname


def main() -> int:
    """Trace, and print the result."""
    found = trace()
    console = Console()
    console.print(
        f"one Redeem: {found.total} calls in {len(found.files)} files, {sum(found.made.values())} objects made"
    )
    for header, rows in (
        ("file", sorted(found.files.items(), key=lambda pair: -pair[1])),
        ("object", sorted(found.made.items(), key=lambda pair: -pair[1])),
        ("function", [(f"{file} {name}", n) for (file, name), n in Counter(found.calls).most_common(FUNCTIONS_SHOWN)]),
    ):
        table = Table(header, "times")
        for name, count in rows:
            table.add_row(name, str(count))
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
