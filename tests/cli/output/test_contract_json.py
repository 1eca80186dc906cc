"""Messages as JSON: every field is there, numbers are numbers, and protobuf reads it back."""

import pytest
from google.protobuf import json_format

from redemption.cli.output.contract_json import as_dict
from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.campaign_service_pb2 import CampaignStats, GetCampaignStatsResponse
from redemption.v1.decision_pb2 import Decision


def test_counts_are_numbers_and_those_of_nothing_are_there():
    stats = as_dict(GetCampaignStatsResponse(stats={"issued": 2**53 - 1, "offers": [{"redeemed": 7}]}))["stats"]
    assert stats["issued"] == 2**53 - 1
    assert (stats["redeemed"], stats["refusals"]) == (0, [])
    assert list(stats)[:3] == ["issued", "claimed", "redeemed"], "in the contract's order"
    assert stats["offers"] == [{"offer_index": 0, "issued": 0, "redeemed": 7, "discount_minor": 0}]


def test_what_is_not_set_is_left_out():
    """An unlimited campaign has no budget left, and not one of 0."""
    assert "budget_left_minor" not in as_dict(CampaignStats())
    assert as_dict(CampaignStats(budget_left_minor=0))["budget_left_minor"] == 0


def test_instants_are_text_and_enums_have_their_names():
    found = as_dict(Decision(decide_time={"seconds": 1_794_400_200}, outcome="OUTCOME_REVOKED"))
    assert found["decide_time"] == "2026-11-11T12:30:00Z"
    assert (found["outcome"], found["disposition"]) == ("OUTCOME_REVOKED", "DISPOSITION_UNSPECIFIED")


@pytest.mark.parametrize(
    "message",
    [
        Campaign(
            name="满200减50", number=3, limits={"budget_minor": 500}, offers=[{"percent_off": {"basis_points": 5}}]
        ),
        Decision(verdicts=[{"allocations": [{"line_id": "1", "amount_minor": -5}]}], settlement=b"\x00\xff"),
    ],
    ids=["campaign", "decision"],
)
def test_protobuf_reads_it_back(message):
    assert json_format.ParseDict(as_dict(message), type(message)()) == message
