"""The examples of docs/coupons.md: one for each kind of coupon, and orders on which coupons are refused.

This file has only words and file names. Every number on the page is computed.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from coupon_shop import EVENING

from redemption.domain.order import Checkout

SATURDAY = dt.datetime(2026, 11, 7, 12, 0, tzinfo=EVENING.tzinfo)


@dataclass(frozen=True, slots=True)
class Example:
    """One kind of coupon.

    Attributes:
        title: The usual term in the trade, and its meaning.
        about: What a promotions manager should know about it.
        file: The campaign's file.
        order: The order on which it is used.
        offers: The positions of the offers, one coupon of each.
        excerpt: The fields of the file that are shown.
    """

    title: str
    about: str
    file: str
    order: str
    offers: tuple[int, ...] = (0,)
    excerpt: tuple[str, ...] = ("offers",)


EXAMPLES = (
    Example(
        "满减: an amount off from a spend on",
        "The shopper sees one threshold and one amount. What does not take part, here gift cards, neither counts"
        " towards the threshold nor gets cheaper.",
        "full-200-less-50.yaml",
        "full-reduction",
    ),
    Example(
        "阶梯满减: several thresholds",
        "Of the tiers that an order reaches, the one that takes most off gives, and only that one: tiers are not added"
        " up.",
        "tiered-full-reduction.yaml",
        "tiers",
    ),
    Example(
        "每满减: for every full sum",
        "The amount repeats for every full sum, up to the cap. Without a cap one very large order takes very much.",
        "every-300-less-40.yaml",
        "every-full",
    ),
    Example(
        "满件折: a part off from so many units on",
        "Thresholds count pieces instead of money, whatever lines they stand on; a part always has a cap.",
        "three-pieces-20-percent.yaml",
        "pieces",
    ),
    Example(
        "任选N件X元: so many for one price",
        "The dearest pieces go into the bundle, so that the shopper saves the most; others cost what they cost.",
        "any-3-for-99.yaml",
        "any-three",
    ),
    Example(
        "折扣券: a part off, with a cap",
        "8折 says what is left to pay; the file says what is taken off. The part is rounded half up, once, for the"
        " whole discount, and then divided over the lines, so that the parts always sum to it.",
        "twenty-percent-off.yaml",
        "percent",
    ),
    Example(
        "第二件半价: the second one at half price",
        "A set is what is bought and what gets cheaper. The cheapest pieces of all get cheaper, and a piece without a"
        " partner costs what it costs.",
        "second-at-half-price.yaml",
        "second",
    ),
    Example(
        "买一赠一: buy one, get one free",
        "Two scopes: `conditions.include` is what must be bought, `discounted` what is free then, the cheapest first."
        " The gift stands in the order as an ordinary line.",
        "buy-one-get-one.yaml",
        "gift",
    ),
    Example(
        "秒杀价: a flash price",
        "A price for each unit instead of a discount, here for one unit an order and only in its hours. How many there"
        " are in which hours is said by `limits`.",
        "flash-price.yaml",
        "flash",
        excerpt=("offers", "limits"),
    ),
    Example(
        "拼团价: a price for a group",
        "The checkout says how many buy together. This campaign also ends the row: `stop_after` lets no other coupon"
        " follow.",
        "group-purchase.yaml",
        "group",
        excerpt=("offers", "stacking"),
    ),
    Example(
        "包邮: free shipping",
        "Taken from the fees alone, never from goods, and only from parcels to the regions named.",
        "free-shipping.yaml",
        "parcels",
    ),
    Example(
        "现金券: cash vouchers of several face values",
        "Each face value is an offer of one campaign, with a quota of its own. A voucher never gives change: what the"
        " goods do not need is forfeited. Two of this campaign may be used in an order.",
        "cash-vouchers.yaml",
        "voucher",
        offers=(1, 2),
    ),
    Example(
        "会员折扣: on the list price",
        "With `base: list` the part is taken of the list price, whatever other coupons took before, but from no line"
        " more than it has left.",
        "members-5-percent.yaml",
        "member",
        excerpt=("offers", "stacking"),
    ),
)


class Condition(NamedTuple):
    """An order on which a coupon is judged, the change to it, and a sentence about the rule."""

    file: str
    order: str
    change: Callable[[Checkout], Checkout]
    about: str
    at: dt.datetime = EVENING


def unchanged(checkout: Checkout) -> Checkout:
    """Return the checkout without a change."""
    return checkout


def of_customer(**facts: object) -> Callable[[Checkout], Checkout]:
    """Return a function that changes fields of the customer."""
    return lambda checkout: replace(checkout, customer=replace(checkout.customer, **facts))  # type: ignore[arg-type]


def of_order(**facts: object) -> Callable[[Checkout], Checkout]:
    """Return a function that changes fields of the order."""
    return lambda checkout: replace(checkout, order=replace(checkout.order, **facts))  # type: ignore[arg-type]


def only(*line_ids: str) -> Callable[[Checkout], Checkout]:
    """Return a function that keeps only some lines and fees of the order."""

    def change(checkout: Checkout) -> Checkout:
        order = checkout.order
        lines = tuple(line for line in order.lines if line.line_id in line_ids)
        fees = tuple(fee for fee in order.shipping if fee.line_id in line_ids)
        return replace(checkout, order=replace(order, lines=lines, shipping=fees))

    return change


def from_device(checkout: Checkout) -> Checkout:
    """Return the checkout with a device."""
    return replace(checkout, risk=replace(checkout.risk, device_id="device-1"))


def new_on_device(checkout: Checkout) -> Checkout:
    """Return the checkout of a new customer, with a device."""
    return from_device(of_customer(is_new=True)(checkout))


def paid_by(payment_method: str) -> Callable[[Checkout], Checkout]:
    """Return a function that sets the payment method of the order."""

    def change(checkout: Checkout) -> Checkout:
        paid = of_order(payment_method=payment_method)(checkout)
        return replace(paid, risk=replace(paid.risk, payment_fingerprint="card-1"))

    return change


OCTOBER = of_customer(segments=("bought-in-october",))

CONDITIONS = (
    Condition("new-customer.yaml", "second", new_on_device, "a new customer, in the app"),
    Condition(
        "app-weekend.yaml", "percent", OCTOBER, "in the app, on a Saturday, by somebody who bought in October", SATURDAY
    ),
    Condition("brand-coupon.yaml", "gift", unchanged, "goods of the brand"),
    Condition("shop-coupon.yaml", "pieces", unchanged, "goods of the shop"),
    Condition("bank-card.yaml", "tiers", paid_by("icbc-credit"), "paid with the bank's card"),
)

REFUSALS = (
    Condition("full-200-less-50.yaml", "full-reduction", only("kettle"), "the kettle alone"),
    Condition("three-pieces-20-percent.yaml", "pieces", only("jeans"), "the jeans alone"),
    Condition("any-3-for-99.yaml", "any-three", only("socks"), "the socks alone"),
    Condition("buy-one-get-one.yaml", "gift", only("lipstick"), "no masks"),
    Condition("group-purchase.yaml", "group", of_order(group_size=1), "nobody joined yet"),
    Condition("brand-coupon.yaml", "tiers", unchanged, "nothing of the brand"),
    Condition("free-shipping.yaml", "parcels", only("mugs", "parcel-urumqi"), "one parcel, to Xinjiang"),
    Condition("free-shipping.yaml", "parcels", only("mugs"), "picked up at the shop"),
    Condition("flash-price.yaml", "flash", unchanged, "half an hour early", EVENING - dt.timedelta(hours=1)),
    Condition("app-weekend.yaml", "percent", OCTOBER, "on the evening of a Wednesday"),
    Condition("members-5-percent.yaml", "tiers", unchanged, "no gold or platinum member"),
    Condition("app-weekend.yaml", "percent", unchanged, "did not buy in October", SATURDAY),
    Condition("new-customer.yaml", "second", from_device, "not a new customer"),
    Condition("group-purchase.yaml", "group", of_order(channel="web"), "on the web"),
    Condition("bank-card.yaml", "tiers", paid_by("wallet"), "paid from the wallet"),
    Condition("new-customer.yaml", "second", of_customer(is_new=True), "the checkout does not tell the device"),
)

SEVERAL = (
    "any-3-for-99.yaml",
    "shop-coupon.yaml",
    "three-pieces-20-percent.yaml",
    "members-5-percent.yaml",
    "every-300-less-40.yaml",
    "free-shipping.yaml",
    "bank-card.yaml",
)
"""Coupons that go together on the order ``several``."""

EXCLUDED = "full-200-less-50.yaml"
"""A coupon that excludes them."""

WALLET = (
    "full-200-less-50.yaml",
    "tiered-full-reduction.yaml",
    "every-300-less-40.yaml",
    "twenty-percent-off.yaml",
    "members-5-percent.yaml",
    "three-pieces-20-percent.yaml",
    "shop-coupon.yaml",
    "free-shipping.yaml",
    "group-purchase.yaml",
)
"""Coupons from which the best combination for the order ``several`` is chosen."""
