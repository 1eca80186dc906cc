"""The JSON Schema of program files: the committed one is up to date, and accepts exactly what is right."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from redemption.cli.program_file.schema import program_schema

PROGRAMS = Path(__file__).parents[3] / "examples" / "programs"
COMMITTED = PROGRAMS / "program.schema.json"
EXAMPLES = sorted(PROGRAMS.glob("*.yaml"))
GOOD = (Path(__file__).parent / "every_field.yaml").read_text()
FIRST_LINE = "# yaml-language-server: $schema=program.schema.json"


def complaints(text):
    """What an editor would underline in a file."""
    return [error.message for error in jsonschema.Draft7Validator(program_schema()).iter_errors(yaml.safe_load(text))]


def test_the_committed_schema_is_what_the_command_prints(command):
    ended = command("program", "schema")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == COMMITTED.read_text(), "run: redemption program schema > examples/programs/program.schema.json"


def test_the_schema_is_one():
    jsonschema.Draft7Validator.check_schema(program_schema())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_names_the_schema_and_follows_it(file):
    assert file.read_text().splitlines()[0] == FIRST_LINE
    assert complaints(file.read_text()) == []


def test_every_field_follows_the_schema():
    assert complaints(GOOD) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("limit: 5 per 90s", "limit: 5"),
        ("subject: device", "subject: coupon"),
        ("window: 36 hours", "window: 36 weeks"),
        ("operations: [claim]", "operations: []"),
        ("outcome: TOKEN_EXPIRED", "outcome: APPROVED"),
        ("budget_spent: 80%", "budget_spent: 80"),
        ("    mode: shadow # velocity.mode", "    mood: shadow"),
        ("program: shop", "shop: program"),
    ],
)
def test_a_mistake_is_underlined(before, after):
    assert before in GOOD
    assert complaints(GOOD.replace(before, after, 1))


def test_editors_have_something_to_say_of_every_field():
    schema = program_schema()
    shared = {f"#/definitions/{name}": each for name, each in schema["definitions"].items()}
    silent = [
        f"{part}.{name}"
        for part, described in {"Program": schema, **schema["definitions"]}.items()
        for name, field in described["properties"].items()
        if not (shared.get(field.get("$ref"), {}) | field).get("description")
    ]
    assert silent == []
