"""Has the ledger look at the campaigns of every program whose rules have thresholds, and logs what it finds.

Every server asks; the ledger looks once every few seconds. A program without thresholds is not asked about.
"""

import asyncio
import contextlib
from typing import Final

import structlog

from redemption.domain.errors import ServiceError
from redemption.domain.risk.rules import NO_THRESHOLDS
from redemption.domain.risk.warnings import RiskWarning
from redemption.ledger.stores.rules import RulesStore
from redemption.ledger.stores.warnings import Stale, WarningStore
from redemption.ledger.trust.fence import Fence

WATCH_SECONDS: Final = 5.0
CALLS_MAX: Final = 4
"""So many calls follow each other when a program has more campaigns than one call looks at, or its rules changed."""
LOADS_MAX: Final = 16
"""So many programs whose rules are not in memory are read in one round."""
_log = structlog.get_logger(__name__)


class Watching:
    """Asks the ledger every few seconds to look at campaigns."""

    def __init__(self, *, fence: Fence, rules: RulesStore, warnings: WarningStore) -> None:
        """Build it; after ``start`` it asks.

        Args:
            fence: Has the programs that this server serves.
            rules: Has their thresholds.
            warnings: The ledger's part of it.
        """
        self._fence = fence
        self._rules = rules
        self._warnings = warnings
        self._without: set[str] = set()
        """Programs that had no thresholds: they are not read again to find that out."""
        self._failed: dict[str, str] = {}
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Ask every few seconds from now on; needs a running event loop."""
        self._task = asyncio.create_task(self._ask_every_few_seconds(), name="early-warning")

    async def stop(self) -> None:
        """Stop; wait for a call that is in flight, so that what it found is logged."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def look(self) -> None:
        """Have the ledger look at the campaigns of every program once; a failure is logged, and not raised."""
        loads = LOADS_MAX
        for program in self._fence.programs():
            if self._stopping.is_set():
                return
            if self._rules.cached(program) is None:
                if program in self._without or not loads:
                    continue
                loads -= 1
            try:
                await self._look_at(program)
            except ServiceError as error:
                self._on_failure(program, getattr(error, "for_operator", error.message))
            except Exception as error:  # noqa: BLE001 - logged; nobody waits for it, and the next round tries again
                self._on_failure(program, f"{type(error).__name__}: {error}")
            else:
                self._failed.pop(program, None)

    async def _look_at(self, program: str) -> None:
        for _ in range(CALLS_MAX):
            active = self._rules.cached(program) or await self._rules.load(program)
            if active.rules.warnings == NO_THRESHOLDS:
                self._without.add(program)
                return
            self._without.discard(program)
            found = await self._warnings.watch(program, active.version, active.rules.warnings)
            if isinstance(found, Stale):  # also when a list changed, which happens often during an attack: ask again
                self._rules.redefined(program, found.changes)
                continue
            for warning in found.raised:
                _log.warning("a warning is raised", **_fields(program, warning))
            for warning in found.cleared:
                _log.info("a warning is cleared", **_fields(program, warning))
            if not found.is_more:
                return

    def _on_failure(self, program: str, cause: str) -> None:
        """Log a cause once, however many programs and rounds have it."""
        if cause not in self._failed.values():
            _log.error("the campaigns of a program are not watched", program=program, cause=cause)
        self._failed[program] = cause

    async def _ask_every_few_seconds(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._stopping.wait()
                    return
            await self.look()


def _fields(program: str, warning: RiskWarning) -> dict[str, str | int]:
    """Return what the log says of a warning."""
    fields: dict[str, str | int] = {
        "program": program,
        "campaign": warning.campaign,
        "reason": warning.reason.name,
        "description": warning.description,
    }
    if warning.outcome:
        fields["outcome"] = warning.outcome_name
    return fields
