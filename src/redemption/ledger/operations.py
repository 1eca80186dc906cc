"""What an operator asks of ledgers, and does to them: also to one that is not served."""

import secrets
from collections.abc import Mapping

from redemption.domain.errors import LedgerRefused
from redemption.ledger.functions import FunctionClient, pairs
from redemption.ledger.stores.catalog import Catalog
from redemption.ledger.trust.clock import Clock
from redemption.ledger.trust.fence import Fence
from redemption.ledger.trust.header import HEADER_FIELDS, identity_of, read_header
from redemption.ledger.trust.reply_errors import CLOCK_AHEAD, CLOCK_AHEAD_CURE, LedgerNotTrusted


class Operations:
    """Status, adoption, the upgrade of the format, and a clock that was ahead."""

    def __init__(self, functions: FunctionClient, *, fence: Fence, catalog: Catalog, clock: Clock) -> None:
        """Build it.

        Args:
            functions: The ledger.
            fence: What is remembered of it.
            catalog: Definitions that were read; emptied when a ledger may have become another one.
            clock: Tells which time has not come.
        """
        self._functions = functions
        self._fence = fence
        self._catalog = catalog
        self._clock = clock

    async def status(self, unless_remembered: str) -> list[dict[str, str]]:
        """Return what the ledgers say of themselves: of every program that is remembered, or else of the one named."""
        rows = []
        for program in self._fence.programs() or [unless_remembered]:
            said = await self._said(program)
            mark = self._fence.mark(program)
            remembered = {"remembered_epoch": mark.epoch, "remembered_seq": str(mark.seq)} if mark else {}
            rows.append({"program": program, **said, **remembered, "trusted": self._trusted(program, said)})
        return rows

    async def _said(self, program: str) -> dict[str, str]:
        return pairs(await self._functions.call_bare("status", program))

    def _trusted(self, program: str, said: Mapping[str, str]) -> str:
        """Return "yes", or why a ledger is not served: first whether it is the right one, then its format and clock."""
        mark = self._fence.mark(program)
        try:
            identity = identity_of(said)
            if identity is None and mark is None:
                return "there is no ledger of this program here"
            problem = self._fence.problem(mark, identity)
            if problem:
                return f"it {problem}"
            header = read_header(*(said.get(name, "") for name in HEADER_FIELDS))
        except LedgerRefused as error:
            return error.message
        if header is not None and header.clock_ms > self._clock.own_ms() + self._clock.apart_ms_max:
            return f"{CLOCK_AHEAD}. {CLOCK_AHEAD_CURE}"
        return "yes"

    async def adopt(self, program: str) -> dict[str, str]:
        """Accept a program's ledger as it is, empty or not, as the one to serve from now on."""
        found = await self._functions.call("adopt", program, self._fence.keyset_id, secrets.token_hex(8))
        self._catalog.clear()
        header = pairs(found)
        self._fence.adopt(program, header["epoch"], int(header["seq"]))
        return header

    async def upgrade(self, program: str | None, unless_remembered: str) -> list[dict[str, str]]:
        """Bring ledgers to this version's format: a program's, or those of all that are remembered, or the named one's.

        Returns:
            For each that there is: its program, the format that it ``was`` of, its header now, and whether it is
            ``trusted``. One that is not the ledger that is remembered stays as it is.
        """
        rows = []
        for each in [program] if program else self._fence.programs() or [unless_remembered]:
            before = await self._said(each)
            mark = self._fence.mark(each)
            identity = identity_of(before)
            if identity is None and mark is None:
                continue
            said = before
            if not self._fence.problem(mark, identity):
                args = (self._fence.keyset_id, secrets.token_hex(8))
                said = pairs(await self._functions.call("upgrade", each, *args))
                identity = identity_of(said)
            if identity is not None:
                if mark is not None and said.get("adopted_from") == mark.epoch:
                    # By us just now, or by another machine before.
                    self._fence.adopt(each, identity.epoch, identity.seq)
                elif not self._fence.problem(mark, identity):
                    self._fence.observe(each, identity.epoch, identity.seq)
            was = before.get("format", "")
            rows.append({"program": each, "was": was, **said, "trusted": self._trusted(each, said)})
        self._catalog.clear()
        return rows

    async def reset_clock(self, program: str) -> dict[str, str]:
        """Set the clock that a program's ledger remembers to the present, when it was ahead.

        Raises:
            LedgerNotTrusted: There is none, or not the one that is remembered, or it is of another format.
            LedgerClockApart: The clocks of its host and of this machine differ, so that nobody knows the present.
        """
        trusted = self._trusted(program, await self._said(program))
        if trusted != "yes" and not trusted.startswith(CLOCK_AHEAD):
            raise LedgerNotTrusted(f"program {program!r}: {trusted}")
        if self._fence.mark(program) is None:
            await self._functions.open(program, birth=False)  # from now on it is remembered
        said = pairs(await self._functions.call("reset_clock", program))
        self._fence.observe(program, said["epoch"], int(said["seq"]))
        return {"program": program, **said}
