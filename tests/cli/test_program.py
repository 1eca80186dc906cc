"""``program``: a file becomes the rules, they are shown, and emergencies come and go."""
# ruff: noqa: E501 - what is printed is compared in one piece.

import io
import json
from pathlib import Path

import grpc
import pytest
from fake_server import failing
from google.protobuf import json_format
from rich.console import Console

from redemption.v1 import rules_pb2 as v1
from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.campaign_service_pb2 import ListCampaignsResponse
from redemption.v1.risk_service_pb2 import GetRulesResponse

EXAMPLE = Path(__file__).parents[2] / "examples" / "programs" / "double11-program.yaml"
RULES = """\
program: demo
velocity:
  - name: device-burst
    subject: device
    limit: 5 per 1m
    campaign: 618 满200减50
"""
SENTENCE = "5 per 1m for each device; attempts; enforce; campaign 3 618 满200减50 only"


@pytest.fixture(autouse=True)
def _campaigns(fake):
    campaign = Campaign(number=3, name="618 满200减50", currency_code="CNY", time_zone="Asia/Shanghai")
    fake.answers["ListCampaigns"] = ListCampaignsResponse(campaigns=[campaign])


@pytest.fixture
def rules_file(tmp_path):
    file = tmp_path / "program.yaml"
    file.write_text(RULES)
    return file


def edit(file, before, after):
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))


def test_a_file_becomes_the_rules_and_applying_it_again_changes_nothing(ask, fake, desk, rules_file):
    ended = ask("program", "apply", rules_file)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"updated    rules of program demo\n  velocity[device-burst]: not there → {SENTENCE}\n"
    (request,) = fake.asked["UpdateRules"]
    assert (request.rules.etag, request.rules.velocity[0].campaign, request.validate_only) == ("1", 3, False)
    ended = ask("program", "apply", rules_file)
    assert (ended.code, ended.out, ended.err) == (0, "unchanged  rules of program demo\n", "")
    assert len(fake.asked["UpdateRules"]) == 1


def test_each_change_is_named_and_a_dry_run_makes_none(ask, fake, desk, rules_file):
    ask("program", "apply", rules_file)
    edit(rules_file, "5 per 1m", "3 per 1m\n    burst: 5\n    mode: shadow")
    difference = (
        "  velocity[device-burst].limit: 5 per 1m → 3 per 1m\n  velocity[device-burst].mode: enforce → shadow\n"
    )
    before = desk.rules.etag
    ended = ask("program", "apply", rules_file, "--dry-run")
    assert (ended.code, ended.out) == (0, f"would be updated rules of program demo\n{difference}")
    assert (fake.asked["UpdateRules"][-1].validate_only, desk.rules.etag) == (True, before)
    assert ask("program", "apply", rules_file).out == f"updated    rules of program demo\n{difference}"


def test_what_was_applied_is_shown_as_a_file_that_applies_unchanged(ask, desk, tmp_path):
    ask("program", "apply", EXAMPLE)
    shown = ask("program", "show", "--yaml")
    assert (shown.code, shown.err) == (0, "")
    again = tmp_path / "again.yaml"
    again.write_text(shown.out)
    assert ask("program", "apply", again, "--strict").out == "unchanged  rules of program demo\n"


def test_what_an_emergency_changed_stays_and_is_told(ask, desk, rules_file):
    """Whoever applies a file would else believe that its limits are in force."""
    ask("program", "apply", rules_file)
    ask("program", "tighten", "device-burst", "--limit", "1")
    ask("program", "freeze-claims")
    lines = ask("program", "apply", rules_file, "--program", "demo").out.splitlines()
    assert lines[0] == "unchanged  rules of program demo"
    assert [line.partition(" --server ")[0] for line in lines[1:]] == [
        "claims of program demo are frozen; to take it back: redemption program thaw-claims",
        "rule device-burst is tightened; to take it back: redemption program loosen device-burst",
    ]
    assert all(line.endswith(" --program demo") for line in lines[1:])


def test_json_tells_the_changes(ask, desk, rules_file):
    ended = ask("program", "apply", rules_file, "--json")
    assert json.loads(ended.out) == {
        "file": str(rules_file),
        "program": "demo",
        "action": "updated",
        "changes": [{"field": "velocity[device-burst]", "before": "not there", "after": SENTENCE}],
        "warnings": [],
    }


def test_a_mistake_is_warned_of_and_refused_with_strict(ask, fake, desk, rules_file):
    edit(rules_file, "5 per 1m", "5 per 1m\n    burst: 60")
    told = f"{rules_file}:6: warning: velocity[0].burst: is 60, more than ten times the 5 per 1m of limit: so many pass at once; lower it\n"
    strict = ask("program", "apply", rules_file, "--strict")
    assert (strict.code, strict.out, strict.err) == (2, "", told)
    assert fake.asked["UpdateRules"] == []
    ended = ask("program", "apply", rules_file)
    assert (ended.code, ended.err) == (0, told)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("618 满200减50", "满200减", "6: velocity[0].campaign: there is no campaign called '满200减' in this program; did you mean 618 满200减50?"),
        ("limit: 5 per 1m", "limit: many", "5: velocity[0].limit: must be a number and a period, such as 5 per 1m; it is 'many'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_changes_nothing(ask, fake, desk, rules_file, before, after, told):
    edit(rules_file, before, after)
    ended = ask("program", "apply", rules_file)
    assert (ended.code, ended.out, ended.err) == (2, "", f"{rules_file}:{told}\n")
    assert fake.asked["UpdateRules"] == []


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_what_the_server_refuses_is_found_in_the_file(ask, fake, desk, rules_file, dry_run):
    fake.answers["UpdateRules"] = failing(
        grpc.StatusCode.INVALID_ARGUMENT,
        "wrong",
        reason="INVALID_REQUEST",
        violations=[
            ("rules.velocity[0].period", "must be 1 second to 30 days", "OUT_OF_RANGE"),
            ("rules.velocity[0].name", "must be 1 to 64 of a-z, 0-9, hyphen and underscore"),
        ],
        values=[{"least": 1, "most": 2_592_000, "given": 0}],
    )
    ended = ask("program", "apply", rules_file, *dry_run)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"{rules_file}:3: velocity[0].name: must be 1 to 64 of a-z, 0-9, hyphen and underscore\n"
        f"{rules_file}:5: velocity[0].limit: the period must be 1s to 30d; it is 0s\n"
    )


def test_another_error_of_the_server_is_its_own(ask, fake, desk, rules_file):
    fake.answers["UpdateRules"] = failing(grpc.StatusCode.PERMISSION_DENIED, "not yours", reason="NOT_ALLOWED")
    ended = ask("program", "apply", rules_file)
    assert (ended.code, ended.err) == (2, "redemption: PERMISSION_DENIED: not yours\n")


def test_an_update_whose_answer_was_lost_is_recognised(ask, fake, desk, rules_file):
    """The second delivery is refused for its etag, but by then the rules are what the file says."""
    ask("program", "apply", rules_file)
    pages = iter([v1.Rules(program="demo"), desk.rules])
    fake.answers["GetRules"] = lambda *_: GetRulesResponse(rules=next(pages))
    fake.answers["UpdateRules"] = failing(grpc.StatusCode.ABORTED, "etag", reason="ETAG_MISMATCH")
    ended = ask("program", "apply", rules_file)
    assert (ended.code, ended.out.splitlines()[0]) == (0, "updated    rules of program demo")


def test_somebody_elses_change_is_not_overwritten(ask, fake, desk, rules_file):
    fake.answers["UpdateRules"] = failing(grpc.StatusCode.ABORTED, "etag", reason="ETAG_MISMATCH")
    ended = ask("program", "apply", rules_file)
    told = "the rules of program demo were changed by somebody else just now; look at them (redemption program show), then apply again"
    assert (ended.code, ended.err) == (2, f"redemption: {told}\n")


def test_the_program_of_the_file_counts(ask, fake, desk, rules_file):
    """Whatever the environment says; an option that says another one is a mistake."""
    edit(rules_file, "program: demo", "program: shop")
    assert ask("program", "apply", rules_file).code == 0
    assert (fake.asked["GetRules"][0].program, fake.asked["UpdateRules"][0].rules.program) == ("shop", "shop")
    ended = ask("program", "apply", rules_file, "--program", "demo")
    told = f"{rules_file}:1: program: is 'shop', but --program is 'demo'; leave the option out\n"
    assert (ended.code, ended.err) == (2, told)


def test_a_file_that_removes_every_rule_is_warned_of(ask, desk, rules_file):
    ask("program", "apply", rules_file)
    rules_file.write_text("program: demo\n")
    problem = "has no velocity and no accounts rules: the only rule in force would be removed"
    told = f"{rules_file}:1: warning: program: {problem}\n"
    strict = ask("program", "apply", rules_file, "--strict")
    assert (strict.code, strict.err, len(desk.rules.velocity)) == (2, told, 1)
    ended = ask("program", "apply", rules_file)
    assert (ended.code, ended.err) == (0, told)
    assert ask("program", "apply", rules_file).err == "", "it has none already"


def test_a_file_can_come_from_standard_input(ask, desk, rules_file, monkeypatch):
    for text, code, told in (
        (RULES, 0, ""),
        ("program: demo\nx: 1\n", 2, "standard input:2: x: is not a known field; there are "),
        ("#" * 2**21, 2, "standard input: is larger than "),
    ):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        ended = ask("program", "apply", "-")
        assert (ended.code, ended.err.startswith(told)) == (code, True), ended.err
    assert desk.rules.velocity[0].name == "device-burst"


@pytest.mark.parametrize(
    "typed", [("program", "freeze-claims"), ("deny", "add", "--device", "d"), ("program", "apply")]
)
def test_a_program_without_campaigns_is_warned_of(ask, fake, desk, rules_file, typed):
    """A development server makes the program of any name, and nobody would be safer."""
    fake.answers["ListCampaigns"] = ListCampaignsResponse()
    rules_file.write_text("program: nosuch\n")
    arguments = (rules_file, "--strict") if typed[-1] == "apply" else ("--program", "nosuch")
    ended = ask(*typed, *arguments)
    assert ended.code == 0
    assert "warning: " in ended.err
    assert "there is no campaign in program nosuch: is it the right program?" in ended.err


def test_names_are_not_broken_in_a_narrow_terminal(ask, desk, rules_file, monkeypatch):
    rules_file.write_text(RULES.replace("device-burst", "d" * 40))
    ask("program", "apply", rules_file)
    console = Console(width=80)
    monkeypatch.setattr("redemption.cli.output.screen.stdout", lambda: console)
    assert "d" * 40 in ask("program", "show").out


SHOWN = """\
claims of program demo are frozen; to take it back: redemption program thaw-claims
rule device-burst is tightened; to take it back: redemption program loosen device-burst
rule           subject   allows                               counts      mode      more
device-burst   device    2 per 1m (tightened from 5 per 1m)   attempts    enforce   campaign 3 618 满200减50 only
card-farm      payment   3 customers in 7d                    approvals   shadow    redeem only; without payment: refused
a limit is spread evenly, besides the burst: in its first period, limit and burst together pass

lock-out   after 10 failures in 1m: 1m, then twice as long each time, at most 1h
           customers enforce; devices enforce; networks shadow
           1,000 exchange codes may fail in a minute; above that, whoever has failed lately waits
warns of   TOKEN_EXPIRED 20% of 200 answers or more in a minute
           80% of a budget spent
           a budget gone within 1h at the present pace
           more than 6,000 claims of a campaign in a minute
"""
MORE = """\
accounts:
  - {name: card-farm, subject: payment, customers: 3, window: 7d, mode: shadow, without_subject: refuse, operations: [redeem]}
warnings:
  refusal_shares: [{outcome: TOKEN_EXPIRED, share: 20%, answers_min: 200}]
  budget_spent: 80%
  budget_gone_within: 1h
  claims_per_minute: 6000
"""


def test_the_rules_are_shown_as_they_are_in_force(command, ask, fake, desk, rules_file, monkeypatch):
    monkeypatch.setenv("REDEMPTION_SERVER", fake.address)
    rules_file.write_text(RULES + MORE)
    assert command("program", "apply", rules_file).code == 0
    command("program", "tighten", "device-burst", "--limit", "2")
    command("program", "freeze-claims")
    ended = command("program", "show")
    assert (ended.code, ended.out, ended.err) == (0, SHOWN, "")
    assert json_format.Parse(command("program", "show", "--json").out, v1.Rules()) == desk.rules


def test_a_program_without_rules_says_how_to_write_some(ask, desk):
    lines = ask("program", "show").out.splitlines()
    assert lines[0] == "program demo has no velocity and no accounts rules; write some: redemption program apply FILE"
    assert lines[-1] == "warns of   nothing"
    assert "velocity" not in ask("program", "show", "--yaml").out


def test_yaml_and_json_exclude_each_other(ask, desk):
    ended = ask("program", "show", "--yaml", "--json")
    assert (ended.code, "--yaml and --json exclude each other" in ended.err) == (2, True)


def test_a_rule_is_tightened_and_loosened_and_each_says_how_to_take_it_back(ask, fake, desk, rules_file):
    server = f"--server {fake.address}"
    ask("program", "apply", rules_file)
    ended = ask("program", "tighten", "device-burst", "--limit", "3", "--burst", "2", "--mode", "enforce")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        f"in force   {SENTENCE.replace('5 per 1m for each device', '3 per 1m for each device, 2 at once')}\n"
        f"applied    {SENTENCE}\n"
        f"to take it back: redemption program loosen device-burst {server}\n"
    )
    (request,) = fake.asked["TightenRule"]
    assert request.rule == v1.TightenedRule(name="device-burst", limit=3, burst=2, mode=v1.RULE_MODE_ENFORCE)
    ended = ask("program", "loosen", "device-burst", "--program", "demo")
    assert ended.out == (
        f"before     {SENTENCE.replace('5 per 1m for each device', '3 per 1m for each device, 2 at once')}\n"
        f"in force   {SENTENCE}\n"
        f"to take it back: redemption program tighten device-burst --limit 3 --burst 2 --mode enforce {server} --program demo\n"
    )
    assert ask("program", "loosen", "device-burst").out == f"in force   {SENTENCE}\nit was not tightened\n"


def test_a_tightening_that_refuses_nobody_more_says_so(ask, fake, desk, rules_file):
    rules_file.write_text(RULES.replace("limit: 5 per 1m", "limit: 5 per 1m\n    mode: shadow"))
    ask("program", "apply", rules_file)
    remedy = f"redemption program tighten device-burst --mode enforce --server {fake.address}"
    only_counts = f"it refuses nobody: it only counts (shadow); to have it refuse: {remedy}\n"
    already = "it was in force like this already; nothing has changed for anybody\n"
    limit, enforce = ("--limit", "3"), ("--mode", "enforce")
    for options, told in ((limit, only_counts), (limit, already + only_counts), (enforce, ""), (enforce, already)):
        out = ask("program", "tighten", "device-burst", *options).out
        assert out.partition("applied ")[2].partition("\n")[2].partition("to take it back: redemption")[0] == told
    assert "enforce (tightened from shadow)" in ask("program", "show").out


def test_a_tightening_that_does_nothing_now_is_shown(ask, desk, rules_file):
    """It comes back with the rule, so nobody may believe that it is gone."""
    ask("program", "apply", rules_file)
    ask("program", "tighten", "device-burst", "--limit", "3")
    for text, told in (
        ("3 per 1m", "was tightened (--limit 3), and is as strict as it was applied; to take it back: "),
        ("1 per 1m", "was tightened (--limit 3), and is as strict as it was applied; to take it back: "),
        ("9 per 1m", "is tightened; to take it back: "),
    ):
        rules_file.write_text(RULES.replace("5 per 1m", text))
        for verb in (("apply", rules_file, "--dry-run"), ("apply", rules_file), ("show",)):
            assert f"rule device-burst {told}" in ask("program", *verb).out
    rules_file.write_text("program: demo\n")
    ask("program", "apply", rules_file)
    assert "(--limit 3), and is not there: it is tightened when it is applied again" in ask("program", "show").out
    assert ask("program", "loosen", "device-burst").out.startswith("there is no rule device-burst now; ")


def test_what_is_left_out_of_tighten_is_not_sent(ask, fake, desk, rules_file):
    ask("program", "apply", rules_file)
    ask("program", "tighten", "device-burst", "--limit", "3")
    assert fake.asked["TightenRule"][0].rule == v1.TightenedRule(name="device-burst", limit=3)


def test_tighten_says_what(ask, fake):
    ended = ask("program", "tighten", "device-burst")
    assert (ended.code, ended.err) == (
        2,
        "redemption: say what to tighten: give --limit N, --burst N or --mode enforce\n",
    )
    assert dict(fake.asked) == {}


@pytest.mark.parametrize(
    ("typed", "hint"), [("device-brust", "did you mean device-burst?"), ("xyz", "there are device-burst")]
)
@pytest.mark.parametrize("verb", ["tighten", "loosen"])
def test_a_rule_that_is_not_there_is_told_with_those_that_are(ask, fake, desk, rules_file, verb, typed, hint):
    ask("program", "apply", rules_file)
    missing = failing(grpc.StatusCode.NOT_FOUND, "there is no such rule", reason="NOT_FOUND")
    fake.answers |= {"TightenRule": missing, "LoosenRule": missing}
    ended = ask("program", verb, typed, *(("--limit", "1") if verb == "tighten" else ()))
    told = f"NOT_FOUND: there is no rule {typed!r} in program demo; {hint}"
    assert (ended.code, ended.out, ended.err) == (1, "", f"redemption: {told}\n")


def test_what_would_be_looser_is_refused_by_its_option(ask, fake, desk):
    fake.answers["TightenRule"] = failing(
        grpc.StatusCode.INVALID_ARGUMENT,
        "wrong",
        reason="INVALID_REQUEST",
        violations=[("rule.limit", "must be 1 to 5, which the rule has as it was applied; it is 9", "OUT_OF_RANGE")],
    )
    ended = ask("program", "tighten", "device-burst", "--limit", "9")
    told = "--limit: must be 1 to 5, which the rule has as it was applied; it is 9"
    assert (ended.code, ended.err) == (2, f"redemption: {told}\n")


def test_claims_are_frozen_and_thawed_and_each_says_how_to_take_it_back(command, fake, desk, monkeypatch):
    monkeypatch.setenv("REDEMPTION_SERVER", fake.address)
    ended = command("program", "freeze-claims")
    assert ended.out == (
        "claims of program demo are frozen: all are refused with CAMPAIGN_PAUSED\n"
        "to take it back: redemption program thaw-claims\n"
    )
    assert desk.rules.claims_frozen
    ended = command("program", "thaw-claims", "--program", "demo")
    assert ended.out == (
        "claims of program demo are not frozen; campaigns and rules decide them\n"
        "to freeze them: redemption program freeze-claims --program demo\n"
    )
    assert not desk.rules.claims_frozen


@pytest.mark.parametrize(
    "arguments", [("tighten", "device-burst", "--limit", "1"), ("loosen", "device-burst"), ("freeze-claims",), ("thaw-claims",)], ids=" ".join
)  # fmt: skip
def test_json_is_the_rules_of_the_contract(ask, desk, rules_file, arguments):
    ask("program", "apply", rules_file)
    ended = ask("program", *arguments, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert json_format.Parse(ended.out, v1.Rules()) == desk.rules
