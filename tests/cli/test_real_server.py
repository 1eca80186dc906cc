"""Against the real server: every sample yields its outcome, and the demo adds up."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from waiting import SECONDS_MAX

from redemption.cli.demo.server import private_server
from redemption.v1 import outcome_pb2 as v1

REACHABLE = {
    *("APPROVED", "TOKEN_INVALID", "NOT_EVALUATED", "ALREADY_REDEEMED", "TOKEN_NOT_YET_VALID", "TOKEN_EXPIRED"),
    *("CUSTOMER_REQUIRED", "HOLDER_MISMATCH", "CAMPAIGN_NOT_STARTED", "CAMPAIGN_PAUSED", "CAMPAIGN_ENDED"),
    *("CURRENCY_MISMATCH", "MIN_SPEND_NOT_MET", "EXCLUSIVE_CONFLICT", "NO_EFFECT", "CUSTOMER_LIMIT"),
    *("CUSTOMER_DAY_LIMIT", "DAY_LIMIT", "CAMPAIGN_LIMIT", "BUDGET_EXHAUSTED", "STACK_REJECTED"),
    *("RISK_CONTEXT_REQUIRED", "REVOKED", "OUTSIDE_WINDOW", "TIER_REQUIRED", "SEGMENT_REQUIRED", "NEW_CUSTOMER_ONLY"),
    *("CHANNEL_MISMATCH", "STORE_MISMATCH", "REGION_MISMATCH", "PAYMENT_METHOD_MISMATCH", "SCOPE_MISMATCH"),
    *("MIN_QUANTITY_NOT_MET", "GROUP_TOO_SMALL", "SLOT_LIMIT", "CODE_INVALID", "CODE_MISTYPED"),
    *("IDEMPOTENCY_MISMATCH", "DENYLISTED", "VELOCITY_EXCEEDED"),
}


@pytest.fixture(scope="module")
def server():
    """A server, and what ``samples`` printed of it the first time."""
    with private_server() as running:
        command = [sys.executable, "-m", "redemption", "samples", "--server", running.address, "--json"]
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS_MAX)
        yield SimpleNamespace(address=running.address, samples=json.loads(said.stdout))


def test_every_sample_yields_its_outcome_and_can_be_made_again(command, server):
    """Twice, since somebody may have run the commands in between."""
    samples = server.samples
    assert {sample["outcome"] for sample in samples} == REACHABLE
    numbers = [v1.Outcome.Value(f"OUTCOME_{sample['outcome']}") for sample in samples]
    assert numbers == [v1.OUTCOME_APPROVED, *sorted(set(numbers) - {v1.OUTCOME_APPROVED})]
    for sample in samples:
        assert sample["outcome"] in outcomes_of(command, sample["arguments"])
    lines = command("samples", "--server", server.address).out.splitlines()
    for comment, line in zip(lines[::2], lines[1::2], strict=True):
        outcome = comment.removeprefix("# ").partition(":")[0]
        words = shlex.split(line)
        begins = next(index for index, word in enumerate(words) if word in {"redeem", "claim"})
        assert outcome in outcomes_of(command, words[begins:])  # whatever the program is called


def test_what_a_quote_chooses_is_redeemed_for_what_it_says(command, server, tmp_path):
    """From a wallet as ``mint`` writes it, with two coupons in it that cannot be used."""
    late = next(sample["arguments"][1] for sample in server.samples if sample["outcome"] == "OUTSIDE_WINDOW")
    wallet = tmp_path / "wallet.csv"
    for name in ("sample 满200减50", "sample 8折"):
        minted = command("mint", "--campaign", name, "--count", 2, "--server", server.address).out
        wallet.write_text((wallet.read_text() if wallet.exists() else "") + minted.replace("token,serial\n", ""))
    wallet.write_text("token,serial\n" + wallet.read_text() + f"{late},0\nno-token,0\n")
    order = ("--order", "quoted", "--spend", "500.00", "--customer", "ann", "--server", server.address, "--json")
    quoted = json.loads(command("quote", "--tokens-file", wallet, "--best", *order).out)
    outcomes = [verdict["outcome"].removeprefix("OUTCOME_") for verdict in quoted["together"]["verdicts"]]
    assert outcomes == [
        *("APPROVED", "EXCLUSIVE_CONFLICT", "APPROVED", "EXCLUSIVE_CONFLICT", "OUTSIDE_WINDOW", "TOKEN_INVALID"),
    ]
    assert (quoted["chosen"], quoted["exhaustive"]) == ([0, 2], True)
    tokens = [line.partition(",")[0] for line in wallet.read_text().splitlines()[1:]]
    redeemed = json.loads(command("redeem", tokens[0], tokens[2], *order).out)
    assert redeemed["decision"]["discount_minor"] == quoted["together"]["discount_minor"] == 14000


PAGE = Path(__file__).parent.parent.parent / "docs" / "command-line.md"


def test_the_examples_of_the_page_on_scripts_do_what_it_says(server, tmp_path):
    """Each is typed into a shell, as a reader would."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    examples = [example for block in blocks for example in block.removeprefix("$ ").split("\n$ ")]
    program = Path(sys.executable).parent
    surroundings = {
        "PATH": f"{program}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "REDEMPTION_SERVER": server.address,
    }
    for example in examples:
        ended = subprocess.run(
            ["/bin/bash", "-c", example],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | surroundings,
            timeout=SECONDS_MAX,
        )
        assert ended.returncode == 0, (example, ended.stdout, ended.stderr)
    assert any("redeem" in example for example in examples)


def outcomes_of(command, arguments):
    """The outcome of the claim, or of the order and its coupons."""
    ended = command(*arguments, "--json")
    assert ended.out, ended.err
    answer = json.loads(ended.out)
    answer = answer.get("decision", answer)
    found = {each["outcome"] for each in (answer, *answer.get("verdicts", ()))}
    return {outcome.removeprefix("OUTCOME_") for outcome in found}


def test_the_demo_adds_up(command):
    ended = command("demo", "--buyers", 300, "--coupons", 60, "--json")
    report = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert (report["passed"], report["approved"], report["redeemed_by_ledger"]) == (True, 60, 60)
    assert (report["used_twice"], report["over_redeemed"], report["unanswered"]) == (0, 0, 0)
    assert report["repeated"] == report["repeated_alike"] > 0
    assert {"CAMPAIGN_LIMIT", "ALREADY_REDEEMED", "TOKEN_INVALID"} <= report["refused"].keys()
