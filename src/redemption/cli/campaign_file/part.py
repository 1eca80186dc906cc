"""The base class for the parts of a file: strict names, fields that exclude each other, and what is wrong with them."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema

from redemption.cli.campaign_file.values import EMPTY
from redemption.cli.input.source_file import NOT_A_GROUP, FieldPath, Problem


class Part(BaseModel):
    """A group of fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True)

    contract: ClassVar[Any]
    """The descriptor of its message in the contract."""

    one_of: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Groups of fields of which exactly one is given; the key is the group's name in error messages."""

    @model_validator(mode="after")
    def _has_one_of_each(self) -> "Part":
        for what, names in self.one_of.items():
            given = [name for name in names if getattr(self, name) is not None]
            if len(given) != 1:
                has = " and ".join(given) if given else "none"
                raise ValueError(f"must have one {what}: {', '.join(names[:-1])} or {names[-1]}; it has {has}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema; it includes the rule that exactly one field of each group is given."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        if cls.one_of:
            schema["allOf"] = [{"oneOf": [{"required": [name]} for name in names]} for names in cls.one_of.values()]
        return schema

    @classmethod
    def names(cls) -> dict[str, str]:
        """Return the field names in a file, each with the name of its attribute."""
        return {field.alias or name: name for name, field in cls.model_fields.items()}


def part_at(root: type[Part], path: FieldPath) -> type[Part]:
    """Return the part at a path of names in a file, which begins in another part."""
    part = root
    for step in path:
        if isinstance(step, str):
            part = _part_in(part.model_fields[part.names()[step]].annotation) or part
    return part


def problems_of(error: ValidationError, unknown: Callable[[FieldPath], str]) -> list[Problem]:
    """Return what is wrong with a file, each with its path; ``unknown`` says it of a name that is not known."""
    return [_problem(detail, unknown) for detail in error.errors()]


def _part_in(annotation: Any) -> type[Part] | None:  # noqa: ANN401 - an annotation has no common type
    """Return the part class in a field's annotation, alone or in a list; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    return next(filter(None, map(_part_in, get_args(annotation))), None)


def _problem(detail: Any, unknown: Callable[[FieldPath], str]) -> Problem:  # noqa: ANN401 - pydantic's own dict
    path = tuple(detail["loc"])
    match detail["type"]:
        case "missing":
            return Problem(path, "is missing")
        case "extra_forbidden":
            return Problem(path, unknown(path))
        case "value_error":
            return Problem(path, str(detail["ctx"]["error"]))
        case _ if detail["input"] == "":
            return Problem(path, EMPTY)
        case "model_type":
            return Problem(path, NOT_A_GROUP)
        case "tuple_type":
            return Problem(path, "must be a list, each entry beginning with a hyphen")
        case _:
            return Problem(path, str(detail["msg"]))
