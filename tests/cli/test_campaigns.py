"""``campaigns``: what a person sees of them, and what can be done with one."""

import json

import grpc
import pytest
from fake_server import failing

from redemption.v1 import campaign_pb2 as v1
from redemption.v1 import outcome_pb2
from redemption.v1.campaign_service_pb2 import (
    GetCampaignResponse,
    GetCampaignStatsResponse,
    ListCampaignsResponse,
    PauseCampaignResponse,
    UpdateCampaignResponse,
)


def test_a_row_stays_on_one_line_where_no_terminal_is(ask, fake, existing):
    """So that ``grep`` and ``awk`` see it whole."""
    existing.name = "a name as long as the contract allows " * 3
    fake.answers["ListCampaigns"] = ListCampaignsResponse(campaigns=[existing])
    heading, row = ask("campaigns", "list").out.splitlines()
    assert heading.startswith("number")
    assert row.endswith("2026-06-20 23:00")


def test_a_list_fits_into_80_columns_and_its_pages_are_turned(ask, fake, existing):
    other = v1.Campaign()
    other.CopyFrom(existing)
    other.number, other.name, other.state = 12, "sale\x1b[2J", v1.CAMPAIGN_STATE_PAUSED
    over = v1.Campaign()
    over.CopyFrom(existing)
    over.number = 13
    over.end_time.seconds -= 19 * 86_400
    pages = {
        "": ListCampaignsResponse(campaigns=[existing], next_page_token="next"),
        "next": ListCampaignsResponse(campaigns=[other, over]),
    }
    fake.answers["ListCampaigns"] = lambda request, _context: pages[request.page_token]
    ended = ask("campaigns", "list")
    assert ended.out == (
        "number   name            state    local start        local end\n"
        "     3   618 满200减50   active   2026-06-01 00:00   2026-06-20 23:00\n"
        "    12   sale�[2J        paused   2026-06-01 00:00   2026-06-20 23:00\n"
        "    13   618 满200减50   over     2026-06-01 00:00   2026-06-01 23:00\n"
    )


def test_a_program_without_campaigns_says_how_to_make_one(ask, fake):
    fake.answers["ListCampaigns"] = ListCampaignsResponse()
    ended = ask("campaigns", "list")
    assert ended.out == "program demo has no campaigns; make one: redemption campaigns apply FILE.yaml\n"


def test_a_campaign_is_shown_in_the_words_of_a_file(ask, fake, existing):
    fake.answers["GetCampaign"] = GetCampaignResponse(campaign=existing)
    ended = ask("campaigns", "show", "3")
    lines = ended.out.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["number", "state", "name", "currency_code", "time_zone"]
    assert "offers[0].tiers[0].spend          ¥200.00" in lines
    assert "offers[1].percent_off.percent     12.5%" in lines
    assert "end_time                          2026-06-20 23:00 +08:00 and 500 ms" in lines


def test_numbers_are_shown_beside_their_limits(ask, fake, existing):
    stats = GetCampaignStatsResponse()
    stats.stats.issued, stats.stats.redeemed, stats.stats.discount_minor = 2000, 999, 4_995_000
    stats.stats.claimed, stats.stats.merchant_minor = 1500, 1_000_050
    stats.stats.budget_left_minor, stats.stats.order_value_minor = 45_005_000, 23_776_200
    stats.stats.offers.add(offer_index=0, issued=1500, redeemed=990, discount_minor=4_950_000)
    stats.stats.offers.add(offer_index=1, issued=500, redeemed=9, discount_minor=45_000)
    stats.stats.refusals.add(outcome=outcome_pb2.OUTCOME_TOKEN_EXPIRED, count=7)
    stats.stats.refusals.add(outcome=outcome_pb2.OUTCOME_ALREADY_REDEEMED, count=1234)
    warning = stats.stats.warnings.add(reason="BUDGET_SPENT", description="92 % of the budget is spent")
    warning.raise_time.FromSeconds(1_800_000_000)
    fake.answers |= {
        "ListCampaigns": ListCampaignsResponse(campaigns=[existing]),
        "GetCampaignStats": stats,
    }
    ended = ask("campaigns", "stats", "618 满200减50")
    assert ended.out == (
        "campaign 3 618 满200减50, active\n"
        "issued               2,000\n"
        "claimed              1,500\n"
        "redeemed               999   of 1,000\n"
        "today                    0\n"
        "discount        ¥49,950.00\n"
        "by merchants    ¥10,000.50\n"
        "order value    ¥237,762.00\n"
        "budget left    ¥450,050.00   of ¥500,000.00\n"
        "\n"
        "offer         issued   redeemed     discount\n"
        "0 满200减50    1,500        990   ¥49,500.00\n"
        "1                500          9      ¥450.00\n"
        "\n"
        "refused because    times\n"
        "ALREADY_REDEEMED   1,234\n"
        "TOKEN_EXPIRED          7\n"
        "\n"
        "warning BUDGET_SPENT since 2027-01-15 16:00 +08:00: 92 % of the budget is spent\n"
    )


def test_an_overdrawn_budget_is_shown_as_one(ask, fake, existing):
    stats = GetCampaignStatsResponse()
    stats.stats.budget_left_minor = -30_00
    fake.answers |= {"GetCampaign": GetCampaignResponse(campaign=existing), "GetCampaignStats": stats}
    line = next(line for line in ask("campaigns", "stats", "3").out.splitlines() if line.startswith("budget"))
    assert line.split(maxsplit=2) == [
        "budget",
        "left",
        "\N{MINUS SIGN}¥30.00   of ¥500,000.00, lowered below what is spent",
    ]


def test_what_is_only_held_is_shown_when_there_is_any(ask, fake, existing):
    stats = GetCampaignStatsResponse()
    stats.stats.redeemed, stats.stats.reserved = 7, 1_234
    fake.answers |= {"GetCampaign": GetCampaignResponse(campaign=existing), "GetCampaignStats": stats}
    lines = ask("campaigns", "stats", "3").out.splitlines()
    assert [line.split(maxsplit=2) for line in lines if line.startswith("reserved")] == [
        ["reserved", "1,234", "held by orders that are not paid"]
    ]


def updated(request, _context):
    return UpdateCampaignResponse(campaign=request.campaign)


@pytest.mark.parametrize(
    ("typed", "expected", "paused"),
    [
        (
            "pause 3 --merchant quay --sku soap --sku mask",
            "; article soap, mask; offer 1",
            (["mill", "quay"], ["soap", "mask"], [1]),
        ),
        ("pause 3 --offer 0 --offer 0", "; offer 1, 0", (["mill"], [], [1, 0])),
        ("resume 3 --merchant mill --offer 7", "offer 1", ([], [], [1])),
        ("resume 3 --merchant mill --offer 1", "", ([], [], [])),
    ],
)
def test_parts_of_a_campaign_are_paused_and_resumed(ask, fake, existing, typed, expected, paused):
    existing.end_time.seconds = 4_000_000_000
    existing.paused_merchant_ids.append("mill")
    existing.paused_offers.append(1)
    fake.answers |= {"GetCampaign": GetCampaignResponse(campaign=existing), "UpdateCampaign": updated}
    ended = ask("campaigns", *typed.split())
    assert (ended.code, ended.err) == (0, "")
    merchants = f"merchant {', '.join(paused[0])}" if paused[0] else ""
    but = f", but paused in it: {merchants}{expected}" if any(paused) else ""
    assert ended.out == f"campaign 3 618 满200减50 is active{but}\n"
    (request,) = fake.asked["UpdateCampaign"]
    campaign = request.campaign
    assert (campaign.paused_merchant_ids, campaign.paused_skus, campaign.paused_offers) == paused
    for name in ("paused_merchant_ids", "paused_skus", "paused_offers"):
        campaign.ClearField(name)
        existing.ClearField(name)
    assert campaign == existing  # with its etag


COMMA = "has a comma: give the option once for each; an id with a comma can be paused in the campaign file"


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize(
    ("option", "typed", "problem"),
    [
        ("--merchant", "m-77,m-78", f'"m-77,m-78": {COMMA}'),
        ("--sku", "soap, mask", f'"soap, mask": {COMMA}'),
        ("--merchant", " m-77", "\" m-77\": has a blank at an end; write 'm-77'"),
        ("--sku", "soap ", "\"soap \": has a blank at an end; write 'soap'"),
    ],
)
def test_several_ids_in_one_value_are_refused_and_nothing_is_changed(ask, fake, existing, verb, option, typed, problem):
    """No order has such an id: the merchant would go on selling, or stay paused, and the answer would look right."""
    existing.paused_merchant_ids.append("m-77")
    fake.answers["GetCampaign"] = GetCampaignResponse(campaign=existing)
    ended = ask("campaigns", verb, "3", "--merchant", "m-77", option, typed)
    assert (ended.code, ended.out, ended.err) == (2, "", f"redemption: {option} {problem}\n")
    assert set(fake.asked) == {"GetCampaign"}


def test_an_id_with_a_comma_that_a_file_paused_is_shown_as_one_and_resumed(ask, fake, existing):
    """So are ids with blanks, which earlier versions accepted."""
    existing.end_time.seconds = 4_000_000_000
    existing.paused_merchant_ids.extend(["m-77,m-78", "m-79", " m-80"])
    fake.answers |= {"GetCampaign": GetCampaignResponse(campaign=existing), "UpdateCampaign": updated}
    ended = ask("campaigns", "resume", "3", "--merchant", "m-79")
    assert ended.out.endswith('is active, but paused in it: merchant "m-77,m-78", " m-80"\n')
    ended = ask("campaigns", "resume", "3", "--merchant", "m-77,m-78", "--merchant", " m-80")
    assert ended.out.endswith("is active, but paused in it: merchant m-79\n")


def test_what_the_server_refuses_of_paused_parts_is_told_as_it_was_typed(ask, fake, existing):
    """The index is that of a list which the user does not see."""
    existing.paused_offers.append(1)
    fields = ("paused_offers[1]", "paused_merchant_ids[0]", "paused_skus", "etag")
    fake.answers |= {
        "GetCampaign": GetCampaignResponse(campaign=existing),
        "UpdateCampaign": failing(
            grpc.StatusCode.INVALID_ARGUMENT,
            "wrong",
            reason="INVALID_REQUEST",
            violations=[(f"campaign.{field}", f"is wrong {number}") for number, field in enumerate(fields)],
        ),
    }
    ended = ask("campaigns", "pause", "3", "--offer", "7", "--merchant", "m-77", "--json")
    told = ["--offer 7: is wrong 0", "--merchant m-77: is wrong 1", "--sku: is wrong 2", "campaign.etag: is wrong 3"]
    assert (ended.code, ended.err) == (2, "".join(f"redemption: {line}\n" for line in told))
    error = json.loads(ended.out)["error"]
    assert (error["code"], error["message"].splitlines()) == ("INVALID_ARGUMENT", told)
    assert error["violations"][0]["field"] == "campaign.paused_offers[1]"


def test_what_is_paused_already_is_not_sent_again(ask, fake, existing):
    existing.paused_skus.append("soap")
    fake.answers["GetCampaign"] = GetCampaignResponse(campaign=existing)
    ended = ask("campaigns", "pause", "3", "--sku", "soap", "--json")
    assert (ended.code, json.loads(ended.out)["paused_skus"]) == (0, ["soap"])
    assert set(fake.asked) == {"GetCampaign"}


def test_a_campaign_that_somebody_else_changes_is_read_again(ask, fake, existing):
    fake.answers["GetCampaign"] = GetCampaignResponse(campaign=existing)
    conflict = failing(grpc.StatusCode.ABORTED, "changed", reason="ETAG_MISMATCH")

    def twice_then_updated(request, context):
        answer = updated if len(fake.asked["UpdateCampaign"]) > 2 else conflict
        return answer(request, context)

    fake.answers["UpdateCampaign"] = twice_then_updated
    assert ask("campaigns", "pause", "3", "--sku", "soap").code == 0
    assert len(fake.asked["GetCampaign"]) == 3
    fake.answers["UpdateCampaign"] = conflict
    ended = ask("campaigns", "pause", "3", "--sku", "soap")
    assert (ended.code, ended.out) == (2, "")
    assert "changed by others all the time" in ended.err


def test_pausing_says_what_is_now(ask, fake, existing):
    existing.state = v1.CAMPAIGN_STATE_PAUSED
    fake.answers |= {
        "GetCampaign": GetCampaignResponse(campaign=existing),
        "PauseCampaign": PauseCampaignResponse(campaign=existing),
    }
    assert ask("campaigns", "pause", "3").out == "campaign 3 618 满200减50 is paused\n"


@pytest.mark.parametrize("name", ["nope", "٣", "4294967296"])
@pytest.mark.parametrize(
    "typed",
    [
        "campaigns show {}",
        "campaigns stats {}",
        "campaigns pause {}",
        "campaigns pause {} --sku soap",
        "campaigns end {}",
        "mint --campaign {} --count 1",
        "claim --campaign {} --customer ann",
        "revoke --campaign {} --serials 1",
    ],
)
def test_a_campaign_that_is_not_there_ends_as_for_a_number(ask, fake, typed, name):
    """A script need not know how the campaign was named to see that there is none."""
    fake.answers |= {
        "ListCampaigns": ListCampaignsResponse(),
        "GetCampaign": failing(
            grpc.StatusCode.NOT_FOUND, f"there is no campaign called '{name}' in program 'demo'", reason="NOT_FOUND"
        ),
    }
    told = f"NOT_FOUND: there is no campaign called '{name}' in program 'demo'"
    by_name, by_number = (ask(*typed.format(each).split(), "--json") for each in (name, "999"))
    assert (by_name.code, by_name.out, by_name.err) == (by_number.code, by_number.out, by_number.err)
    assert (by_name.code, by_name.err) == (1, f"redemption: {told}\n")
    error = json.loads(by_name.out)["error"]
    assert (error["code"], error["reason"], error["message"]) == ("NOT_FOUND", "NOT_FOUND", told)
