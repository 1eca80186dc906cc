"""Orders, customers and campaigns for property tests: few words, small sums, so that everything meets everything.

Every campaign is well formed. Most conditions are left out most of the time, so that coupons are approved often enough
for their sums to be worth comparing.
"""

from dataclasses import replace

from builders.campaigns import campaign_of, offer_of
from domain.judging.calculator import Coupon
from hypothesis import strategies as st

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
)
from redemption.domain.campaign.campaign import (
    DiscountBase,
    ExclusivityReach,
    Offer,
    Stacking,
    Stage,
)
from redemption.domain.campaign.conditions import ANYTHING, Scope
from redemption.domain.order import GUEST, Customer, Line, Order, Shipping

SKUS = ("apple", "book", "cup")
CATEGORIES = ("food", "paper", "gift")
BRANDS = ("north", "south")
MERCHANTS = ("mill", "quay")
REGIONS = ("coast", "hills")
GROUPS = ("day", "night")
TIERS = ("gold", "silver")
SEGMENTS = ("student", "staff")
CHANNELS = ("app", "web")
STORES = ("one", "two")
PAYMENTS = ("card", "cash")
CURRENCY = "CNY"
OTHER_CURRENCY = "USD"


def once_in(draw, times: int) -> bool:
    """Whether something rare happens; not at an end of a range, because those are drawn more often."""
    return draw(st.integers(0, times - 1)) == times // 2


# --- orders -----------------------------------------------------------------------------------------------------------

amounts_minor = st.one_of(st.integers(0, 3000), st.integers(300, 3000), st.sampled_from((0, 1, 2, 10, 99, 100, 1000)))
words = {
    "sku": st.sampled_from((*SKUS, *SKUS, "")),
    "brand": st.sampled_from((*BRANDS, *BRANDS, "")),
    "merchant_id": st.sampled_from((*MERCHANTS, *MERCHANTS, "")),
    "categories": st.lists(st.sampled_from(CATEGORIES), unique=True, max_size=2).map(tuple),
}


@st.composite
def lines(draw, line_id: str = "line"):
    """One line; its list amount lies at, above or below its amount."""
    amount_minor = draw(amounts_minor)
    list_amount_minor = draw(
        st.one_of(st.just(amount_minor), st.integers(amount_minor, 2 * amount_minor + 1), st.integers(0, amount_minor))
    )
    of_words = {kind: draw(values) for kind, values in words.items()}
    return Line(line_id, draw(st.integers(1, 5)), amount_minor, list_amount_minor, **of_words)


fees = st.builds(
    Shipping,
    line_id=st.just("fee"),
    amount_minor=st.one_of(st.integers(0, 1500), st.sampled_from((0, 600))),
    merchant_id=st.sampled_from(("", *MERCHANTS)),
    region=st.sampled_from(("", *REGIONS)),
)


@st.composite
def orders(draw):
    """An order of 1 to 6 lines and up to 3 shipping fees, sometimes in another currency.

    In half of the orders some lines are alike; in the others each has its own SKU.
    """
    of_lines = draw(st.integers(1, 6).flatmap(lambda count: st.lists(lines(), min_size=count, max_size=count)))
    if draw(st.booleans()):
        skus = draw(st.permutations((*SKUS, "dish", "egg", "fig")))
        of_lines = [replace(line, sku=sku) for line, sku in zip(of_lines, skus, strict=False)]
    else:
        for index in range(1, len(of_lines)):
            if once_in(draw, 3):
                like = of_lines[draw(st.integers(0, index - 1))]
                of_lines[index] = replace(of_lines[index], **{kind: getattr(like, kind) for kind in words})
    of_fees = draw(st.lists(fees, max_size=3))
    return Order(
        order_id="order",
        currency_code=OTHER_CURRENCY if once_in(draw, 20) else CURRENCY,
        lines=tuple(replace(line, line_id=f"line {index}") for index, line in enumerate(of_lines)),
        shipping=tuple(replace(fee, line_id=f"fee {index}") for index, fee in enumerate(of_fees)),
        channel=draw(st.sampled_from(("", *CHANNELS))),
        store_id=draw(st.sampled_from(("", *STORES))),
        payment_method=draw(st.sampled_from(("", *PAYMENTS))),
        group_size=draw(st.integers(0, 3)),
    )


customers = st.just(GUEST) | st.builds(
    Customer,
    customer_id=st.just("customer"),
    tier=st.sampled_from(("", *TIERS)),
    segments=st.lists(st.sampled_from(SEGMENTS), unique=True).map(tuple),
    is_new=st.sampled_from((None, False, True)),
)

# --- offers -----------------------------------------------------------------------------------------------------------


def one_or_two(values):
    """One or two of some values, none twice."""
    return st.lists(st.sampled_from(values), unique=True, min_size=1, max_size=2).map(tuple)


narrow_scopes = st.one_of(
    st.builds(Scope, skus=one_or_two(SKUS)),
    st.builds(Scope, categories=one_or_two(CATEGORIES)),
    st.builds(Scope, brands=one_or_two(BRANDS)),
    st.builds(Scope, merchant_ids=st.sampled_from(MERCHANTS).map(lambda merchant: (merchant,))),
    st.builds(Scope, skus=one_or_two(SKUS), categories=one_or_two(CATEGORIES)),
    st.builds(Scope, brands=one_or_two(BRANDS), merchant_ids=one_or_two(MERCHANTS)),
)

offs_minor = st.integers(1, 1500)
caps_minor = st.one_of(st.integers(1, 800), st.integers(2000, 100_000))
parts_basis_points = st.one_of(st.integers(1, 10_000), st.sampled_from((1000, 2000, 3333, 5000, 10_000)))


@st.composite
def tiers_of(draw, measure: Measure, *, priced: bool):
    """One to three tiers of any kinds, thresholds strictly rising, amounts and parts too."""
    least = st.integers(0, 2500) if measure == Measure.SPEND else st.integers(1, 7)
    thresholds = sorted(draw(st.lists(least, unique=True, min_size=1, max_size=3)))
    offs = sorted(draw(st.lists(offs_minor, min_size=3, max_size=3, unique=True)))
    parts = sorted(draw(st.lists(parts_basis_points, min_size=3, max_size=3, unique=True)))
    kinds = st.sampled_from(("price", "price", "amount", "part") if priced else ("amount", "part"))
    found = []
    for threshold, off, part in zip(thresholds, offs, parts, strict=False):
        match draw(kinds):
            case "amount" if measure == Measure.SPEND and 0 < threshold < off:
                continue  # more off than the goods cost
            case "amount":
                found.append(Tier(threshold=threshold, amount_off_minor=off))
            case "part":
                found.append(Tier(threshold=threshold, percent_off_basis_points=part, cap_minor=draw(caps_minor)))
            case "price":
                found.append(Tier(threshold=threshold, price_minor=off - 1))
    return Tiers(measure, tuple(found) or (Tier(threshold=max(thresholds), amount_off_minor=1),))


@st.composite
def every_fulls(draw):
    """An amount for every full threshold, at most the threshold."""
    threshold_minor = draw(st.integers(1, 1500))
    amount_off_minor = draw(st.integers(1, threshold_minor))
    return EveryFull(threshold_minor, amount_off_minor, draw(st.none() | st.integers(amount_off_minor, 1500)))


percent_offs = st.builds(PercentOff, parts_basis_points, caps_minor)
cash_vouchers = st.builds(CashVoucher, offs_minor)
buy_gets = st.builds(
    BuyGet,
    buy_units=st.integers(1, 3),
    get_units=st.integers(1, 2),
    percent_off_basis_points=parts_basis_points,
    max_repeats=st.integers(1, 4),
    discounted=st.none() | narrow_scopes,
)
regions = st.just(()) | one_or_two(REGIONS)
free_shippings = st.builds(FreeShipping, cap_minor=st.none() | st.integers(1, 1000), regions=regions)
fixed_prices = st.builds(FixedPrice, price_minor=st.integers(0, 600), max_units=st.none() | st.integers(1, 4))

benefits_by_list = st.one_of(
    tiers_of(Measure.SPEND, priced=False),
    tiers_of(Measure.UNITS, priced=False),
    every_fulls(),
    percent_offs,
    cash_vouchers,
    buy_gets,
)
"""Those for which ``base: list`` means something."""
benefits = st.one_of(benefits_by_list, tiers_of(Measure.UNITS, priced=True), fixed_prices, buy_gets, free_shippings)

RARE = {
    "channels": one_or_two(CHANNELS),
    "store_ids": one_or_two(STORES),
    "regions": one_or_two(REGIONS),
    "payment_methods": one_or_two(PAYMENTS),
    "tiers": one_or_two(TIERS),
    "segments": one_or_two(SEGMENTS),
    "new_customer_only": st.just(True),
    "min_group_size": st.integers(2, 4),
}
"""Conditions on who buys and how: most offers have none of them, or hardly anything would ever be approved."""


@st.composite
def offers(draw, of_benefits):
    """One offer with one of some benefits, for goods that it does not exclude altogether."""
    benefit = draw(of_benefits)
    include = draw(narrow_scopes) if once_in(draw, 3) else ANYTHING
    exclude = draw(narrow_scopes) if once_in(draw, 5) else ANYTHING
    wanted = (include, benefit.discounted or ANYTHING) if isinstance(benefit, BuyGet) else (include,)
    if any(set(values) <= set(getattr(exclude, kind)) for scope in wanted for kind, values in named(scope)):
        exclude = ANYTHING
    rare = draw(st.lists(st.sampled_from(sorted(RARE)), unique=True, max_size=2)) if once_in(draw, 5) else ()
    return offer_of(
        benefit,
        include=include,
        exclude=exclude,
        min_spend_minor=draw(st.integers(1, 4000)) if once_in(draw, 5) else None,
        min_quantity=draw(st.integers(1, 8)) if once_in(draw, 5) else None,
        **{kind: draw(RARE[kind]) for kind in rare},
        merchant_basis_points=draw(st.sampled_from((0, 1, 3333, 10_000))),
    )


def named(scope: Scope) -> list[tuple[str, tuple[str, ...]]]:
    """Return the kinds that a scope names, with their values."""
    kinds = ("skus", "categories", "brands", "merchant_ids")
    return [(kind, getattr(scope, kind)) for kind in kinds if getattr(scope, kind)]


# --- campaigns --------------------------------------------------------------------------------------------------------


def on_single_units(benefit) -> bool:
    """Whether a benefit chooses units, so that only one coupon of its campaign goes in an order."""
    if isinstance(benefit, Tiers):
        return any(tier.price_minor is not None for tier in benefit.tiers)
    return isinstance(benefit, FixedPrice | BuyGet)


@st.composite
def stackings(draw, base: DiscountBase, offers: list[Offer]):
    """How a campaign goes with others; several of it in an order only where a second one could ever be applied."""
    stacking = Stacking(stage=draw(st.sampled_from(Stage)), priority=draw(st.integers(-1, 1)), base=base)
    several = 1 if any(on_single_units(offer.benefit) for offer in offers) else draw(st.integers(1, 3))
    match draw(st.sampled_from((*["free"] * 5, "group", "group by merchant", "group by merchant", "stop"))):
        case "group":
            return replace(stacking, exclusivity_groups=draw(one_or_two(GROUPS)))
        case "group by merchant":
            goods = {(offer.conditions.include, offer.conditions.exclude) for offer in offers}
            return replace(
                stacking,
                exclusivity_groups=draw(one_or_two(GROUPS)),
                exclusivity_reach=ExclusivityReach.MERCHANT,
                max_tokens_per_order=several if len(goods) > 1 else 1,
            )
        case "stop":
            groups = draw(st.just(()) | one_or_two(GROUPS))
            return replace(stacking, exclusivity_groups=groups, stop_after=True)
    return replace(stacking, max_tokens_per_order=several)


@st.composite
def campaigns(draw, number: int = 1):
    """A well-formed campaign of one or two offers that runs always."""
    base = draw(st.sampled_from(DiscountBase))
    of_benefits = benefits_by_list if base == DiscountBase.LIST else benefits
    made = draw(st.lists(offers(of_benefits), min_size=1, max_size=2))
    return campaign_of(number, offers=tuple(made), stacking=draw(stackings(base, made)))


@st.composite
def wallets(draw, coupons_max: int = 6):
    """Some coupons of one to four campaigns, in any order; serials differ within a campaign."""
    of_campaigns = [draw(campaigns(number)) for number in range(1, draw(st.integers(1, 4)) + 1)]
    count = draw(st.integers(1, coupons_max))
    serials = draw(st.lists(st.integers(0, 99), min_size=count, max_size=count, unique=True))
    coupons = []
    for serial in serials:
        campaign = draw(st.sampled_from(of_campaigns))
        coupons.append(Coupon(campaign, draw(st.integers(0, len(campaign.offers) - 1)), serial))
    return coupons
