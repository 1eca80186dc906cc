"""A run as data: what later runs are compared with, and what a pull request shows."""

import json
from array import array

import pytest
from tool_loader import load_bench

from redemption.cli.exits import Stop

check, journal, levels, record, scenario, summary, verdict = (
    load_bench(f"sale.{name}") for name in ("check", "journal", "levels", "record", "scenario", "summary", "verdict")
)
latency, yardstick = load_bench("latency"), load_bench("sale.yardstick")
SALE = scenario.read_scenario("flash-sale", ["shopper", "replayer", "guesser"])
FACTS = {"processor": "a processor", "cores": "2", "commit": "abc"}


def histogram(microseconds):
    return latency.Histogram([microseconds / 1e6] * 1_000)


def run(seconds=0.002, *, empty_us=1_000, wrong=()):
    """The data of a run whose answers all took equally long."""
    told = journal.Journal(
        journal.Entry("Redeem", f"r-{number}", sent_at=1.0, seconds=seconds, answer="APPROVED") for number in range(100)
    )
    lags = summary.Lags()
    lags.add(array("d", [0.001]), array("d", [0.0]))
    found = verdict.Verdict((check.Check("no coupon is used twice", "7 coupons", tuple(wrong)),), ("the records",))
    asked = levels.Levels({"Redeem": {"p50": levels.Bound(1.0, is_ratio=False)}})
    empty = yardstick.Empty({yardstick.LOCUST: histogram(empty_us)})
    summed = summary.summary_of(
        SALE, told, lags, found, levels=asked, empty=empty, planned=1, broken="", late_seconds_max=1.0
    )
    return record.as_data(summed, FACTS)


def test_the_data_can_be_written_and_read(tmp_path):
    file = tmp_path / "run.json"
    file.write_text(json.dumps(run()))
    data = record.read_earlier(file, "flash-sale")
    assert data == run()
    assert (data["verdict"], data["exit_code"]) == ("MISSED", 3)
    assert data["latencies"]["Redeem"]["count"] == 100
    assert len(latency.Histogram.decode(data["latencies"]["Redeem"]["histogram"])) == 100
    assert data["latencies"]["Redeem"]["p99_ms"] is None, "one call is above it, which is chance"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: "),
        ("{", "cannot be read: "),
        ("[]", "is no run of this bench; give the .json of an earlier run"),
        ('{"format": "another"}', "is no run of this bench"),
        (
            json.dumps({"format": record.FORMAT, "scenario": "smoke"}),
            "is a run of smoke, and this one is of flash-sale",
        ),
    ],
)
def test_what_cannot_be_compared_is_told(tmp_path, content, problem):
    file = tmp_path / "run.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Stop) as caught:
        record.read_earlier(file, "flash-sale")
    assert problem in caught.value.told[0]


def test_what_the_machine_has_changed_is_left_out():
    """The machine takes twice as long, and the service three times."""
    changes = {each.name: each for each in record.changes_of(run(0.006, empty_us=2_000), run(0.002, empty_us=1_000))}
    redeem, empty = changes["Redeem p50"], changes["empty handler p50"]
    assert (redeem.ratio, redeem.own_ratio) == (pytest.approx(3, rel=0.01), pytest.approx(1.5, rel=0.01))
    assert (empty.ratio, empty.own_ratio) == (pytest.approx(2, rel=0.01), None)


def test_markdown_says_what_is_wrong_missed_and_changed():
    data = run(wrong=["a coupon was approved for r1 and r2"])
    lines = record.markdown(data, record.changes_of(data, run(0.001))).splitlines()
    assert lines[0] == "### Flash-sale bench: flash-sale: **FAIL**"
    assert "a processor, 2 cores, commit abc" in lines[2]
    assert "| **wrong** | no coupon is used twice | 7 coupons |" in lines
    assert any(line.startswith("| **missed** | Redeem p50, at most 1 ms | 2.0") for line in lines)
    assert "| not looked at | the records | |" in lines
    assert any(line.startswith("| Redeem p50 | 1.00 | 2.00 | 2.0") for line in lines)
    for table in "\n".join(lines).split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1, rows
