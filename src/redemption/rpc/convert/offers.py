"""The offers of a campaign, from protobuf to the domain and back.

Here it is only checked that the domain can hold the values of an offer; whether they are allowed is checked in
``domain.campaign.campaign_checks``.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from redemption.domain.campaign.benefit import (
    Benefit,
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
from redemption.domain.campaign.campaign import Offer
from redemption.domain.campaign.conditions import NO_CONDITIONS, Conditions, Scope, Window
from redemption.domain.errors import InvalidRequest, OtherField, Violation, ViolationReason, ViolationValues
from redemption.v1 import campaign_pb2

# Looked up by name: a name that the contract does not have fails at import.
_MEASURES = {
    measure: cast("campaign_pb2.Measure", campaign_pb2.Measure.Value(f"MEASURE_{measure.name}")) for measure in Measure
}


def offer_from(message: campaign_pb2.Offer, field: str) -> Offer:
    """Return an offer.

    Args:
        message: A message that passed ``require_shape``.
        field: The path of the message in the request.

    Raises:
        InvalidRequest: It has no benefit.
    """
    kind = message.WhichOneof("benefit")
    if kind is None:
        raise _gives_nothing(field, f"gives nothing: set one of {', '.join(_BENEFITS)}", _BENEFITS)
    return Offer(
        benefit=_BENEFITS[kind](getattr(message, kind), f"{field}.{kind}"),
        name=message.name,
        conditions=_conditions_from(message.conditions),
        merchant_basis_points=message.funding.merchant_basis_points,
        issue_quota=_optional(message, "issue_quota"),
    )


def offer_of(offer: Offer) -> campaign_pb2.Offer:
    """Return the contract's offer."""
    points = offer.merchant_basis_points
    return campaign_pb2.Offer(
        name=offer.name,
        **_benefit_of(offer.benefit),
        conditions=None if offer.conditions == NO_CONDITIONS else _conditions_of(offer.conditions),
        funding=campaign_pb2.Funding(merchant_basis_points=points) if points else None,
        issue_quota=offer.issue_quota,
    )


# Benefits


def _tiers_from(message: campaign_pb2.Tiers, field: str) -> Tiers:
    return Tiers(
        Measure(message.measure) if message.measure else Measure.SPEND,
        tuple(_tier_from(tier, f"{field}.tiers[{index}]") for index, tier in enumerate(message.tiers)),
    )


def _tier_from(message: campaign_pb2.Tier, field: str) -> Tier:
    gives = message.WhichOneof("gives")
    if gives is None:
        problem = "gives nothing: set amount_off_minor, percent_off_basis_points or price_minor"
        raise _gives_nothing(field, problem, ("amount_off_minor", "percent_off_basis_points", "price_minor"))
    given: dict[str, int] = {gives: getattr(message, gives)}
    return Tier(threshold=message.threshold, cap_minor=_optional(message, "cap_minor"), **given)


def _every_full_from(message: campaign_pb2.EveryFull, _: str) -> EveryFull:
    return EveryFull(message.threshold_minor, message.amount_off_minor, _optional(message, "cap_minor"))


def _percent_off_from(message: campaign_pb2.PercentOff, _: str) -> PercentOff:
    return PercentOff(message.basis_points, message.cap_minor)


def _free_shipping_from(message: campaign_pb2.FreeShipping, _: str) -> FreeShipping:
    return FreeShipping(_optional(message, "cap_minor"), tuple(message.regions))


def _fixed_price_from(message: campaign_pb2.FixedPrice, _: str) -> FixedPrice:
    return FixedPrice(message.price_minor, _optional(message, "max_units"))


def _buy_get_from(message: campaign_pb2.BuyGet, _: str) -> BuyGet:
    return BuyGet(
        message.buy_units,
        message.get_units,
        message.percent_off_basis_points,
        message.max_repeats if message.HasField("max_repeats") else 1,
        _scope_from(message.discounted) if message.HasField("discounted") else None,
    )


def _cash_voucher_from(message: campaign_pb2.CashVoucher, _: str) -> CashVoucher:
    return CashVoucher(message.face_minor)


_BENEFITS: Mapping[str, Callable[[Any, str], Benefit]] = {
    "tiers": _tiers_from,
    "every_full": _every_full_from,
    "percent_off": _percent_off_from,
    "free_shipping": _free_shipping_from,
    "fixed_price": _fixed_price_from,
    "buy_get": _buy_get_from,
    "cash_voucher": _cash_voucher_from,
}


def _benefit_of(benefit: Benefit) -> dict[str, Any]:
    """Return the one field of an offer that holds its benefit."""
    match benefit:
        case Tiers(measure, tiers):
            messages = [
                campaign_pb2.Tier(
                    threshold=tier.threshold,
                    amount_off_minor=tier.amount_off_minor,
                    percent_off_basis_points=tier.percent_off_basis_points,
                    price_minor=tier.price_minor,
                    cap_minor=tier.cap_minor,
                )
                for tier in tiers
            ]
            return {"tiers": campaign_pb2.Tiers(measure=_MEASURES[measure], tiers=messages)}
        case EveryFull(threshold_minor, amount_off_minor, cap_minor):
            every_full = campaign_pb2.EveryFull(
                threshold_minor=threshold_minor, amount_off_minor=amount_off_minor, cap_minor=cap_minor
            )
            return {"every_full": every_full}
        case PercentOff(basis_points, cap_minor):
            return {"percent_off": campaign_pb2.PercentOff(basis_points=basis_points, cap_minor=cap_minor)}
        case FreeShipping(cap_minor, regions):
            return {"free_shipping": campaign_pb2.FreeShipping(cap_minor=cap_minor, regions=regions)}
        case FixedPrice(price_minor, max_units):
            return {"fixed_price": campaign_pb2.FixedPrice(price_minor=price_minor, max_units=max_units)}
        case BuyGet():
            buy_get = campaign_pb2.BuyGet(
                buy_units=benefit.buy_units,
                get_units=benefit.get_units,
                percent_off_basis_points=benefit.percent_off_basis_points,
                max_repeats=benefit.max_repeats,
                discounted=None if benefit.discounted is None else _scope_of(benefit.discounted),
            )
            return {"buy_get": buy_get}
        case CashVoucher(face_minor):
            return {"cash_voucher": campaign_pb2.CashVoucher(face_minor=face_minor)}


# Conditions


def _conditions_from(message: campaign_pb2.Conditions) -> Conditions:
    return Conditions(
        min_spend_minor=_optional(message, "min_spend_minor"),
        min_quantity=_optional(message, "min_quantity"),
        include=_scope_from(message.include),
        exclude=_scope_from(message.exclude),
        channels=tuple(message.channels),
        store_ids=tuple(message.store_ids),
        regions=tuple(message.regions),
        payment_methods=tuple(message.payment_methods),
        tiers=tuple(message.tiers),
        segments=tuple(message.segments),
        new_customer_only=message.new_customer_only,
        min_group_size=_optional(message, "min_group_size"),
        windows=tuple(
            Window(window.start_minute, window.end_minute, tuple(window.weekdays)) for window in message.windows
        ),
    )


def _conditions_of(conditions: Conditions) -> campaign_pb2.Conditions:
    return campaign_pb2.Conditions(
        min_spend_minor=conditions.min_spend_minor,
        min_quantity=conditions.min_quantity,
        include=None if conditions.include.is_empty else _scope_of(conditions.include),
        exclude=None if conditions.exclude.is_empty else _scope_of(conditions.exclude),
        channels=conditions.channels,
        store_ids=conditions.store_ids,
        regions=conditions.regions,
        payment_methods=conditions.payment_methods,
        tiers=conditions.tiers,
        segments=conditions.segments,
        new_customer_only=conditions.new_customer_only,
        min_group_size=conditions.min_group_size,
        windows=[
            campaign_pb2.Window(
                weekdays=cast("tuple[campaign_pb2.Weekday, ...]", window.weekdays),
                start_minute=window.start_minute,
                end_minute=window.end_minute,
            )
            for window in conditions.windows
        ],
    )


def _scope_from(message: campaign_pb2.Scope) -> Scope:
    return Scope(tuple(message.skus), tuple(message.categories), tuple(message.brands), tuple(message.merchant_ids))


def _scope_of(scope: Scope) -> campaign_pb2.Scope:
    return campaign_pb2.Scope(
        skus=scope.skus, categories=scope.categories, brands=scope.brands, merchant_ids=scope.merchant_ids
    )


def _gives_nothing(field: str, problem: str, names: Iterable[str]) -> InvalidRequest:
    """Return the failure of an offer or a tier in which none of these fields is set, but one must be."""
    values = ViolationValues(others=tuple(OtherField(f"{field}.{name}") for name in names))
    return InvalidRequest([Violation(field, problem, ViolationReason.ONE_OF, values)])


def _optional(message: Any, name: str) -> int | None:  # noqa: ANN401 - any message with such a field
    """Return a number that can be unset."""
    return cast("int", getattr(message, name)) if message.HasField(name) else None
