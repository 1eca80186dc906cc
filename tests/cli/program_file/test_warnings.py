"""What the server accepts and is surely a mistake is warned of; the examples are not."""
# ruff: noqa: E501 - each case is one line of the table.

from pathlib import Path

import pytest

from redemption.cli.input.source_file import dotted
from redemption.cli.program_file.reading import read_program
from redemption.cli.program_file.to_contract import rules_message
from redemption.cli.program_file.warnings import rules_warnings

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "programs").glob("*.yaml"))
RULE = "program: p\nvelocity:\n  - {name: a, subject: SUBJECT, limit: 5 per 1m MORE}\n"
ACCOUNTS = "program: p\naccounts:\n  - {name: a, subject: network, customers: 1, window: 12h}\n"
SHARED = "many people share an address, in an office or behind a mobile operator"


def rule(subject="device", more=""):
    return RULE.replace("SUBJECT", subject).replace(" MORE", more)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (rule(), []),
        (rule(more=", burst: 50"), []),
        (rule(more=", burst: 51"), ["velocity[0].burst: is 51, more than ten times the 5 per 1m of limit: so many pass at once; lower it"]),
        (rule("network"), []),
        (rule("network", ", mode: enforce"), [f"velocity[0].mode: is enforce, but {SHARED}: look at redemption fraud stats with shadow first"]),
        (rule("device", ", without_subject: refuse"), []),
        (rule("person", ", without_subject: refuse"), ["velocity[0].without_subject: is refuse, but few shops know the natural person behind an account: every request without a person is refused; write pass"]),
        (rule("payment", ", without_subject: refuse"), ["velocity[0].without_subject: is refuse, but the payment instrument is seldom known before the payment, and in claims almost never: every request without a payment is refused; write pass"]),
        (rule(more=", campaign: 9"), ["velocity[0].campaign: there is no campaign 9 in this program, so the rule judges nothing; redemption campaigns list has the numbers"]),
        (rule(more=", campaign: 3"), []),
        (ACCOUNTS, [f"accounts[0].customers: is 1, but {SHARED}: the second customer there is refused for 12h; raise it"]),
        (ACCOUNTS.replace("network", "device"), []),
        ("program: p\nlock_out: {networks: enforce}\n", [f"lock_out.networks: is enforce, but {SHARED}: one who guesses locks all of them out; write shadow"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_field(tmp_path, text, told):
    file = tmp_path / "program.yaml"
    file.write_text(text)
    part = read_program(file).part
    warnings = rules_warnings(rules_message(part, {"3": 3, "9": 9}), {3: "a"})
    assert [f"{dotted(path)}: {text}" for path, text in warnings] == told


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_have_nothing_to_warn_of(file):
    part = read_program(file).part
    assert rules_warnings(rules_message(part, {}), {}) == []
    assert EXAMPLES
