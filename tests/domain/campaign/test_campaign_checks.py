"""What a well-formed campaign is: one row for each rule, naming the field and what is said of it."""
# ruff: noqa: E501 - each rule is one row of the table.

import re
from dataclasses import replace

import pytest
from builders.campaigns import offer_of
from builders.times import DAY_MS
from pydantic import TypeAdapter

from redemption.domain.campaign.benefit import (
    BuyGet,
    CashVoucher,
    EveryFull,
    FixedPrice,
    FreeShipping,
    Measure,
    PercentOff,
    Tier,
    Tiers,
    amount_off,
)
from redemption.domain.campaign.campaign import (
    AbsoluteValidity,
    Campaign,
    ClaimValidity,
    DiscountBase,
    ExclusivityReach,
    Limits,
    Offer,
    RiskSignal,
    Sizing,
    Slot,
    SlotLimits,
    Stacking,
    Stage,
)
from redemption.domain.campaign.campaign_checks import campaign_check_steps, campaign_violations, change_violations
from redemption.domain.campaign.conditions import Conditions, Scope, Window
from redemption.domain.errors import ViolationValues
from redemption.v1 import campaign_pb2

START_MS = 1_794_240_000_000  # 2026-11-09T16:00:00Z
END_MS = START_MS + 10 * DAY_MS
MINOR_MAX = 2**53 - 1
COUNT_MAX = 2**40 - 1
LONG = "x" * 129

FESTIVAL = Campaign(
    program="double11",
    name="双11 主会场",
    currency_code="CNY",
    time_zone="Asia/Shanghai",
    starts_at_ms=START_MS,
    ends_at_ms=END_MS,
    offers=(
        Offer(
            Tiers(Measure.SPEND, (Tier(threshold=200_00, amount_off_minor=50_00), Tier(threshold=300_00, amount_off_minor=80_00))),
            name="阶梯满减",
            conditions=Conditions(
                min_spend_minor=100_00,
                min_quantity=2,
                include=Scope(skus=("a", "b"), categories=("shoes",), brands=("flying",), merchant_ids=("m1", "m2")),
                exclude=Scope(skus=("b",), categories=("outlet",), brands=("other",), merchant_ids=("m3",)),
                channels=("app", "web"),
                store_ids=("s1",),
                regions=("CN-31",),
                payment_methods=("alipay",),
                tiers=("gold",),
                segments=("runners", "loyal"),
                new_customer_only=True,
                min_group_size=3,
                windows=(Window(20 * 60, 22 * 60), Window(23 * 60, 60, (5, 6)), Window(0, 1440, (7,))),
            ),
            merchant_basis_points=3000,
            issue_quota=1000,
        ),
        Offer(
            Tiers(
                Measure.UNITS,
                (
                    Tier(threshold=1, percent_off_basis_points=1000, cap_minor=50_00),
                    Tier(threshold=3, percent_off_basis_points=2000, cap_minor=50_00),
                    Tier(threshold=5, price_minor=99_00),
                ),
            ),
            name="满3件8折",
        ),
        Offer(EveryFull(300_00, 40_00, 200_00), merchant_basis_points=10_000),
        Offer(PercentOff(2000, 100_00)),
        Offer(FixedPrice(1_00, 2)),
        Offer(BuyGet(1, 1, 5000, 3, Scope(skus=("gift",)))),
        Offer(CashVoucher(50_00), issue_quota=COUNT_MAX // 2),
        Offer(FreeShipping(10_00, ("CN-11", "CN-31"))),
    ),
    limits=Limits(
        issued=COUNT_MAX,
        issued_per_day=1000,
        claims_per_customer=1,
        claims_per_person=2,
        redemptions=5000,
        redemptions_per_customer=3,
        redemptions_per_customer_per_day=3,
        redemptions_per_day=5000,
        slots=SlotLimits((Slot(0, 600, 10), Slot(600, 1200, 20), Slot(1260, 1440, 30)), carry_over=True),
        budget_minor=MINOR_MAX,
        budget_per_day_minor=MINOR_MAX,
    ),
    stacking=Stacking(
        stage=Stage.MERCHANT,
        priority=-1_000_000,
        max_tokens_per_order=1,
        exclusivity_groups=("满减", "festival"),
        exclusivity_reach=ExclusivityReach.MERCHANT,
    ),
    sizing=Sizing(COUNT_MAX, 1),
    validity=ClaimValidity(days=7, wait_seconds=86_400, end_of_day=True),
    return_window_seconds=3650 * 86_400,
    required_risk_signals=tuple(RiskSignal),
)  # fmt: skip

PLAIN = replace(
    FESTIVAL,
    offers=(Offer(amount_off(0, 1)),),
    limits=Limits(),
    stacking=Stacking(),
    validity=None,
    required_risk_signals=(),
)


def plain(**changes):
    return replace(PLAIN, **changes)


def gives(benefit, **conditions):
    return plain(offers=(offer_of(benefit, **conditions),))


def when(**conditions):
    return gives(amount_off(0, 1), **conditions)


def offers(*offers):
    return plain(offers=offers)


def spend(*tiers):
    return gives(Tiers(Measure.SPEND, tiers))


def units(*tiers):
    return gives(Tiers(Measure.UNITS, tiers))


def limits(**values):
    return plain(limits=Limits(**values))


def slots(*slots):
    return limits(slots=SlotLimits(slots))


def stacking(*offers, **values):
    return plain(stacking=Stacking(**values), offers=offers or PLAIN.offers)


def absolute(not_before_ms, expires_at_ms):
    return plain(validity=AbsoluteValidity(not_before_ms, expires_at_ms))


def from_claim(days, wait_days=0, **values):
    return plain(validity=ClaimValidity(days, wait_days * 86_400, **values))


def amount(threshold, minor, **more):
    return Tier(threshold=threshold, amount_off_minor=minor, **more)


def percent(threshold, basis_points, cap_minor):
    return Tier(threshold=threshold, percent_off_basis_points=basis_points, cap_minor=cap_minor)


def price(threshold, minor):
    return Tier(threshold=threshold, price_minor=minor)


def names(count, bytes_each=8):
    return tuple(f"{number:0{bytes_each}}" for number in range(count))


def skus(count, bytes_each=8):
    return offer_of(amount_off(0, 1), include=Scope(skus=names(count, bytes_each)))


TIERS = "campaign.offers[0].tiers.tiers"
CONDITIONS = "campaign.offers[0].conditions"
SLOTS = "campaign.limits.slots.slots"
ABSOLUTE = "campaign.validity.absolute"
FROM_CLAIM = "campaign.validity.from_claim"
STACKING = "campaign.stacking"

WRONG = [
    # what can change while it runs
    (plain(paused_merchant_ids=("m", "m")), "campaign.paused_merchant_ids[1]", "the same as entry [0]"),
    (plain(paused_merchant_ids=("",)), "campaign.paused_merchant_ids[0]", "is required"),
    (plain(paused_skus=tuple(map(str, range(1001)))), "campaign.paused_skus", "at most 1000 values; there are 1001"),
    (plain(paused_skus=(LONG,)), "campaign.paused_skus[0]", "longer than 128 bytes"),
    (plain(paused_offers=(0, 1)), "campaign.paused_offers[1]", "must be 0; it is 1"),
    (plain(paused_offers=(0, 0)), "campaign.paused_offers[1]", "is offer 0 again"),
    (plain(paused_offers=(0,) * 101), "campaign.paused_offers", "at most 100 offers; there are 101"),
    (plain(honoured_until_ms=PLAIN.ends_at_ms + 1), "campaign.honoured_until", "not be later than the campaign's end_time"),
    # the campaign itself
    (plain(program=""), "campaign.program", "is required"),
    (plain(program="Shop"), "campaign.program", "a-z, 0-9"),
    (plain(name=" "), "campaign.name", "is required"),
    (plain(name=LONG), "campaign.name", "longer than 128 bytes"),
    (plain(currency_code="cny"), "campaign.currency_code", "must be an ISO 4217 code such as CNY; it is 'cny': did you mean CNY?"),
    (plain(currency_code="¥¥¥"), "campaign.currency_code", "must be an ISO 4217 code such as CNY; it is '¥¥¥'"),
    (plain(currency_code="RMB"), "campaign.currency_code", "it is 'RMB': did you mean CNY?"),
    (plain(currency_code="XAU"), "campaign.currency_code", "must be an ISO 4217 code such as CNY"),
    (plain(name=" 满减"), "campaign.name", "has a blank at an end; write '满减'"),
    (plain(name="满减\u3000"), "campaign.name", "has a blank at an end; write '满减'"),
    (plain(name="cafe\u0301"), "campaign.name", "is not in Unicode's normal form NFC"),
    (plain(name="满\u200b减"), "campaign.name", "has a character that nobody sees, U+200B ZERO WIDTH SPACE, in place 2"),
    (plain(name="\ufeff满减"), "campaign.name", "nobody sees, U+FEFF ZERO WIDTH NO-BREAK SPACE, in place 1"),
    (offers(Offer(amount_off(0, 1), name="a ")), "campaign.offers[0].name", "has a blank at an end; write 'a'"),
    *((when(include=Scope(**{kind: ("a", "b ")})), f"{CONDITIONS}.include.{kind}[1]", "has a blank at an end: no order has it like that, so it would never match; write 'b'") for kind in ("skus", "categories", "brands", "merchant_ids")),
    *((when(**{kind: ("a\u200bb",)}), f"{CONDITIONS}.{kind}[0]", "nobody sees, U+200B") for kind in ("channels", "store_ids", "regions", "payment_methods", "tiers", "segments")),
    (when(channels=("\u3000",)), f"{CONDITIONS}.channels[0]", "so it would never match; take it out"),
    (when(exclude=Scope(skus=("\u00a0a",))), f"{CONDITIONS}.exclude.skus[0]", "has a blank at an end"),
    (when(exclude=Scope(skus=("a\u200d1",))), f"{CONDITIONS}.exclude.skus[0]", "nobody sees, U+200D"),
    (gives(FreeShipping(None, ("CN-31 ",))), "campaign.offers[0].free_shipping.regions[0]", "has a blank at an end"),
    (gives(BuyGet(1, 1, 1, 1, Scope(skus=(" a",)))), "campaign.offers[0].buy_get.discounted.skus[0]", "has a blank at an end"),
    (stacking(exclusivity_groups=("day\u2060",)), f"{STACKING}.exclusivity_groups[0]", "nobody sees, U+2060"),
    (plain(paused_merchant_ids=("m-77", " m-78")), "campaign.paused_merchant_ids[1]", "no order has it like that, so it would never match; write 'm-78'"),
    (plain(paused_merchant_ids=("m\u200b",)), "campaign.paused_merchant_ids[0]", "nobody sees, U+200B"),
    (plain(paused_skus=("soap\u3000",)), "campaign.paused_skus[0]", "has a blank at an end"),
    (plain(time_zone="Asia/Shangai"), "campaign.time_zone", "must be an IANA zone such as Asia/Shanghai; it is 'Asia/Shangai'"),
    (plain(time_zone=""), "campaign.time_zone", "must be an IANA zone"),
    (plain(time_zone="z" * 5000), "campaign.time_zone", "must be an IANA zone such as Asia/Shanghai"),
    (plain(time_zone="localtime"), "campaign.time_zone", "must be an IANA zone"),
    (plain(time_zone="../../etc/passwd"), "campaign.time_zone", "must be an IANA zone"),
    (plain(starts_at_ms=-1), "campaign.start_time", "between 1970 and 2106"),
    (plain(ends_at_ms=2**32 * 1000), "campaign.end_time", "between 1970 and 2106"),
    (plain(ends_at_ms=START_MS), "campaign.end_time", "later than start_time"),
    (plain(ends_at_ms=START_MS - 1), "campaign.end_time", "later than start_time"),
    (plain(ends_at_ms=START_MS, validity=ClaimValidity(1, 60)), "campaign.end_time", "later than start_time"),
    (plain(return_window_seconds=-1), "campaign.return_window", "must be 0 to 315360000 seconds (10 years)"),
    (plain(return_window_seconds=315_360_001), "campaign.return_window", "must be 0 to 315360000 seconds (10 years)"),
    (plain(required_risk_signals=(RiskSignal.DEVICE, RiskSignal.PERSON, RiskSignal.DEVICE)), "campaign.required_risk_signals[2]", "DEVICE again"),
    (plain(sizing=Sizing(0)), "campaign.sizing.expected_redemptions", "must be 1 to"),
    (plain(sizing=Sizing(1, 10_001)), "campaign.sizing.expected_redemption_rate_basis_points", "must be 1 to 10000"),
    # offers
    (offers(), "campaign.offers", "must be 1 to 100 offers; there are 0"),
    (offers(*PLAIN.offers * 101), "campaign.offers", "there are 101"),
    (offers(*PLAIN.offers, Offer(amount_off(0, 1), name=LONG)), "campaign.offers[1].name", "longer than 128 bytes"),
    (offers(Offer(amount_off(0, 1), merchant_basis_points=12_050)), "campaign.offers[0].funding.merchant_basis_points", "must be 0 to 10000; it is 12050"),
    (offers(Offer(amount_off(0, 1), merchant_basis_points=-100)), "campaign.offers[0].funding.merchant_basis_points", "must be 0 to 10000; it is -100"),
    (offers(Offer(amount_off(0, 1), issue_quota=0)), "campaign.offers[0].issue_quota", "must be 1 to"),
    (offers(Offer(amount_off(0, 1), issue_quota=2**40)), "campaign.offers[0].issue_quota", "must be 1 to 1099511627775"),
    (plain(offers=(Offer(amount_off(0, 1), issue_quota=11),), limits=Limits(issued=10)), "campaign.offers[0].issue_quota", "at most the campaign's limit of 10 issued; it is 11"),
    (plain(offers=(Offer(amount_off(0, 1), issue_quota=2),), limits=Limits(issued=1)), "campaign.offers[0].issue_quota", "at most the campaign's limit of 1 issued; it is 2"),
    (plain(offers=(Offer(amount_off(0, 1), issue_quota=2),), limits=Limits(issued=0)), "campaign.limits.issued", "must not be 0"),
    # tiers
    (spend(), TIERS, "must be 1 to 20 tiers; there are 0"),
    (spend(*(amount(index, index + 1) for index in range(21))), TIERS, "there are 21"),
    (spend(amount(-1, 1)), f"{TIERS}[0].threshold", f"must be 0 to {MINOR_MAX}"),
    (spend(amount(MINOR_MAX + 1, 1)), f"{TIERS}[0].threshold", f"must be 0 to {MINOR_MAX}"),
    (units(amount(0, 1)), f"{TIERS}[0].threshold", "must be 1 to 1000000"),
    (units(amount(1_000_001, 1)), f"{TIERS}[0].threshold", "must be 1 to 1000000"),
    (spend(amount(200, 10), amount(300, 20), amount(250, 30)), f"{TIERS}[2].threshold", "must be above the 300 of the tier before, because thresholds rise; it is 250"),
    (spend(amount(200, 10), amount(200, 20)), f"{TIERS}[1].threshold", "must be above the 200"),
    (spend(Tier(threshold=1)), f"{TIERS}[0]", "must give one of amount_off_minor, percent_off_basis_points and price_minor; it gives 0"),
    (units(amount(1, 5, price_minor=1)), f"{TIERS}[0]", "it gives 2"),
    (spend(amount(1, 0)), f"{TIERS}[0].amount_off_minor", "must be 1 to"),
    (spend(amount(10, 5), amount(20, 5)), f"{TIERS}[1].amount_off_minor", "must be more than the 5 of a lower tier; it is 5"),
    (spend(amount(10, 5), amount(20, 9), amount(30, 7)), f"{TIERS}[2].amount_off_minor", "must be more than the 9 of a lower tier; it is 7"),
    (spend(amount(10, 5), percent(20, 1, 9), amount(30, 4)), f"{TIERS}[2].amount_off_minor", "must be more than the 5 of a lower tier; it is 4"),
    (spend(amount(10, 5, cap_minor=5)), f"{TIERS}[0].cap_minor", "goes with percent_off_basis_points only"),
    (units(Tier(threshold=2, price_minor=5, cap_minor=5)), f"{TIERS}[0].cap_minor", "goes with percent_off_basis_points only"),
    (spend(percent(1, 0, 9)), f"{TIERS}[0].percent_off_basis_points", "must be 1 to 10000"),
    (spend(percent(1, 10_001, 9)), f"{TIERS}[0].percent_off_basis_points", "must be 1 to 10000"),
    (spend(percent(1, 2000, None)), f"{TIERS}[0].cap_minor", "is compulsory: a percentage without a cap has no bound"),
    (spend(percent(1, 2000, 0)), f"{TIERS}[0].cap_minor", "is compulsory"),
    (spend(percent(1, 2000, -1)), f"{TIERS}[0].cap_minor", "must be 1 to"),
    (spend(percent(1, 2000, 9), percent(2, 2000, 9)), f"{TIERS}[1].percent_off_basis_points", "raise it above 2000 or cap_minor above 9; it is 2000, and cap_minor is 9"),
    (spend(percent(1, 2000, 9), amount(2, 1), percent(3, 1000, 8)), f"{TIERS}[2].percent_off_basis_points", "gives no more than a lower tier"),
    (units(price(2, -1)), f"{TIERS}[0].price_minor", "must be 0 to"),
    (spend(price(200, 5)), f"{TIERS}[0].price_minor", "measure must be MEASURE_UNITS"),
    # the other benefits
    (gives(EveryFull(0, 1)), "campaign.offers[0].every_full.threshold_minor", "must be 1 to"),
    (gives(EveryFull(10, 0)), "campaign.offers[0].every_full.amount_off_minor", "must be 1 to"),
    (gives(EveryFull(10, 11)), "campaign.offers[0].every_full.amount_off_minor", "at most the threshold_minor of 10; it is 11"),
    (gives(EveryFull(1, 2)), "campaign.offers[0].every_full.amount_off_minor", "at most the threshold_minor of 1; it is 2"),
    (gives(EveryFull(3, 2, 1)), "campaign.offers[0].every_full.cap_minor", "at least the amount_off_minor of 2; it is 1"),
    (gives(EveryFull(10, 5, 0)), "campaign.offers[0].every_full.cap_minor", "must be 1 to"),
    (gives(EveryFull(10, 5, 4)), "campaign.offers[0].every_full.cap_minor", "at least the amount_off_minor of 5; it is 4"),
    (gives(PercentOff(0, 5)), "campaign.offers[0].percent_off.basis_points", "must be 1 to 10000"),
    (gives(PercentOff(10_001, 5)), "campaign.offers[0].percent_off.basis_points", "must be 1 to 10000"),
    (gives(PercentOff(2000, 0)), "campaign.offers[0].percent_off.cap_minor", "is compulsory: a percentage without a cap has no bound"),
    (gives(PercentOff(2000, MINOR_MAX + 1)), "campaign.offers[0].percent_off.cap_minor", "must be 1 to"),
    (gives(FreeShipping(0)), "campaign.offers[0].free_shipping.cap_minor", "must be 1 to"),
    (gives(FreeShipping(None, ("a", ""))), "campaign.offers[0].free_shipping.regions[1]", "1 to 128 bytes"),
    (gives(FreeShipping(None, ("a", "b", "a"))), "campaign.offers[0].free_shipping.regions[2]", "is the same as entry [0]"),
    (gives(FixedPrice(-1)), "campaign.offers[0].fixed_price.price_minor", "must be 0 to"),
    (gives(FixedPrice(0, 0)), "campaign.offers[0].fixed_price.max_units", "must be 1 to 1000000"),
    (gives(BuyGet(0, 1, 1)), "campaign.offers[0].buy_get.buy_units", "must be 1 to 1000000"),
    (gives(BuyGet(1, 1_000_001, 1)), "campaign.offers[0].buy_get.get_units", "must be 1 to 1000000"),
    (gives(BuyGet(1, 1, 0)), "campaign.offers[0].buy_get.percent_off_basis_points", "must be 1 to 10000"),
    (gives(BuyGet(1, 1, 1, 0)), "campaign.offers[0].buy_get.max_repeats", "must be 1 to 1000000"),
    (gives(BuyGet(1, 1, 1, 1, Scope())), "campaign.offers[0].buy_get.discounted", "names nothing"),
    (gives(BuyGet(1, 1, 1, 1, Scope(skus=("a", "b", "c", LONG)))), "campaign.offers[0].buy_get.discounted.skus[3]", "longer than 128 bytes"),
    (gives(BuyGet(1, 1, 1, 1, Scope(brands=("a",))), exclude=Scope(brands=("a", "b"))), "campaign.offers[0].buy_get.discounted.brands", "no line could ever match"),
    (gives(CashVoucher(0)), "campaign.offers[0].cash_voucher.face_minor", "must be 1 to"),
    # conditions
    (when(min_spend_minor=0), f"{CONDITIONS}.min_spend_minor", "must be 1 to"),
    (when(min_quantity=0), f"{CONDITIONS}.min_quantity", "must be 1 to 1000000"),
    (when(min_group_size=1), f"{CONDITIONS}.min_group_size", "must be 2 to 1000000; it is 1"),
    *((when(**{kind: ("a", "")}), f"{CONDITIONS}.{kind}[1]", "1 to 128 bytes") for kind in ("channels", "store_ids", "regions", "payment_methods", "tiers", "segments")),
    *((when(include=Scope(**{kind: ("a", LONG)})), f"{CONDITIONS}.include.{kind}[1]", "longer than 128 bytes") for kind in ("skus", "categories", "brands", "merchant_ids")),
    *((when(exclude=Scope(**{kind: ("a", "a")})), f"{CONDITIONS}.exclude.{kind}[1]", "is the same as entry [0]") for kind in ("skus", "categories", "brands", "merchant_ids")),
    *((when(include=Scope(**{kind: ("a", "b")}), exclude=Scope(**{kind: ("b", "c", "a")})), f"{CONDITIONS}.include.{kind}", "no line could ever match") for kind in ("skus", "categories", "brands", "merchant_ids")),
    (when(channels=("app\n",)), f"{CONDITIONS}.channels[0]", "control character"),
    (when(include=Scope(skus=("a", "b")), exclude=Scope(skus=("b", "a"))), f"{CONDITIONS}.include.skus", "no line could ever match"),
    *((when(channels=(f"a{character}",)), f"{CONDITIONS}.channels[0]", "control character") for character in "\x00\x1f\x7f"),
    (when(include=Scope(skus=names(1001))), f"{CONDITIONS}.include.skus", "must be at most 1000 values; there are 1001"),
    (when(include=Scope(skus=names(1000)), segments=names(1000), channels=("app",)), "campaign.offers[0]", "has 2001 values in all its lists together"),
    (gives(FreeShipping(None, names(1000)), segments=names(1000), channels=("app",)), "campaign.offers[0]", "has 2001 values in all its lists together"),
    (when(windows=(Window(0, 1),) * 51), f"{CONDITIONS}.windows", "must be at most 50 windows; there are 51"),
    (when(windows=(Window(-1, 60),)), f"{CONDITIONS}.windows[0].start_minute", "must be 0 to 1439"),
    (when(windows=(Window(1440, 60),)), f"{CONDITIONS}.windows[0].start_minute", "must be 0 to 1439"),
    (when(windows=(Window(0, 1), Window(60, 0))), f"{CONDITIONS}.windows[1].end_minute", "must be 1 to 1440"),
    (when(windows=(Window(60, 1441),)), f"{CONDITIONS}.windows[0].end_minute", "must be 1 to 1440"),
    (when(windows=(Window(60, 60),)), f"{CONDITIONS}.windows[0].end_minute", "would never be open; a whole day is from 0 to 1440"),
    (when(windows=(Window(0, 60, (1, 8)),)), f"{CONDITIONS}.windows[0].weekdays[1]", "must be 1 (Monday) to 7 (Sunday); it is 8"),
    (when(windows=(Window(0, 60, (0,)),)), f"{CONDITIONS}.windows[0].weekdays[0]", "must be 1 (Monday) to 7 (Sunday); it is 0"),
    (when(windows=(Window(0, 60, (3, 4, 3)),)), f"{CONDITIONS}.windows[0].weekdays[2]", "given twice"),
    # all offers together
    (offers(*(skus(1000) for _ in range(10)), skus(1)), "campaign.offers", "together have 10001 values in lists; at most 10000"),
    (offers(*(skus(1000, 100) for _ in range(2))), "campaign.offers", "together have 200000 bytes in the values of lists; at most 150000"),
    (offers(*(offer_of(amount_off(0, 1), windows=(Window(0, 1),) * 50) for _ in range(11))), "campaign.offers", "together have 550 windows; at most 500"),
    (offers(*(Offer(Tiers(Measure.SPEND, tuple(amount(step, step) for step in range(1, 21)))) for _ in range(26))), "campaign.offers", "together have 520 tiers; at most 500"),
    # limits
    *((limits(**{name: 0}), f"campaign.limits.{name}", "must not be 0; pause the campaign instead") for name in ("issued", "issued_per_day", "claims_per_customer", "claims_per_person", "redemptions", "redemptions_per_customer", "redemptions_per_customer_per_day", "redemptions_per_day", "budget_minor", "budget_per_day_minor")),
    *((limits(**{name: -1}), f"campaign.limits.{name}", "must be 1 to") for name in ("issued", "claims_per_person", "redemptions", "budget_per_day_minor")),
    *((limits(**{name: 65_536}), f"campaign.limits.{name}", "must be 1 to 65535; it is 65536") for name in ("claims_per_customer", "claims_per_person", "redemptions_per_customer", "redemptions_per_customer_per_day")),
    *((limits(**{name: 2**40}), f"campaign.limits.{name}", "must be 1 to 1099511627775") for name in ("issued", "issued_per_day", "redemptions", "redemptions_per_day")),
    *((limits(**{name: 2**53}), f"campaign.limits.{name}", f"must be 1 to {MINOR_MAX}") for name in ("budget_minor", "budget_per_day_minor")),
    (limits(issued=9, issued_per_day=10), "campaign.limits.issued_per_day", "must be at most the 9 of issued; it is 10"),
    (limits(issued=0, issued_per_day=10), "campaign.limits.issued", "must not be 0"),
    (limits(issued=1, issued_per_day=2), "campaign.limits.issued_per_day", "must be at most the 1 of issued; it is 2"),
    (limits(redemptions=9, redemptions_per_day=10), "campaign.limits.redemptions_per_day", "must be at most the 9 of redemptions"),
    (limits(redemptions_per_customer=9, redemptions_per_customer_per_day=10), "campaign.limits.redemptions_per_customer_per_day", "must be at most the 9 of redemptions_per_customer"),
    (limits(budget_minor=9, budget_per_day_minor=10), "campaign.limits.budget_per_day_minor", "must be at most the 9 of budget_minor"),
    (slots(), SLOTS, "must be 1 to 96 slots; there are 0"),
    (slots(*(Slot(minute, minute + 1, 1) for minute in range(97))), SLOTS, "there are 97"),
    (slots(Slot(-1, 5, 1)), f"{SLOTS}[0].start_minute", "must be 0 to 1439"),
    (slots(Slot(0, 1441, 1)), f"{SLOTS}[0].end_minute", "must be 1 to 1440"),
    (slots(Slot(5, 5, 1)), f"{SLOTS}[0].end_minute", "must be after the start_minute of 5; it is 5"),
    (slots(Slot(1320, 120, 1)), f"{SLOTS}[0].end_minute", "make two where one would run over midnight"),
    (slots(Slot(0, 60, 1), Slot(59, 120, 1)), f"{SLOTS}[1].start_minute", "must be at least 60, the end of the slot before, because slots rise and do not overlap; it is 59"),
    (slots(Slot(60, 120, 1), Slot(0, 60, 1)), f"{SLOTS}[1].start_minute", "must be at least 120"),
    (slots(Slot(0, 60, 0)), f"{SLOTS}[0].redemptions", "must not be 0"),
    (slots(Slot(0, 60, 2**40)), f"{SLOTS}[0].redemptions", "must be 1 to 1099511627775"),
    # validity
    (absolute(-1000, END_MS), f"{ABSOLUTE}.not_before", "between 1970 and 2106"),
    (absolute(START_MS, 2**32 * 1000), f"{ABSOLUTE}.expire_time", "between 1970 and 2106"),
    (absolute(START_MS + 1, END_MS), f"{ABSOLUTE}.not_before", "must be a whole second"),
    (absolute(START_MS, END_MS - 1), f"{ABSOLUTE}.expire_time", "must be a whole second"),
    (absolute(START_MS, START_MS), f"{ABSOLUTE}.expire_time", "must be later than not_before"),
    (absolute(END_MS, END_MS + 1000), f"{ABSOLUTE}.not_before", "earlier than the campaign's end_time"),
    (absolute(START_MS - 1000, START_MS), f"{ABSOLUTE}.expire_time", "later than the campaign's start_time"),
    (from_claim(0), f"{FROM_CLAIM}.days", "must be 1 to 400"),
    (from_claim(401), f"{FROM_CLAIM}.days", "must be 1 to 400"),
    (from_claim(401, 1), f"{FROM_CLAIM}.days", "must be 1 to 400"),
    (from_claim(1, -1), f"{FROM_CLAIM}.wait", "must be 0 to 34560000 seconds (400 days)"),
    (from_claim(1, 401), f"{FROM_CLAIM}.wait", "must be 0 to 34560000 seconds (400 days)"),
    (from_claim(398, 3), f"{FROM_CLAIM}.wait", "400 days together at most"),
    (from_claim(1, 10), f"{FROM_CLAIM}.wait", "shorter than the campaign's time"),
    # stacking
    (stacking(priority=1_000_001), f"{STACKING}.priority", "must be -1000000 to 1000000"),
    (stacking(max_tokens_per_order=0), f"{STACKING}.max_tokens_per_order", "must be 1 to 32"),
    (stacking(max_tokens_per_order=33), f"{STACKING}.max_tokens_per_order", "must be 1 to 32"),
    (plain(limits=Limits(redemptions_per_customer=1), stacking=Stacking(max_tokens_per_order=2)), f"{STACKING}.max_tokens_per_order", "must be at most the 1 of limits.redemptions_per_customer, because an order is one customer's; it is 2"),
    (plain(limits=Limits(redemptions_per_customer_per_day=2), stacking=Stacking(max_tokens_per_order=3)), f"{STACKING}.max_tokens_per_order", "the 2 of limits.redemptions_per_customer_per_day"),
    (plain(name="sale\x1b[31m"), "campaign.name", "has a control character"),
    (plain(name="sale\u202e"), "campaign.name", "has a control character"),
    (offers(Offer(amount_off(0, 1), name="two\nlines")), "campaign.offers[0].name", "has a control character"),
    (offers(Offer(amount_off(50_00, 500_00))), "campaign.offers[0].tiers.tiers[0].amount_off_minor", "must be at most the threshold of 5000 (0 means none); it is 50000"),
    (plain(offers=(offer_of(amount_off(0, 1), windows=(Window(20 * 60, 22 * 60),)),), limits=Limits(slots=SlotLimits((Slot(8 * 60, 9 * 60, 5),)))), "campaign.offers[0].conditions.windows", "share no minute with limits.slots"),
    (plain(offers=(offer_of(amount_off(0, 1), windows=(Window(22 * 60, 8 * 60),)),), limits=Limits(slots=SlotLimits((Slot(8 * 60, 22 * 60, 5),)))), "campaign.offers[0].conditions.windows", "share no minute with limits.slots"),
    (stacking(Offer(BuyGet(1, 1, 5000)), max_tokens_per_order=2), f"{STACKING}.max_tokens_per_order", "by max_repeats or max_units; it is 2"),
    (stacking(Offer(FixedPrice(9_90)), max_tokens_per_order=3), f"{STACKING}.max_tokens_per_order", "on single units"),
    (stacking(Offer(Tiers(Measure.UNITS, (Tier(threshold=3, price_minor=99_00),))), max_tokens_per_order=2), f"{STACKING}.max_tokens_per_order", "on single units"),
    (stacking(exclusivity_groups=("",)), f"{STACKING}.exclusivity_groups[0]", "1 to 128 bytes"),
    (stacking(exclusivity_groups=("a", "a")), f"{STACKING}.exclusivity_groups[1]", "is the same as entry [0]"),
    (stacking(exclusivity_groups=names(17)), f"{STACKING}.exclusivity_groups", "must be at most 16 groups; there are 17"),
    (stacking(exclusivity_reach=ExclusivityReach.MERCHANT), f"{STACKING}.exclusivity_reach", "no exclusivity_groups"),
    (stacking(max_tokens_per_order=2, stop_after=True), f"{STACKING}.max_tokens_per_order", "a second coupon could never be applied: with stop_after nothing is applied after the first; it is 2"),
    (stacking(max_tokens_per_order=2, exclusivity_groups=("a",)), f"{STACKING}.max_tokens_per_order", "of an exclusivity group only one goes in an order"),
    (stacking(max_tokens_per_order=2, exclusivity_groups=("a",), exclusivity_reach=ExclusivityReach.MERCHANT), f"{STACKING}.max_tokens_per_order", "all offers are for the same goods"),
    (stacking(Offer(CashVoucher(50_00)), Offer(CashVoucher(100_00)), max_tokens_per_order=2, exclusivity_groups=("a",), exclusivity_reach=ExclusivityReach.MERCHANT), f"{STACKING}.max_tokens_per_order", "all offers are for the same goods"),
    (stacking(*PLAIN.offers, Offer(FixedPrice(1)), base=DiscountBase.LIST), f"{STACKING}.base", "must not be LIST with campaign.offers[1]: a price is what the goods cost in the end"),
    (stacking(Offer(Tiers(Measure.UNITS, (amount(1, 1), price(3, 99_00)))), base=DiscountBase.LIST), f"{STACKING}.base", "with campaign.offers[0]: a price is what the goods cost in the end"),
    (stacking(Offer(FreeShipping()), base=DiscountBase.LIST), f"{STACKING}.base", "a shipping fee has no list price"),
]  # fmt: skip


@pytest.mark.parametrize(("campaign", "field", "part"), WRONG, ids=[f"{field}: {part}" for _, field, part in WRONG])
def test_each_wrong_definition_is_refused_naming_the_field_and_what_would_be_right(campaign, field, part):
    found = campaign_violations(campaign)
    assert [violation.field for violation in found] == [field]
    assert part in found[0].problem
    assert len(found[0].problem) < 300


def of_the_contract(field):
    """Whether a path names a field of the contract, and an entry only of a list."""
    root, *steps = field.split(".")
    message = campaign_pb2.Campaign.DESCRIPTOR
    for step in steps:
        name, index = re.fullmatch(r"(\w+)(\[\d+\])?", step).groups()
        found = message.fields_by_name.get(name) if message else None
        if found is None or (index and not found.is_repeated):
            return False
        message = found.message_type
    return root == "campaign"


@pytest.mark.parametrize(("campaign", "field", "part"), WRONG, ids=[f"{field}: {part}" for _, field, part in WRONG])
def test_what_is_told_as_data_is_what_the_text_says(campaign, field, part):
    """Each number of the data is in the text, and a text with numbers of the campaign's own has a reason."""
    (found,) = campaign_violations(campaign)
    numbers = set(map(int, re.findall(r"-?\d+", found.problem)))
    values = found.values or ViolationValues()
    told = {values.least, values.most, values.given, *(other.value for other in values.others)} - {None}
    assert told <= numbers
    assert values == ViolationValues() or found.reason is not None
    assert all(of_the_contract(other.field) for other in values.others)
    named = re.search(
        r"threshold_minor|amount_off_minor|basis_points|_minor\b|_minute|; it is -?\d|seconds", found.problem
    )
    assert found.reason is not None or not named


TIER = f"{TIERS}[1]"
OTHER_FIELDS = [
    (spend(amount(10, 5), amount(20, 9), amount(30, 7)), "NOT_RISING", ViolationValues(given=7, others=((f"{TIER}.amount_off_minor", 9),))),
    (spend(amount(200, 10), amount(300, 20), amount(250, 30)), "NOT_RISING", ViolationValues(given=250, others=((f"{TIER}.threshold", 300),))),
    (spend(percent(1, 2000, 9), percent(2, 1500, 8)), "NO_GAIN", ViolationValues(given=1500, others=((f"{TIERS}[0].percent_off_basis_points", 2000), (f"{TIERS}[0].cap_minor", 9), (f"{TIER}.cap_minor", 8)))),
    (gives(EveryFull(10, 5, 4)), "LESS_THAN_OTHER", ViolationValues(given=4, others=(("campaign.offers[0].every_full.amount_off_minor", 5),))),
    (limits(budget_minor=9, budget_per_day_minor=10), "MORE_THAN_OTHER", ViolationValues(given=10, others=(("campaign.limits.budget_minor", 9),))),
    (slots(Slot(0, 60, 1), Slot(59, 120, 1)), "OVERLAP", ViolationValues(given=59, others=((f"{SLOTS}[0].end_minute", 60),))),
    (slots(Slot(1320, 120, 1)), "OVER_MIDNIGHT", ViolationValues(given=120, others=((f"{SLOTS}[0].start_minute", 1320),))),
    (slots(*(Slot(minute, minute + 1, 1) for minute in range(97))), "WRONG_COUNT", ViolationValues(least=1, most=96, given=97)),
    (plain(return_window_seconds=-1), "OUT_OF_RANGE", ViolationValues(least=0, most=315_360_000, given=-1)),
    (gives(FreeShipping(None, ("a", "b", "a"))), "DUPLICATE", ViolationValues(others=(("campaign.offers[0].free_shipping.regions[0]", None),))),
    (gives(BuyGet(1, 1, 1, 1, Scope(brands=("a",))), exclude=Scope(brands=("a",))), "NOT_WITH_OTHER", ViolationValues(others=((f"{CONDITIONS}.exclude.brands", None),))),
    (stacking(*PLAIN.offers, Offer(FixedPrice(1)), base=DiscountBase.LIST), "NO_LIST_PRICE", ViolationValues(others=(("campaign.offers[1]", None),))),
    (stacking(Offer(CashVoucher(1)), Offer(FixedPrice(1)), max_tokens_per_order=2), "NOT_WITH_OTHER", ViolationValues(given=2, others=(("campaign.offers[1]", None),))),
    (stacking(max_tokens_per_order=2, stop_after=True), "NOT_WITH_OTHER", ViolationValues(given=2, others=((f"{STACKING}.stop_after", None),))),
    (spend(price(200, 5)), "ONLY_WITH_UNITS", ViolationValues(others=(("campaign.offers[0].tiers.measure", None),))),
]  # fmt: skip


@pytest.mark.parametrize(("campaign", "reason", "values"), OTHER_FIELDS)
def test_a_rule_between_fields_names_the_others_and_their_values(campaign, reason, values):
    (found,) = campaign_violations(campaign)
    assert (found.reason, found.values) == (reason, values)


def test_everything_that_is_wrong_is_told_at_once():
    campaign = plain(name="", offers=(Offer(PercentOff(0, 0)),), limits=Limits(issued=0))
    assert [violation.field for violation in campaign_violations(campaign)] == [
        "campaign.name",
        "campaign.offers[0].percent_off.basis_points",
        "campaign.offers[0].percent_off.cap_minor",
        "campaign.limits.issued",
    ]


RIGHT = {
    "a festival that uses everything": FESTIVAL,
    "the least": PLAIN,
    "a threshold of nothing": spend(amount(0, 1)),
    "as many tiers as may be": spend(*(amount(index, index) for index in range(1, 21))),
    "a smaller part with a larger cap": spend(percent(1, 2000, 9), percent(2, 1000, 10)),
    "a larger part with a smaller cap": spend(percent(1, 2000, 9), percent(2, 3000, 8)),
    "an amount after a larger part": spend(percent(1, 2000, 9), amount(20, 5)),
    "any prices": units(price(1, 5), price(2, 5), price(3, 0)),
    "an amount as large as its threshold and its cap": gives(EveryFull(5, 5, 5)),
    "everything off": gives(PercentOff(10_000, 1)),
    "goods for nothing": gives(FixedPrice(0)),
    "some of what is included is excluded": when(include=Scope(skus=("a", "b")), exclude=Scope(skus=("a",))),
    "excluded by another kind": when(include=Scope(skus=("a",)), exclude=Scope(brands=("a",))),
    "values of any characters that people see": when(
        channels=("直播 间", "~", "\uff21\uff0cb", "\u0645\u06cc\u200c\u062e", "👨\u200d👩\u200d👧", "❤️")
    ),
    "the same value in two lists": when(include=Scope(skus=("a",), brands=("a",)), channels=("a",)),
    "values as long as may be": when(channels=("好" * 42 + "ab",)),
    "as many values as may be": when(include=Scope(skus=names(1000)), segments=names(1000)),
    "as many windows as may be": when(windows=(Window(1439, 1440, (1, 2, 3, 4, 5, 6, 7)),) * 50),
    "a quota as large as the limit": plain(offers=(Offer(amount_off(0, 1), issue_quota=10),), limits=Limits(issued=10)),
    "quotas that sum to more than the limit": plain(
        offers=(Offer(amount_off(0, 1), issue_quota=10),) * 2, limits=Limits(issued=10)
    ),
    "parts as large as the whole": limits(issued=9, issued_per_day=9, budget_minor=9, budget_per_day_minor=9),
    "one slot for all day": slots(Slot(0, 1440, 1)),
    "as many slots as may be": slots(*(Slot(index * 15, index * 15 + 15, 1) for index in range(96))),
    "valid at the very end": absolute(END_MS - 1000, END_MS + 1000),
    "valid at the very start": absolute(START_MS - 1000, START_MS + 1000),
    "valid beyond the campaign on both sides": absolute(0, 2**32 * 1000 - 1000),
    "valid as long as a token lives": from_claim(391, 9),
    "valid for today only": from_claim(1, end_of_day=True),
    "windows over midnight that meet a slot": plain(
        offers=(offer_of(amount_off(0, 1), windows=(Window(22 * 60, 8 * 60),)),),
        limits=Limits(slots=SlotLimits((Slot(7 * 60 + 59, 12 * 60, 5),))),
    ),
    "several in an order": stacking(max_tokens_per_order=32),
    "alone in an order": stacking(exclusivity_groups=("a",), stop_after=True),
    "as many groups as may be": stacking(exclusivity_groups=names(16)),
    "several of different merchants": stacking(
        offer_of(CashVoucher(1), include=Scope(merchant_ids=("a",))),
        offer_of(CashVoucher(1), include=Scope(merchant_ids=("b",))),
        max_tokens_per_order=2,
        exclusivity_groups=("a",),
        exclusivity_reach=ExclusivityReach.MERCHANT,
    ),
    "of the list price": stacking(
        *(Offer(benefit) for benefit in (PercentOff(1, 1), EveryFull(1, 1), BuyGet(1, 1, 1), CashVoucher(1))),
        Offer(Tiers(Measure.UNITS, (amount(1, 1), percent(2, 1, 1)))),
        base=DiscountBase.LIST,
    ),
    "no return window": plain(return_window_seconds=0),
}


@pytest.mark.parametrize("campaign", RIGHT.values(), ids=RIGHT)
def test_each_right_definition_is_accepted(campaign):
    assert campaign_violations(campaign) == []


def test_what_a_stored_campaign_has_already_may_stay_wherever_it_stands():
    """An entry before it may be taken out: a merchant goes on while another one stays paused."""
    stored = plain(paused_merchant_ids=(" m-77", " m-78"), paused_skus=("a", "b "))
    fewer = plain(paused_merchant_ids=(" m-78",), paused_skus=("b ",))
    assert campaign_violations(fewer, stored=stored) == []
    more = plain(paused_merchant_ids=(" m-78", " m-79"))
    assert [violation.field for violation in campaign_violations(more, stored=stored)] == [
        "campaign.paused_merchant_ids[1]"
    ]


def test_an_old_mistake_excuses_no_new_one_of_its_kind():
    stored = plain(paused_skus=("a\u200b",))
    more = plain(paused_skus=("a\u200b", "b\u200b"))
    assert [violation.field for violation in campaign_violations(more, stored=stored)] == ["campaign.paused_skus[1]"]


def test_the_largest_definition_is_a_few_hundred_kilobytes():
    tiers = Tiers(
        Measure.SPEND,
        tuple(percent(MINOR_MAX - 5 + step, 9990 + step, MINOR_MAX - 5 + step) for step in range(1, 6)),
    )
    windows = (Window(1438, 1439, (1, 2, 3, 4, 5, 6, 7)),) * 5
    conditions = Conditions(include=Scope(skus=names(100, 15)), windows=windows)
    largest = plain(offers=(Offer(tiers, name="x" * 128, conditions=conditions, issue_quota=COUNT_MAX),) * 100)
    assert campaign_violations(largest) == []
    assert 300_000 < len(TypeAdapter(Campaign).dump_json(largest)) < 512_000


@pytest.mark.parametrize("field", sorted({field for _, field, _ in WRONG}))
def test_each_field_that_is_named_is_one_of_the_contract(field):
    """Reads the contract's own descriptors, so that no name can differ from it."""
    root, *steps = field.split(".")
    assert root == "campaign"
    message = campaign_pb2.Campaign.DESCRIPTOR
    for number, step in enumerate(steps, start=1):
        name, index = re.fullmatch(r"(\w+)(\[\d+\])?", step).groups()
        assert name in message.fields_by_name, f"{message.full_name} has no {name}"
        found = message.fields_by_name[name]
        # An entry is of a list, and what lies within a list lies within one of its entries.
        assert found.is_repeated or not index, f"{name} is no list"
        assert index or not found.is_repeated or number == len(steps), f"{name} is a list; which entry is meant?"
        message = found.message_type


# Changes

BEFORE = offers(Offer(amount_off(0, 1)), Offer(amount_off(0, 2)))


@pytest.mark.parametrize(
    ("after", "minted", "fields"),
    [
        (BEFORE, True, []),
        (replace(BEFORE, name="b", limits=Limits(issued=5), validity=ClaimValidity(1), ends_at_ms=END_MS + 1), True, []),
        (replace(BEFORE, currency_code="USD"), False, ["campaign.currency_code"]),
        (replace(BEFORE, time_zone="UTC"), False, ["campaign.time_zone"]),
        (replace(BEFORE, sizing=Sizing(7)), False, ["campaign.sizing"]),
        (replace(BEFORE, offers=BEFORE.offers[:1]), False, []),
        (replace(BEFORE, offers=BEFORE.offers[::-1]), False, []),
        (replace(BEFORE, offers=(*BEFORE.offers, Offer(PercentOff(1, 1)))), True, []),
        (replace(BEFORE, offers=BEFORE.offers[:1]), True, ["campaign.offers[1]"]),
        (replace(BEFORE, offers=BEFORE.offers[::-1]), True, ["campaign.offers[0]"]),
        (replace(BEFORE, offers=(BEFORE.offers[0], replace(BEFORE.offers[1], name="b"))), True, ["campaign.offers[1]"]),
        (replace(BEFORE, offers=(BEFORE.offers[0], Offer(PercentOff(1, 1)), BEFORE.offers[1])), True, ["campaign.offers[1]"]),
    ],
)  # fmt: skip
def test_which_changes_are_allowed(after, minted, fields):
    assert [violation.field for violation in change_violations(BEFORE, after, minted=minted)] == fields


def test_a_change_that_is_refused_names_what_is_in_force():
    after = replace(BEFORE, currency_code="USD", sizing=Sizing(7))
    found = change_violations(BEFORE, after, minted=False)
    assert [violation.problem for violation in found] == [
        "cannot change; it is CNY",
        f"cannot change; expected_redemptions is {COUNT_MAX} and expected_redemption_rate_basis_points 1",
    ]
    assert [violation.reason for violation in found] == ["IMMUTABLE", "IMMUTABLE"]
    assert found[1].values.others == (
        ("campaign.sizing.expected_redemptions", COUNT_MAX),
        ("campaign.sizing.expected_redemption_rate_basis_points", 1),
    )


def test_a_definition_with_very_many_mistakes_names_as_many_as_anybody_reads():
    many = Scope(skus=("",) * 1000, brands=("",) * 1000)
    found = campaign_violations(offers(*[offer_of(amount_off(0, 1), include=many)] * 100))
    assert len(found) == 50


def test_a_definition_may_be_checked_in_steps():
    """Nothing else runs in a process during a step: each offer is a step of its own, and each of its lists."""
    lists = 2 * 4 + 6
    for definition in (offers(*[offer_of(amount_off(0, 1))] * 100), offers(offer_of(amount_off(0, 0)))):
        steps = campaign_check_steps(definition)
        taken = 0
        while True:
            try:
                next(steps)
            except StopIteration as done:
                found = done.value
                break
            taken += 1
        assert found == campaign_violations(definition)
        assert taken == len(definition.offers) * (lists + 1)
