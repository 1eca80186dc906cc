"""Service levels: what a file may ask, and what is kept."""

import pytest
from tool_loader import load_bench

from redemption.cli.exits import BadFile

latency, journal, yardstick = (load_bench(name) for name in ("latency", "sale.journal", "sale.yardstick"))
levels, scenario = load_bench("sale.levels"), load_bench("sale.scenario")
NOBODY = journal.Journal()
NO_EMPTY = yardstick.Empty()


def latencies(*values_us, count=10_000):
    return latency.Histogram(value / 1e6 for value in values_us for _ in range(count))


def calls(count, *, failed=0, late=0):
    """A journal of calls, of which some were not answered as expected, and others late."""
    return journal.Journal(
        journal.Entry(
            "Redeem", f"r{number}", 0.0, 0.3 if failed <= number < failed + late else 0.1, "APPROVED", number >= failed
        )
        for number in range(count)
    )


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
        ("mine:\n  goodput: 99%\n", ":2: mine.goodput: must be a part and a time, such as 99% within 250ms"),
        ("mine:\n  goodput: 101% within 1s\n", ":2: mine.goodput: must be a part and a time"),
        ("mine: fast\n", ":1: mine: must have methods (Redeem, Redeem (prebuilt), BatchRedeem, Claim, Quote), errors"),
        ("smok:\n  errors: 1%\n", ":1: smok: is no scenario; did you mean smoke?"),
        ("mines:\n  errors: 1%\n", ":1: mines: is no scenario; did you mean mine?"),
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
    seen, empty = latencies(2_000, 10_000), yardstick.Empty({yardstick.LOCUST: latencies(1_000, 2_000)})
    (compared,) = levels.compare(asked_of, {"Redeem": seen}, empty, NOBODY)
    assert (compared.kept, compared.found) == (kept, found)
    assert asked_of.need_empty == asked.endswith("x")


def test_too_few_calls_say_nothing(tmp_path):
    asked = read(tmp_path, "mine:\n  Redeem: {p99: 1us, p50: 1ms}\n  Quote: {p50: 1us}\n")
    found = levels.compare(asked, {"Redeem": latencies(500, count=999)}, NO_EMPTY, NOBODY)
    assert [each.kept for each in found] == [None, True, None]


def test_too_few_calls_of_the_empty_handler_say_nothing_either(tmp_path):
    asked = read(tmp_path, "mine:\n  Redeem: {p50: 2x, p99: 2x}\n")
    empty = yardstick.Empty({yardstick.LOCUST: latencies(500, count=999)})
    found = levels.compare(asked, {"Redeem": latencies(500)}, empty, NOBODY)
    assert [each.kept for each in found] == [True, None]
    assert "too few calls of the empty handler (999 of 1,000)" in found[1].found


def test_prebuilt_redeems_are_held_against_prebuilt_calls_of_the_empty_handler(tmp_path):
    asked = read(tmp_path, "mine:\n  Redeem: {p50: 2x}\n  Redeem (prebuilt): {p50: 2x}\n")
    empty = yardstick.Empty({yardstick.LOCUST: latencies(1_000), yardstick.OF_PREBUILT: latencies(400)})
    rows = {"Redeem": latencies(1_000), "Redeem (prebuilt)": latencies(1_000)}
    assert [each.kept for each in levels.compare(asked, rows, empty, NOBODY)] == [True, False]


@pytest.mark.parametrize(("failed", "late", "kept"), [(1, 1, True), (2, 1, False), (0, 3, False)])
def test_goodput_is_what_is_answered_as_expected_and_in_time(tmp_path, failed, late, kept):
    asked = read(tmp_path, "mine:\n  goodput: 98% within 250ms\n")
    (compared,) = levels.compare(asked, {}, NO_EMPTY, calls(100, failed=failed, late=late))
    assert (compared.name, compared.kept) == ("goodput", kept)


@pytest.mark.parametrize(("errors", "kept"), [(1, True), (2, False)])
def test_errors_are_a_part_of_all_calls(tmp_path, errors, kept):
    asked = read(tmp_path, "mine:\n  errors: 0.1%\n")
    (compared,) = levels.compare(asked, {}, NO_EMPTY, calls(1_000, failed=errors))
    assert (compared.name, compared.kept) == ("errors", kept)
