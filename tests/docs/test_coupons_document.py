"""docs/coupons.md says what the code computes, and what its files say; regenerating it changes nothing."""

import re
from dataclasses import replace

import pytest
from tool_loader import ROOT, load_tool

from redemption.domain.campaign.benefit import Tier

coupons_document = load_tool("coupons_document")
coupon_shop = load_tool("coupon_shop")
coupon_words = load_tool("coupon_words")
DOCUMENT = ROOT / "docs" / "coupons.md"
PAGE = DOCUMENT.read_text(encoding="utf-8")


def test_writing_the_page_again_changes_nothing(tmp_path):
    assert coupons_document.main([str(tmp_path / "coupons.md")]) == 0
    written = (tmp_path / "coupons.md").read_text(encoding="utf-8")
    assert written == PAGE, "docs/coupons.md differs from what the code computes: run 'make docs' and commit the result"


def test_every_campaign_of_the_festival_is_on_the_page():
    files = {path.name for path in coupon_shop.PROGRAMS.glob("*.yaml")}
    assert {file for file in files if f"double11/{file})" in PAGE} == files


def test_every_order_written_for_the_page_is_on_it():
    files = {path.name for path in coupon_shop.ORDERS.glob("*.yaml")}
    assert {file for file in files if f"coupons/{file})" in PAGE} == files


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE))))
def test_every_link_leads_somewhere(link):
    file, _, anchor = link.partition("#")
    target = (DOCUMENT.parent / file) if file else DOCUMENT
    assert target.exists()
    if anchor:
        titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def tables():
    """The tables of orders: their lines, each a list of cells, the total last."""
    rows = [
        [cell.strip(" *") for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")
    ]
    starts = [number for number, row in enumerate(rows) if row[0] == "line"]
    for start in starts:
        end = next(number for number in range(start, len(rows)) if rows[number][0] == "total")
        yield rows[start + 2 : end + 1]


def cents(text):
    """What a cell says, in cents; an empty one says nothing."""
    return int(re.sub(r"[¥,.\N{MINUS SIGN}]", "", text)) if text else 0


def test_there_is_a_table_for_every_example():
    assert len(list(tables())) > 13


@pytest.mark.parametrize("table", list(tables()), ids=lambda table: f"{table[0][0]} {table[-1][3]}")
def test_the_columns_of_a_table_sum_to_its_total_and_its_shares_to_what_is_off(table):
    *lines, total = [[cents(cell) for cell in row[2:]] for row in table]
    assert [sum(column) for column in zip(*lines, strict=True)] == total
    for amount, off, merchant, sponsor, pay in (*lines, total):
        assert (off, pay) == (merchant + sponsor, amount - off)


def test_of_the_tiers_reached_the_one_that_takes_most_off_is_told():
    """Though a higher one is reached."""
    shop = coupon_shop.Shop()
    coupon = shop.coupon("tiered-full-reduction.yaml")
    (offer,) = coupon.campaign.offers
    tiers = (Tier(threshold=300_00, amount_off_minor=100_00), Tier(threshold=500_00, amount_off_minor=70_00))
    benefit = replace(offer.benefit, tiers=tiers)
    lower = replace(coupon, campaign=replace(coupon.campaign, offers=(replace(offer, benefit=benefit),)))
    (turn,) = coupon_shop.turns([lower], shop.checkout("tiers"))
    assert coupon_words.arithmetic(turn).endswith("of the tiers reached that of ¥300.00 takes most off: ¥100.00")


def test_a_sentence_that_does_not_come_to_the_discount_is_refused():
    shop = coupon_shop.Shop()
    (turn,) = coupon_shop.turns([shop.coupon("full-200-less-50.yaml")], shop.checkout("full-reduction"))
    wrong = replace(turn.judged, discount_minor=turn.judged.discount_minor + 1)
    with pytest.raises(ValueError, match="comes to 5000, but the discount is 5001"):
        coupon_words.arithmetic(replace(turn, judged=wrong))
