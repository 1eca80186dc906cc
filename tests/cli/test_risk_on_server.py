"""Rules, lists and emergencies on a real server: what is typed holds for the next order."""
# ruff: noqa: E501 - each mistake is one line of the table.

import json
import time
from pathlib import Path

import pytest

from redemption.cli.demo.server import private_server

EXAMPLE = Path(__file__).parents[2] / "examples" / "programs" / "double11-program.yaml"
EVERY_FIELD = Path(__file__).parent / "program_file" / "every_field.yaml"
RULES = """\
program: demo
velocity:
  - {name: device-day, subject: device, limit: 2 per 1d}
"""
BURST = "{name: a, subject: device, limit: 5 per 1m, burst: 5}"
FARM = "{name: b, subject: device, customers: 3, window: 1d}"
WRONG = f"""\
program: demo
velocity:
  - {BURST}
accounts:
  - {FARM}
lock_out: {{wait: 1m, wait_max: 1h}}
warnings:
  refusal_shares: [{{outcome: TOKEN_EXPIRED, share: 20%}}]
  budget_spent: 80%
  budget_gone_within: 1h
"""


@pytest.fixture(scope="module")
def server():
    with private_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _todays_clock(monkeypatch):
    """The server has no other one."""
    monkeypatch.setattr("redemption.cli.list_runs._now", time.time)


@pytest.fixture
def on_server(command, server):
    """Type a command that asks the real server."""
    return lambda *arguments: command(*arguments, "--server", server.address)


@pytest.fixture
def write(tmp_path):
    """Write a file."""

    def made(text):
        file = tmp_path / "program.yaml"
        file.write_text(text)
        return file

    return made


@pytest.fixture
def redeem(on_server, tmp_path):
    """Use a new coupon on an order of a customer with a device, or without one; return what is said."""

    def ended(customer, device):
        token = on_server("mint", "--campaign", 1, "--count", 1, "--format", "txt").out.strip()
        order = tmp_path / "order.yaml"
        risk = f"risk: {{device_id: {device}}}\n" if device else ""
        line = '{line_id: "1", quantity: 1, amount_minor: 23800}'
        order.write_text(
            f"order: {{order_id: {token[-8:]}, currency_code: CNY, lines: [{line}]}}\ncustomer: {{customer_id: {customer}}}\n{risk}"
        )
        return on_server("redeem", token, "--order-file", order).out

    return ended


def test_the_example_is_applied_and_shown_as_a_file_that_changes_nothing(on_server, write):
    dry = on_server("program", "apply", EXAMPLE, "--dry-run", "--strict")
    assert (dry.code, dry.err) == (0, "")
    assert dry.out.startswith("would be updated rules of program demo\n")
    ended = on_server("program", "apply", EXAMPLE, "--strict")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("updated    rules of program demo\n")
    assert on_server("program", "apply", EXAMPLE).out == "unchanged  rules of program demo\n"
    again = write(on_server("program", "show", "--yaml").out)
    assert on_server("program", "apply", again).out == "unchanged  rules of program demo\n"
    assert "device-burst        device     5 per 1m " in on_server("program", "show").out


def test_a_file_with_every_field_is_applied_and_told_back(on_server, write):
    """With the name of a campaign that the server has."""
    text = EVERY_FIELD.read_text().replace("program: shop", "program: demo").replace("618 满200减50", "满200减50")
    file = write(text.replace("campaign: 3", "campaign: 1").replace("limit: 5 per 90s", "limit: 5 per 1500ms"))
    ended = on_server("program", "apply", file)
    assert ended.code == 0, ended.err
    assert on_server("program", "apply", file).out == "unchanged  rules of program demo\n"
    assert "    limit: 5 per 1500ms\n" in on_server("program", "show", "--yaml").out


@pytest.mark.parametrize(
    ("before", "after", "line", "told"),
    [
        ("name: a", "name: A b", 3, "velocity[0].name: must be 1 to 64 of a-z, 0-9, hyphen and underscore"),
        ("5 per 1m", "0 per 1m", 3, "velocity[0].limit: must be 1 to 1,000,000; it is 0"),
        ("5 per 1m", "5 per 500ms", 3, "velocity[0].limit: "),
        ("5 per 1m", "5 per 31d", 3, "velocity[0].limit: the period must be 1s to 30d; it is 31d"),
        ("burst: 5", "burst: 0", 3, "velocity[0].burst: must be 1 to 1,000,000; it is 0"),
        ("5 per 1m, burst: 5", "5 per 30d, burst: 900000", 3, "velocity[0].burst: would take "),
        (
            "name: b, subject: device",
            "name: b, subject: customer",
            5,
            "accounts[0].subject: must be one of device, network, payment; it is 'customer'",
        ),
        ("name: b", "name: a", 5, "accounts[0].name: is the name of velocity[0] already; names must differ"),
        ("customers: 3", "customers: 51", 5, "accounts[0].customers: must be 1 to 50; it is 51"),
        ("window: 1d", "window: 31d", 5, "accounts[0].window: must be 1s to 30d; it is 31d"),
        ("window: 1d", "window: 1500ms", 5, "accounts[0].window: "),
        ("wait: 1m,", "wait: 2d,", 6, "lock_out.wait: must be 1s to 1d; it is 2d"),
        ("wait_max: 1h", "wait_max: 30s", 6, "lock_out.wait_max: must be at least the 1m of wait; it is 30s"),
        ("program: demo", "program: Demo!", 1, "program: "),
        ("share: 20%", "share: 120%", 8, "warnings.refusal_shares[0].share: must be 0.01% to 100%; it is 120%"),
        ("80%", "0%", 9, "warnings.budget_spent: must be 0.01% to 100%; it is 0%"),
        ("within: 1h", "within: 30s", 10, "warnings.budget_gone_within: must be 1m to 30d; it is 30s"),
    ],
)
def test_a_rule_that_is_wrong_is_named_with_file_line_and_field(on_server, write, before, after, line, told):
    assert before in WRONG
    file = write(WRONG.replace(before, after))
    ended = on_server("program", "apply", file)
    assert (ended.code, ended.out) == (2, "")
    assert [each for each in ended.err.splitlines() if each.startswith(f"{file}:{line}: {told}")], ended.err
    assert on_server("program", "apply", file, "--dry-run").err == ended.err


def test_more_rules_than_there_may_be_are_refused(on_server, write):
    rules = "".join(f"  - {{name: a{number}, subject: device, limit: 5 per 1m}}\n" for number in range(33))
    file = write(f"program: demo\nvelocity:\n{rules}")
    ended = on_server("program", "apply", file)
    assert ended.code == 2
    assert ended.err == f"{file}:2: velocity: must be at most 32 rules, together with accounts; there are 33\n"


def test_a_rule_holds_and_is_tightened_and_loosened(on_server, write, redeem):
    assert on_server("program", "apply", write(RULES)).code == 0
    assert redeem("ann", "phone-1").startswith("APPROVED")
    assert redeem("ann", "phone-1").startswith("APPROVED")
    told = redeem("ann", "phone-1")
    assert told == "VELOCITY_EXCEEDED (try later)   not possible right now\n"
    assert redeem("ann", "").startswith("APPROVED"), "without a device the rule does not judge"
    ended = on_server("program", "tighten", "device-day", "--limit", 1)
    assert ended.out.startswith("in force   1 per 1d for each device; attempts; enforce\napplied    2 per 1d")
    assert redeem("ann", "phone-2").startswith("APPROVED")
    assert redeem("ann", "phone-2").startswith("VELOCITY_EXCEEDED")
    assert "rule device-day is tightened" in on_server("program", "show").out
    refused = on_server("program", "tighten", "device-day", "--limit", 3)
    assert (refused.code, refused.err.partition(":")[0]) == (2, "redemption")
    assert "--limit: must be 1 to 2" in refused.err
    for text in (RULES.replace("2 per", "1 per"), "program: demo\n", RULES):
        assert on_server("program", "apply", write(text)).code == 0
    assert redeem("ann", "phone-3").startswith("APPROVED")
    assert redeem("ann", "phone-3").startswith("VELOCITY_EXCEEDED"), "no file ends what was tightened"
    ended = on_server("program", "loosen", "device-day")
    assert ended.out.splitlines()[:2] == [
        "before     1 per 1d for each device; attempts; enforce",
        "in force   2 per 1d for each device; attempts; enforce",
    ]
    assert "redemption program tighten device-day --limit 1 --server " in ended.out
    missing = on_server("program", "loosen", "device-days")
    told = "NOT_FOUND: there is no rule 'device-days' in program demo; did you mean device-day?"
    assert (missing.code, missing.err) == (1, f"redemption: {told}\n")
    rows = [line.split() for line in on_server("fraud", "stats").out.splitlines()]
    assert [row[:2] for row in rows if row[:1] == ["device-day"]] == [["device-day", "enforce"]]


def test_a_signal_that_a_rule_needs_is_named(on_server, write, redeem):
    assert on_server("program", "apply", write(RULES.replace("1d}", "1d, without_subject: refuse}"))).code == 0
    told = redeem("ann", "")
    assert told.startswith("RISK_CONTEXT_REQUIRED (fix the caller)")
    assert told.endswith("   missing: risk.device_id\n")
    refused = on_server("claim", "--campaign", 1, "--customer", "ann")
    assert (refused.code, refused.err.endswith("   missing: --device\n")) == (1, True)
    assert on_server("program", "apply", write("program: demo\n")).code == 0


def test_claims_are_frozen_and_thawed(on_server):
    assert on_server("program", "freeze-claims").code == 0
    refused = on_server("claim", "--campaign", 1, "--customer", "ann")
    assert (refused.code, refused.err.partition(" ")[0]) == (1, "CAMPAIGN_PAUSED")
    assert "claims of program demo are frozen" in on_server("program", "show").out
    assert on_server("program", "thaw-claims").code == 0
    assert on_server("claim", "--campaign", 1, "--customer", "ann").code == 0


def test_who_is_denied_is_refused_until_removed(on_server, redeem):
    """By what was typed, and by what the list prints."""
    ended = on_server(
        "deny", "add", "--device", "phone-9", "--coupon", "满200减50:999999", "--reason", "脚本", "--expires", "7d"
    )
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("deny list of program demo: 2 added; ")
    assert redeem("ann", "phone-9") == "DENYLISTED (final)   not possible right now\n"
    entries = json.loads(on_server("deny", "list", "--json").out)["entries"]
    assert [(entry["reason"], "expire_time" in entry) for entry in entries] == [("脚本", True)] * 2
    kinds = {
        entry["subject"]["kind"].removeprefix("SUBJECT_KIND_").lower(): entry["subject"]["id"] for entry in entries
    }
    assert kinds["coupon"] == "1:999999"
    removed = on_server("deny", "remove", *(text for kind, id_ in kinds.items() for text in ("--id", f"{kind}:{id_}")))
    assert removed.out.startswith("deny list of program demo: 2 removed; ")
    assert redeem("ann", "phone-9").startswith("APPROVED")


def test_a_large_file_is_added_listed_and_removed(on_server, tmp_path):
    file = tmp_path / "customers.txt"
    file.write_text("# from the incident\n" + "".join(f"客户-{number}\n" for number in range(2500)))
    arguments = ("--file", file, "--kind", "customer")
    assert on_server("allow", "add", *arguments).out.startswith("allow list of program demo: 2,500 added; ")
    again = on_server("allow", "add", *arguments, "--reason", "ours").out
    assert again.startswith("allow list of program demo: 0 added, 2,500 there already, changed; ")
    lines = on_server("allow", "list").out.splitlines()
    assert (len(lines), lines[1].startswith("customer:"), lines[1].endswith("ours")) == (2502, True, True)
    assert on_server("allow", "remove", *arguments).out.startswith("allow list of program demo: 2,500 removed; ")
    assert on_server("allow", "remove", *arguments).out.startswith(
        "allow list of program demo: 0 removed, 2,500 not there; "
    )


def test_what_the_server_knows_better_is_one_line(on_server):
    ended = on_server("deny", "add", "--device", "d", "--reason", "x" * 129)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "redemption: INVALID_ARGUMENT: reason: is longer than 128 bytes\n"
