"""What ``program show --yaml`` writes is read back as the same rules, whatever they are."""

import string

import yaml
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from redemption.cli.program_file.campaigns import campaign_fields, numbers_of
from redemption.cli.program_file.in_force import filled
from redemption.cli.program_file.reading import read_program
from redemption.cli.program_file.text import changes
from redemption.cli.program_file.to_contract import rules_message
from redemption.cli.program_file.yaml_text import yaml_of
from redemption.v1 import outcome_pb2
from redemption.v1 import rules_pb2 as v1

NAMES = {3: "双11: 'every' # 300 \u202e", 4: "618 满200减50"}
RULE_NAMES = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=64) | st.sampled_from(
    ["-", "---", "no", "null", "1e5", "0x1", "5"]
)
MODES = st.sampled_from([0, 1, 2])
OPERATIONS = st.sampled_from([(), (1,), (2,), (1, 2), (2, 1)])
CAMPAIGNS = st.sampled_from([0, 3, 4, 4_294_967_295])


def spans(least_ms=1000, most_ms=30 * 86_400_000, step_ms=1000):
    def made(steps):
        milliseconds = steps * step_ms
        return Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)

    return st.integers(-(-least_ms // step_ms), most_ms // step_ms).map(made)


VELOCITY = st.builds(
    v1.VelocityRule,
    name=RULE_NAMES,
    subject=st.integers(1, 5),
    campaign=CAMPAIGNS,
    limit=st.integers(1, 1_000_000),
    period=spans(step_ms=1) | spans(),
    burst=st.none() | st.integers(1, 1_000_000),
    counts=MODES,
    mode=MODES,
    without_subject=MODES,
    operations=OPERATIONS,
)
ACCOUNTS = st.builds(
    v1.AccountsRule,
    name=RULE_NAMES,
    subject=st.sampled_from([3, 4, 5]),
    campaign=CAMPAIGNS,
    customers=st.integers(1, 50),
    window=spans(),
    counts=MODES,
    mode=MODES,
    without_subject=MODES,
    operations=OPERATIONS,
)
LOCK_OUT = st.none() | st.builds(
    v1.LockOut,
    failures=st.integers(0, 1000),
    period=st.none() | spans(),
    wait=st.none() | spans(),
    wait_max=st.none() | spans(),
    customers=MODES,
    devices=MODES,
    networks=MODES,
    code_failures_per_minute=st.integers(0, 1_000_000),
)
REFUSALS = [number for number in outcome_pb2.Outcome.values() if number not in (0, outcome_pb2.OUTCOME_APPROVED)]
WARNINGS = st.none() | st.builds(
    v1.WarningThresholds,
    refusal_shares=st.lists(
        st.builds(
            v1.RefusalShare,
            outcome=st.sampled_from(REFUSALS),
            basis_points=st.integers(1, 10_000),
            answers_min=st.integers(0, 1_000_000),
        ),
        max_size=4,
    ),
    budget_spent_basis_points=st.none() | st.integers(1, 10_000),
    budget_gone_within=st.none() | spans(60_000),
    claims_per_minute=st.none() | st.integers(1, 1_000_000),
)
RULES = st.builds(
    v1.Rules,
    program=st.sampled_from(["demo", "double-11", "店", "no", "a: b # c"]),
    velocity=st.lists(VELOCITY, max_size=3),
    accounts=st.lists(ACCOUNTS, max_size=3),
    lock_out=LOCK_OUT,
    warnings=WARNINGS,
)


def read_back(text, directory):
    file = directory / "program.yaml"
    file.write_text(text)
    read = read_program(file)
    numbers, problems = numbers_of(campaign_fields(read.part), NAMES)
    assert problems == []
    return rules_message(read.part, numbers)


@given(rules=RULES)
def test_what_is_written_is_read_back(rules, tmp_path_factory):
    """With its defaults written out, field for field."""
    directory = tmp_path_factory.getbasetemp()
    text = yaml_of(rules, NAMES)
    again, expected = read_back(text, directory), filled(rules)
    if not expected.warnings.ListFields():  # no thresholds and none set are the same
        expected.ClearField("warnings")
    assert filled(again) == expected
    assert changes(rules, again, NAMES) == []
    assert yaml_of(again, NAMES) == text
    assert isinstance(yaml.safe_load(text), dict), "any other reader of YAML takes it, too"


def test_a_campaign_is_a_number_with_its_name_beside_it():
    rule = v1.VelocityRule(name="a", subject=3, limit=5, period={"seconds": 60}, campaign=4, operations=[2])
    lines = yaml_of(v1.Rules(program="demo", velocity=[rule]), NAMES).splitlines()
    assert lines[:4] == ["program: demo", "velocity:", "  - name: a", "    subject: device"]
    assert lines[-3:-1] == ["    campaign: 4 # 618 满200减50", "    operations: [claim]"]
