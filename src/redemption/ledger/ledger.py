"""The ledger of all programs: builds its parts, starts and stops them, and checks whether it may be believed."""

import asyncio
import contextlib

import structlog

from redemption.domain.errors import LedgerRefused, ServiceError
from redemption.ledger.commit.batcher import LANES, Batcher
from redemption.ledger.commit.lane import Lane
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.functions import FunctionClient
from redemption.ledger.operations import Operations
from redemption.ledger.stores.campaigns import CampaignStore
from redemption.ledger.stores.catalog import Catalog
from redemption.ledger.stores.issuing import IssuingStore
from redemption.ledger.stores.orders import OrderStore
from redemption.ledger.stores.refusal_counts import RefusalCounts
from redemption.ledger.stores.revocation import RevocationStore
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.reply_errors import CLOCK_AHEAD, CLOCK_AHEAD_CURE, LedgerNotTrusted
from redemption.scheduling.work_bounds import WorkBounds

CHECK_SECONDS = 1.0
CHECK_SECONDS_MAX = 2.0
"""A ledger that takes longer to be checked is not healthy."""
OUTBOX_MAX = 65_536
"""About how many calls the event stream keeps by default; older entries are trimmed."""
_log = structlog.get_logger(__name__)


class RedisLedger:
    """The ledger of all programs, on one Valkey or Redis; implements ``domain.ports.ledger.Ledger``."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        fence: Fence,
        births_allowed: bool,
        outbox_max: int = OUTBOX_MAX,
        bounds: WorkBounds | None = None,
    ) -> None:
        """Build it; ``start`` connects.

        Args:
            endpoint: Where it is.
            fence: What is remembered of it.
            births_allowed: A program that nobody remembers may begin with its first campaign (development); else an
                operator adopts its empty ledger first.
            outbox_max: About how many entries the event stream of a program keeps.
            bounds: How much work is taken on at a time; None: as by default.
        """
        self._endpoint = endpoint
        self._fence = fence
        self._catalog = Catalog()
        self._client = endpoint.client()
        self.health = LedgerHealth()
        self._clock = Clock(endpoint.clock_apart_seconds_max)
        pool = endpoint.pool()
        self.batcher = Batcher(
            lanes=[Lane(pool, endpoint, fence) for _ in range(LANES)],
            fence=fence,
            clock=self._clock,
            outbox_max=outbox_max,
            waiting_max=(bounds or WorkBounds()).orders_waiting_max,
            redefined=self._catalog.redefined,
            health=self.health,
        )
        self._functions = FunctionClient(
            self._client, fence=fence, health=self.health, clock=self._clock, outbox_max=outbox_max
        )
        self._refusal_counts = RefusalCounts(self._functions)
        self.orders = OrderStore(
            self._functions,
            batcher=self.batcher,
            catalog=self._catalog,
            refusal_counts=self._refusal_counts,
            fence=fence,
            health=self.health,
        )
        self.campaigns = CampaignStore(self._functions, catalog=self._catalog, births_allowed=births_allowed)
        self.issuing = IssuingStore(self._functions, batcher=self.batcher, fence=fence, health=self.health)
        self.revocation = RevocationStore(self._functions)
        self.operations = Operations(self._functions, fence=fence, catalog=self._catalog, clock=self._clock)
        self._watching: asyncio.Task[None] | None = None
        self._ahead: set[str] = set()

    async def start(self) -> None:
        """Start the lanes and the watch, and check the ledger for the first time."""
        self.batcher.start()
        self._refusal_counts.start()
        await self.check()
        self._watching = asyncio.create_task(self._watch(), name="ledger-watch")

    async def stop(self) -> None:
        """Stop, and write down what was seen."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.batcher.stop()
        await self._refusal_counts.stop()
        await self.campaigns.stop()
        await self._functions.stop()
        await self._client.aclose(close_connection_pool=True)
        self._save()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()
            await asyncio.to_thread(self._save)

    async def check(self) -> None:
        """Check whether the ledger keeps its promises and is the one we know."""
        try:
            async with self._functions.asked(CHECK_SECONDS_MAX):
                self._tell_ahead(await self._endpoint.check(self._client, self._fence))
        except LedgerNotTrusted as error:
            # An operator may have adopted it meanwhile: then the file knows, and the next check finds all well. What is
            # at hand is of the ledger before: the same numbers and versions may be other definitions now.
            self.health.on_check(error)
            self._catalog.clear()
            with contextlib.suppress(LedgerNotTrusted, OSError):
                self._fence.learn_adoptions()
        except ServiceError as error:
            self.health.on_check(error)
        except Exception as error:  # noqa: BLE001 - a check that fails is a finding, whatever it stumbled over
            _log.error("the ledger could not be checked", error=repr(error))
            self.health.on_check(
                LedgerRefused("the ledger could not be checked; its operator finds the cause in the log")
            )
        else:
            self.health.on_check(None)
        failure = self.health.failure
        if isinstance(failure, LedgerRefused):
            self.batcher.refuse_waiting(failure)

    def _tell_ahead(self, ahead: set[str]) -> None:
        """Log of which programs the ledger remembers a time that has not come, when that changes."""
        for program in ahead - self._ahead:
            _log.error("the program is refused", program=program, cause=CLOCK_AHEAD, cure=CLOCK_AHEAD_CURE)
        for program in self._ahead - ahead:
            _log.info("the program is served again", program=program)
        self._ahead = ahead

    def _save(self) -> None:
        try:
            self._fence.save()
        except Exception as error:  # noqa: BLE001 - the watch goes on, whatever happened to the file
            _log.error(
                "what was seen of the ledger cannot be written down", path=str(self._fence.path), error=str(error)
            )

    def now_ms(self) -> int:
        """Return an estimate of the ledger's clock, Unix milliseconds."""
        return self._clock.now_ms()
