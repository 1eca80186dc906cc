"""The base class for the parts of a campaign file: strict names, and fields that exclude each other."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema


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
