"""Messages of the contract as JSON for programs: every field is there, and numbers are numbers.

The JSON of protobuf writes 64-bit numbers as text, and leaves out what is 0, empty or false. No number of the contract
is more than 2^53 - 1, so JSON numbers hold all of them exactly.
"""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

_64_BITS = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def as_dict(message: Message) -> dict[str, Any]:
    """Return a message with the field names of the contract; a field that can be unset, and is, is left out."""
    found = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    _with_numbers(found, message.DESCRIPTOR)
    return found


def _with_numbers(found: dict[str, Any], kind: Any) -> None:  # noqa: ANN401 - protobuf has two classes for it
    for field in kind.fields:
        if field.name not in found:
            continue
        value = found[field.name]
        if field.cpp_type in _64_BITS:
            found[field.name] = [int(each) for each in value] if isinstance(value, list) else int(value)
        elif field.message_type is not None:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):  # an instant or a duration is text
                    _with_numbers(each, field.message_type)
