"""Orders for a private ledger, packed before by the real use case, so that only the ledger is measured.

Each order has one token, one line, another customer and another request: the most expensive case.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from generator import Run
from ledger_alone import DEADLINE_SECONDS, Recorder, ledger_loop, pack_batch
from private import PROGRAM, Private, calling

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import Limits, Offer
from redemption.domain.order import NO_RISK_CONTEXT, Checkout, Customer, Line, Order, RiskContext
from redemption.service.pending_order import RedeemRequest
from redemption.service.use_cases import UseCases

SPEND_MINOR = 238_00
OFFER = Offer(amount_off(200_00, 50_00))
LIMITS = Limits(
    redemptions=10**9,
    redemptions_per_customer=5,
    redemptions_per_customer_per_day=5,
    redemptions_per_day=10**9,
    budget_minor=10**15,
)
"""A limit of every kind; none is reached."""
SECONDS_MAX = 600.0
_NOT_CALLED = ("fcall", "info")
"""Commands that clients send during a measurement; the others are called by functions."""
APPROVED = b"A"
"""The first byte of the ledger's reply to an approved order, see ``lua/orders.lua``."""


Context: TypeAlias = Callable[[str], tuple[Customer, RiskContext]]
"""Returns who sends an order, by the order's name."""


def customer_of(name: str) -> tuple[Customer, RiskContext]:
    """Return a customer of an order's own, and no risk signals."""
    return Customer(f"customer-{name}"), NO_RISK_CONTEXT


class Packer:
    """Packs orders, to the point where the server would call the ledger."""

    def __init__(self, private: Private, context: Context = customer_of) -> None:
        self._private = private
        self._context = context
        self._recorder = Recorder(private.ledger)
        self._redeemer = UseCases(private.keyset, self._recorder).redeemer  # type: ignore[arg-type]

    async def items(self, tokens: Sequence[str]) -> list[bytes]:
        """Return one packed order for each token; if a token is given again, it is for another order."""
        name = secrets.token_hex(8)
        attempts = [self._attempt(token, f"{name}-{index}") for index, token in enumerate(tokens)]
        deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        await self._redeemer.redeem_all(calling(deadline=deadline), attempts)
        packed, self._recorder.packed = self._recorder.packed, []
        return packed

    def calls(self, items: Sequence[bytes], size: int) -> list[bytes]:
        """Return the calls for these packed orders, with ``size`` in each."""
        known = self._private.fence.known(PROGRAM)
        return [pack_batch(known, items[start : start + size]) for start in range(0, len(items), size)]

    def _attempt(self, token: str, name: str) -> RedeemRequest:
        order = Order(f"order-{name}", "CNY", (Line("1", 1, SPEND_MINOR, SPEND_MINOR, sku="sku-1"),))
        return RedeemRequest(f"request-{name}", Checkout(PROGRAM, (token,), order, *self._context(name)))


def send(private: Private, calls: Sequence[bytes]) -> Run:
    """Send calls, one in flight on each of two connections, until all are answered.

    Raises:
        RuntimeError: The ledger refused a call as a whole.
    """
    run = ledger_loop(private.directory, calls, seconds=SECONDS_MAX)
    if run.failures or run.sent != len(calls):
        raise RuntimeError(f"{run.sent} of {len(calls)} calls were sent, {dict(run.failures)} came back")
    return run


@dataclass(frozen=True, slots=True)
class Spent:
    """What a ledger has spent so far.

    Attributes:
        script_us: Time inside its functions.
        cpu_us: CPU of the whole process.
        aof_bytes: Bytes of its append-only file.
        commands: Calls and microseconds of each command, including commands called by functions.
    """

    script_us: float
    cpu_us: float
    aof_bytes: int
    commands: Mapping[str, tuple[int, float]]

    @property
    def called_us(self) -> float:
        """Microseconds in commands that were called by functions."""
        return sum(usec for name, (_, usec) in self.commands.items() if name not in _NOT_CALLED)

    @classmethod
    async def by(cls, private: Private) -> "Spent":
        """Read the figures from the ledger."""
        info = await private.redis.info("everything")
        commands = {
            name.removeprefix("cmdstat_"): (int(stat["calls"]), float(stat["usec"]))
            for name, stat in info.items()
            if name.startswith("cmdstat_")
        }
        return cls(
            script_us=commands.get("fcall", (0, 0.0))[1],
            cpu_us=1e6 * (info["used_cpu_sys"] + info["used_cpu_user"]),
            aof_bytes=info["aof_current_size"],
            commands=commands,
        )

    def __sub__(self, other: "Spent") -> "Spent":
        commands = {}
        for name, (calls, usec) in self.commands.items():
            calls_before, usec_before = other.commands.get(name, (0, 0.0))
            if calls > calls_before:
                commands[name] = (calls - calls_before, usec - usec_before)
        return Spent(
            self.script_us - other.script_us, self.cpu_us - other.cpu_us, self.aof_bytes - other.aof_bytes, commands
        )
