"""Outcomes: what the caller should do about each is what the contract says."""

import re

import pytest
from tool_loader import ROOT

from redemption.domain.outcome import DISPOSITIONS, Outcome

CONTRACT = (ROOT / "protos" / "redemption" / "v1" / "outcome.proto").read_text(encoding="utf-8")
TOLD = {
    name: set(re.findall(r"\b(?:CHANGE_ORDER|TRY_LATER|FINAL|FIX_CALLER|APPROVED)\b", comment))
    for comment, name in re.findall(r"((?: *//.*\n)+) *OUTCOME_(\w+) = \d+;", CONTRACT)
    if name != "UNSPECIFIED"
}


@pytest.mark.parametrize("outcome", Outcome, ids=lambda outcome: outcome.name)
def test_the_disposition_is_one_that_the_contracts_comment_names(outcome):
    """Some have two: then it is the one that holds for good, and TRY_LATER holds for today."""
    assert {DISPOSITIONS[outcome].name} == (TOLD[outcome.name] - {"TRY_LATER"} or {"TRY_LATER"})


def test_the_contract_has_no_other_outcomes():
    assert set(TOLD) == {outcome.name for outcome in Outcome}
