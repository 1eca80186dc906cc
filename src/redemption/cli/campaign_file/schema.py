"""A JSON Schema of campaign files for editors, made from the model by which they are read."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import NullableSchema, TupleSchema, WithDefaultSchema

from redemption.cli.campaign_file.model import CampaignPart

_DIALECT = "http://json-schema.org/draft-07/schema#"
"""The newest that the language servers of editors know in full."""


def campaign_schema() -> dict[str, Any]:
    """Return the schema; it knows shapes and names, while the rules of a campaign are the server's."""
    made = CampaignPart.model_json_schema(ref_template="#/definitions/{model}", schema_generator=_Generator)
    definitions = {name: _untitled(each) for name, each in made.pop("$defs").items()}
    return {"$schema": _DIALECT, **_untitled(made), "title": "Campaign", "definitions": definitions}


class _Generator(GenerateJsonSchema):
    """Leaves out what Python needs and a file has not: None, and defaults that stand for a field left out."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        """Return the schema of what may be there; ``null`` in a file would be read as a text."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema of the value alone."""
        return self.generate_inner(schema["schema"])

    def tuple_schema(self, schema: TupleSchema) -> JsonSchemaValue:
        """Return the schema of a list, which is never empty in a file."""
        return super().tuple_schema(schema) | {"minItems": 1}


def _untitled(schema: JsonSchemaValue) -> JsonSchemaValue:
    """Return it without titles, which would only repeat the names."""
    fields = {
        name: {key: each for key, each in field.items() if key != "title"}
        for name, field in schema["properties"].items()
    }
    return {key: each for key, each in schema.items() if key != "title"} | {"properties": fields}
