"""Campaigns, from protobuf to the domain and back.

A promise is kept whole or refused: whatever a definition says that this version does not build is answered with
NotBuilt, naming the field. The fields that are built are listed; all others, and those of later contracts, are refused
because they are not.
"""

from typing import cast

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from redemption.domain.campaign import (
    OFFERS_MAX,
    AmountOff,
    Campaign,
    CampaignState,
    Limits,
    Offer,
    PercentOff,
    Sizing,
    Stacking,
    Stage,
)
from redemption.domain.errors import InvalidRequest, NotBuilt, Violation
from redemption.rpc.timestamps import at_ms, ms_from
from redemption.service.campaigns import Stats, etag
from redemption.v1 import campaign_pb2, campaign_service_pb2

_OUTPUT_ONLY = ("number", "state", "etag", "create_time", "update_time")

# By name: a name that the contract does not have fails at import.
_STATES = {
    state: cast("campaign_pb2.CampaignState", campaign_pb2.CampaignState.Value(f"CAMPAIGN_STATE_{state.name}"))
    for state in CampaignState
}
_STAGES = {stage: cast("campaign_pb2.Stage", campaign_pb2.Stage.Value(f"STAGE_{stage.name}")) for stage in Stage}


def new_campaign_from(message: campaign_pb2.Campaign) -> Campaign:
    """Return the definition of a campaign that shall be created.

    Raises:
        InvalidRequest: A field is not what it can be, or is output only.
        NotBuilt: It promises what this version does not build.
    """
    violations = [
        Violation(f"campaign.{field.name}", "is output only; leave it unset when you create a campaign")
        for field, _ in message.ListFields()
        if field.name in _OUTPUT_ONLY
    ]
    if violations:
        raise InvalidRequest(violations)
    return campaign_from(message)


def campaign_from(message: campaign_pb2.Campaign) -> Campaign:
    """Return a definition.

    Raises:
        InvalidRequest: A field is not what it can be.
        NotBuilt: It promises what this version does not build.
    """
    _require_built(
        message,
        "campaign",
        "program name currency_code time_zone start_time end_time offers limits stacking return_policy sizing",
        *_OUTPUT_ONLY,
    )
    _require_return_policy(message)
    missing = [
        Violation(f"campaign.{name}", "is required")
        for name in ("start_time", "end_time")
        if not message.HasField(name)
    ]
    if len(message.offers) > OFFERS_MAX:
        missing.append(Violation("campaign.offers", f"must be at most {OFFERS_MAX}; there are {len(message.offers)}"))
    if missing:
        raise InvalidRequest(missing)
    return Campaign(
        program=message.program,
        name=message.name,
        currency_code=message.currency_code,
        time_zone=message.time_zone,
        starts_at_ms=ms_from(message.start_time, "campaign.start_time"),
        ends_at_ms=ms_from(message.end_time, "campaign.end_time"),
        offers=tuple(_offer_from(offer, f"campaign.offers[{index}]") for index, offer in enumerate(message.offers)),
        limits=_limits_from(message.limits),
        stacking=_stacking_from(message.stacking),
        sizing=_sizing_from(message.sizing),
        state=_state_from(message),
        number=message.number,
        created_at_ms=ms_from(message.create_time, "campaign.create_time"),
        updated_at_ms=ms_from(message.update_time, "campaign.update_time"),
    )


def campaign_of(campaign: Campaign) -> campaign_pb2.Campaign:
    """Return the contract's campaign; what was left unset is told as what it means."""
    limits, stacking, sizing = campaign.limits, campaign.stacking, campaign.sizing
    return campaign_pb2.Campaign(
        program=campaign.program,
        number=campaign.number,
        name=campaign.name,
        currency_code=campaign.currency_code,
        time_zone=campaign.time_zone,
        start_time=at_ms(campaign.starts_at_ms),
        end_time=at_ms(campaign.ends_at_ms),
        offers=[_offer_of(offer) for offer in campaign.offers],
        limits=campaign_pb2.Limits(
            issued=limits.issued,
            redemptions=limits.redemptions,
            redemptions_per_customer=limits.redemptions_per_customer,
            redemptions_per_customer_per_day=limits.redemptions_per_customer_per_day,
            redemptions_per_day=limits.redemptions_per_day,
            budget_minor=limits.budget_minor,
        ),
        stacking=campaign_pb2.Stacking(
            stage=_STAGES[stacking.stage],
            priority=stacking.priority,
            base=campaign_pb2.DISCOUNT_BASE_REMAINING,
            max_tokens_per_order=stacking.max_tokens_per_order,
        ),
        return_policy=campaign_pb2.RETURN_POLICY_NEVER,
        sizing=campaign_pb2.Sizing(
            expected_redemptions=sizing.expected_redemptions,
            expected_redemption_rate_basis_points=sizing.expected_redemption_rate_basis_points,
        ),
        state=_STATES[campaign.state],
        etag=etag(campaign),
        create_time=at_ms(campaign.created_at_ms),
        update_time=at_ms(campaign.updated_at_ms),
    )


def stats_of(stats: Stats) -> campaign_service_pb2.CampaignStats:
    """Return the contract's numbers, as far as this version counts them."""
    return campaign_service_pb2.CampaignStats(
        issued=stats.issued,
        redeemed=stats.redeemed,
        redeemed_today=stats.redeemed_today,
        discount_minor=stats.discount_minor,
        budget_left_minor=stats.budget_left_minor,
        as_of=at_ms(stats.as_of_ms),
    )


# Offers


def _offer_from(message: campaign_pb2.Offer, field: str) -> Offer:
    benefit: AmountOff | PercentOff
    _require_built(message, field, "name tiers percent_off conditions")
    match message.WhichOneof("benefit"):
        case "tiers":
            benefit = _tiers_from(message.tiers, f"{field}.tiers")
        case "percent_off":
            _require_built(message.percent_off, f"{field}.percent_off", "basis_points cap_minor")
            benefit = PercentOff(message.percent_off.basis_points, message.percent_off.cap_minor)
        case _:
            raise InvalidRequest([Violation(field, "gives nothing: set a benefit, such as tiers or percent_off")])
    conditions = message.conditions
    _require_built(conditions, f"{field}.conditions", "min_spend_minor")
    min_spend_minor = conditions.min_spend_minor if conditions.HasField("min_spend_minor") else None
    return Offer(benefit, message.name, min_spend_minor)


def _tiers_from(message: campaign_pb2.Tiers, field: str) -> AmountOff:
    _require_built(message, field, "measure tiers")
    _require_known(message.measure, campaign_pb2.Measure.values(), f"{field}.measure")
    if message.measure == campaign_pb2.MEASURE_UNITS:
        raise _not_built(f"{field}.measure", "thresholds in units of goods")
    if not message.tiers:
        raise InvalidRequest([Violation(f"{field}.tiers", "must be 1 to 20 tiers")])
    if len(message.tiers) > 1:
        raise _not_built(f"{field}.tiers[1]", "more than one tier")
    tier, path = message.tiers[0], f"{field}.tiers[0]"
    # A tier that gives a percentage could be told as percent_off with a minimum spend, but would then be read back as
    # another definition than was written.
    _require_built(tier, path, "threshold amount_off_minor cap_minor")
    if not tier.HasField("amount_off_minor"):
        raise InvalidRequest([Violation(path, "gives nothing: set amount_off_minor")])
    if tier.HasField("cap_minor"):
        raise InvalidRequest([Violation(f"{path}.cap_minor", "goes with a percentage; this tier gives an amount")])
    return AmountOff(tier.threshold, tier.amount_off_minor)


def _offer_of(offer: Offer) -> campaign_pb2.Offer:
    message = campaign_pb2.Offer(name=offer.name)
    match offer.benefit:
        case AmountOff(threshold_minor, amount_off_minor):
            message.tiers.measure = campaign_pb2.MEASURE_SPEND
            message.tiers.tiers.add(threshold=threshold_minor, amount_off_minor=amount_off_minor)
        case PercentOff(basis_points, cap_minor):
            message.percent_off.basis_points = basis_points
            message.percent_off.cap_minor = cap_minor
    if offer.min_spend_minor is not None:
        message.conditions.min_spend_minor = offer.min_spend_minor
    return message


# The other parts


def _limits_from(message: campaign_pb2.Limits) -> Limits:
    built = (
        "issued",
        "redemptions",
        "redemptions_per_customer",
        "redemptions_per_customer_per_day",
        "redemptions_per_day",
        "budget_minor",
    )
    _require_built(message, "campaign.limits", *built)
    return Limits(**{name: getattr(message, name) for name in built if message.HasField(name)})


def _stacking_from(message: campaign_pb2.Stacking) -> Stacking:
    field = "campaign.stacking"
    _require_built(message, field, "stage priority base exclusivity_reach max_tokens_per_order")
    _require_known(message.stage, campaign_pb2.Stage.values(), f"{field}.stage")
    _require_known(message.base, campaign_pb2.DiscountBase.values(), f"{field}.base")
    _require_known(message.exclusivity_reach, campaign_pb2.ExclusivityReach.values(), f"{field}.exclusivity_reach")
    if message.base == campaign_pb2.DISCOUNT_BASE_LIST:
        raise _not_built(f"{field}.base", "discounts on the list price")
    if message.exclusivity_reach == campaign_pb2.EXCLUSIVITY_REACH_MERCHANT:
        raise _not_built(f"{field}.exclusivity_reach", "exclusivity for each merchant")
    return Stacking(
        stage=Stage(message.stage) if message.stage else Stage.PLATFORM,
        priority=message.priority,
        max_tokens_per_order=message.max_tokens_per_order if message.HasField("max_tokens_per_order") else 1,
    )


def _sizing_from(message: campaign_pb2.Sizing) -> Sizing:
    built = ("expected_redemptions", "expected_redemption_rate_basis_points")
    _require_built(message, "campaign.sizing", *built)
    return Sizing(**{name: getattr(message, name) for name in built if message.HasField(name)})


def _state_from(message: campaign_pb2.Campaign) -> CampaignState:
    _require_known(message.state, campaign_pb2.CampaignState.values(), "campaign.state")
    return CampaignState(message.state) if message.state else CampaignState.ACTIVE


def _require_return_policy(message: campaign_pb2.Campaign) -> None:
    _require_known(message.return_policy, campaign_pb2.ReturnPolicy.values(), "campaign.return_policy")
    if message.return_policy not in (campaign_pb2.RETURN_POLICY_UNSPECIFIED, campaign_pb2.RETURN_POLICY_NEVER):
        raise _not_built("campaign.return_policy", "giving coupons back")


# Refusals


def _require_built(message: Message, field: str, *built: str) -> None:
    """Refuse a message that says more than the fields named in ``built``."""
    names = {name for words in built for name in words.split()}
    for set_field, _ in message.ListFields():
        if set_field.name not in names:
            raise _not_built(f"{field}.{set_field.name}", "this field")
    unknown = UnknownFieldSet(message)
    if len(unknown):
        raise _not_built(field, f"field number {unknown[0].field_number}")


def _require_known(value: int, known: list[int], field: str) -> None:
    if value not in known:
        raise InvalidRequest([Violation(field, f"is {value}, which this version does not know")])


def _not_built(field: str, what: str) -> NotBuilt:
    return NotBuilt(f"{field}: {what} is part of the contract, but not of this version of the server")
