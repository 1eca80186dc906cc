"""What people read of a warning."""

import pytest

from redemption.domain.outcome import Outcome
from redemption.domain.risk.warnings import RiskWarning, RiskWarningReason

SINCE = 1_800_000_000
GONE = "at the pace of the last five minutes, the budget is gone"


@pytest.mark.parametrize(
    ("reason", "outcome", "threshold", "numbers", "sentence"),
    [
        (
            "REFUSAL_SHARE",
            Outcome.CLAIM_LIMIT,
            2550,
            (0, 30, 90),
            "30 of the 90 answers of a minute were CLAIM_LIMIT; the threshold is 25.50 %",
        ),
        ("REFUSAL_SHARE", 9999, 1, (0, 1, 1), "1 of the 1 answers of a minute were 9999; the threshold is 0.01 %"),
        ("BUDGET_SPENT", 0, 8000, (300, 250, 0), "83.33 % of the budget is spent; the threshold is 80 %"),
        (
            "BUDGET_GONE_SOON",
            0,
            3600,
            (300, 25, SINCE + 60),
            f"{GONE} at 2027-01-15T08:01:00Z; the threshold is 1 hour before",
        ),
        (
            "BUDGET_GONE_SOON",
            0,
            5400,
            (300, 25, 2**62),
            f"{GONE} at 9999-12-31T23:59:59Z; the threshold is 90 minutes before",
        ),
        ("CLAIMS_PER_MINUTE", 0, 50, (0, 51, 0), "51 claims in a minute; the threshold is 50"),
    ],
)
def test_a_warning_is_a_sentence_with_its_numbers(reason, outcome, threshold, numbers, sentence):
    warning = RiskWarning(7, RiskWarningReason[reason], outcome, SINCE, threshold, *numbers)
    assert warning.description == sentence
    assert (warning.gone_at is None) == (reason != "BUDGET_GONE_SOON")


@pytest.mark.parametrize(
    ("seconds", "words"), [(61, "61 seconds"), (60, "1 minute"), (7200, "2 hours"), (86_400, "1 day")]
)
def test_a_time_is_told_in_its_largest_whole_unit(seconds, words):
    warning = RiskWarning(7, RiskWarningReason.BUDGET_GONE_SOON, 0, SINCE, seconds, 1, 1, SINCE)
    assert warning.description.endswith(f"the threshold is {words} before")
