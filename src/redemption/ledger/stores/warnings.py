"""Early warning in the ledger: has campaigns looked at, and reads what they are warned of (``lua/watch.lua``)."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from redemption.domain.risk.rules import WarningThresholds
from redemption.domain.risk.warnings import RiskWarning, RiskWarningReason
from redemption.ledger.functions import FunctionClient

_FORMAT: Final = b"\1"
_FLAG: Final = struct.Struct(">BHIIQQQ")
_NONE: Final = 0
"""A threshold that warns of nothing."""


@dataclass(frozen=True, slots=True)
class Stale:
    """Other rules are in force than those that the thresholds are of; ``changes`` are for ``RulesStore.redefined``."""

    changes: bytes


@dataclass(frozen=True, slots=True)
class Looked:
    """What a call found: how many campaigns it looked at, and which warnings it raised and cleared.

    Attributes:
        is_more: There are more campaigns to look at now; call again.
    """

    campaigns: int
    is_more: bool
    raised: tuple[RiskWarning, ...]
    cleared: tuple[RiskWarning, ...]


NOTHING_NEW: Final = Looked(0, False, (), ())


class WarningStore:
    """Implements ``domain.ports.rules.WarningLedger``."""

    def __init__(self, functions: FunctionClient) -> None:
        self._functions = functions

    async def watch(self, program: str, version: int, thresholds: WarningThresholds) -> Looked | Stale:
        """Have the ledger look at some campaigns of a program, unless it did so a few seconds ago.

        Args:
            program: The program.
            version: The version of the rules that the thresholds are of.
            thresholds: When to warn.
        """
        _, (word, *rest) = await self._functions.write("watch", program, version, *_arguments(thresholds))
        if word == b"stale":
            return Stale(rest[0])
        if word == b"early":
            return NOTHING_NEW
        looked_at, more, flat = rest
        changes = list(_changes(flat))
        return Looked(
            campaigns=int(looked_at),
            is_more=bool(more),
            raised=tuple(warning for is_raised, warning in changes if is_raised),
            cleared=tuple(warning for is_raised, warning in changes if not is_raised),
        )

    async def warnings(self, program: str, campaign: int = 0) -> list[RiskWarning]:
        """Return the warnings that are raised now, see ``WarningLedger``."""
        if not await self._functions.begun(program):
            return []
        flat = await self._functions.call("warnings", program, campaign)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        fields = sorted((int(field), packed) for field, packed in pairs if field.isdigit())
        return [warning for number, packed in fields for warning in unpack_warnings(number, packed)]


def _arguments(thresholds: WarningThresholds) -> Iterator[int]:
    yield thresholds.budget_spent_basis_points or _NONE
    yield thresholds.budget_gone_within_seconds or _NONE
    yield thresholds.claims_per_minute or _NONE
    for share in thresholds.refusal_shares:
        yield from (int(share.outcome), share.basis_points, share.answers_min)


def _changes(flat: Sequence[bytes | int]) -> Iterator[tuple[bool, RiskWarning]]:
    for at in range(0, len(flat), 3):
        is_raised, number, packed = flat[at : at + 3]
        yield bool(is_raised), _unpack(int(number), bytes(packed))


def unpack_warnings(campaign: int, packed: bytes) -> tuple[RiskWarning, ...]:
    """Return what a campaign is warned of. A record that cannot be read says nothing; the ledger writes it anew."""
    if packed[:1] != _FORMAT or (len(packed) - 1) % _FLAG.size:
        return ()
    try:
        found = [_unpack(campaign, packed[at : at + _FLAG.size]) for at in range(1, len(packed), _FLAG.size)]
    except ValueError:  # a reason that is not known
        return ()
    return tuple(sorted(found, key=lambda warning: (warning.reason, warning.outcome)))


def _unpack(campaign: int, packed: bytes) -> RiskWarning:
    reason, *rest = _FLAG.unpack(packed)
    return RiskWarning(campaign, RiskWarningReason(reason), *rest)
