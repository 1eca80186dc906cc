"""The checks of a message before it is converted: it has no unknown fields, and no list is too long.

The checks follow the descriptors of the contract, so they also cover fields that are added later. Lists are counted
before their entries are read: a message of the largest size can hold two million entries. The parts of a message are
counted as well, in all of its lists together: 10,000 windows in 100 short lists would take 50 ms to convert.
"""

from collections.abc import Generator, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from redemption.domain.campaign.campaign_checks import OFFERS_MAX
from redemption.domain.campaign.campaign_checks import VALUES_MAX as VALUES_IN_ALL_MAX
from redemption.domain.campaign.value_checks import LIST_VALUES_MAX
from redemption.domain.errors import VIOLATIONS_MAX, InvalidRequest, NotBuilt, Violation
from redemption.domain.steps import finished

MESSAGES_MAX = OFFERS_MAX
"""The most messages in one list: as many as a campaign may have offers, the longest list of the contract."""
VALUES_MAX = LIST_VALUES_MAX
"""The most texts or enum values in one list."""
PARTS_MAX = 6_000
"""The most messages, and enum values in lists, of one message together. The largest campaign has fewer: 100 offers of
7 messages, 500 tiers, and 500 windows of 7 days."""
TEXTS_MAX = 2 * VALUES_IN_ALL_MAX
"""The most texts in all lists of one message together. A campaign may have half as many, and is told the exact number
when it has too many of them, but fewer than this."""
PARTS_AT_ONCE = 100
"""Parts that are looked at in one step, which takes less than 1 ms."""


def require_shape(message: Message, field: str) -> None:
    """Refuse a message that cannot be converted whole, see ``shape_steps``."""
    finished(shape_steps(message, field))


def shape_steps(message: Message, field: str) -> Generator[None, None, None]:
    """Refuse a message that cannot be converted whole; yields after each step.

    Args:
        message: The received message.
        field: The path of the message in the request.

    Raises:
        InvalidRequest: A list is too long, there are too many parts, or an enum has a value that this version does not
            know or accept.
        NotBuilt: A field is set that this version's contract does not have.
    """
    violations: list[Violation] = []
    parts = texts = 0
    for found in _looked_at(message, field):
        if isinstance(found, Violation):
            violations.append(found)
            if len(violations) == VIOLATIONS_MAX:
                break
            continue
        parts += 1
        texts += found
        if parts > PARTS_MAX:
            problem = f"has more than {PARTS_MAX} parts (offers, tiers, windows, days, …); divide it among several"
            raise InvalidRequest([Violation(field, problem)])
        if texts > TEXTS_MAX:
            problem = f"has more than {TEXTS_MAX} values in all its lists together; divide it among several"
            raise InvalidRequest([Violation(field, problem)])
        if parts % PARTS_AT_ONCE == 0:
            yield
    if violations:
        raise InvalidRequest(violations)


def not_built(field: str, what: str) -> NotBuilt:
    """Return the failure for a part of the contract that this version does not support."""
    return NotBuilt(f"{field}: {what} is part of the contract, but not of this version of the server")


def _looked_at(message: Message, path: str) -> Iterator[Violation | int]:
    """Yield what is wrong with a message, and for each part of it the number of texts in its own lists."""
    # Protobuf keeps unknown fields silently; a campaign must not promise what this version does not know.
    unknown = UnknownFieldSet(message)
    if len(unknown):
        raise not_built(path, f"field number {unknown[0].field_number}")
    fields = message.ListFields()
    yield sum(len(value) for field, value in fields if field.is_repeated and field.type == FieldDescriptor.TYPE_STRING)
    for field, value in fields:
        yield from _looked_at_field(field, value, f"{path}.{field.name}")


def _looked_at_field(field: FieldDescriptor, value: Any, path: str) -> Iterator[Violation | int]:  # noqa: ANN401 - protobuf's
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
            yield from _looked_at(entry, entry_path)
            continue
        yield 0
        if entry not in enum.values_by_number:
            yield Violation(entry_path, f"is {entry}, which this version does not know")
        elif not entry:  # only in a list: elsewhere it is the same as unset
            yield Violation(entry_path, f"is {enum.values_by_number[0].name}, which says nothing")


def _entries(field: FieldDescriptor, value: Any, path: str) -> Iterator[tuple[Any, str]]:  # noqa: ANN401 - protobuf's
    if field.is_repeated:
        for index, entry in enumerate(value):
            yield entry, f"{path}[{index}]"
    else:
        yield value, path
