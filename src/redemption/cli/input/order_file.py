"""Reads the order of a checkout from a file: the contract's Checkout in YAML or JSON, without the tokens."""

import re
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from redemption.cli.input.source_file import (
    NOT_A_GROUP,
    FieldPath,
    Group,
    Items,
    Node,
    Problem,
    Scalar,
    read_source,
    unknown_field,
)
from redemption.v1.order_pb2 import Checkout

_WHOLE = re.compile(r"-?[0-9]{1,19}")
_LIMITS = {
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
}


def read_checkout(file: Path) -> Checkout:
    """Read a checkout without tokens, which are given on the command line.

    Raises:
        Stop: The file is not a checkout; the message names each problem with its line.
    """
    source = read_source(file)
    reader = _CheckoutReader()
    values = reader.message(source.root, Checkout.DESCRIPTOR, ())
    if "tokens" in source.root.fields:
        reader.problems.append(Problem(("tokens",), "are given on the command line, not in the file"))
    if reader.problems:
        raise source.unreadable(reader.problems)
    return Checkout(**values)


class _CheckoutReader:
    """Reads nodes by the contract's descriptors, and collects the problems."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def message(self, node: Node, descriptor: Any, path: FieldPath) -> dict[str, Any]:  # noqa: ANN401 - protobuf has two
        if not isinstance(node, Group):
            self.problems.append(Problem(path, NOT_A_GROUP))
            return {}
        known = {field.json_name: field for field in descriptor.fields} | dict(descriptor.fields_by_name)
        values: dict[str, Any] = {}
        for name, value in node.fields.items():
            field = known.get(name)
            if field is None:
                self.problems.append(Problem((*path, name), unknown_field(name, descriptor.fields_by_name)))
            elif field.name in values:
                self.problems.append(Problem((*path, name), "is given twice, in both of its spellings"))
            else:
                values[field.name] = self._field(value, field, (*path, name))
        return values

    def _field(self, node: Node, field: FieldDescriptor, path: FieldPath) -> object:
        if not field.is_repeated:
            return self._value(node, field, path)
        if not isinstance(node, Items):
            self.problems.append(Problem(path, "must be a list"))
            return []
        return [self._value(each, field, (*path, index)) for index, each in enumerate(node.nodes)]

    def _value(self, node: Node, field: FieldDescriptor, path: FieldPath) -> object:
        if field.message_type is not None:
            return self.message(node, field.message_type, path)
        if not isinstance(node, Scalar):
            self.problems.append(Problem(path, "must be a single value"))
            return None
        if field.type == FieldDescriptor.TYPE_BOOL:
            if node.text in ("true", "false"):
                return node.text == "true"
            self.problems.append(Problem(path, f"must be true or false; it is {node.text[:40]!r}"))
        elif field.type == FieldDescriptor.TYPE_STRING:
            return node.text
        else:
            least, most = _LIMITS[field.type]
            if _WHOLE.fullmatch(node.text) and least <= int(node.text) <= most:
                return int(node.text)
            self.problems.append(Problem(path, f"must be a whole number; it is {node.text[:40]!r}"))
        return None
