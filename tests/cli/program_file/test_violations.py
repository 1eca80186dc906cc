"""What the server refuses is told in the words of the file."""
# ruff: noqa: E501 - each case is one line of the table.

import pytest

from redemption.cli.input.source_file import dotted
from redemption.cli.program_file.violations import file_problem, is_of_rules
from redemption.client import FieldViolation, OtherField

RANGE = {"reason": "OUT_OF_RANGE", "least": 1, "most": 1_000_000, "given": 2_000_000}


@pytest.mark.parametrize(
    ("violation", "path", "told"),
    [
        (FieldViolation("rules.velocity[2].limit", "x", **RANGE), "velocity[2].limit", "must be 1 to 1,000,000; it is 2,000,000"),
        (FieldViolation("rules.velocity[0].period", "x", reason="OUT_OF_RANGE", least=1, most=2_592_000, given=2_678_400), "velocity[0].limit", "the period must be 1s to 30d; it is 31d"),
        (FieldViolation("rules.accounts[0].window", "x", reason="OUT_OF_RANGE", least=1, most=2_592_000, given=0), "accounts[0].window", "must be 1s to 30d; it is 0s"),
        (FieldViolation("rules.lock_out.period", "x", reason="OUT_OF_RANGE", least=1, most=3600, given=7200), "lock_out.period", "must be 1s to 1h; it is 2h"),
        (FieldViolation("rules.warnings.refusal_shares[1].basis_points", "x", reason="OUT_OF_RANGE", least=1, most=10_000, given=15_000), "warnings.refusal_shares[1].share", "must be 0.01% to 100%; it is 150%"),
        (FieldViolation("rules.warnings.budget_spent_basis_points", "x", reason="OUT_OF_RANGE", least=1, most=10_000, given=0), "warnings.budget_spent", "must be 0.01% to 100%; it is 0%"),
        (FieldViolation("rules.velocity[1].name", "is the name of another"), "velocity[1].name", "is the name of another"),
        (FieldViolation("rules.accounts[1].name", "x", reason="DUPLICATE", others=(OtherField("rules.velocity[0].name"),)), "accounts[1].name", "is the name of velocity[0] already; names must differ"),
        (FieldViolation("rules.lock_out.wait_max", "x", reason="LESS_THAN_OTHER", given=60, others=(OtherField("rules.lock_out.wait", 7200),)), "lock_out.wait_max", "must be at least the 2h of wait; it is 1m"),
        (FieldViolation("rules.velocity", "are too many", reason="WRONG_COUNT", most=32, given=33), "velocity", "are too many"),
    ],
)  # fmt: skip
def test_a_violation_has_its_path_and_its_numbers_as_people_write_them(violation, path, told):
    problem = file_problem(violation)
    assert (dotted(problem.path), problem.text, is_of_rules(violation)) == (path, told, True)


def test_what_is_not_of_the_rules_is_not_of_the_file():
    assert not is_of_rules(FieldViolation("program", "is empty"))
