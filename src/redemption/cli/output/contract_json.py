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
    """Return a message with the fields of the contract, in its order; one that can be unset, and is, is left out."""
    found = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return _with_numbers(found, message.DESCRIPTOR)


def _with_numbers(found: dict[str, Any], kind: Any) -> dict[str, Any]:  # noqa: ANN401 - protobuf has two classes for it
    return {field.name: _value(found[field.name], field) for field in kind.fields if field.name in found}


def _value(found: Any, field: Any) -> Any:  # noqa: ANN401
    if isinstance(found, list):
        return [_value(each, field) for each in found]
    if field.cpp_type in _64_BITS:
        return int(found)
    # An instant or a duration is a message as well, and text in JSON.
    return _with_numbers(found, field.message_type) if isinstance(found, dict) else found
