"""The file and the contract: every field of the rules can be written, and what is wrong is told with its line."""
# ruff: noqa: E501 - each case is one line of the table.

import re
from pathlib import Path

import pytest
from cli.campaign_file.contract_fields import all_leaves, set_leaves

from redemption.cli.campaign_file.reading import read_campaign
from redemption.cli.exits import BadFile
from redemption.cli.program_file.campaigns import campaign_fields, numbers_of
from redemption.cli.program_file.reading import read_program
from redemption.cli.program_file.to_contract import rules_message
from redemption.v1 import outcome_pb2
from redemption.v1 import rules_pb2 as v1

EVERY_FIELD = Path(__file__).parent / "every_field.yaml"
NAMES = {3: "双11 每满300减40", 4: "618 满200减50"}
NOT_IN_A_FILE = {"velocity.period", "etag", "claims_frozen", *(f"tightened.{name}" for name in ("name", "limit", "burst", "mode"))}  # fmt: skip


def rules_of(path):
    read = read_program(path)
    numbers, problems = numbers_of(campaign_fields(read.part), NAMES)
    assert problems == []
    return rules_message(read.part, numbers)


def refused(tmp_path, text):
    """What is told of a file, without its name."""
    file = tmp_path / "program.yaml"
    file.write_text(text)
    with pytest.raises(BadFile) as caught:
        read_program(file)
    return [line.removeprefix(f"{file}:") for line in caught.value.lines]


def test_every_field_says_what_it_says():
    assert rules_of(EVERY_FIELD) == v1.Rules(
        program="shop",
        velocity=[
            v1.VelocityRule(
                name="device-burst",
                subject=v1.SUBJECT_KIND_DEVICE,
                campaign=4,
                limit=5,
                period={"seconds": 90},
                burst=7,
                counts=v1.RULE_COUNTS_APPROVALS,
                mode=v1.RULE_MODE_SHADOW,
                without_subject=v1.WITHOUT_SUBJECT_REFUSE,
                operations=[v1.RULE_OPERATION_CLAIM],
            )
        ],
        accounts=[
            v1.AccountsRule(
                name="card-farm",
                subject=v1.SUBJECT_KIND_PAYMENT,
                campaign=3,
                customers=3,
                window={"seconds": 36 * 3600},
                counts=v1.RULE_COUNTS_ATTEMPTS,
                mode=v1.RULE_MODE_SHADOW,
                without_subject=v1.WITHOUT_SUBJECT_REFUSE,
                operations=[v1.RULE_OPERATION_REDEEM],
            )
        ],
        lock_out=v1.LockOut(
            failures=11,
            period={"seconds": 120},
            wait={"seconds": 180},
            wait_max={"seconds": 4 * 3600},
            customers=v1.RULE_MODE_SHADOW,
            devices=v1.RULE_MODE_SHADOW,
            networks=v1.RULE_MODE_ENFORCE,
            code_failures_per_minute=500,
        ),
        warnings=v1.WarningThresholds(
            refusal_shares=[
                v1.RefusalShare(outcome=outcome_pb2.OUTCOME_TOKEN_EXPIRED, basis_points=1250, answers_min=250)
            ],
            budget_spent_basis_points=8000,
            budget_gone_within={"seconds": 3600},
            claims_per_minute=6000,
        ),
    )


def test_every_field_of_the_contract_is_in_the_file_or_listed_as_not():
    """A field that comes later cannot be forgotten here."""
    marked = set(re.findall(r" # (\S+)$", EVERY_FIELD.read_text(), re.MULTILINE))
    assert marked | NOT_IN_A_FILE == set(all_leaves(v1.Rules.DESCRIPTOR))
    written = {re.sub(r"\[[0-9]+\]", "", path) for path, _, _ in set_leaves(rules_of(EVERY_FIELD))}
    assert marked == written - {"velocity.period"}


def test_what_is_left_out_is_not_set(tmp_path):
    """The server has the defaults; of a rule that does not say its burst, it follows the limit."""
    file = tmp_path / "program.yaml"
    file.write_text("program: shop\nvelocity:\n  - {name: a, subject: customer, limit: 5 per hour}\n")
    rule = v1.VelocityRule(name="a", subject=v1.SUBJECT_KIND_CUSTOMER, limit=5, period={"seconds": 3600})
    assert rules_of(file) == v1.Rules(program="shop", velocity=[rule])


VELOCITY = "program: p\nvelocity:\n  - name: a\n    subject: device\n    limit: 5 per 1m\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (VELOCITY.replace("5 per 1m", "5"), "5: velocity[0].limit: must be a number and a period, such as 5 per 1m; it is '5'"),
        (VELOCITY.replace("5 per 1m", "5 / 1m"), "5: velocity[0].limit: must be a number and a period, such as 5 per 1m; it is '5 / 1m'"),
        (VELOCITY.replace("5 per 1m", "5 per 1 week"), "5: velocity[0].limit: must be a number and a period, such as 5 per 1m; it is '5 per 1 week'"),
        (VELOCITY.replace("1m", "99999999d"), "5: velocity[0].limit: must be at most 10000d; it is 99999999d"),
        (VELOCITY.replace("device", "devices"), "4: velocity[0].subject: must be one of customer, person, device, network, payment; it is 'devices'"),
        (VELOCITY.replace("device", "coupon"), "4: velocity[0].subject: must be one of customer, person, device, network, payment; it is 'coupon'"),
        (VELOCITY + "    mode: on\n", "6: velocity[0].mode: must be one of enforce, shadow; it is 'on'"),
        (VELOCITY + "    operations: []\n", "6: velocity[0].operations: is empty: give it a value, or take the line out"),
        (VELOCITY + "    operations: [quote]\n", "6: velocity[0].operations[0]: must be one of redeem, claim; it is 'quote'"),
        (VELOCITY + "    burts: 5\n", "6: velocity[0].burts: is not a known field; did you mean burst?"),
        (VELOCITY + "    period: 1m\n", "6: velocity[0].period: is written with the limit, such as limit: 5 per 1m"),
        (VELOCITY.replace("    limit: 5 per 1m\n", ""), "3: velocity[0].limit: is missing"),
        (VELOCITY.replace("program: p\n", ""), "1: program: is missing"),
        ("program: p\naccounts:\n  - {name: a, subject: device, limit: 3, window: 1d}\n", "3: accounts[0].limit: is called customers in a rule on accounts"),
        ("program: p\naccounts:\n  - {name: a, subject: device, customers: 3, window: soon}\n", "3: accounts[0].window: must be a length of time such as 30s, 5m, 12h or 7d; it is 'soon'"),
        ("program: p\nwarnings:\n  refusal_shares:\n    - {outcome: TOKEN_EXPIERD, share: 20%}\n", "4: warnings.refusal_shares[0].outcome: must be an outcome of the contract; it is 'TOKEN_EXPIERD'; did you mean TOKEN_EXPIRED?"),
        ("program: p\nwarnings:\n  refusal_shares:\n    - {outcome: APPROVED, share: 20%}\n", "4: warnings.refusal_shares[0].outcome: must be an outcome that refuses, such as TOKEN_EXPIRED; APPROVED refuses nothing"),
        ("program: p\nlock_out: {failures: 0}\n", "2: lock_out.failures: must be 1 to 1,000; leave it out for the default; customers, devices and networks: shadow turns lock-out off"),
        ("program: p\nlock_out: {code_failures_per_minute: 0}\n", "2: lock_out.code_failures_per_minute: must be 1 to 1,000,000; leave it out for the default"),
        ("program: p\nwarnings:\n  refusal_shares:\n    - {outcome: REVOKED, share: 5%, answers_min: 0}\n", "4: warnings.refusal_shares[0].answers_min: must be 1 to 1,000,000; leave it out for the default"),
        ("program: p\nwarnings: {budget_spent: 80.125%}\n", "2: warnings.budget_spent: must have at most 2 decimals, such as 12.25%; it is '80.125%'"),
        (VELOCITY.replace("5 per", "99999999999999999999 per"), "5: velocity[0].limit: must be 1 to 1,000,000 per period; it is 99999999999999999999"),
        (VELOCITY + "    burst: 99999999999999999999\n", "6: velocity[0].burst: must be 1 to 1,000,000; it is 99999999999999999999"),
        (VELOCITY + "    operations: [redeem, redeem]\n", "6: velocity[0].operations: has 'redeem' twice; name each once"),
        ("program: p\naccounts:\n  - {name: a, subject: customer, customers: 3, window: 1d}\n", "3: accounts[0].subject: must be one of device, network, payment; it is 'customer'"),
        ("program: p\nwarnings:\n  refusal_shares:\n    - {outcome: REVOKED, basis_points: 5}\n", "4: warnings.refusal_shares[0].basis_points: is called share in a file, and written as people write it"),
        ("program: p\nwarnings: {budget_spent: 80}\n", "2: warnings.budget_spent: must be a percentage with its sign, such as 20% or 12.5%; it is '80'"),
        ("program: p\nlock_out: {failure: 3}\n", "2: lock_out.failure: is not a known field; did you mean failures?"),
        ("program: p\netag: x\n", "2: etag: is told by the server, and does not stand in a file"),
        ("program: p\nclaims_frozen: true\n", "2: claims_frozen: does not stand in a file; there are the commands program freeze-claims and thaw-claims"),
        ("program: p\ndeny: [a]\n", "2: deny: does not stand in a file, because it names people; there is the command deny"),
        ("program: p\nvelocty: []\n", "2: velocty: is not a known field; did you mean velocity?"),
        ("program: p\nvelocity:\n  name: a\n", "2: velocity: must be a list, each entry beginning with a hyphen"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_line_and_field(tmp_path, text, told):
    assert told in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [("1s", 1, 0), ("1500ms", 1, 500_000_000), ("2 minutes", 120, 0), ("day", 86_400, 0), ("1 h", 3600, 0)],
)
def test_a_period_is_written_as_people_write_it(tmp_path, text, seconds, nanos):
    file = tmp_path / "program.yaml"
    file.write_text(VELOCITY.replace("1m", text))
    period = rules_of(file).velocity[0].period
    assert (period.seconds, period.nanos) == (seconds, nanos)


def test_a_campaign_is_no_program_and_a_program_no_campaign(tmp_path):
    """Each file says which command takes it."""
    campaign = Path(__file__).parent.parent / "campaign_file" / "campaign.yaml"
    (told,) = refused(tmp_path, campaign.read_text())
    assert told.endswith(
        f"this file is a campaign, not a program's rules; redemption campaigns apply {tmp_path}/program.yaml"
    )
    with pytest.raises(BadFile) as caught:
        read_campaign(EVERY_FIELD)
    assert caught.value.lines == (
        f"{EVERY_FIELD}:2: velocity: this file is a program's rules, not a campaign; redemption program apply {EVERY_FIELD}",
    )


@pytest.mark.parametrize(
    ("written", "number", "problem"),
    [
        ("4", 4, None),
        ("618 满200减50", 4, None),
        ("99", 99, None),
        (
            "618 满200减5",
            None,
            "there is no campaign called '618 满200减5' in this program; did you mean 618 满200减50?",
        ),
        ("xyz", None, "there is no campaign called 'xyz' in this program; redemption campaigns list has them"),
    ],
)
def test_a_campaign_is_named_by_number_or_name(written, number, problem):
    numbers, problems = numbers_of({("velocity", 0, "campaign"): written}, NAMES)
    assert numbers == ({written: number} if number else {})
    assert [each.text for each in problems] == ([problem] if problem else [])
