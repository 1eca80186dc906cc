"""Builds the contract's Campaign from a campaign file; what the file leaves out stays unset."""

from collections.abc import Callable
from typing import TypeVar

from redemption.cli.campaign_file import contents as model
from redemption.cli.campaign_file import offer
from redemption.v1 import campaign_pb2 as v1

_Part = TypeVar("_Part")
_Message = TypeVar("_Message")


def campaign_message(part: model.CampaignPart) -> v1.Campaign:
    """Return the campaign."""
    return v1.Campaign(
        name=part.name,
        number=part.number,
        currency_code=part.currency_code,
        time_zone=part.time_zone,
        start_time=part.start_time,
        end_time=part.end_time,
        offers=[_offer(each) for each in part.offers],
        limits=_made(_limits, part.limits),
        validity=_made(_validity, part.validity),
        stacking=_made(_stacking, part.stacking),
        max_reservation_ttl=part.max_reservation_ttl,
        return_policy=part.return_policy,  # type: ignore[arg-type]
        return_window=part.return_window,
        required_risk_signals=part.required_risk_signals,  # type: ignore[arg-type]
        sizing=_made(_sizing, part.sizing),
        paused_merchant_ids=part.paused_merchant_ids,
        paused_skus=part.paused_skus,
        paused_offers=part.paused_offers,
        honoured_until=part.honoured_until,
    )


def _made(make: Callable[[_Part], _Message], part: _Part | None) -> _Message | None:
    """Return the message for a part, or None if the file does not have the part."""
    return None if part is None else make(part)


def _offer(part: offer.OfferPart) -> v1.Offer:
    return v1.Offer(
        name=part.name,
        tiers=_made(_tiers, part.tiers),
        every_full=_made(_every_full, part.every_full),
        percent_off=_made(_percent_off, part.percent_off),
        free_shipping=_made(_free_shipping, part.free_shipping),
        fixed_price=_made(_fixed_price, part.fixed_price),
        buy_get=_made(_buy_get, part.buy_get),
        cash_voucher=_made(_cash_voucher, part.cash_voucher),
        conditions=_made(_conditions, part.conditions),
        funding=_made(_funding, part.funding),
        issue_quota=part.issue_quota,
    )


def _tiers(parts: tuple[offer.TierPart, ...]) -> v1.Tiers:
    measure = v1.MEASURE_SPEND if parts[0].units is None else v1.MEASURE_UNITS
    return v1.Tiers(measure=measure, tiers=[_tier(part) for part in parts])


def _tier(part: offer.TierPart) -> v1.Tier:
    return v1.Tier(
        threshold=part.spend if part.units is None else part.units,
        amount_off_minor=part.amount_off,
        percent_off_basis_points=part.percent,
        price_minor=part.price,
        cap_minor=part.cap,
    )


def _every_full(part: offer.EveryFullPart) -> v1.EveryFull:
    return v1.EveryFull(threshold_minor=part.spend, amount_off_minor=part.amount_off, cap_minor=part.cap)


def _percent_off(part: offer.PercentOffPart) -> v1.PercentOff:
    return v1.PercentOff(basis_points=part.percent, cap_minor=part.cap)


def _free_shipping(part: offer.FreeShippingPart) -> v1.FreeShipping:
    return v1.FreeShipping(cap_minor=part.cap, regions=part.regions)


def _fixed_price(part: offer.FixedPricePart) -> v1.FixedPrice:
    return v1.FixedPrice(price_minor=part.price, max_units=part.max_units)


def _buy_get(part: offer.BuyGetPart) -> v1.BuyGet:
    return v1.BuyGet(
        buy_units=part.buy,
        get_units=part.get,
        percent_off_basis_points=part.percent,
        max_repeats=part.max_repeats,
        discounted=_made(_scope, part.discounted),
    )


def _cash_voucher(part: offer.CashVoucherPart) -> v1.CashVoucher:
    return v1.CashVoucher(face_minor=part.face)


def _funding(part: offer.FundingPart) -> v1.Funding:
    return v1.Funding(merchant_basis_points=part.merchant)


def _scope(part: offer.ScopePart) -> v1.Scope:
    return v1.Scope(skus=part.skus, categories=part.categories, brands=part.brands, merchant_ids=part.merchant_ids)


def _conditions(part: offer.ConditionsPart) -> v1.Conditions:
    return v1.Conditions(
        min_spend_minor=part.min_spend,
        min_quantity=part.min_quantity,
        include=_made(_scope, part.include),
        exclude=_made(_scope, part.exclude),
        channels=part.channels,
        store_ids=part.store_ids,
        regions=part.regions,
        payment_methods=part.payment_methods,
        tiers=part.tiers,
        segments=part.segments,
        new_customer_only=part.new_customer_only,
        min_group_size=part.min_group_size,
        windows=[_window(window) for window in part.windows],
    )


def _window(part: offer.WindowPart) -> v1.Window:
    weekdays = part.weekdays
    return v1.Window(weekdays=weekdays, start_minute=part.start, end_minute=part.end)  # type: ignore[arg-type]


def _limits(part: model.LimitsPart) -> v1.Limits:
    return v1.Limits(
        issued=part.issued,
        issued_per_day=part.issued_per_day,
        claims_per_customer=part.claims_per_customer,
        claims_per_person=part.claims_per_person,
        redemptions=part.redemptions,
        redemptions_per_customer=part.redemptions_per_customer,
        redemptions_per_customer_per_day=part.redemptions_per_customer_per_day,
        redemptions_per_day=part.redemptions_per_day,
        slots=_slots(part),
        budget_minor=part.budget,
        budget_per_day_minor=part.budget_per_day,
    )


def _slots(part: model.LimitsPart) -> v1.SlotLimits | None:
    if not part.slots and part.slots_carry_over is None:
        return None
    slots = [v1.Slot(start_minute=slot.start, end_minute=slot.end, redemptions=slot.redemptions) for slot in part.slots]
    return v1.SlotLimits(slots=slots, carry_over=part.slots_carry_over)


def _validity(part: model.ValidityPart) -> v1.Validity:
    if part.absolute:
        absolute = v1.AbsoluteValidity(not_before=part.absolute.not_before, expire_time=part.absolute.expire_time)
        return v1.Validity(absolute=absolute)
    return v1.Validity(from_claim=_made(_from_claim, part.from_claim))


def _from_claim(part: model.FromClaimPart) -> v1.ClaimValidity:
    return v1.ClaimValidity(wait=part.wait, days=part.days, end_of_day=part.end_of_day)


def _stacking(part: model.StackingPart) -> v1.Stacking:
    return v1.Stacking(
        stage=part.stage,  # type: ignore[arg-type]
        priority=part.priority,
        base=part.base,  # type: ignore[arg-type]
        exclusivity_groups=part.exclusivity_groups,
        exclusivity_reach=part.exclusivity_reach,  # type: ignore[arg-type]
        stop_after=part.stop_after,
        max_tokens_per_order=part.max_tokens_per_order,
    )


def _sizing(part: model.SizingPart) -> v1.Sizing:
    return v1.Sizing(
        expected_redemptions=part.expected_redemptions,
        expected_redemption_rate_basis_points=part.expected_redemption_rate,
    )
