"""One thing that a verdict looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN_MAX = 5
"""So many examples of one finding are told."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What has to hold.
        looked_at: How many things were looked at, in words.
        wrong: What does not hold, in words; empty: all does.
    """

    name: str
    looked_at: str
    wrong: tuple[str, ...] = ()


def shown(wrong: Sequence[str]) -> tuple[str, ...]:
    """Return the first of many findings, and how many more there are."""
    more = [f"and {len(wrong) - SHOWN_MAX:,} more"] if len(wrong) > SHOWN_MAX else []
    return (*wrong[:SHOWN_MAX], *more)
