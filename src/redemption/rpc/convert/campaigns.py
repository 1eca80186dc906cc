"""Campaigns, from protobuf to the domain and back.

A definition is accepted whole or refused: if it uses something that this version does not support, the failure is
NotBuilt and names the field. Here it is only checked that the domain can hold the values; whether they are allowed is
checked in ``domain.campaign.campaign_checks``. When a campaign is read back, unset fields have their default values.
"""

from collections.abc import Generator
from typing import Any, TypeAlias, cast

from redemption.domain.campaign.campaign import (
    RESERVATION_SECONDS_MAX,
    RETURN_WINDOW_SECONDS,
    AbsoluteValidity,
    Campaign,
    CampaignState,
    ClaimValidity,
    DiscountBase,
    ExclusivityReach,
    Limits,
    Offer,
    ReturnPolicy,
    RiskSignal,
    Sizing,
    Slot,
    SlotLimits,
    Stacking,
    Stage,
    Validity,
)
from redemption.domain.campaign.change_warnings import ChangeWarning
from redemption.domain.errors import InvalidRequest, OtherField, Violation, ViolationReason, ViolationValues
from redemption.domain.outcome import Outcome
from redemption.domain.steps import finished
from redemption.rpc.convert.offers import offer_from, offer_of
from redemption.rpc.convert.orders import OUTCOMES
from redemption.rpc.convert.timestamps import at_ms, duration_of, ms_from, seconds_from, whole_second_ms_from
from redemption.rpc.convert.warnings import risk_warning_of
from redemption.rpc.message_limits import shape_steps
from redemption.service.campaigns import Stats, etag
from redemption.v1 import campaign_pb2, campaign_service_pb2

BYTES_MAX = 256 * 1024
"""The largest definition. Every server process keeps it in memory, and reads it from the ledger after every change."""

_OUTPUT_ONLY = ("number", "state", "etag", "create_time", "update_time")
_COUNTED_LIMITS = (
    "issued",
    "issued_per_day",
    "claims_per_customer",
    "claims_per_person",
    "redemptions",
    "redemptions_per_customer",
    "redemptions_per_customer_per_day",
    "redemptions_per_day",
    "budget_minor",
    "budget_per_day_minor",
)
_SIZINGS = ("expected_redemptions", "expected_redemption_rate_basis_points")

# Looked up by name: a name that the contract does not have fails at import.
_STATES = {
    state: cast("campaign_pb2.CampaignState", campaign_pb2.CampaignState.Value(f"CAMPAIGN_STATE_{state.name}"))
    for state in CampaignState
}
_POLICIES = {
    policy: cast("campaign_pb2.ReturnPolicy", campaign_pb2.ReturnPolicy.Value(f"RETURN_POLICY_{policy.name}"))
    for policy in ReturnPolicy
}
_STAGES = {stage: cast("campaign_pb2.Stage", campaign_pb2.Stage.Value(f"STAGE_{stage.name}")) for stage in Stage}
_BASES = {
    base: cast("campaign_pb2.DiscountBase", campaign_pb2.DiscountBase.Value(f"DISCOUNT_BASE_{base.name}"))
    for base in DiscountBase
}
_REACHES = {
    reach: cast("campaign_pb2.ExclusivityReach", campaign_pb2.ExclusivityReach.Value(f"EXCLUSIVITY_REACH_{reach.name}"))
    for reach in ExclusivityReach
}
_SIGNALS = {
    signal: cast("campaign_pb2.RiskSignal", campaign_pb2.RiskSignal.Value(f"RISK_SIGNAL_{signal.name}"))
    for signal in RiskSignal
}

SparseMessage: TypeAlias = campaign_pb2.Limits | campaign_pb2.Sizing
"""A message whose numbers can be unset."""


def new_campaign_from(message: campaign_pb2.Campaign) -> Campaign:
    """Return the definition of a campaign to be created, see ``new_campaign_steps``."""
    return finished(new_campaign_steps(message))


def new_campaign_steps(message: campaign_pb2.Campaign) -> Generator[None, None, Campaign]:
    """Return the definition of a campaign to be created; yields after each step.

    Raises:
        InvalidRequest: A field has a wrong value, or is output only.
        NotBuilt: It uses something that this version does not support.
    """
    violations = [
        Violation(f"campaign.{field.name}", "is output only; leave it unset when you create a campaign")
        for field, _ in message.ListFields()
        if field.name in _OUTPUT_ONLY
    ]
    if violations:
        raise InvalidRequest(violations)
    return (yield from campaign_steps(message))


def campaign_from(message: campaign_pb2.Campaign) -> Campaign:
    """Return a definition, see ``campaign_steps``."""
    return finished(campaign_steps(message))


def campaign_steps(message: campaign_pb2.Campaign) -> Generator[None, None, Campaign]:
    """Return a definition; yields after each step.

    Raises:
        InvalidRequest: A field has a wrong value.
        NotBuilt: It uses something that this version does not support.
    """
    _require_size(message)
    yield from shape_steps(message, "campaign")
    _require_set(message, "campaign", "start_time", "end_time")
    offers: list[Offer] = []
    for index, offer in enumerate(message.offers):
        offers.append(offer_from(offer, f"campaign.offers[{index}]"))
        yield
    return Campaign(
        program=message.program,
        name=message.name,
        currency_code=message.currency_code,
        time_zone=message.time_zone,
        starts_at_ms=ms_from(message.start_time, "campaign.start_time"),
        ends_at_ms=ms_from(message.end_time, "campaign.end_time"),
        offers=tuple(offers),
        limits=_limits_from(message.limits),
        stacking=_stacking_from(message.stacking),
        sizing=Sizing(**_numbers_from(message.sizing, _SIZINGS)),
        validity=_validity_from(message.validity) if message.HasField("validity") else None,
        return_window_seconds=_return_window_from(message),
        required_risk_signals=tuple(RiskSignal(signal) for signal in message.required_risk_signals),
        state=CampaignState(message.state) if message.state else CampaignState.ACTIVE,
        number=message.number,
        created_at_ms=ms_from(message.create_time, "campaign.create_time"),
        updated_at_ms=ms_from(message.update_time, "campaign.update_time"),
        paused_merchant_ids=tuple(message.paused_merchant_ids),
        paused_skus=tuple(message.paused_skus),
        paused_offers=tuple(message.paused_offers),
        honoured_until_ms=(
            ms_from(message.honoured_until, "campaign.honoured_until") if message.HasField("honoured_until") else None
        ),
        return_policy=ReturnPolicy(message.return_policy) if message.return_policy else ReturnPolicy.NEVER,
        reservation_seconds_max=(
            seconds_from(message.max_reservation_ttl, "campaign.max_reservation_ttl")
            if message.HasField("max_reservation_ttl")
            else RESERVATION_SECONDS_MAX
        ),
    )


def campaign_of(campaign: Campaign) -> campaign_pb2.Campaign:
    """Return the contract's campaign; fields that were left unset have their default values."""
    return campaign_pb2.Campaign(
        program=campaign.program,
        number=campaign.number,
        name=campaign.name,
        currency_code=campaign.currency_code,
        time_zone=campaign.time_zone,
        start_time=at_ms(campaign.starts_at_ms),
        end_time=at_ms(campaign.ends_at_ms),
        offers=[offer_of(offer) for offer in campaign.offers],
        limits=_limits_of(campaign.limits),
        validity=None if campaign.validity is None else _validity_of(campaign.validity),
        stacking=_stacking_of(campaign.stacking),
        return_policy=_POLICIES[campaign.return_policy],
        return_window=duration_of(campaign.return_window_seconds),
        max_reservation_ttl=duration_of(campaign.reservation_seconds_max),
        required_risk_signals=[_SIGNALS[signal] for signal in campaign.required_risk_signals],
        sizing=campaign_pb2.Sizing(**{name: getattr(campaign.sizing, name) for name in _SIZINGS}),
        state=_STATES[campaign.state],
        etag=etag(campaign),
        create_time=at_ms(campaign.created_at_ms),
        update_time=at_ms(campaign.updated_at_ms),
        paused_merchant_ids=campaign.paused_merchant_ids,
        paused_skus=campaign.paused_skus,
        paused_offers=campaign.paused_offers,
        honoured_until=None if campaign.honoured_until_ms is None else at_ms(campaign.honoured_until_ms),
    )


def warning_of(warning: ChangeWarning) -> campaign_service_pb2.CampaignWarning:
    """Return the contract's warning."""
    return campaign_service_pb2.CampaignWarning(
        field=warning.field, reason=warning.reason.value, description=warning.text
    )


def stats_of(stats: Stats) -> campaign_service_pb2.CampaignStats:
    """Return the contract's numbers, as far as this version counts them."""
    offers = [
        campaign_service_pb2.OfferStats(
            offer_index=index, issued=offer.issued, redeemed=offer.redeemed, discount_minor=offer.discount_minor
        )
        for index, offer in enumerate(stats.offers)
    ]
    refusals = [
        campaign_service_pb2.RefusalCount(outcome=OUTCOMES[Outcome(outcome)], count=count)
        for outcome, count in stats.refusals
    ]
    return campaign_service_pb2.CampaignStats(
        issued=stats.issued,
        redeemed=stats.redeemed,
        reserved=stats.reserved,
        reversed=stats.reversed,
        reversed_minor=stats.reversed_minor,
        redeemed_today=stats.redeemed_today,
        discount_minor=stats.discount_minor,
        merchant_minor=stats.merchant_minor,
        order_value_minor=stats.order_value_minor,
        offers=offers,
        refusals=refusals,
        claimed=stats.claimed,
        budget_left_minor=stats.budget_left_minor,
        as_of=at_ms(stats.as_of_ms),
        warnings=map(risk_warning_of, stats.warnings),
    )


# The parts


def _limits_from(message: campaign_pb2.Limits) -> Limits:
    slots = None
    if message.HasField("slots"):
        slots = SlotLimits(
            tuple(Slot(slot.start_minute, slot.end_minute, slot.redemptions) for slot in message.slots.slots),
            message.slots.carry_over,
        )
    return Limits(**_numbers_from(message, _COUNTED_LIMITS), slots=slots)


def _limits_of(limits: Limits) -> campaign_pb2.Limits:
    fields: dict[str, Any] = {name: getattr(limits, name) for name in _COUNTED_LIMITS}
    if limits.slots is not None:
        fields["slots"] = campaign_pb2.SlotLimits(
            slots=[
                campaign_pb2.Slot(
                    start_minute=slot.start_minute, end_minute=slot.end_minute, redemptions=slot.redemptions
                )
                for slot in limits.slots.slots
            ],
            carry_over=limits.slots.carry_over,
        )
    return campaign_pb2.Limits(**fields)


def _validity_from(message: campaign_pb2.Validity) -> Validity:
    field = "campaign.validity"
    match message.WhichOneof("validity"):
        case "absolute":
            absolute, field = message.absolute, f"{field}.absolute"
            _require_set(absolute, field, "not_before", "expire_time")
            return AbsoluteValidity(
                whole_second_ms_from(absolute.not_before, f"{field}.not_before"),
                whole_second_ms_from(absolute.expire_time, f"{field}.expire_time"),
            )
        case "from_claim":
            claim = message.from_claim
            return ClaimValidity(
                days=claim.days,
                wait_seconds=seconds_from(claim.wait, f"{field}.from_claim.wait"),
                end_of_day=claim.end_of_day,
            )
        case _:
            problem = "says nothing: set absolute or from_claim, or leave it out for the campaign's own time"
            values = ViolationValues(others=(OtherField(f"{field}.absolute"), OtherField(f"{field}.from_claim")))
            raise InvalidRequest([Violation(field, problem, ViolationReason.ONE_OF, values)])


def _validity_of(validity: Validity) -> campaign_pb2.Validity:
    match validity:
        case AbsoluteValidity(not_before_ms, expires_at_ms):
            absolute = campaign_pb2.AbsoluteValidity(not_before=at_ms(not_before_ms), expire_time=at_ms(expires_at_ms))
            return campaign_pb2.Validity(absolute=absolute)
        case ClaimValidity(days, wait_seconds, end_of_day):
            claim = campaign_pb2.ClaimValidity(wait=duration_of(wait_seconds), days=days, end_of_day=end_of_day)
            return campaign_pb2.Validity(from_claim=claim)


def _stacking_from(message: campaign_pb2.Stacking) -> Stacking:
    return Stacking(
        stage=Stage(message.stage) if message.stage else Stage.PLATFORM,
        priority=message.priority,
        max_tokens_per_order=message.max_tokens_per_order if message.HasField("max_tokens_per_order") else 1,
        base=DiscountBase(message.base) if message.base else DiscountBase.REMAINING,
        exclusivity_groups=tuple(message.exclusivity_groups),
        exclusivity_reach=(
            ExclusivityReach(message.exclusivity_reach) if message.exclusivity_reach else ExclusivityReach.ORDER
        ),
        stop_after=message.stop_after,
    )


def _stacking_of(stacking: Stacking) -> campaign_pb2.Stacking:
    return campaign_pb2.Stacking(
        stage=_STAGES[stacking.stage],
        priority=stacking.priority,
        base=_BASES[stacking.base],
        exclusivity_groups=stacking.exclusivity_groups,
        exclusivity_reach=_REACHES[stacking.exclusivity_reach],
        stop_after=stacking.stop_after,
        max_tokens_per_order=stacking.max_tokens_per_order,
    )


def _return_window_from(message: campaign_pb2.Campaign) -> int:
    if not message.HasField("return_window"):
        return RETURN_WINDOW_SECONDS
    return seconds_from(message.return_window, "campaign.return_window")


def _numbers_from(message: SparseMessage, names: tuple[str, ...]) -> dict[str, int]:
    """Return the numbers that are set; the domain has the defaults of the others."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}


# Refusals


def _require_size(message: campaign_pb2.Campaign) -> None:
    size = message.ByteSize()
    if size > BYTES_MAX:
        problem = (
            f"is {size} bytes, at most {BYTES_MAX} are taken; name categories or brands instead of single articles"
        )
        raise InvalidRequest([Violation("campaign", problem)])


def _require_set(message: campaign_pb2.Campaign | campaign_pb2.AbsoluteValidity, field: str, *names: str) -> None:
    missing = [name for name in names if not message.HasField(name)]
    if missing:
        required = ViolationReason.REQUIRED
        raise InvalidRequest([Violation(f"{field}.{name}", "is required", required) for name in missing])
