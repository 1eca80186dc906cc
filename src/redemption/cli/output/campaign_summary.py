"""A campaign in a few lines, for the person who planned it: what it gives, to whom, when, and its limits."""

from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

from redemption.cli.campaign_file.text import quoted
from redemption.cli.campaign_file.values import BASIS_POINTS_PER_PERCENT, STAGES, WEEKDAYS
from redemption.cli.input.instants import local_text
from redemption.cli.input.times import duration_text, time_text
from redemption.client import format_money
from redemption.v1 import campaign_pb2 as v1

_ISSUED = {
    "issued": "{}",
    "issued_per_day": "{} a day",
    "claims_per_customer": "{} a customer",
    "claims_per_person": "{} a person",
}
_USED = {
    "redemptions": "{}",
    "redemptions_per_customer": "{} a customer",
    "redemptions_per_customer_per_day": "{} a customer and day",
    "redemptions_per_day": "{} a day",
}
_ONLY = {
    "channels": "channel",
    "store_ids": "store",
    "regions": "region",
    "payment_methods": "paid with",
    "tiers": "tier",
    "segments": "segment",
}
_KINDS = {"skus": "article", "categories": "category", "brands": "brand", "merchant_ids": "merchant"}


def summary(campaign: v1.Campaign) -> list[tuple[str, str]]:
    """Return the lines, each as a pair of heading and text."""
    words = _Words(campaign.currency_code)
    lines = []
    for offer in campaign.offers:
        name = f"{offer.name}: " if offer.name else ""
        lines.append(("gives", name + words.benefit(offer)))
        lines += [("", f"  {text}") for text in (*words.conditions(offer.conditions), *_shares(offer))]
    start, end = _local(campaign.start_time, campaign), _local(campaign.end_time, campaign)
    lines.append(("when", f"{start} to {end}, {campaign.time_zone}"))
    lines += [("valid", text) for text in _validity(campaign)]
    if campaign.HasField("honoured_until"):
        lines.append(
            ("honoured", f"until {_local(campaign.honoured_until, campaign)}, also if a coupon expires earlier")
        )
    lines += [("paused", text) for text in paused_parts(campaign)]
    lines += words.limits(campaign.limits)
    lines.append(("together", "; ".join(_together(campaign.stacking))))
    return lines


def state_of(campaign: v1.Campaign, now: float) -> str:
    """Return the state of a campaign in one word; an active one is scheduled before its start, and over after its end.

    Args:
        campaign: The campaign, from the server.
        now: The present, Unix seconds.
    """
    name = str(v1.CampaignState.Name(campaign.state)).removeprefix("CAMPAIGN_STATE_").lower()
    if name == "active" and now < campaign.start_time.seconds:
        return "scheduled"
    return "over" if name == "active" and now >= campaign.end_time.seconds else name


def paused_parts(campaign: v1.Campaign) -> Iterator[str]:
    """Yield what of a campaign is paused: merchants, articles, offers."""
    offers = [str(index) for index in campaign.paused_offers]
    for word, values in (
        ("merchant", campaign.paused_merchant_ids),
        ("article", campaign.paused_skus),
        ("offer", offers),
    ):
        if values:
            yield f"{word} {', '.join(map(quoted, values))}"


class _Words:
    """Writes the sentences; sums are in one currency."""

    def __init__(self, currency_code: str) -> None:
        self._currency_code = currency_code

    def benefit(self, offer: v1.Offer) -> str:
        match offer.WhichOneof("benefit"):
            case "tiers":
                units = offer.tiers.measure == v1.MEASURE_UNITS
                return "; ".join(self._tier(tier, units=units) for tier in offer.tiers.tiers)
            case "every_full":
                full = offer.every_full
                every = f"{self._money(full.amount_off_minor)} off for every full {self._money(full.threshold_minor)}"
                return every + self._cap(full.cap_minor if full.HasField("cap_minor") else None)
            case "percent_off":
                return f"{_percent(offer.percent_off.basis_points)} off" + self._cap(offer.percent_off.cap_minor)
            case "free_shipping":
                free = offer.free_shipping
                regions = f" to {_listed(free.regions)}" if free.regions else ""
                return f"free shipping{regions}" + self._cap(free.cap_minor if free.HasField("cap_minor") else None)
            case "fixed_price":
                fixed = offer.fixed_price
                most = f", at most {_units(fixed.max_units)}" if fixed.HasField("max_units") else ""
                return f"{self._money(fixed.price_minor)} for each unit{most}"
            case "buy_get":
                return _buy_get(offer.buy_get)
            case "cash_voucher":
                return f"{self._money(offer.cash_voucher.face_minor)} off, the rest is forfeited"
            case _:
                return "nothing that this version knows"

    def conditions(self, conditions: v1.Conditions) -> Iterator[str]:
        if conditions.HasField("min_spend_minor"):
            yield f"for {self._money(conditions.min_spend_minor)} or more"
        if conditions.HasField("min_quantity"):
            yield f"for {_units(conditions.min_quantity)} or more"
        if conditions.HasField("include"):
            yield f"only {_goods(conditions.include, ' and ')}"
        if conditions.HasField("exclude"):
            yield f"not {_goods(conditions.exclude, ', nor ')}"
        for field, word in _ONLY.items():
            if getattr(conditions, field):
                yield f"only {word} {_listed(getattr(conditions, field))}"
        if conditions.new_customer_only:
            yield "only new customers"
        if conditions.HasField("min_group_size"):
            yield f"only groups of {conditions.min_group_size:,} or more"
        if conditions.windows:
            yield "only " + "; ".join(map(_window, conditions.windows))

    def limits(self, limits: v1.Limits) -> Iterator[tuple[str, str]]:
        used = list(_counts(limits, _USED))
        used += [f"{slot.redemptions:,} {_hours(slot)}" for slot in limits.slots.slots]
        if limits.slots.carry_over:
            used.append("what a slot leaves goes to the next")
        yield "issued", "; ".join(_counts(limits, _ISSUED)) or "without limit"
        yield "used", "; ".join(used) or "without limit"
        total = self._money(limits.budget_minor) if limits.HasField("budget_minor") else ""
        daily = f"{self._money(limits.budget_per_day_minor)} a day" if limits.HasField("budget_per_day_minor") else ""
        yield "budget", "; ".join(filter(None, (total, daily))) or "without limit"

    def _tier(self, tier: v1.Tier, *, units: bool) -> str:
        match tier.WhichOneof("gives"):
            case "price_minor":
                return f"{_units(tier.threshold)} for {self._money(tier.price_minor)}"
            case "percent_off_basis_points":
                gives = f"{_percent(tier.percent_off_basis_points)} off"
            case _:
                gives = f"{self._money(tier.amount_off_minor)} off"
        threshold = _units(tier.threshold) if units else self._money(tier.threshold)
        return f"{gives} from {threshold} on" + self._cap(tier.cap_minor if tier.HasField("cap_minor") else None)

    def _cap(self, cap_minor: int | None) -> str:
        return "" if cap_minor is None else f", at most {self._money(cap_minor)}"

    def _money(self, minor: int) -> str:
        return format_money(minor, self._currency_code)


def _buy_get(benefit: v1.BuyGet) -> str:
    percent = benefit.percent_off_basis_points
    off = "free" if percent == 100 * BASIS_POINTS_PER_PERCENT else f"at {_percent(percent)} off"
    times = f", up to {benefit.max_repeats:,} times" if benefit.max_repeats > 1 else ""
    goods = f" of {_goods(benefit.discounted, ' and ')}" if benefit.discounted.ListFields() else ""
    return f"buy {benefit.buy_units:,}, get {benefit.get_units:,}{goods} {off}{times}"


def _counts(limits: v1.Limits, texts: dict[str, str]) -> Iterator[str]:
    for field, text in texts.items():
        if limits.HasField(field):
            yield text.format(f"{getattr(limits, field):,}")


def _shares(offer: v1.Offer) -> Iterator[str]:
    if offer.funding.merchant_basis_points:
        yield f"{_percent(offer.funding.merchant_basis_points)} paid by the merchant"
    if offer.HasField("issue_quota"):
        yield f"at most {offer.issue_quota:,} issued"


def _goods(scope: v1.Scope, between: str) -> str:
    kinds = [f"{word} {_listed(getattr(scope, field))}" for field, word in _KINDS.items() if getattr(scope, field)]
    return between.join(kinds) or "all goods"


def _window(window: v1.Window) -> str:
    names = {number: name for name, number in WEEKDAYS.items()}
    days = ", ".join(names.get(day, str(day)) for day in window.weekdays)
    return f"{days} {_hours(window)}" if days else _hours(window)


def _hours(part: v1.Window | v1.Slot) -> str:
    return f"{time_text(part.start_minute)}–{time_text(part.end_minute)}"  # noqa: RUF001 - the dash of a range


def _validity(campaign: v1.Campaign) -> Iterator[str]:
    if campaign.validity.HasField("absolute"):
        absolute = campaign.validity.absolute
        yield f"from {_local(absolute.not_before, campaign)} to {_local(absolute.expire_time, campaign)}"
    if campaign.validity.HasField("from_claim"):
        claim = campaign.validity.from_claim
        wait = f"from {duration_text(claim.wait)} after the claim" if claim.wait.ListFields() else "from the claim"
        days = "1 day" if claim.days == 1 else f"{claim.days} days"
        yield f"{wait} for {days}" + (", to the end of the last day" if claim.end_of_day else "")


def _together(stacking: v1.Stacking) -> Iterator[str]:
    stages = {number: name for name, number in STAGES.items()}
    yield f"stage {stages.get(stacking.stage, 'platform')}"
    if stacking.base == v1.DISCOUNT_BASE_LIST:
        yield "computed on the list price"
    if stacking.exclusivity_groups:
        reach = "merchant" if stacking.exclusivity_reach == v1.EXCLUSIVITY_REACH_MERCHANT else "order"
        yield f"one of {_listed(stacking.exclusivity_groups)} for each {reach}"
    if stacking.max_tokens_per_order > 1:
        yield f"up to {stacking.max_tokens_per_order} in an order"
    if stacking.stop_after:
        yield "nothing after it"


def _units(count: int) -> str:
    return "1 unit" if count == 1 else f"{count:,} units"


def _listed(values: Iterable[str]) -> str:
    return " or ".join(values)


def _percent(basis_points: int) -> str:
    return f"{basis_points / BASIS_POINTS_PER_PERCENT:g}%"


def _local(when: object, campaign: v1.Campaign) -> str:
    return local_text(when, ZoneInfo(campaign.time_zone))[:16]  # type: ignore[arg-type]
