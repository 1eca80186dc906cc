"""docs/coupons.md says what the code computes, and what its files say; regenerating it changes nothing."""

import re

import pytest
from tool_loader import ROOT, load_tool

coupons_document = load_tool("coupons_document")
coupon_shop = load_tool("coupon_shop")
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
