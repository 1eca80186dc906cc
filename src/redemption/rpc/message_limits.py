"""The checks of a message before it is converted: it has no unknown fields, and no list is too long.

The checks follow the descriptors of the contract, so they also cover fields that are added later. Lists are counted
before their entries are read: a message of the largest size can hold two million entries.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from redemption.domain.campaign.campaign_checks import OFFERS_MAX
from redemption.domain.campaign.value_checks import LIST_VALUES_MAX
from redemption.domain.errors import InvalidRequest, NotBuilt, Violation

MESSAGES_MAX = OFFERS_MAX
"""The most messages in one list: as many as a campaign may have offers, the longest list of the contract."""
VALUES_MAX = LIST_VALUES_MAX
"""The most texts or enum values in one list."""


def require_shape(message: Message, field: str) -> None:
    """Refuse a message that cannot be converted whole.

    Args:
        message: The received message.
        field: The path of the message in the request.

    Raises:
        InvalidRequest: A list is too long, or an enum has a value that this version does not know or accept.
        NotBuilt: A field is set that this version's contract does not have.
    """
    violations = list(_violations(message, field))
    if violations:
        raise InvalidRequest(violations)


def not_built(field: str, what: str) -> NotBuilt:
    """Return the failure for a part of the contract that this version does not support."""
    return NotBuilt(f"{field}: {what} is part of the contract, but not of this version of the server")


def _violations(message: Message, path: str) -> Iterator[Violation]:
    # Protobuf keeps unknown fields silently; a campaign must not promise what this version does not know.
    unknown = UnknownFieldSet(message)
    if len(unknown):
        raise not_built(path, f"field number {unknown[0].field_number}")
    for field, value in message.ListFields():
        yield from _field_violations(field, value, f"{path}.{field.name}")


def _field_violations(field: FieldDescriptor, value: Any, path: str) -> Iterator[Violation]:  # noqa: ANN401 - protobuf's
    if field.is_repeated:
        most = VALUES_MAX if field.message_type is None else MESSAGES_MAX
        if len(value) > most:
            yield Violation(path, f"must be at most {most}; there are {len(value)}")
            return
    enum = field.enum_type
    if field.message_type is None and enum is None:
        return
    for entry, entry_path in _entries(field, value, path):
        if enum is None:
            yield from _violations(entry, entry_path)
        elif entry not in enum.values_by_number:
            yield Violation(entry_path, f"is {entry}, which this version does not know")
        elif not entry:  # only in a list: elsewhere it is the same as unset
            yield Violation(entry_path, f"is {enum.values_by_number[0].name}, which says nothing")


def _entries(field: FieldDescriptor, value: Any, path: str) -> Iterator[tuple[Any, str]]:  # noqa: ANN401 - protobuf's
    if field.is_repeated:
        for index, entry in enumerate(value):
            yield entry, f"{path}[{index}]"
    else:
        yield value, path
