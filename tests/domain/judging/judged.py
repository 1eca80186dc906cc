"""Coupons around the present, and what becomes of them on one order."""

from builders.campaigns import campaign_of
from builders.orders import checkout_of, order_of
from builders.times import NOW

from redemption.domain.campaign.calendar import Days
from redemption.domain.judging.stacking import judge
from redemption.domain.order import GUEST, Customer


def campaign(number=1, **changes):
    """A campaign that takes 1.00 off and runs for a quarter of an hour before and after the present."""
    times = {"starts_at_ms": (NOW - 1000) * 1000, "ends_at_ms": (NOW + 1000) * 1000}
    return campaign_of(number, **times | changes)


def judged(*coupons, lines=(1000,), now_ms=NOW * 1000, guest=False, currency="CNY", group_size=0):
    buyer = GUEST if guest else Customer("ann")
    checkout = checkout_of(order_of(*lines, currency_code=currency, group_size=group_size), buyer)
    return judge(coupons, checkout, now_ms=now_ms, days=Days())
