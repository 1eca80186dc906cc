"""Scenario files: what they may say, and when buyers arrive by them."""

import pytest
from tool_loader import load_bench

from redemption.cli.exits import BadFile, Stop

scenario = load_bench("sale.scenario")
KINDS = ["shopper", "claimer", "till", "replayer", "guesser"]
RIGHT = """\
description: A sale.
seed: 3
warm_up: 1s
phases:
  - {name: calm, lasts: 10s, buyers_per_second: 20}
  - {name: wall, lasts: 10s, buyers_per_second: 100 to 300}
think: {median: 300ms}
goods: {campaigns: 4, hot: 60%, zipf: 1.1, stock: 70%}
buyers: {shopper: 90%, guesser: 10%}
"""


def read(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return scenario.read_scenario(str(file), KINDS)


@pytest.mark.parametrize("name", sorted(file.stem for file in scenario.FOLDER.glob("*.yaml")))
def test_every_scenario_of_the_suite_can_be_read(name):
    found = scenario.read_scenario(name, KINDS)
    assert found.name == name
    assert found.buyers.expected > 0


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("100 to 300", "-5", ":6: phases[1].buyers_per_second: must be 0 to 1,000,000 a second"),
        ("100 to 300", "100 to", ":6: phases[1].buyers_per_second: must be 0 to 1,000,000 a second"),
        ("100 to 300", "nan", ":6: phases[1].buyers_per_second: must be 0 to 1,000,000 a second"),
        (
            "lasts: 10s, buyers_per_second: 20}",
            "lasts: 0s, buyers_per_second: 20}",
            ":5: phases[0].lasts: must be longer",
        ),
        (
            "lasts: 10s, buyers_per_second: 20}",
            "last: 10s, buyers_per_second: 20}",
            ":5: phases[0].last: is not a known",
        ),
        (
            "lasts: 10s, buyers_per_second: 20}",
            "lasts: soon, buyers_per_second: 20}",
            ":5: phases[0].lasts: must be a len",
        ),
        ("hot: 60%", "hot: 0.6", ":8: goods.hot: must be a part such as 60%; it is '0.6'"),
        ("hot: 60%", "hot: 160%", ":8: goods.hot: must be at most 100%"),
        ("campaigns: 4", "campaigns: 1001", ":8: goods.campaigns: must be at most 1,000"),
        ("stock: 70%", "stock: 0%", ":8: goods.stock: must be more than 0%"),
        ("campaigns: 4", "campaigns: 0", ":8: goods.campaigns: must be a whole number from 1 to 1,000,000; it is '0'"),
        ("shopper: 90%", "shoper: 90%", ":9: buyers.shoper: is not a known field; did you mean shopper?"),
        ("shopper: 90%", "shopper: 80%", ":9: buyers: must be 100% together; it is 90%"),
        ("warm_up: 1s", "warm_up: 1m", ":3: warm_up: must be shorter than all phases together, 20s"),
        ("seed: 3", "habits: {abandon: 60%, double_click: 50%}", ":2: habits: must be at most 100% together"),
        ("description: A sale.\n", "", ": description: is missing"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, right, wrong, problem):
    assert right in RIGHT
    with pytest.raises(BadFile) as caught:
        read(tmp_path, RIGHT.replace(right, wrong))
    assert any(problem in line for line in caught.value.told), caught.value.told


def test_a_scenario_without_a_phase_is_refused(tmp_path):
    text = RIGHT.partition("phases:")[0] + "phases: []\n" + RIGHT[RIGHT.index("think") :]
    with pytest.raises(BadFile, match="phases: must have one phase at least"):
        read(tmp_path, text)


def test_a_name_that_is_no_scenario_is_told_with_those_that_are():
    with pytest.raises(Stop, match=r"there is no scenario 'flash'; there are baseline, batch, .*, soak"):
        scenario.read_scenario("flash", KINDS)


def test_the_rate_changes_evenly_within_a_phase(tmp_path):
    found = read(tmp_path, RIGHT)
    assert [found.buyers.at(moment) for moment in (0, 9.9, 10, 15, 19.99, 20, 99)] == pytest.approx(
        [20, 20, 100, 200, 299.8, 0, 0]
    )
    assert (found.seconds, found.buyers.highest, found.buyers.expected) == (20.0, 300.0, 2_200.0)
    assert found.scaled(2).buyers.expected == 4_400.0


def test_buyers_arrive_at_random_with_the_rate_of_the_schedule(tmp_path):
    """As many as expected, in each second: off by less than five standard deviations."""
    found = read(tmp_path, RIGHT)
    moments = found.buyers.arrivals(seed="a")
    assert list(moments) == sorted(moments)
    for second in range(20):
        expected = sum(found.buyers.at(second + part / 10 + 0.05) for part in range(10)) / 10
        came = sum(second <= moment < second + 1 for moment in moments)
        assert abs(came - expected) < 5 * expected**0.5, second


def test_the_same_seed_gives_the_same_arrivals_and_parts_add_up(tmp_path):
    found = read(tmp_path, RIGHT)
    buyers = found.buyers
    assert buyers.arrivals(share=0.5, seed="a") == buyers.arrivals(share=0.5, seed="a")
    assert buyers.arrivals(share=0.5, seed="a") != buyers.arrivals(share=0.5, seed="b")
    parts = sum(len(buyers.arrivals(share=0.25, seed=str(part))) for part in range(4))
    assert abs(parts - buyers.expected) < 5 * buyers.expected**0.5
