#!/usr/bin/env python3
"""Write docs/coupons.md: every kind of coupon with its file, an order, and what the service's own code computes.

tools/coupons_document.py [FILE]
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from textwrap import fill

from coupon_examples import CONDITIONS, EXAMPLES, EXCLUDED, REFUSALS, SEVERAL, WALLET, Condition, Example
from coupon_shop import ORDERS, PROGRAMS, ROOT, Applied, Shop, applied, best, judgements, shopper_texts

from redemption.cli.campaign_file.reading import read_campaign
from redemption.cli.output.campaign_summary import summary
from redemption.client import format_money
from redemption.domain.campaign.benefit import FreeShipping
from redemption.domain.campaign.campaign import DiscountBase, Stage
from redemption.domain.judging.eligibility import Coupon
from redemption.domain.judging.stacking import CouponJudgement
from redemption.domain.judging.units import Units
from redemption.domain.order import Checkout, Order
from redemption.domain.outcome import Outcome
from redemption.service.decisions import allocations_of

DOCUMENT = ROOT / "docs" / "coupons.md"
_STAGES = {Stage.ITEM: "单品", Stage.MERCHANT: "店铺", Stage.PLATFORM: "平台", Stage.PAYMENT: "支付"}

HEAD = """\
# Coupons, one by one

<!-- Written by tools/coupons_document.py (make docs) from the files that it names; a change by hand would be lost. -->

Each kind of coupon: how a campaign file says it, an order, what is taken off and how that falls on the lines. The
campaigns are those of the festival in [examples/programs/double11](../examples/programs/double11), the orders those in
[examples/orders/coupons](../examples/orders/coupons), and every number here is computed from them by the code that
redeems. The rules behind the numbers are in [rules.md](rules.md).

In the tables, *off* is what the coupon takes off a line, *merchant* the part of it that the line's merchant pays, and
*sponsor* the rest, which the platform or whoever stands behind the campaign pays. A line without a sum has no part in
the discount. Discounts fall on lines in proportion to what these have left, to the cent, and the parts always sum to
the discount ([how](rules.md#falling-on-the-lines)).

Below a table stand what the offer gives and what it counts: the lines or fees in its scope, and what these had left
when the coupon's turn came.
"""
CONDITIONS_HEAD = """\
## Conditions

Any benefit can be limited to some goods, customers, ways to buy and hours. All that a file names must hold; within a
kind one value is enough; `exclude` always wins.
"""
REFUSALS_HEAD = """\
## What a shopper is told

A coupon that does not fit is refused with an outcome for programs, and with what would help for people. The sentences
come from one catalogue, in English and Chinese. Where several reasons apply, the
[first by precedence](rules.md#which-reason-is-told) is told.
"""
SEVERAL_HEAD = """\
## Several coupons on one order

Coupons are taken one after the other: item (单品), merchant (店铺), platform (平台), payment (支付); within a stage the
higher priority first. A threshold looks at what was left when the stage began, so coupons of one stage do not push each
other below it; a part is taken of what is left when the coupon's turn comes. The order in which a shopper enters them
changes nothing.
"""
BEST_HEAD = """\
## The best combination

A shopper with a wallet full of coupons wants to know which of them to use. `Quote` with `choose_best` says so, with a
reason for each one left out, and `redemption quote --best` prints it as a table. On the order above:
"""


def main(arguments: Sequence[str]) -> int:
    """Write the page to the given file, or to docs/coupons.md."""
    file = ROOT / arguments[0] if arguments else DOCUMENT
    file.write_text(document(), encoding="utf-8")
    return 0


def document() -> str:
    """Return the page."""
    shop = Shop()
    sections = [_example(shop, example) for example in EXAMPLES]
    sections += [_conditions(shop), _refusals(shop), _several(shop), _best(shop)]
    titles = [re.findall(r"^## (.*)$", section, re.MULTILINE)[0] for section in sections]
    contents = "\n".join(f"- [{title}](#{_anchor(title)})" for title in titles)
    return "\n".join([HEAD, contents + "\n", *sections])


# The sections


def _example(shop: Shop, example: Example) -> str:
    checkout = shop.checkout(example.order)
    coupons = [shop.coupon(example.file, offer) for offer in example.offers]
    done = applied(coupons, checkout)
    source = (PROGRAMS / example.file).read_text(encoding="utf-8")
    paragraphs = [
        f"## {example.title}",
        _wrapped(example.about),
        f"{_campaign_link(shop, example.file)}:",
        f"```yaml\n{_excerpt(source, example.excerpt)}```",
        f"On [this order]({_order_link(example.order)}):",
        _lines_table(done, checkout.order),
        *(_wrapped(_sum_sentence(one, checkout.order, example.file)) for one in done),
    ]
    return _section(paragraphs)


def _conditions(shop: Shop) -> str:
    rows = []
    for condition in CONDITIONS:
        checkout, judged = _judged(shop, condition)
        if judged.outcome is not Outcome.APPROVED:
            raise ValueError(f"{condition}: {judged}")
        off = format_money(-judged.discount_minor, checkout.order.currency_code)
        words = "<br>".join(_summary(condition.file))
        rows.append((_campaign_link(shop, condition.file), words, _order_words(condition), off))
    return _section([CONDITIONS_HEAD.rstrip(), _table(("campaign", "says", "an order", "off"), rows, right=("off",))])


def _refusals(shop: Shop) -> str:
    rows = []
    for condition in REFUSALS:
        checkout, judged = _judged(shop, condition)
        if judged.outcome is Outcome.APPROVED:
            raise ValueError(f"{condition}: {judged}")
        english, chinese = shopper_texts(judged, checkout.order.currency_code, condition.at)
        campaign = f"[{shop.coupon(condition.file).campaign.name}]({_file_link(condition.file)})"
        rows.append((campaign, _order_words(condition), f"`{judged.outcome.name}`", f"{english}<br>{chinese}"))
    return _section([REFUSALS_HEAD.rstrip(), _table(("campaign", "the order", "outcome", "sentence"), rows)])


def _several(shop: Shop) -> str:
    checkout = shop.checkout("several")
    code = checkout.order.currency_code
    coupons = [shop.coupon(file) for file in SEVERAL]
    done = applied(coupons, checkout)
    rows = []
    for number, one in enumerate(done, start=1):
        file = _file_of(one.eligible.coupon, shop)
        stacking = one.eligible.coupon.campaign.stacking
        position = f"{_STAGES[stacking.stage]} {stacking.stage.name.lower()}, {stacking.priority}"
        gives = _gives(file, one).partition(": ")[2]
        off = format_money(-one.judged.discount_minor, code)
        counted = _counted(one, checkout.order)
        rows.append((str(number), _campaign_link(shop, file), position, gives, counted, off))
    excluded = judgements([*coupons, shop.coupon(EXCLUDED)], checkout)
    others = [*SEVERAL, EXCLUDED]
    refused = [index for index, judged in enumerate(excluded) if judged.outcome is not Outcome.APPROVED]
    if len(refused) != 1:
        raise ValueError(f"one coupon should not go with the others: {refused}")
    paragraphs = [
        SEVERAL_HEAD.rstrip(),
        f"On [this order]({_order_link('several')}):",
        _table(("turn", "campaign", "stage, priority", "gives", "counts", "off"), rows, right=("turn", "off")),
        "And so it falls on the lines:",
        _lines_table(done, checkout.order),
        *_exclusivity(shop, checkout, excluded, others, refused[0]),
        *_stop_after(shop),
    ]
    return _section(paragraphs)


def _exclusivity(
    shop: Shop, checkout: Checkout, judged: Sequence[CouponJudgement], files: Sequence[str], refused: int
) -> Iterator[str]:
    detail = judged[refused].detail
    if detail is None:
        raise ValueError("a conflict names what it does not go with")
    english, _ = shopper_texts(judged[refused], checkout.order.currency_code)
    names = " and ".join(_quoted(shop, files[index]) for index in detail.conflicts)
    yield _wrapped(
        f"**Exclusivity (互斥).** {_quoted(shop, EXCLUDED)} shares a group with {_quoted(shop, SEVERAL[4])}. If the"
        f" shopper enters it as well, {_quoted(shop, files[refused])} comes later and gets"
        f" `{judged[refused].outcome.name}`: *{english}* (that is {names}). Then nothing is used at all, and the others"
        f" are answered with `{Outcome.STACK_REJECTED.name}`: an order uses all of its coupons or none, so that the"
        " shopper decides what to leave out."
    )


def _stop_after(shop: Shop) -> Iterator[str]:
    checkout = shop.checkout("group")
    files = ("group-purchase.yaml", "cash-vouchers.yaml")
    first, second = judgements([shop.coupon(file) for file in files], checkout)
    english, _ = shopper_texts(second, checkout.order.currency_code)
    off = format_money(first.discount_minor, checkout.order.currency_code)
    yield _wrapped(
        f"**Stop-after (不再叠加).** After {_quoted(shop, files[0])}, which takes {off} off, nothing is applied, so"
        f" {_quoted(shop, files[1])} beside it gets `{second.outcome.name}`: *{english}*."
    )


def _best(shop: Shop) -> str:
    checkout = shop.checkout("several")
    code = checkout.order.currency_code
    coupons = [shop.coupon(file) for file in WALLET]
    alone, choice = best(coupons, checkout)
    rows = []
    for index, (coupon, by_itself, together) in enumerate(zip(coupons, alone, choice.findings, strict=True)):
        cells = [
            format_money(-each.judgement.discount_minor, code)
            if each.approved
            else shopper_texts(each.judgement, code)[0]
            for each in (by_itself, together)
        ]
        if not by_itself.approved and cells[0] == cells[1]:
            cells[1] = "the same"
        chosen = together.approved
        cells[1] = f"**{cells[1]}**" if chosen else cells[1]
        rows.append((str(index + 1), _campaign_link(shop, _file_of(coupon, shop)), *cells))
    combination = choice.combination
    how = "every combination was tried" if combination.exhaustive else "not every combination was tried"
    off = format_money(combination.discount_minor, code)
    paragraphs = [
        BEST_HEAD.rstrip(),
        _table(("coupon", "campaign", "alone", "together"), rows, right=("coupon",)),
        _wrapped(
            f"{len(combination.chosen)} of {len(coupons)} coupons are chosen ({how}) and take **{off}** off together."
            " What counts is the sum: a coupon that takes much off alone may spoil the threshold of a better one"
            " ([how it is chosen](rules.md#the-best-combination))."
        ),
    ]
    return _section(paragraphs)


# Parts of sections


def _lines_table(done: Sequence[Applied], order: Order) -> str:
    """Return a table of an order's lines, with the discount of each and who pays for it."""
    code = order.currency_code
    bearers = order.lines + order.shipping
    off = {bearer.line_id: 0 for bearer in bearers}
    merchant = dict(off)
    for one in done:
        for part in allocations_of(one.judged.parts, one.judged.merchant_basis_points, bearers):
            off[part.line_id] += part.amount_minor
            merchant[part.line_id] += part.merchant_minor
    lines = [(line.line_id, str(line.quantity), line.amount_minor) for line in order.lines]
    lines += [(fee.line_id, "", fee.amount_minor) for fee in order.shipping]
    rows: list[Sequence[str]] = []
    for name, units, amount in lines:
        shares = _shares(off[name], merchant[name], code) if off[name] else ("", "", "")
        rows.append((name, units, format_money(amount, code), *shares, format_money(amount - off[name], code)))
    total, taken, borne = sum(amount for _, _, amount in lines), sum(off.values()), sum(merchant.values())
    sums = (format_money(total, code), *_shares(taken, borne, code), format_money(total - taken, code))
    rows.append(("**total**", "", *(f"**{each}**" for each in sums)))
    headings = ("line", "units", "amount", "off", "merchant", "sponsor", "to pay")
    return _table(headings, rows, right=headings[1:])


def _shares(off_minor: int, merchant_minor: int, code: str) -> tuple[str, str, str]:
    sponsor_minor = off_minor - merchant_minor
    return format_money(-off_minor, code), format_money(merchant_minor, code), format_money(sponsor_minor, code)


def _sum_sentence(one: Applied, order: Order, file: str) -> str:
    off = format_money(one.judged.discount_minor, order.currency_code)
    return f"**{off} off**, by {_gives(file, one)}. It counts {_counted(one, order)}."


def _gives(file: str, one: Applied) -> str:
    """Return the name of a coupon's offer and what it gives, in the words of the command line."""
    offers = [text for about, text in summary(read_campaign(PROGRAMS / file).campaign) if about == "gives"]
    return offers[one.eligible.coupon.token.offer_index]


def _counted(one: Applied, order: Order) -> str:
    """Return which lines or fees are in scope, and what was left of them before the coupon was applied."""
    matched, names = one.eligible.matched, [bearer.line_id for bearer in order.lines + order.shipping]
    is_shipping = isinstance(matched.offer.benefit, FreeShipping)
    goods = matched.fees if is_shipping else matched.goods
    kinds = one.stage_units.live(goods)
    quantity = one.stage_units.quantity(kinds)
    units = "" if is_shipping else f"{quantity} {'unit' if quantity == 1 else 'units'}, "

    def total(units: Units) -> str:
        return format_money(sum(units.totals[kind] for kind in units.live(goods)), order.currency_code)

    if matched.base is DiscountBase.LIST:
        by_list = sum(one.stage_units.list_totals[kind] for kind in kinds)
        amount = f"{format_money(by_list, order.currency_code)} at list price"
    else:
        amount = total(one.units)
        if amount != total(one.stage_units):
            amount += f" left ({total(one.stage_units)} when the stage began)"
        elif amount != total(matched.basket.units):
            amount += " left"
    return f"{_listed([names[position] for position in one.stage_units.positions(kinds)])}: {units}{amount}"


def _judged(shop: Shop, condition: Condition) -> tuple[Checkout, CouponJudgement]:
    checkout = condition.change(shop.checkout(condition.order))
    (judged,) = judgements([shop.coupon(condition.file)], checkout, condition.at)
    return checkout, judged


def _summary(file: str) -> list[str]:
    """Return what an offer gives and for whom, in the words of the command line."""
    lines = summary(read_campaign(PROGRAMS / file).campaign)
    first_lines = [about for about, _ in lines].index("when")
    return [text.strip().partition(": ")[2] or text.strip() for _, text in lines[:first_lines]]


def _order_words(condition: Condition) -> str:
    return f"[{condition.order}]({_order_link(condition.order)}): {condition.about}"


def _campaign_link(shop: Shop, file: str) -> str:
    return f"[{shop.campaign(file).name}]({_file_link(file)})"


def _file_of(coupon: Coupon, shop: Shop) -> str:
    return next(file for file in shop.files if shop.campaign(file) is coupon.campaign)


def _quoted(shop: Shop, file: str) -> str:
    return f"*{shop.campaign(file).name}*"


def _file_link(file: str) -> str:
    return f"../{(PROGRAMS / file).relative_to(ROOT)}"


def _order_link(name: str) -> str:
    return f"../{(ORDERS / name).relative_to(ROOT)}.yaml"


def _excerpt(source: str, names: Iterable[str]) -> str:
    """Return some top-level fields of a file as they are written."""
    found = []
    for name in names:
        match = re.search(rf"^{name}:.*\n(?:[ #].*\n|\n(?= ))*", source, re.MULTILINE)
        if match is None:
            raise ValueError(f"there is no {name} in the file")
        found.append(match[0])
    return "".join(found)


# Markdown


def _wrapped(text: str) -> str:
    return fill(text, width=120, break_long_words=False, break_on_hyphens=False)


def _section(paragraphs: Sequence[str]) -> str:
    return "\n\n".join(paragraphs) + "\n"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> str:
    lines = [headings, ["--:" if heading in right else "---" for heading in headings], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
