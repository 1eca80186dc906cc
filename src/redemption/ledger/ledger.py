"""The ledger of all programs: builds its parts, starts and stops them, and checks whether it can be trusted."""

import asyncio
import contextlib

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from redemption.domain.errors import LedgerRefused, LedgerUnavailable, ServiceError
from redemption.ledger.causes import LedgerUnreachable, writes_hang
from redemption.ledger.commit.batcher import LANES, Batcher
from redemption.ledger.commit.item_queue import ItemQueue
from redemption.ledger.commit.lane import Lane
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.functions import FunctionClient
from redemption.ledger.operations import Operations
from redemption.ledger.permissions import forbids
from redemption.ledger.probe import look
from redemption.ledger.reachability import Reachability
from redemption.ledger.stores.attempts import AttemptStore
from redemption.ledger.stores.campaigns import CampaignStore
from redemption.ledger.stores.catalog import Catalog
from redemption.ledger.stores.issuing import IssuingStore
from redemption.ledger.stores.orders import OrderStore
from redemption.ledger.stores.refusal_counts import RefusalCounts
from redemption.ledger.stores.reversals import ReversalStore
from redemption.ledger.stores.revocation import RevocationStore
from redemption.ledger.stores.rules import RulesStore
from redemption.ledger.stores.warnings import WarningStore
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.durability import MEMORY_ALARM, Checked
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.fence_saving import FenceSaving
from redemption.ledger.trust.health import LedgerHealth
from redemption.ledger.trust.proof import LedgerNotDurable, prove
from redemption.ledger.trust.reply_errors import (
    FULL,
    NOT_TRUSTED,
    LedgerFull,
    LedgerNotReady,
    LedgerNotTrusted,
    LedgerUnknown,
)
from redemption.ledger.trust.write_check import refused_programs
from redemption.ledger.watching import Watching
from redemption.scheduling.work_bounds import WorkBounds

CHECK_SECONDS = 1.0
CHECK_SECONDS_MAX = 3.0
"""A ledger that does not answer a check within this time is not healthy."""
TRAIL_SECONDS = 2.0
"""With ``fast``, what a check read is proved and remembered so much later: while Valkey begins another append-only
file, WAITAOF may say that the one before is on disk when it is not yet."""
FULL_UNTIL = 0.98
"""A ledger without memory is full until it uses less than this share: its own buffers make it waver at the limit."""
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
        may_create_ledger: bool,
        outbox_max: int = OUTBOX_MAX,
        bounds: WorkBounds | None = None,
    ) -> None:
        """Build it; ``start`` connects.

        Args:
            endpoint: Its address and what it must be set to.
            fence: The last known state of each program's ledger.
            may_create_ledger: The first campaign of an unknown program creates its ledger (development); else an
                operator must adopt the empty ledger first.
            outbox_max: About how many entries the event stream of a program keeps.
            bounds: How much work may wait or run at a time; None for the defaults.
        """
        self._endpoint = endpoint
        self._fence = fence
        self._catalog = Catalog()
        self._client = endpoint.client()
        self.health = LedgerHealth()
        self._reachability = Reachability()
        self._clock = Clock(endpoint.clock_apart_seconds_max)
        pool = endpoint.pool()
        self.batcher = Batcher(
            lanes=[Lane(pool, endpoint, fence) for _ in range(LANES)],
            fence=fence,
            clock=self._clock,
            outbox_max=outbox_max,
            waiting_max=(bounds or WorkBounds()).orders_waiting_max,
            redefined=self._redefined,
            health=self.health,
            reachability=self._reachability,
        )
        self._functions = FunctionClient(
            self._client,
            fence=fence,
            health=self.health,
            reachability=self._reachability,
            clock=self._clock,
            outbox_max=outbox_max,
            place=endpoint.place(),
            durability=endpoint.durability,
        )
        self._refusal_counts = RefusalCounts(self._functions)
        queue = ItemQueue(self.batcher, fence=fence, health=self.health)
        self.orders = OrderStore(
            self._functions,
            queue=queue,
            catalog=self._catalog,
            redefined=self._redefined,
            refusal_counts=self._refusal_counts,
        )
        self.reversals = ReversalStore(queue)
        self.campaigns = CampaignStore(self._functions, catalog=self._catalog, may_create_ledger=may_create_ledger)
        self.issuing = IssuingStore(self._functions, queue=queue, fence=fence)
        self.revocation = RevocationStore(self._functions)
        self.rules = RulesStore(self._functions, may_create_ledger=may_create_ledger)
        self.attempts = AttemptStore(self._functions, rules=self.rules, fence=fence, now_ms=self.now_ms)
        self.warnings = WarningStore(self._functions)
        self.watching = Watching(fence=fence, rules=self.rules, warnings=self.warnings)
        self.operations = Operations(self._functions, fence=fence, catalog=self._catalog, clock=self._clock)
        self._watching: asyncio.Task[None] | None = None
        self._refused: dict[str, str] = {}
        self._trailing: tuple[float, Checked | None] = 0.0, None
        self._saving = FenceSaving(fence)
        self._save: asyncio.Task[None] | None = None
        self._memory_alarm = False
        self._proved_state: tuple[str, ...] = ()

    async def start(self) -> None:
        """Start the lanes, check the ledger once, load the rules, and start the check that runs every second."""
        self.batcher.start()
        self._refusal_counts.start()
        self.attempts.start()
        await self.check()
        await self.rules.preload(self._fence.programs())
        self._watching = asyncio.create_task(self._watch(), name="ledger-watch")
        self.watching.start()

    async def require_usable(self, program: str) -> None:
        """Check, at a start, everything that would fail the first call.

        A ledger without memory passes: it still answers what it remembers. So does one that waits until an operator
        adopts it: the server starts, and until then its health says NOT_SERVING.

        Raises:
            ServiceError: Why the ledger cannot be used; ``for_operator`` has its address and what to do.
        """
        failure = self.health.failure
        if failure is None or isinstance(failure, LedgerFull | LedgerUnknown):
            try:
                async with self._functions.bounded(CHECK_SECONDS_MAX):
                    await self._endpoint.prepare(self._client, self._fence)
                    if isinstance(failure, LedgerUnknown):  # the check has not come to the proof
                        await prove(self._client)
                missing = await self._functions.call_bare("permissions", program)
            except ServiceError as error:
                failure = error
            else:
                failure = forbids([name.decode() for name in missing]) if missing else None
        if failure is not None:
            await self.explain(failure)
            raise failure

    async def explain(self, failure: ServiceError) -> None:
        """Add the ledger's address to what a failure tells the operator and, where it is unclear, what is there."""
        if not isinstance(failure, LedgerUnavailable) or isinstance(failure, LedgerNotTrusted):
            return
        place = self._endpoint.place()
        unclear = isinstance(failure, LedgerUnreachable) and not failure.is_clear
        seen = await look(place) if unclear else None
        if seen:
            failure.for_operator = f"the ledger at {place} {seen}"
        elif str(place) not in failure.for_operator:
            failure.for_operator += f" (the ledger at {place})"

    async def stop(self) -> None:
        """Stop all parts, and save the fence."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.watching.stop()
        await self.batcher.stop()
        await self._refusal_counts.stop()
        await self.attempts.stop()
        await self.campaigns.stop()
        await self.rules.stop()
        await self._functions.stop()
        await self._client.aclose(close_connection_pool=True)
        if self._save is not None:  # of what was known a moment ago
            await asyncio.wait({self._save}, timeout=CHECK_SECONDS)
        await self._save_fence()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()
            await self._save_fence()

    async def _save_fence(self) -> None:
        """Save the fence, unless a save is under way still; wait for a second at most.

        A disk that does not answer must stop neither the checks nor a stop.
        """
        if self._save is None or self._save.done():
            self._save = asyncio.create_task(asyncio.to_thread(self._saving.save))
        await asyncio.wait({self._save}, timeout=CHECK_SECONDS)

    async def check(self) -> None:
        """Check that the ledger is set up as required and is the known one, and report the result to ``health``."""
        try:
            try:
                await self._check()
            except LedgerUnavailable as error:
                if not isinstance(error.__cause__, RedisConnectionError):
                    raise
                await self._check()  # one connection was closed, which says nothing of the ledger
        except LedgerNotTrusted as error:
            self._reachability.on_reply()
            # An operator may have adopted this ledger meanwhile: then the file has its mark, and the next check passes.
            # The catalog still holds definitions of the ledger before: in this one, the same numbers and versions may
            # be other definitions.
            self.health.on_check(error)
            self._catalog.clear()
            self.rules.clear()
            with contextlib.suppress(LedgerNotTrusted, OSError):
                self._fence.learn_adoptions()
        except ServiceError as error:
            if isinstance(error, LedgerNotReady | LedgerUnreachable):
                self._reachability.on_failed_check()
            else:
                self._reachability.on_reply()
            self.health.on_check(error)
        except Exception as error:  # noqa: BLE001 - logged by the health; whatever the error is, the check failed
            broken = LedgerRefused("the ledger could not be checked; its operator finds the cause in the log")
            broken.__cause__ = error
            self.health.on_check(broken)
        else:
            self._reachability.on_reply()
            self.health.on_check(self._saving.failure)
        failure = self.health.failure
        if isinstance(failure, LedgerRefused) and not isinstance(failure, LedgerFull):
            self.batcher.refuse_waiting(failure)

    async def _check(self) -> None:
        if not self._fence.learns:
            # An operator may have adopted the ledger of a program that was not known.
            with contextlib.suppress(LedgerNotTrusted, OSError):
                self._fence.learn_adoptions()
        reads_answered = False
        try:
            async with self._functions.bounded(CHECK_SECONDS_MAX):
                found = await self._endpoint.check(self._client, self._fence)
                await self._check_keyset()
                reads_answered = True
                await self._check_writes(found)
        except LedgerUnreachable as error:
            if reads_answered and isinstance(error.__cause__, TimeoutError) and not error.is_clear:
                error.for_operator = writes_hang(self._endpoint.place())
            raise

    async def _check_writes(self, found: Checked) -> None:
        """See whether the ledger would take writes, and keeps them."""
        programs = self._fence.programs()
        refused = await refused_programs(self._client, programs, fence=self._fence, clock=self._clock)
        self._log_refused(refused)
        if programs and len(refused) == len(programs):
            raise LedgerUnavailable("the ledger refuses the calls of every program; the log of the server says why")
        if not programs and not self._fence.learns:
            raise LedgerUnknown(
                "this server knows no ledger yet, so nothing is served; its operator finds the cause in the log",
                for_operator=f"{self._fence.path} remembers no ledger, so nothing is served. If the ledger is the "
                "right one, accept it on this machine: redemption ledger adopt --program NAME. If the file was "
                "lost, restore it, and keep it on a volume of its own (REDEMPTION_FENCE)",
            )
        self._log_memory(found.memory_share)
        if isinstance(self.health.failure, LedgerFull) and found.memory_share > FULL_UNTIL:
            raise LedgerFull(FULL)
        await self._prove(found)

    async def _check_keyset(self) -> None:
        """Compare the keyset with what each remembered ledger and the fence know of it, and have new keys noted there.

        Raises:
            LedgerNotTrusted: It was edited: it has the same id and another secret.
        """
        programs = self._fence.programs()
        for program, stored in zip(programs, await self._functions.stored_check_values(programs), strict=True):
            problem = self._fence.keyset_problem(program, stored)
            if problem:
                raise LedgerNotTrusted(NOT_TRUSTED, for_operator=problem)
            self._fence.remember_keyset(program)
            if len(stored) < len(self._fence.check_values):
                # A ledger that takes no write now is served all the same; the next check tries again.
                with contextlib.suppress(ServiceError):
                    await self._functions.open(program, create=False)

    async def _prove(self, found: Checked) -> None:
        """Prove that the ledger keeps what it writes, where that is not known, and remember what is on its disk."""
        if self.health.failure is not None or found.file_state != self._proved_state:
            await prove(self._client, run_id=found.run_id)
            self._proved_state = found.file_state
        if not self._fence.trails:
            self._remember(found)
            return
        now, (since, waiting) = asyncio.get_running_loop().time(), self._trailing
        if waiting is None or waiting.run_id != found.run_id:
            self._trailing = now, found if self._fence.is_behind(found.headers) else None
        elif now - since >= TRAIL_SECONDS:
            with contextlib.suppress(LedgerNotDurable):  # the same file as before, so the disk is slow: try again
                await prove(self._client, run_id=waiting.run_id)
                self._remember(waiting)
                self._trailing = now, None

    def _remember(self, found: Checked) -> None:
        for program, header in found.headers.items():
            self._fence.remember(program, header.epoch, header.seq)

    def _log_refused(self, refused: dict[str, str]) -> None:
        """Log, when it changes, of which programs the ledger takes no call."""
        for program, cause in refused.items():
            if self._refused.get(program) != cause:
                _log.error("the program is refused", program=program, cause=cause)
        for program in self._refused.keys() - refused.keys():
            _log.info("the program is served again", program=program)
        self._refused = refused

    def _log_memory(self, share: float) -> None:
        """Warn when the ledger's memory becomes almost full."""
        is_alarm = share > MEMORY_ALARM
        if is_alarm and not self._memory_alarm:
            _log.warning("the ledger's memory is almost full", used_percent=round(share * 100))
        self._memory_alarm = is_alarm

    def _redefined(self, program: str, number: int, version: int, definition: bytes) -> None:
        """Cache what the ledger sent because a judgement was outdated: a campaign, or with number 0 the rules."""
        if number:
            self._catalog.redefined(program, number, version, definition)
        else:
            self.rules.redefined(program, definition)

    def now_ms(self) -> int:
        """Return an estimate of the ledger's clock, Unix milliseconds."""
        return self._clock.now_ms()
