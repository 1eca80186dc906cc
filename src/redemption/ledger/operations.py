"""What an operator reads from ledgers and changes in them; works also for a ledger that is not served."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from redemption.domain.errors import LedgerRefused
from redemption.ledger.functions import FunctionClient, pairs
from redemption.ledger.stores.catalog import Catalog
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.header import HEADER_FIELDS, identity_of, read_header
from redemption.ledger.trust.reply_errors import CLOCK_AHEAD, CLOCK_AHEAD_CURE, NOT_TRUSTED, LedgerNotTrusted


class Operations:
    """Status, adoption, upgrade of the format, and reset of a stored clock that is in the future."""

    def __init__(self, functions: FunctionClient, *, fence: Fence, catalog: Catalog, clock: Clock) -> None:
        """Build it.

        Args:
            functions: The ledger.
            fence: The last known state of each program's ledger.
            catalog: Definitions that were read; emptied when a ledger may have become another one.
            clock: To see whether a stored clock is in the future.
        """
        self._functions = functions
        self._fence = fence
        self._catalog = catalog
        self._clock = clock

    async def status(self, unless_remembered: str) -> list[dict[str, str]]:
        """Return the status of each remembered program's ledger, or if there is none, of the program named."""
        rows = []
        for program in self._fence.programs() or [unless_remembered]:
            status = await self._status_of(program)
            mark = self._fence.mark(program)
            remembered = {"remembered_epoch": mark.epoch, "remembered_seq": str(mark.seq)} if mark else {}
            clock = self._clock_text(status.get("clock_ms", ""))
            trusted = {"trusted": await self._trusted(program, status)}
            rows.append({"program": program, **status, **remembered, **clock, **trusted})
        return rows

    def _clock_text(self, clock_ms: str) -> dict[str, str]:
        """Return the stored clock as people read it, and by how much it is ahead; nothing when it cannot be read."""
        try:
            stored = datetime.fromtimestamp(int(clock_ms) / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            return {}
        ahead = int(clock_ms) - self._clock.own_ms()
        much = f", {ahead // 1000} s ahead of this machine" if ahead > self._clock.apart_ms_max else ""
        return {"clock": f"{stored:%Y-%m-%d %H:%M:%S} UTC{much}"}

    async def _status_of(self, program: str) -> dict[str, str]:
        return pairs(await self._functions.call_bare("status", program))

    async def _trusted(self, program: str, status: Mapping[str, str]) -> str:
        """Return "yes", or why a ledger is not served: its identity, then its format, its keyset and its clock."""
        mark = self._fence.mark(program)
        try:
            identity = identity_of(status)
            if identity is None and mark is None:
                return "there is no ledger of this program here"
            problem = self._fence.problem(mark, identity)
            if problem:
                return f"it {problem}" if mark else f"it {problem}: redemption ledger adopt --program {program}"
            header = read_header(*(status.get(name, "") for name in HEADER_FIELDS))
            (stored,) = await self._functions.stored_check_values([program])
            self._fence.require_keyset(program, header, stored)
        except LedgerRefused as error:
            return error.for_operator
        if header is not None and header.clock_ms > self._clock.own_ms() + self._clock.apart_ms_max:
            return f"{CLOCK_AHEAD}. {CLOCK_AHEAD_CURE}"
        return "yes"

    async def adopt(self, program: str) -> dict[str, str]:
        """Accept a program's ledger as it is, empty or not: it is the one to serve from now on."""
        checks = [text for value in self._fence.check_values.items() for text in value]
        found = await self._functions.call("adopt", program, self._fence.keyset_id, secrets.token_hex(8), *checks)
        self._catalog.clear()
        header = pairs(found)
        self._fence.adopt(program, header["epoch"], int(header["seq"]))
        return header

    async def upgrade(self, program: str | None, unless_remembered: str) -> list[dict[str, str]]:
        """Change ledgers to this version's format. A ledger that is not the remembered one is left as it is.

        Args:
            program: Whose ledger; None for all remembered programs.
            unless_remembered: The program to upgrade if ``program`` is None and no program is remembered.

        Returns:
            For each ledger that exists: its program, its format before (``was``), its header now, and whether it is
            ``trusted``.
        """
        rows = []
        for each in [program] if program else self._fence.programs() or [unless_remembered]:
            before = await self._status_of(each)
            mark = self._fence.mark(each)
            identity = identity_of(before)
            if identity is None and mark is None:
                continue
            status = before
            if not self._fence.contradiction(mark, identity):
                args = (self._fence.keyset_id, secrets.token_hex(8))
                status = pairs(await self._functions.call("upgrade", each, *args))
                identity = identity_of(status)
            if identity is not None:
                if mark is not None and status.get("adopted_from") == mark.epoch:
                    # Upgraded by this call, or by another machine before.
                    self._fence.adopt(each, identity.epoch, identity.seq)
                elif not self._fence.contradiction(mark, identity):
                    self._fence.observe(each, identity.epoch, identity.seq)
            was = before.get("format", "")
            rows.append({"program": each, "was": was, **status, "trusted": await self._trusted(each, status)})
        self._catalog.clear()
        return rows

    async def reset_clock(self, program: str) -> dict[str, str]:
        """Set the clock that a program's ledger stored to the present, when it is in the future.

        Raises:
            LedgerNotTrusted: There is no ledger, or it is not the remembered one, or it is of another format.
            LedgerClockApart: The clocks of its host and of this machine differ, so the present time is not known.
        """
        trusted = await self._trusted(program, await self._status_of(program))
        if trusted != "yes" and not trusted.startswith(CLOCK_AHEAD):
            raise LedgerNotTrusted(NOT_TRUSTED, for_operator=f"program {program!r}: {trusted}")
        if self._fence.mark(program) is None:
            await self._functions.open(program, create=False)  # the fence remembers it from now on
        status = pairs(await self._functions.call("reset_clock", program))
        self._fence.observe(program, status["epoch"], int(status["seq"]))
        return {"program": program, **status}
