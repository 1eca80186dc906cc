"""What a campaign is warned of: the reason, with the numbers."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

from redemption.domain.outcome import Outcome

_PERCENT: Final = 100
_BASIS_POINTS: Final = 10_000
_GONE_AT_MAX: Final = 253_402_300_799
"""The last second of the year 9999, Unix seconds."""


class RiskWarningReason(IntEnum):
    """Which threshold was reached; the numbers are those of the ledger, the names those of the contract."""

    REFUSAL_SHARE = 1
    BUDGET_SPENT = 2
    BUDGET_GONE_SOON = 3
    CLAIMS_PER_MINUTE = 4


@dataclass(frozen=True, slots=True)
class RiskWarning:
    """A warning that is raised. Its numbers are of the last minute at most; they are not exact to the second.

    Attributes:
        outcome: With REFUSAL_SHARE: the outcome, by its number in the contract; else 0.
        raised_at: Since when it is raised, Unix seconds.
        threshold: Basis points; with BUDGET_GONE_SOON: seconds; with CLAIMS_PER_MINUTE: claims.
        budget_minor: The campaign's budget, minor units; 0: the warning is not about it.
        first: With REFUSAL_SHARE: answers with the outcome in a minute; with BUDGET_SPENT: what is spent, minor units;
            with BUDGET_GONE_SOON: the pace, minor units a minute; with CLAIMS_PER_MINUTE: claims in a minute.
        second: With REFUSAL_SHARE: all answers in a minute; with BUDGET_GONE_SOON: when the budget is gone, Unix
            seconds.
    """

    campaign: int
    reason: RiskWarningReason
    outcome: int
    raised_at: int
    threshold: int
    budget_minor: int
    first: int
    second: int

    @property
    def gone_at(self) -> int | None:
        """When the budget is gone at the present pace, Unix seconds; None if the warning is not about that."""
        return min(self.second, _GONE_AT_MAX) if self.reason is RiskWarningReason.BUDGET_GONE_SOON else None

    @property
    def outcome_name(self) -> str:
        """The outcome's name; a number that only a later version knows stays a number."""
        try:
            return Outcome(self.outcome).name
        except ValueError:
            return str(self.outcome)

    @property
    def description(self) -> str:
        """A sentence for people, with the numbers."""
        match self.reason:
            case RiskWarningReason.REFUSAL_SHARE:
                return (
                    f"{self.first} of the {self.second} answers of a minute were {self.outcome_name}; the "
                    f"threshold is {_percent(self.threshold)}"
                )
            case RiskWarningReason.BUDGET_SPENT:
                spent = self.first * _BASIS_POINTS // max(self.budget_minor, 1)
                return f"{_percent(spent)} of the budget is spent; the threshold is {_percent(self.threshold)}"
            case RiskWarningReason.BUDGET_GONE_SOON:
                gone_at = datetime.fromtimestamp(min(self.second, _GONE_AT_MAX), UTC)
                return (
                    f"at the pace of the last five minutes, the budget is gone at {gone_at:%Y-%m-%dT%H:%M:%SZ}; the "
                    f"threshold is {_duration(self.threshold)} before"
                )
            case RiskWarningReason.CLAIMS_PER_MINUTE:
                return f"{self.first} claims in a minute; the threshold is {self.threshold}"


def _percent(basis_points: int) -> str:
    whole, rest = divmod(basis_points, _PERCENT)
    return f"{whole}.{rest:02} %".replace(".00 %", " %")


def _duration(seconds: int) -> str:
    for length, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % length == 0:
            count = seconds // length
            return f"{count} {name}" + "s" * (count > 1)
    return f"{seconds} seconds"
