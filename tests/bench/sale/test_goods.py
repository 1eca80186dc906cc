"""What a run sells: shares by Zipf's law, and one part for each worker."""

import random
from collections import Counter

import pytest
from tool_loader import load_bench

goods, scenario = load_bench("sale.goods"), load_bench("sale.scenario")


def sale(**changed):
    found = scenario.read_scenario("flash-sale", ["shopper", "replayer", "guesser"])
    return found._replace(part=found.part.model_copy(update={"goods": scenario.Goods(**changed)}))


def on_sale(number, share):
    return goods.OnSale(number=number, share=share, redemptions=1, issued=1, budget_minor=1)


def test_the_hot_campaign_has_its_share_and_the_others_share_the_rest_by_their_rank():
    found = goods.shares(sale(campaigns="5", hot="60%", zipf="1.0", stock="100%"))
    assert found[0] == pytest.approx(0.6)
    assert sum(found) == pytest.approx(1.0)
    assert found[1] / found[2] == pytest.approx(2.0)
    assert found[1] / found[4] == pytest.approx(4.0)


def test_one_campaign_has_all_buyers():
    assert goods.shares(sale(campaigns="1", hot="60%")) == [1.0]


def test_wishes_follow_the_shares_and_nobody_wants_what_is_printed():
    wishes = goods.Wishes([on_sale(1, 0.7), on_sale(2, 0.3), on_sale(3, 0.0)], random.Random(5))
    wanted = Counter(wishes.next().number for _ in range(10_000))
    assert set(wanted) == {1, 2}
    assert 6_700 < wanted[1] < 7_300


def test_a_plan_comes_whole_through_a_message():
    plan = goods.Plan("run", "bench", (on_sale(1, 0.7), on_sale(2, 0.0)), printed=2)
    assert goods.Plan.from_message(plan.message()) == plan
