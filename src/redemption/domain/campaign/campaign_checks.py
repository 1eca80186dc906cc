"""Checks whether a campaign is well formed, and which changes of a campaign are allowed."""

import re
from collections import Counter
from collections.abc import Generator, Iterator
from functools import cache
from itertools import pairwise
from typing import Final
from zoneinfo import available_timezones

from redemption.domain.campaign.benefit import BASIS_POINTS, Benefit, BuyGet, FixedPrice, FreeShipping, Tiers
from redemption.domain.campaign.benefit_checks import benefit_violations
from redemption.domain.campaign.calendar import DAY_SECONDS
from redemption.domain.campaign.campaign import (
    MILLISECONDS,
    RESERVATION_SECONDS_MAX,
    AbsoluteValidity,
    Campaign,
    ClaimValidity,
    DiscountBase,
    ExclusivityReach,
    Limits,
    Offer,
    Sizing,
    Slot,
    SlotLimits,
    Stacking,
)
from redemption.domain.campaign.condition_checks import WINDOWS_MAX, condition_violations
from redemption.domain.campaign.conditions import Window
from redemption.domain.campaign.text_checks import offer_lists, text_form_violations
from redemption.domain.campaign.value_checks import (
    COUNT_MAX,
    control_violations,
    count_violation,
    dependent_violation,
    list_violations,
    minute_violations,
    range_violations,
)
from redemption.domain.errors import VIOLATIONS_MAX, OtherField, Violation, ViolationReason, ViolationValues
from redemption.domain.order import MINOR_MAX, TOKENS_MAX, program_violations, text_violations
from redemption.domain.steps import finished

OFFERS_MAX = 100
OFFER_VALUES_MAX = 2000
"""The most values in all lists of one offer together."""
CUSTOMER_COUNT_MAX = 65_535
"""Per-customer counters are two bytes wide."""
SLOTS_MAX = 96
"""The number of quarters of an hour in a day."""
PRIORITY_MAX = 1_000_000
EXCLUSIVITY_GROUPS_MAX = 16
NUMBER_MAX = 2**32 - 1
LATEST_MS = (2**32 - 1) * MILLISECONDS
"""Tokens carry their expiry in 32 bits of Unix seconds."""
VALID_DAYS_MAX = 400
"""The longest validity that a campaign may promise. Keys and tokens live a little longer, so that it can be kept."""
RETURN_WINDOW_SECONDS_MAX = 3650 * DAY_SECONDS

# After every change of a definition, every server reads all of it, so its total size is bounded as well: with these
# bounds, 100 offers are a few hundred kilobytes at most.
VALUES_MAX = 10_000
VALUE_BYTES_MAX = 150_000
ALL_WINDOWS_MAX = 500
ALL_TIERS_MAX = 500

_SHOWN_MAX = 64
_LAST_INDEX: Final = re.compile(r"\[\d+\]$")


def campaign_violations(campaign: Campaign, *, stored: Campaign | None = None) -> list[Violation]:
    """Return the first ``VIOLATIONS_MAX`` things that are wrong with a definition; an empty list: it is well formed.

    Args:
        campaign: The definition.
        stored: The definition in force. What ``text_checks.py`` finds in it is not reported again.
    """
    return finished(campaign_check_steps(campaign, stored=stored))


def campaign_check_steps(
    campaign: Campaign, *, stored: Campaign | None = None
) -> Generator[None, None, list[Violation]]:
    """Return what ``campaign_violations`` returns; yields after each step, of 1 ms at most."""
    known = Counter[tuple[str, str]]()
    if stored is not None:
        known.update(map(_kind, text_form_violations(stored)))
        yield
    violations: list[Violation] = []
    for found in _violations(campaign):
        if found is None:
            yield
        elif known[_kind(found)]:
            known[_kind(found)] -= 1
        else:
            violations.append(found)
            if len(violations) == VIOLATIONS_MAX:
                break
    return violations


def _kind(violation: Violation) -> tuple[str, str]:
    """Return the field and the problem, without the place in a list: it changes when an entry before is taken out."""
    return _LAST_INDEX.sub("", violation.field), violation.problem


def _violations(campaign: Campaign) -> Iterator[Violation | None]:
    """Yield everything that is wrong, and None after each part that may take long to check."""
    yield from program_violations(campaign.program, "campaign.program")
    if not campaign.name.strip():
        yield Violation("campaign.name", "is required, 1 to 128 bytes", ViolationReason.REQUIRED)
    yield from text_violations(campaign.name, "campaign.name")
    yield from control_violations(campaign.name, "campaign.name")
    yield from text_form_violations(campaign)
    yield from _time_violations(campaign)
    yield from _offers_violations(campaign)
    yield from _limit_violations(campaign.limits)
    yield from _validity_violations(campaign)
    yield from _stacking_violations(campaign)
    yield from _hours_violations(campaign)
    most = RETURN_WINDOW_SECONDS_MAX
    if not 0 <= campaign.return_window_seconds <= most:
        problem = f"must be 0 to {most} seconds (10 years); it is {campaign.return_window_seconds} seconds"
        values = ViolationValues(least=0, most=most, given=campaign.return_window_seconds)
        yield Violation("campaign.return_window", problem, ViolationReason.OUT_OF_RANGE, values)
    if not 1 <= campaign.reservation_seconds_max <= RESERVATION_SECONDS_MAX:
        problem = f"must be 1 second to 24 hours; it is {campaign.reservation_seconds_max} seconds"
        values = ViolationValues(least=1, most=RESERVATION_SECONDS_MAX, given=campaign.reservation_seconds_max)
        yield Violation("campaign.max_reservation_ttl", problem, ViolationReason.OUT_OF_RANGE, values)
    signals, field = campaign.required_risk_signals, "campaign.required_risk_signals"
    for index, signal in enumerate(signals):
        first = signals.index(signal)
        if first != index:
            problem = f"is {signal.name} again; name each signal once"
            other = OtherField(f"{field}[{first}]")
            yield dependent_violation(f"{field}[{index}]", problem, ViolationReason.DUPLICATE, other)
    yield from _sizing_violations(campaign.sizing)
    yield from list_violations(campaign.paused_merchant_ids, "campaign.paused_merchant_ids")
    yield from list_violations(campaign.paused_skus, "campaign.paused_skus")
    yield from _paused_offers_violations(campaign, "campaign.paused_offers")
    yield from _honoured_violations(campaign, "campaign.honoured_until")


def change_violations(before: Campaign, after: Campaign, *, minted: bool) -> list[Violation]:
    """Return the changes from one definition to the next that are not allowed.

    Args:
        before: The definition in force.
        after: The definition that replaces it.
        minted: Whether any coupon was issued; from then on, offers can only be added at the end.
    """
    found = [
        Violation(f"campaign.{name}", f"cannot change; it is {getattr(before, name)}", ViolationReason.IMMUTABLE)
        for name in ("currency_code", "time_zone")
        if getattr(before, name) != getattr(after, name)
    ]
    if before.sizing != after.sizing:
        count, rate = before.sizing.expected_redemptions, before.sizing.expected_redemption_rate_basis_points
        problem = f"cannot change; expected_redemptions is {count} and expected_redemption_rate_basis_points {rate}"
        others = (
            OtherField("campaign.sizing.expected_redemptions", count),
            OtherField("campaign.sizing.expected_redemption_rate_basis_points", rate),
        )
        found.append(dependent_violation("campaign.sizing", problem, ViolationReason.IMMUTABLE, *others))
    if minted and after.offers[: len(before.offers)] != before.offers:
        changed = next(
            index
            for index, offer in enumerate(before.offers)
            if index >= len(after.offers) or after.offers[index] != offer
        )
        problem = "cannot change or go once coupons were minted; add new offers behind the existing ones"
        found.append(Violation(f"campaign.offers[{changed}]", problem, ViolationReason.IMMUTABLE))
    return found


# Time


def _time_violations(campaign: Campaign) -> Iterator[Violation]:
    zone = campaign.time_zone
    if zone not in _zones():
        value = f"; it is {zone!r}" if len(zone) <= _SHOWN_MAX else ""
        yield Violation("campaign.time_zone", f"must be an IANA zone such as Asia/Shanghai{value}")
    yield from _instant_violations(campaign.starts_at_ms, "campaign.start_time")
    yield from _instant_violations(campaign.ends_at_ms, "campaign.end_time")
    if campaign.ends_at_ms <= campaign.starts_at_ms:
        start = OtherField("campaign.start_time")
        reason = ViolationReason.NOT_AFTER_OTHER
        yield dependent_violation("campaign.end_time", "must be later than start_time", reason, start)


@cache
def _zones() -> frozenset[str]:
    """Return every IANA zone, except names that mean another zone on each machine, or no zone."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def _instant_violations(instant_ms: int, field: str) -> Iterator[Violation]:
    if not 0 <= instant_ms <= LATEST_MS:
        yield Violation(field, "must lie between 1970 and 2106")


def _validity_violations(campaign: Campaign) -> Iterator[Violation]:
    match campaign.validity:
        case AbsoluteValidity() as validity:
            yield from _absolute_violations(validity, campaign, "campaign.validity.absolute")
        case ClaimValidity() as validity:
            yield from _from_claim_violations(validity, campaign, "campaign.validity.from_claim")


def _absolute_violations(validity: AbsoluteValidity, campaign: Campaign, field: str) -> Iterator[Violation]:
    for name, instant_ms in (("not_before", validity.not_before_ms), ("expire_time", validity.expires_at_ms)):
        yield from _instant_violations(instant_ms, f"{field}.{name}")
        if instant_ms % MILLISECONDS:
            yield Violation(f"{field}.{name}", "must be a whole second")
    if validity.expires_at_ms <= validity.not_before_ms:
        problem, other = "must be later than not_before", OtherField(f"{field}.not_before")
        yield dependent_violation(f"{field}.expire_time", problem, ViolationReason.NOT_AFTER_OTHER, other)
    elif validity.not_before_ms >= campaign.ends_at_ms:
        problem = "must be earlier than the campaign's end_time, or no coupon is ever valid"
        other = OtherField("campaign.end_time")
        yield dependent_violation(f"{field}.not_before", problem, ViolationReason.NOT_WITH_OTHER, other)
    elif validity.expires_at_ms <= campaign.starts_at_ms:
        problem = "must be later than the campaign's start_time, or no coupon is ever valid"
        other = OtherField("campaign.start_time")
        yield dependent_violation(f"{field}.expire_time", problem, ViolationReason.NOT_AFTER_OTHER, other)


def _from_claim_violations(validity: ClaimValidity, campaign: Campaign, field: str) -> Iterator[Violation]:
    longest, wait, wait_field = VALID_DAYS_MAX * DAY_SECONDS, validity.wait_seconds, f"{field}.wait"
    yield from range_violations(validity.days, f"{field}.days", 1, VALID_DAYS_MAX)
    if not 0 <= wait <= longest:
        problem = f"must be 0 to {longest} seconds ({VALID_DAYS_MAX} days); it is {wait} seconds"
        values = ViolationValues(least=0, most=longest, given=wait)
        yield Violation(wait_field, problem, ViolationReason.OUT_OF_RANGE, values)
    elif validity.days <= VALID_DAYS_MAX and wait + validity.days * DAY_SECONDS > longest:
        problem = f"and days must be {VALID_DAYS_MAX} days together at most, because no token lives longer"
        other = OtherField(f"{field}.days")
        yield dependent_violation(wait_field, problem, ViolationReason.NOT_WITH_OTHER, other)
    elif 0 < campaign.ends_at_ms - campaign.starts_at_ms <= wait * MILLISECONDS:
        problem = "must be shorter than the campaign's time, or no coupon is ever valid"
        others = (OtherField("campaign.start_time"), OtherField("campaign.end_time"))
        yield dependent_violation(wait_field, problem, ViolationReason.NOT_WITH_OTHER, *others)


# Offers


def _offers_violations(campaign: Campaign) -> Iterator[Violation | None]:
    offers = campaign.offers
    if not 1 <= len(offers) <= OFFERS_MAX:
        problem = f"must be 1 to {OFFERS_MAX} offers; there are {len(offers)}"
        yield count_violation("campaign.offers", problem, count=len(offers), least=1, most=OFFERS_MAX)
        return
    for index, offer in enumerate(offers):
        yield from _offer_violations(offer, campaign.limits, f"campaign.offers[{index}]")
        yield None
    values = [value for offer in offers for _, values in offer_lists(offer, "") for value in values]
    totals = (
        ("values in lists", len(values), VALUES_MAX),
        ("bytes in the values of lists", sum(len(value.encode()) for value in values), VALUE_BYTES_MAX),
        ("windows", sum(len(offer.conditions.windows) for offer in offers), ALL_WINDOWS_MAX),
        ("tiers", sum(len(offer.benefit.tiers) for offer in offers if isinstance(offer.benefit, Tiers)), ALL_TIERS_MAX),
    )
    for what, total, most in totals:
        if total > most:
            problem = f"together have {total} {what}; at most {most} are allowed: divide them among several campaigns"
            yield Violation("campaign.offers", problem)


def _offer_violations(offer: Offer, limits: Limits, field: str) -> Iterator[Violation | None]:
    yield from text_violations(offer.name, f"{field}.name")
    yield from control_violations(offer.name, f"{field}.name")
    yield from benefit_violations(offer.benefit, offer.conditions.exclude, field)
    yield from condition_violations(offer.conditions, f"{field}.conditions")
    count = 0
    for list_field, values in offer_lists(offer, field):
        yield from list_violations(values, list_field)
        yield None
        count += len(values)
    if count > OFFER_VALUES_MAX:
        problem = f"has {count} values in all its lists together; at most {OFFER_VALUES_MAX} are allowed"
        yield Violation(field, f"{problem}: name a category or a brand instead, or divide them among several offers")
    merchant_field = f"{field}.funding.merchant_basis_points"
    yield from range_violations(offer.merchant_basis_points, merchant_field, 0, BASIS_POINTS)
    quota, issued, quota_field = offer.issue_quota, limits.issued, f"{field}.issue_quota"
    yield from range_violations(quota, quota_field, 1, COUNT_MAX)
    if quota is not None and issued is not None and quota > issued > 0:
        problem = f"must be at most the campaign's limit of {issued} issued; it is {quota}"
        other = OtherField("campaign.limits.issued", issued)
        yield dependent_violation(quota_field, problem, ViolationReason.MORE_THAN_OTHER, other, given=quota)


# Limits


def _limit_violations(limits: Limits) -> Iterator[Violation]:
    bounds = {
        "issued": COUNT_MAX,
        "issued_per_day": COUNT_MAX,
        "claims_per_customer": CUSTOMER_COUNT_MAX,
        "claims_per_person": CUSTOMER_COUNT_MAX,
        "redemptions": COUNT_MAX,
        "redemptions_per_customer": CUSTOMER_COUNT_MAX,
        "redemptions_per_customer_per_day": CUSTOMER_COUNT_MAX,
        "redemptions_per_day": COUNT_MAX,
        "budget_minor": MINOR_MAX,
        "budget_per_day_minor": MINOR_MAX,
    }
    for name, most in bounds.items():
        field = f"campaign.limits.{name}"
        yield from _limit_range_violations(getattr(limits, name), field, most)
    a_day = {
        "issued_per_day": "issued",
        "redemptions_per_customer_per_day": "redemptions_per_customer",
        "redemptions_per_day": "redemptions",
        "budget_per_day_minor": "budget_minor",
    }
    for name, whole_name in a_day.items():
        part, whole = getattr(limits, name), getattr(limits, whole_name)
        if part is not None and whole is not None and part > whole > 0:
            field, problem = f"campaign.limits.{name}", f"must be at most the {whole} of {whole_name}; it is {part}"
            other = OtherField(f"campaign.limits.{whole_name}", whole)
            yield dependent_violation(field, problem, ViolationReason.MORE_THAN_OTHER, other, given=part)
    if limits.slots is not None:
        yield from _slot_violations(limits.slots, "campaign.limits.slots.slots")


def _limit_range_violations(value: int | None, field: str, most: int) -> Iterator[Violation]:
    if value == 0:
        yield Violation(field, "must not be 0; pause the campaign instead", ViolationReason.ZERO_LIMIT)
    else:
        yield from range_violations(value, field, 1, most)


def _hours_violations(campaign: Campaign) -> Iterator[Violation | None]:
    """Yield the offers whose windows share no minute with any slot, so that they could never be redeemed."""
    slots = campaign.limits.slots
    if slots is None:
        return
    for index, offer in enumerate(campaign.offers):
        windows = offer.conditions.windows[:WINDOWS_MAX]
        if windows and not any(_meet(window, slot) for window in windows for slot in slots.slots[:SLOTS_MAX]):
            problem = "share no minute with limits.slots, so nothing could ever be redeemed; make them meet"
            field, other = f"campaign.offers[{index}].conditions.windows", OtherField("campaign.limits.slots")
            yield dependent_violation(field, problem, ViolationReason.NOT_WITH_OTHER, other)
        yield None


def _meet(window: Window, slot: Slot) -> bool:
    """Whether there is a minute of the day at which both can be open."""
    if window.start_minute < window.end_minute:
        return window.start_minute < slot.end_minute and slot.start_minute < window.end_minute
    return window.start_minute < slot.end_minute or slot.start_minute < window.end_minute  # over midnight


def _slot_violations(limits: SlotLimits, field: str) -> Iterator[Violation]:
    slots = limits.slots
    if not 1 <= len(slots) <= SLOTS_MAX:
        problem = f"must be 1 to {SLOTS_MAX} slots; there are {len(slots)}"
        yield count_violation(field, problem, count=len(slots), least=1, most=SLOTS_MAX)
        return
    for index, slot in enumerate(slots):
        here, start, end = f"{field}[{index}]", slot.start_minute, slot.end_minute
        yield from minute_violations(start, end, here)
        if end <= start:
            problem = (
                f"must be after the start_minute of {start}; it is {end}; "
                "a slot ends with the day, so make two where one would run over midnight"
            )
            other = OtherField(f"{here}.start_minute", start)
            yield dependent_violation(f"{here}.end_minute", problem, ViolationReason.OVER_MIDNIGHT, other, given=end)
        yield from _limit_range_violations(slot.redemptions, f"{here}.redemptions", COUNT_MAX)
    for index, (earlier, later) in enumerate(pairwise(slots), start=1):
        start, end = later.start_minute, earlier.end_minute
        if start < end:
            problem = (
                f"must be at least {end}, the end of the slot before, because slots rise and do not "
                f"overlap; it is {start}"
            )
            here, other = f"{field}[{index}].start_minute", OtherField(f"{field}[{index - 1}].end_minute", end)
            yield dependent_violation(here, problem, ViolationReason.OVERLAP, other, given=start)


# What can change while it runs


def _paused_offers_violations(campaign: Campaign, field: str) -> Iterator[Violation]:
    paused, last = campaign.paused_offers, len(campaign.offers) - 1
    if len(paused) > OFFERS_MAX:
        problem = f"must be at most {OFFERS_MAX} offers; there are {len(paused)}"
        yield count_violation(field, problem, count=len(paused), most=OFFERS_MAX)
        return
    for index, offer_index in enumerate(paused):
        yield from range_violations(offer_index, f"{field}[{index}]", 0, last)
        first = paused.index(offer_index)
        if first != index:
            problem, other = f"is offer {offer_index} again; name each offer once", OtherField(f"{field}[{first}]")
            yield dependent_violation(f"{field}[{index}]", problem, ViolationReason.DUPLICATE, other)


def _honoured_violations(campaign: Campaign, field: str) -> Iterator[Violation]:
    honoured_ms = campaign.honoured_until_ms
    if honoured_ms is None:
        return
    yield from _instant_violations(honoured_ms, field)
    if honoured_ms > campaign.ends_at_ms:
        problem = "must not be later than the campaign's end_time, because nothing is redeemed after it"
        yield dependent_violation(field, problem, ViolationReason.NOT_WITH_OTHER, OtherField("campaign.end_time"))


# Stacking


def _stacking_violations(campaign: Campaign) -> Iterator[Violation]:
    stacking, offers = campaign.stacking, campaign.offers
    field = "campaign.stacking"
    yield from range_violations(stacking.priority, f"{field}.priority", -PRIORITY_MAX, PRIORITY_MAX)
    yield from range_violations(stacking.max_tokens_per_order, f"{field}.max_tokens_per_order", 1, TOKENS_MAX)
    groups = stacking.exclusivity_groups
    if len(groups) > EXCLUSIVITY_GROUPS_MAX:
        problem = f"must be at most {EXCLUSIVITY_GROUPS_MAX} groups; there are {len(groups)}"
        yield count_violation(f"{field}.exclusivity_groups", problem, count=len(groups), most=EXCLUSIVITY_GROUPS_MAX)
    else:
        yield from list_violations(groups, f"{field}.exclusivity_groups")
    if stacking.exclusivity_reach is ExclusivityReach.MERCHANT and not groups:
        problem = (
            "is MERCHANT, but there are no exclusivity_groups that could reach so far; name one, or leave it unset"
        )
        other = OtherField(f"{field}.exclusivity_groups")
        yield dependent_violation(f"{field}.exclusivity_reach", problem, ViolationReason.ONLY_WITH_OTHER, other)
    yield from _several_tokens_violations(campaign, f"{field}.max_tokens_per_order")
    if stacking.base is DiscountBase.LIST:
        yield from _list_base_violations(offers, f"{field}.base")


def _several_tokens_violations(campaign: Campaign, field: str) -> Iterator[Violation]:
    """Yield why an order can never use ``max_tokens_per_order`` coupons of this campaign, if that is so."""
    stacking, limits, offers = campaign.stacking, campaign.limits, campaign.offers
    most = stacking.max_tokens_per_order

    def violation(why: str, other: OtherField) -> Violation:
        return dependent_violation(field, f"{why}; it is {most}", ViolationReason.NOT_WITH_OTHER, other, given=most)

    for name in ("redemptions_per_customer", "redemptions_per_customer_per_day"):
        limit = getattr(limits, name)
        if limit is not None and 1 <= limit < most:
            why = f"must be at most the {limit} of limits.{name}, because an order is one customer's"
            yield violation(why, OtherField(f"campaign.limits.{name}", limit))
            break
    if most <= 1:
        return
    obstacle = _obstacle_to_a_second(stacking, offers)
    units = next((index for index, offer in enumerate(offers) if _chooses_units(offer.benefit)), None)
    if obstacle:
        name, reason = obstacle
        why = f"must be 1, because a second coupon could never be applied: {reason}"
        yield violation(why, OtherField(f"campaign.stacking.{name}"))
    elif units is not None:
        why = (
            "must be 1 with a benefit on single units, because a second coupon would not know which ones the first "
            "made cheaper; let one coupon reach further by max_repeats or max_units"
        )
        yield violation(why, OtherField(f"campaign.offers[{units}]"))


def _obstacle_to_a_second(stacking: Stacking, offers: tuple[Offer, ...]) -> tuple[str, str] | None:
    """Return the field that prevents a second coupon of a campaign in one order, and the reason; None if none does."""
    if stacking.stop_after:
        return "stop_after", "with stop_after nothing is applied after the first"
    if not stacking.exclusivity_groups:
        return None
    if stacking.exclusivity_reach is ExclusivityReach.ORDER:
        return "exclusivity_groups", "of an exclusivity group only one goes in an order"
    # Offers with the same scope have the same merchants, so two of their coupons always conflict.
    if len({(offer.conditions.include, offer.conditions.exclude) for offer in offers}) == 1:
        reason = "of an exclusivity group only one goes for each merchant, and all offers are for the same goods"
        return "exclusivity_groups", reason
    return None


def _chooses_units(benefit: Benefit) -> bool:
    return isinstance(benefit, BuyGet) or _is_price(benefit)


def _is_price(benefit: Benefit) -> bool:
    if isinstance(benefit, Tiers):
        return any(tier.price_minor is not None for tier in benefit.tiers)
    return isinstance(benefit, FixedPrice)


def _list_base_violations(offers: tuple[Offer, ...], field: str) -> Iterator[Violation]:
    for index, offer in enumerate(offers):
        benefit = offer.benefit
        if isinstance(benefit, FreeShipping):
            why = "a shipping fee has no list price"
        elif _is_price(benefit):
            why = "a price is what the goods cost in the end, so what it takes off depends on what is left to pay"
        else:
            continue
        problem = f"must not be LIST with campaign.offers[{index}]: {why}; leave it unset, or move the offer"
        other = OtherField(f"campaign.offers[{index}]")
        yield dependent_violation(field, f"{problem} to another campaign", ViolationReason.NO_LIST_PRICE, other)
        return


def _sizing_violations(sizing: Sizing) -> Iterator[Violation]:
    rate = sizing.expected_redemption_rate_basis_points
    yield from range_violations(sizing.expected_redemptions, "campaign.sizing.expected_redemptions", 1, COUNT_MAX)
    yield from range_violations(rate, "campaign.sizing.expected_redemption_rate_basis_points", 1, BASIS_POINTS)
