"""The contract's fields, by their paths: those that it has, and those that a campaign sets."""

from google.protobuf.descriptor import FieldDescriptor

from redemption.v1 import campaign_pb2 as v1

_WHOLE = ("google.protobuf.Timestamp", "google.protobuf.Duration")


def is_leaf(field):
    """Whether a field is a value: an instant and a duration are."""
    return field.message_type is None or field.message_type.full_name in _WHOLE


def all_leaves(descriptor, path=""):
    """Every value that a message can have, by its path without indices."""
    for field in descriptor.fields:
        here = f"{path}.{field.name}" if path else field.name
        if is_leaf(field):
            yield here
        else:
            yield from all_leaves(field.message_type, here)


def set_leaves(message, path=""):
    """Every value that is set, by its path, with the message that has it and the field."""
    for field, value in message.ListFields():
        here = f"{path}.{field.name}" if path else field.name
        if is_leaf(field):
            yield here, message, field
        elif field.is_repeated:
            for index, each in enumerate(value):
                yield from set_leaves(each, f"{here}[{index}]")
        else:
            yield from set_leaves(value, here)


def change(message, field):
    """Give a value another one of its kind."""
    if field.is_repeated:
        values = getattr(message, field.name)
        values.append(values[0])
    elif field.type == FieldDescriptor.TYPE_BOOL:
        setattr(message, field.name, not getattr(message, field.name))
    elif field.enum_type is not None:
        value = getattr(message, field.name)
        setattr(
            message, field.name, next(each.number for each in field.enum_type.values if each.number not in (0, value))
        )
    elif field.type == FieldDescriptor.TYPE_STRING:
        setattr(message, field.name, getattr(message, field.name) + "x")
    elif field.message_type is not None:
        getattr(message, field.name).seconds += 1
    else:
        setattr(message, field.name, getattr(message, field.name) + 1)


def echo(campaign):
    """Say outright what the campaign leaves unset, as the server does when it is read back."""
    for offer in campaign.offers:
        offer.conditions.SetInParent()
        offer.funding.SetInParent()
        if offer.HasField("tiers"):
            offer.tiers.measure = offer.tiers.measure or v1.MEASURE_SPEND
        if offer.HasField("buy_get") and not offer.buy_get.HasField("max_repeats"):
            offer.buy_get.max_repeats = 1
    campaign.limits.SetInParent()
    stacking = campaign.stacking
    stacking.stage = stacking.stage or v1.STAGE_PLATFORM
    stacking.base = stacking.base or v1.DISCOUNT_BASE_REMAINING
    stacking.exclusivity_reach = stacking.exclusivity_reach or v1.EXCLUSIVITY_REACH_ORDER
    if not stacking.HasField("max_tokens_per_order"):
        stacking.max_tokens_per_order = 1
    campaign.return_policy = campaign.return_policy or v1.RETURN_POLICY_NEVER
    if not campaign.HasField("max_reservation_ttl"):
        campaign.max_reservation_ttl.seconds = 86_400
    if not campaign.HasField("return_window"):
        campaign.return_window.seconds = 30 * 86_400
    if not campaign.sizing.HasField("expected_redemptions"):
        campaign.sizing.expected_redemptions = 100_000
    if not campaign.sizing.HasField("expected_redemption_rate_basis_points"):
        campaign.sizing.expected_redemption_rate_basis_points = 10_000
