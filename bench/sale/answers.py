"""How the journal names answers, and which of them a buyer has to expect."""

from typing import Any

from redemption.client import Decision, Outcome

APPROVED = "APPROVED"
SOLD_OUT = ("CAMPAIGN_LIMIT", "BUDGET_EXHAUSTED")
"""There are no more redemptions."""
NONE_LEFT = ("ISSUE_LIMIT",)
"""There are no more coupons to claim."""


def name_of(outcome: int) -> str:
    """Return the name of an outcome: APPROVED."""
    return Outcome.Name(outcome).removeprefix("OUTCOME_")  # type: ignore[arg-type]


def of_decision(decision: Decision) -> dict[str, Any]:
    """Return what the journal keeps of a decision about one coupon."""
    found: dict[str, Any] = {"answer": name_of(decision.outcome)}
    if decision.verdicts and decision.verdicts[0].redemption_id:
        found["receipt"] = decision.verdicts[0].redemption_id
        found["discount_minor"] = decision.verdicts[0].discount_minor
    return found
