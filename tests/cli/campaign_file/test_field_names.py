"""The file and the contract: every field of a campaign can be written, and found again on its line."""
# ruff: noqa: E501 - each case is one line of the table.

import re
from pathlib import Path

import pytest
from cli.campaign_file.contract_fields import all_leaves, set_leaves

from redemption.cli.campaign_file.field_names import NOT_IN_A_FILE, file_path, number_text, unknown
from redemption.cli.campaign_file.reading import read_campaign
from redemption.cli.input.source_file import Group, Items, dotted
from redemption.v1 import campaign_pb2 as v1

EVERY_FIELD = Path(__file__).parent / "every_field.yaml"
FROM_CLAIM = re.compile(r"  from_claim:\n(    .*\n)+")
ABSOLUTE = """\
  absolute:
    not_before: 2026-10-31 20:00 # validity.absolute.not_before
    expire_time: 2027-11-12 00:00 # validity.absolute.expire_time
"""


@pytest.fixture(params=["from the claim", "absolute"])
def file(request, tmp_path):
    """All fields; a campaign has one kind of validity, so there are two files."""
    text = EVERY_FIELD.read_text()
    path = tmp_path / "every_field.yaml"
    path.write_text(FROM_CLAIM.sub(ABSOLUTE, text) if request.param == "absolute" else text)
    return path


def marked(file):
    """The contract's paths that the comments name, each with its line."""
    lines = enumerate(file.read_text().splitlines(), start=1)
    return {line.rpartition(" # ")[2]: number for number, line in lines if " # " in line}


def without_indices(path):
    return re.sub(r"\[[0-9]+\]", "", path)


def test_each_value_sets_the_field_of_the_contract_that_its_comment_names(file):
    assert {path for path, _, _ in set_leaves(read_campaign(file).campaign)} == set(marked(file))


def test_a_complaint_about_any_field_of_the_contract_finds_its_line(file):
    source, campaign = read_campaign(file)
    found = {path: source.line_of(file_path(f"campaign.{path}", campaign)) for path in marked(file)}
    assert found == marked(file)


def test_a_complaint_about_a_part_of_the_contract_finds_the_part(file):
    """Not only the nearest thing around it: such a path stands in the file itself."""
    source, campaign = read_campaign(file)
    parts = {part for path in marked(file) for part in re.findall(r"^(.+)\.[^.]+$", path)}
    for part in parts:
        node = source.root
        for step in file_path(part, campaign):
            assert isinstance(node, Group | Items), part
            node = node.fields[step] if isinstance(node, Group) else node.nodes[step]


def test_one_value_of_several_has_its_own_line(file):
    source, campaign = read_campaign(file)
    path = "campaign.offers[4].free_shipping.regions"
    first = source.line_of(file_path(path, campaign))
    assert source.line_of(file_path(f"{path}[1]", campaign)) == first + 2


def test_every_field_of_the_contract_is_in_the_file_or_listed_as_not(tmp_path):
    absolute = tmp_path / "absolute.yaml"
    absolute.write_text(FROM_CLAIM.sub(ABSOLUTE, EVERY_FIELD.read_text()))
    written = {without_indices(path) for path in (*marked(EVERY_FIELD), *marked(absolute))}
    assert written | set(NOT_IN_A_FILE) == set(all_leaves(v1.Campaign.DESCRIPTOR))
    assert not written & set(NOT_IN_A_FILE)


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        ("campaign.offers[0].percent_off.cap_minor", "offers[0].percent_off.cap"),
        ("campaign.offers[0].percent_off.basis_points", "offers[0].percent_off.percent"),
        ("campaign.offers[0].tiers.tiers[0].threshold", "offers[0].tiers[0].spend"),
        ("campaign.offers[1].tiers.tiers[0].threshold", "offers[1].tiers[0].units"),
        ("campaign.offers[9].tiers.tiers[0].threshold", "offers[9].tiers[0].spend"),
        ("campaign.offers[1].tiers.tiers", "offers[1].tiers"),
        ("campaign.offers[0].conditions.tiers[0]", "offers[0].conditions.tiers[0]"),
        ("campaign.offers[0].conditions.windows[2].end_minute", "offers[0].conditions.windows[2].to"),
        ("campaign.limits.slots.slots[0].start_minute", "limits.slots[0].from"),
        ("campaign.limits.slots", "limits.slots"),
        ("campaign.limits.budget_per_day_minor", "limits.budget_per_day"),
        ("campaign.return_window", "return_window"),
        ("campaign.sizing.expected_redemption_rate_basis_points", "sizing.expected_redemption_rate"),
        ("campaign.name", "name"),
    ],
)
def test_the_contracts_paths_become_the_files(contract, expected):
    assert dotted(file_path(contract, read_campaign(EVERY_FIELD).campaign)) == expected


@pytest.mark.parametrize(
    ("path", "number", "expected"),
    [
        ("campaign.offers[0].percent_off.basis_points", 1, "0.01%"),
        ("campaign.offers[0].funding.merchant_basis_points", 12_050, "120.5%"),
        ("campaign.sizing.expected_redemption_rate_basis_points", 10_000, "100%"),
        ("campaign.limits.budget_minor", 1_234_567, "¥12,345.67"),
        ("campaign.offers[0].every_full.threshold_minor", 1, "¥0.01"),
        ("campaign.offers[0].tiers.tiers[0].threshold", 300_00, "¥300.00"),
        ("campaign.offers[1].tiers.tiers[0].threshold", 3000, "3,000"),
        ("campaign.offers[0].conditions.windows[0].end_minute", 1440, "24:00"),
        ("campaign.limits.slots.slots[0].start_minute", 1170, "19:30"),
        ("campaign.return_window", 863_913_600, "9999 days"),
        ("campaign.validity.from_claim.wait", 5_400, "90 minutes"),
        ("campaign.validity.from_claim.days", 400, "400"),
        ("campaign.limits.issued", 1_000_000, "1,000,000"),
        ("campaign.offers[0].conditions.windows[0].weekdays[1]", 7, "7"),
    ],
)
def test_a_number_is_written_in_the_unit_of_its_field(path, number, expected):
    assert number_text(number, path, read_campaign(EVERY_FIELD).campaign) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("ofers",), "is not a known field; did you mean offers?"),
        (("limits", "redemption"), "is not a known field; did you mean redemptions?"),
        (("limits", "carry_over"), "is not a known field; did you mean slots_carry_over?"),
        (("offers", 0, "percent_of"), "is not a known field; did you mean percent_off?"),
        (("offers", 0, "tiers", 1, "amount_of"), "is not a known field; did you mean amount_off?"),
        (("offers", 0, "conditions", "window"), "is not a known field; did you mean windows?"),
        (("offers", 0, "conditions", "include", "catgories"), "is not a known field; did you mean categories?"),
        (("offers", 0, "conditions", "windows", 0, "until"), "is not a known field; there are from, to, weekdays"),
        (("offers", 0, "buy_get", "discounted", "sku"), "is not a known field; did you mean skus?"),
        (("stacking", "exclusivity_group"), "is not a known field; did you mean exclusivity_groups?"),
        (("validity", "from_claim", "day"), "is not a known field; did you mean days?"),
        (("limits", "slots", 0, "start_minute"), "is called from in a file, and written as people write it"),
        (("limits", "budget_minor"), "is called budget in a file, and written as people write it"),
        (("offers", 0, "tiers", 0, "threshold"), "is called spend or units in a file, and written as people write it"),
        (("offers", 0, "funding", "merchant_basis_points"), "is called merchant in a file, and written as people write it"),
        (("offers", 0, "buy_get", "buy_units"), "is called buy in a file, and written as people write it"),
        (("program",), "is not the file's matter; name the program on the command line, with --program"),
        (("etag",), "is told by the server, and does not stand in a file"),
    ],
)  # fmt: skip
def test_a_name_that_is_not_known_is_answered_with_the_right_one(path, expected):
    assert unknown(path) == expected
