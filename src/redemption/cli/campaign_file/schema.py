"""Makes a JSON Schema of files for editors, from the model that reads the files."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import NullableSchema, TupleSchema, WithDefaultSchema

from redemption.cli.campaign_file.contents import CampaignPart
from redemption.cli.campaign_file.part import Part

_DIALECT = "http://json-schema.org/draft-07/schema#"
"""The newest version that the language servers of editors support in full."""


def campaign_schema() -> dict[str, Any]:
    """Return the schema of campaign files."""
    return schema_of(CampaignPart, "Campaign")


def schema_of(part: type[Part], title: str) -> dict[str, Any]:
    """Return the schema of the files of a model; it has the names and types, not the rules, which the server checks."""
    made = part.model_json_schema(ref_template="#/definitions/{model}", schema_generator=_Generator)
    definitions = {name: _untitled(each) for name, each in made.pop("$defs").items()}
    return {"$schema": _DIALECT, **_untitled(made), "title": title, "definitions": definitions}


class _Generator(GenerateJsonSchema):
    """Leaves out what the model has and a file does not: None, and the defaults of fields that are left out."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        """Return the schema without ``null``, which in a file would be read as text."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema without the default."""
        return self.generate_inner(schema["schema"])

    def tuple_schema(self, schema: TupleSchema) -> JsonSchemaValue:
        """Return the schema of a list of at least one entry."""
        return super().tuple_schema(schema) | {"minItems": 1}


def _untitled(schema: JsonSchemaValue) -> JsonSchemaValue:
    """Return a schema without titles: they only repeat the names."""
    fields = {
        name: {key: each for key, each in field.items() if key != "title"}
        for name, field in schema["properties"].items()
    }
    return {key: each for key, each in schema.items() if key != "title"} | {"properties": fields}
