"""Orders from files: YAML or JSON with the contract's names, and complaints that name the line."""

import json

import pytest
from google.protobuf import json_format

from redemption.cli.exits import BadFile
from redemption.cli.input.order_file import read_checkout

ORDER = {
    "program": "shop",
    "order": {
        "orderId": "ord-1",
        "currency_code": "CNY",
        "lines": [{"line_id": "1", "quantity": "2", "amount_minor": "20000", "categories": ["tea", "green"]}],
    },
    "customer": {"customer_id": "alice 😀", "is_new": True},
    "risk": {"device_id": "d-1"},
}


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_is_read_with_either_spelling_of_its_names(tmp_path, indent):
    file = tmp_path / "order.json"
    file.write_text(json.dumps(ORDER, indent=indent))
    read = json_format.MessageToDict(read_checkout(file), preserving_proto_field_name=True)
    expected = json.loads(json.dumps(ORDER).replace("orderId", "order_id"))
    assert read == expected


def test_yaml_texts_stay_texts(tmp_path):
    """Ids such as 0012, no and 2026-06-18 are what they are, not numbers, booleans or dates."""
    file = tmp_path / "order.yaml"
    file.write_text("order:\n  order_id: 0012\n  channel: no\n  store_id: 2026-06-18\n")
    order = read_checkout(file).order
    assert (order.order_id, order.channel, order.store_id) == ("0012", "no", "2026-06-18")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("order:\n  ordr_id: 1\n", "2: order.ordr_id: is not a known field; did you mean order_id?"),
        (
            "order:\n  lines:\n    - amount_minor: 1.5\n",
            "3: order.lines[0].amount_minor: must be a whole number; it is '1.5'",
        ),
        ("order:\n  lines: {line_id: 1}\n", "2: order.lines: must be a list"),
        ("order: 7\n", "1: order: must be a group of fields"),
        ("order:\n  order_id: [1]\n", "2: order.order_id: must be a single value"),
        ("customer:\n  is_new: yes\n", "2: customer.is_new: must be true or false; it is 'yes'"),
        ("tokens: [A]\n", "1: tokens: are given on the command line, not in the file"),
        ("order:\n  order_id: 1\n  orderId: 1\n", "3: order.orderId: is given twice, in both of its spellings"),
        (f"order:\n  group_size: {2**63}\n", f"2: order.group_size: must be a whole number; it is '{2**63}'"),
    ],
)
def test_a_problem_is_told_with_its_line(tmp_path, text, problem):
    file = tmp_path / "order.yaml"
    file.write_text(text)
    with pytest.raises(BadFile) as caught:
        read_checkout(file)
    assert caught.value.told == (f"{file}:{problem}",)
