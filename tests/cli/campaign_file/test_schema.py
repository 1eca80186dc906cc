"""The JSON Schema of campaign files: the committed one is up to date, and accepts exactly what is right."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from redemption.cli.campaign_file.reading import read_campaign
from redemption.cli.campaign_file.schema import campaign_schema
from redemption.cli.exits import BadFile

PROGRAMS = Path(__file__).parents[3] / "examples" / "programs"
COMMITTED = PROGRAMS / "campaign.schema.json"
EXAMPLES = sorted(PROGRAMS.glob("*/*.yaml"))
GOOD = (Path(__file__).parent / "every_field.yaml").read_text()
FIRST_LINE = "# yaml-language-server: $schema=../campaign.schema.json"


class EditorsLoader(yaml.SafeLoader):
    """Reads YAML as editors do, by the core schema of YAML 1.2: 20:00, dates and ``no`` are texts there."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - as the base class has it


for tag, pattern, first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+0123456789.")),
):  # fmt: skip
    EditorsLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), first)


def complaints(text):
    """What an editor would underline in a file."""
    # The loader can only make plain values.
    document = yaml.load(text, EditorsLoader)
    return [error.message for error in jsonschema.Draft7Validator(campaign_schema()).iter_errors(document)]


def test_the_committed_schema_is_what_the_command_prints(command):
    ended = command("campaigns", "schema")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == COMMITTED.read_text(), (
        "run: redemption campaigns schema > examples/programs/campaign.schema.json"
    )


def test_the_help_says_how_an_editor_finds_the_schema(command):
    ended = command("campaigns", "schema", "--help")
    assert ended.code == 0
    assert "redemption campaigns schema > campaign.schema.json" in ended.out
    assert "# yaml-language-server: $schema=campaign.schema.json" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80


def test_the_schema_is_one():
    jsonschema.Draft7Validator.check_schema(campaign_schema())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_names_the_schema_and_follows_it(file):
    text = file.read_text()
    assert text.splitlines()[0] == FIRST_LINE
    assert (file.parent / FIRST_LINE.partition("=")[2]).resolve() == COMMITTED
    assert complaints(text) == []


def test_every_field_follows_the_schema():
    assert complaints(GOOD) == []


def test_editors_have_something_to_say_of_every_field():
    schema = campaign_schema()
    fields = {
        f"{part}.{name}": field
        for part, described in {"Campaign": schema, **schema["definitions"]}.items()
        for name, field in described["properties"].items()
    }
    assert len(fields) > 80
    shared = {f"#/definitions/{name}": each for name, each in schema["definitions"].items()}
    # A group of fields is described where it is used, or where it is defined.
    silent = [
        name for name, field in fields.items() if not (shared.get(field.get("$ref"), {}) | field).get("description")
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("spend: 300.00", 'spend: "300.00"'),
        ("spend: 300.00", "spend: 300"),
        ("min_quantity: 2", 'min_quantity: "2"'),
        ("new_customer_only: true", 'new_customer_only: "true"'),
        ('from: "20:00"', "from: 20:00"),
        ('to: "24:00"', "to: 24:00"),
        ("percent: 20%", 'percent: "20 %"'),
        ("name: 每个字段", "name: 618"),
        ("start_time: 2026-10-20 20:00", 'start_time: "2026-10-20T20:00:00.5+08:00"'),
        ("wait: 12 hours", "wait: 12h"),
    ],
)
def test_each_way_to_write_a_value_is_right_for_the_reader_and_for_editors(tmp_path, before, after):
    assert before in GOOD
    text = GOOD.replace(before, after, 1)
    file = tmp_path / "campaign.yaml"
    file.write_text(text)
    assert read_campaign(file).campaign.offers
    assert complaints(text) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("currency_code: CNY", "# nothing"),
        ("currency_code: CNY", "currency_code:"),
        ("offers:\n", "ofers:\n"),
        ("return_policy: on_full_return", "return_policy: always"),
        ("spend: 300.00", "spend: -1"),
        ("spend: 300.00", "spend: ¥300"),
        ("spend: 300.00", "threshold: 300.00"),
        ("spend: 300.00", "spend: 300.00\n        units: 2"),
        ("        amount_off: 30.00", "        # nothing"),
        ("        price: 99.00", "        price: 99.00\n        amount_off: 1.00"),
        ("percent: 20%", "percent: 20"),
        ("percent: 20%", "percent: 8折"),
        ("min_quantity: 2", "min_quantity: 2.5"),
        ("new_customer_only: true", "new_customer_only: 1"),
        ("channels: [app]", "channels: app"),
        ("channels: [app]", "channels: []"),
        ("channels: [app]", "channels:"),
        ("weekdays: [friday, sunday]", "weekdays: [fri]"),
        ('from: "20:00"', "from: 8pm"),
        ('to: "24:00"', "to: 25:00"),
        ("cash_voucher:", "tiers: [{spend: 1, amount_off: 1}]\n    cash_voucher:"),
        ("  - cash_voucher:\n      face: 50.00", "  - name: nothing"),
        ("start_time: 2026-10-20 20:00", "start_time: 2026-10-20"),
        ("wait: 12 hours", "wait: 12"),
        ("stage: merchant", "stage: shop"),
        ("  from_claim:", "  absolute: {not_before: 2026-10-20 20:00, expire_time: 2026-10-21 20:00}\n  from_claim:"),
        ("required_risk_signals: [device, network, payment, person]", "required_risk_signals: [phone]"),
        ("merchant: 33.33%", "merchant: 33.333%"),
    ],
)
def test_each_mistake_of_shape_is_wrong_for_the_reader_and_for_editors(tmp_path, before, after):
    assert before in GOOD
    text = GOOD.replace(before, after, 1)
    file = tmp_path / "campaign.yaml"
    file.write_text(text)
    with pytest.raises(BadFile):
        read_campaign(file)
    assert complaints(text) != []
