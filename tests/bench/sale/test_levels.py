"""Service levels: what a file may ask, and what is kept."""

import pytest
from hdrh.histogram import HdrHistogram
from tool_loader import load_bench

from redemption.cli.exits import BadFile

levels, scenario = load_bench("sale.levels"), load_bench("sale.scenario")


def latencies(*values_us, count=10_000):
    histogram = HdrHistogram(1, 60_000_000, 3)
    for value in values_us:
        histogram.record_value(value, count)
    return histogram


def read(tmp_path, text, name="mine"):
    file = tmp_path / "slo.yaml"
    file.write_text(text)
    return levels.read_levels(file, name)


def test_every_scenario_of_the_suite_has_levels():
    for file in scenario.FOLDER.glob("*.yaml"):
        assert levels.read_levels(levels.FILE, file.stem).need_empty, file.stem


def test_a_scenario_that_is_not_named_is_asked_nothing(tmp_path):
    assert read(tmp_path, "other:\n  errors: 1%\n") == levels.NOTHING_ASKED


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mine:\n  Redem: {p50: 5x}\n", ":2: mine.Redem: is not a known field; did you mean Redeem?"),
        ("mine:\n  Redeem: {p5: 5x}\n", ":2: mine.Redeem.p5: is not a known field; did you mean"),
        (
            "mine:\n  Redeem: {p50: fast}\n",
            ":2: mine.Redeem.p50: must be a time or a ratio, such as 20ms or 5x; it is 'fast'",
        ),
        ("mine:\n  Redeem: {p50: 5}\n", ":2: mine.Redeem.p50: must be a time or a ratio"),
        ("mine:\n  Redeem: {p50: 0ms}\n", ":2: mine.Redeem.p50: must be a time or a ratio"),
        ("mine:\n  Redeem: 5x\n", ":2: mine.Redeem: must have percentiles, such as {p50: 5x, p99: 20ms}"),
        ("mine:\n  errors: 5\n", ":2: mine.errors: must be a part such as 0.1%; it is '5'"),
        ("mine: fast\n", ":1: mine: must have methods (Redeem, BatchRedeem, Claim, Quote) or errors"),
        ("other:\n  Redem: {p50: 5x}\nmine:\n  errors: 1%\n", ":2: other.Redem: is not a known field"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, problem):
    with pytest.raises(BadFile) as caught:
        read(tmp_path, text)
    assert any(problem in line for line in caught.value.told), caught.value.told


@pytest.mark.parametrize(
    ("asked", "kept", "found"),
    [
        ("p50: 2ms", True, "2.00 ms"),
        ("p50: 1999us", False, "2.00 ms"),
        ("p99: 0.0101s", True, "10.01 ms"),
        ("p99: 9ms", False, "10.01 ms"),
        ("p50: 2x", True, "2.0x (2.00 of 1.00 ms)"),
        ("p50: 1.9x", False, "2.0x (2.00 of 1.00 ms)"),
        ("p99: 5.1x", True, "5.0x (10.01 of 2.00 ms)"),
        ("p99.9: 4.9x", False, "5.0x (10.01 of 2.00 ms)"),
    ],
)
def test_a_level_is_a_figure_or_a_ratio_to_the_empty_handler(tmp_path, asked, kept, found):
    asked_of = read(tmp_path, f"mine:\n  Redeem: {{{asked}}}\n")
    seen, empty = latencies(2_000, 10_000), latencies(1_000, 2_000)
    (compared,) = levels.compare(asked_of, {"Redeem": seen}, empty, calls=1, errors=0)
    assert (compared.kept, compared.found) == (kept, found)
    assert asked_of.need_empty == asked.endswith("x")


def test_too_few_calls_say_nothing(tmp_path):
    asked = read(tmp_path, "mine:\n  Redeem: {p99: 1us, p50: 1ms}\n  Quote: {p50: 1us}\n")
    found = levels.compare(asked, {"Redeem": latencies(500, count=999)}, None, calls=999, errors=0)
    assert [each.kept for each in found] == [None, True, None]


@pytest.mark.parametrize(("errors", "kept"), [(1, True), (2, False)])
def test_errors_are_a_part_of_all_calls(tmp_path, errors, kept):
    (compared,) = levels.compare(read(tmp_path, "mine:\n  errors: 0.1%\n"), {}, None, calls=1_000, errors=errors)
    assert (compared.name, compared.kept) == ("errors", kept)
