"""``campaigns``: applying files, and what a person sees of a campaign."""

import json
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from cli.campaign_file.contract_fields import echo
from fake_server import failing
from waiting import SECONDS_MAX

from redemption.cli.campaign_file.file import read_campaign
from redemption.v1 import campaign_pb2 as v1
from redemption.v1 import outcome_pb2
from redemption.v1.campaign_service_pb2 import (
    CreateCampaignResponse,
    GetCampaignResponse,
    GetCampaignStatsResponse,
    ListCampaignsResponse,
    PauseCampaignResponse,
    UpdateCampaignResponse,
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_text((Path(__file__).parent / "campaign_file" / "campaign.yaml").read_text())
    return path


@pytest.fixture
def existing(file):
    """The campaign of the file as a server returns it, with what it fills in."""
    campaign = read_campaign(file).campaign
    campaign.program, campaign.number, campaign.etag, campaign.state = "demo", 3, "v7", v1.CAMPAIGN_STATE_ACTIVE
    echo(campaign)
    return campaign


def created(request, _context):
    response = CreateCampaignResponse(campaign=request.campaign)
    response.campaign.number = 4
    return response


def updated(request, _context):
    return UpdateCampaignResponse(campaign=request.campaign)


def test_a_new_campaign_is_created(ask, fake, file):
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(), "CreateCampaign": created}
    ended = ask("campaigns", "apply", file, "--program", "shop")
    assert (ended.code, ended.out, ended.err) == (0, "created    4 618 满200减50\n", "")
    (request,) = fake.asked["CreateCampaign"]
    assert request.request_id
    assert not request.validate_only
    assert request.campaign.program == "shop"


def test_a_campaign_that_is_the_same_is_left_alone(ask, fake, file, existing):
    fake.answers["ListCampaigns"] = ListCampaignsResponse(campaigns=[existing])
    ended = ask("campaigns", "apply", file)
    assert (ended.code, ended.out) == (0, "unchanged  3 618 满200减50\n")
    assert set(fake.asked) == {"ListCampaigns"}


def test_what_changes_is_named_and_sent_with_the_etag(ask, fake, file, existing):
    existing.limits.budget_minor = 1_00
    existing.limits.redemptions_per_day = 5
    existing.stacking.priority = 0
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(campaigns=[existing]), "UpdateCampaign": updated}
    ended = ask("campaigns", "apply", file)
    assert ended.out == (
        "updated    3 618 满200减50\n"
        "  limits.budget: ¥1.00 → ¥500,000.00\n"
        "  stacking.priority: 0 → -5\n"
        "  limits.redemptions_per_day: 5 → not set\n"
    )
    (request,) = fake.asked["UpdateCampaign"]
    assert (request.campaign.number, request.campaign.etag, request.campaign.program) == (3, "v7", "demo")
    assert not request.validate_only


@pytest.mark.parametrize("found", [True, False])
def test_a_dry_run_changes_nothing(ask, fake, file, existing, found):
    existing.limits.budget_minor = 1_00
    fake.answers |= {
        "ListCampaigns": ListCampaignsResponse(campaigns=[existing] if found else []),
        "CreateCampaign": lambda request, _context: CreateCampaignResponse(campaign=request.campaign),
        "UpdateCampaign": updated,
    }
    ended = ask("campaigns", "apply", file, "--dry-run")
    assert ended.code == 0
    assert ended.out.startswith("would be updated 3 618" if found else "would be created 618")
    method = "UpdateCampaign" if found else "CreateCampaign"
    assert set(fake.asked) == {"ListCampaigns", method}
    assert [request.validate_only for request in fake.asked[method]] == [True]


def test_a_dry_run_tells_what_a_new_campaign_would_give(ask, fake, file):
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(), "CreateCampaign": CreateCampaignResponse()}
    ended = ask("campaigns", "apply", file, "--dry-run")
    assert ended.out == (
        "would be created 618 满200减50\n"
        "  gives    满200减50: ¥50.00 off from ¥200.00 on\n"
        "  gives    12.5% off, at most ¥100.00\n"
        "             for ¥0.29 or more\n"
        "  when     2026-06-01 00:00 to 2026-06-20 23:00, Asia/Shanghai\n"
        "  issued   without limit\n"
        "  used     1,000\n"
        "  budget   ¥500,000.00\n"
        "  together stage payment\n"
    )


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_what_the_server_refuses_is_found_in_the_file(ask, fake, file, dry_run):
    fake.answers |= {
        "ListCampaigns": ListCampaignsResponse(),
        "CreateCampaign": failing(
            grpc.StatusCode.INVALID_ARGUMENT,
            "wrong",
            reason="INVALID_REQUEST",
            violations=[
                ("campaign.offers[1].percent_off.cap_minor", "is compulsory"),
                ("campaign.offers[0].tiers.tiers[0].threshold", "must be less"),
                ("campaign.limits.issued", "must be given"),
                ("campaign.sizing.expected_redemption_rate_basis_points", "must be 1 to 10000", "OUT_OF_RANGE"),
            ],
            values=[{}, {}, {}, {"least": 1, "most": 10_000, "given": 15_000}],
        ),
    }
    ended = ask("campaigns", "apply", file, *dry_run)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"{file}:9: offers[0].tiers[0].spend: must be less\n"
        f"{file}:13: offers[1].percent_off.cap: is compulsory\n"
        f"{file}:16: limits.issued: must be given\n"
        f"{file}:23: sizing.expected_redemption_rate: must be 0.01% to 100%; it is 150%\n"
    )


def test_an_update_whose_answer_was_lost_is_recognised(ask, fake, file, existing):
    """The second delivery is refused for its etag, but by then the campaign is what the file says."""
    before = v1.Campaign()
    before.CopyFrom(existing)
    before.limits.budget_minor = 1_00
    pages = iter([[before], [existing]])
    fake.answers |= {
        "ListCampaigns": lambda _request, _context: ListCampaignsResponse(campaigns=next(pages)),
        "UpdateCampaign": failing(grpc.StatusCode.ABORTED, "etag", reason="ETAG_MISMATCH"),
    }
    ended = ask("campaigns", "apply", file)
    assert (ended.code, ended.out.splitlines()[0]) == (0, "updated    3 618 满200减50")


def test_somebody_elses_change_is_not_overwritten(ask, fake, file, existing):
    existing.limits.budget_minor = 1_00
    fake.answers |= {
        "ListCampaigns": ListCampaignsResponse(campaigns=[existing]),
        "UpdateCampaign": failing(grpc.StatusCode.ABORTED, "etag", reason="ETAG_MISMATCH"),
    }
    ended = ask("campaigns", "apply", file)
    expected = "campaign 618 满200减50 was changed by somebody else just now; look at it, then apply again"
    assert (ended.code, ended.err) == (2, f"redemption: {expected}\n")


def test_all_files_are_read_before_the_first_is_applied(ask, fake, file, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: x\n")
    ended = ask("campaigns", "apply", file, wrong)
    assert (ended.code, dict(fake.asked)) == (2, {})


def test_two_files_of_one_campaign_are_refused_before_anything_is_applied(ask, fake, file, tmp_path):
    """The second would undo the first. Both are named with the lines of their names."""
    other, third = tmp_path / "other.yaml", tmp_path / "third.yaml"
    other.write_text("# the same again\n" + file.read_text())
    third.write_text(file.read_text().replace("name: 618 满200减50", "name: 618 满200减51", 1))
    ended = ask("campaigns", "apply", third, file, other)
    line = 1 + file.read_text().splitlines().index("name: 618 满200减50")
    said = f"name: is that of {file}:{line} as well; a campaign is known by its name: give one file"
    assert (ended.code, ended.err, dict(fake.asked)) == (2, f"{other}:{line + 1}: {said}\n", {})


@pytest.fixture
def several(file, existing, fake):
    """Files of which the first would be updated, the second is unchanged, and the others are new."""
    text = file.read_text()
    files = [file, *(file.with_name(f"{name}.yaml") for name in "abcd")]
    for other in files[1:]:
        other.write_text(text.replace("name: 618 满200减50", f"name: {other.stem}", 1))
    same = v1.Campaign()
    same.CopyFrom(existing)
    same.name = "a"
    existing.limits.budget_minor = 1_00
    fake.answers |= {
        "ListCampaigns": ListCampaignsResponse(campaigns=[existing, same]),
        "CreateCampaign": created,
        "UpdateCampaign": updated,
    }
    return files


def until(name, answer):
    """Create campaigns until one of this name comes."""
    return lambda request, context: (answer if request.campaign.name == name else created)(request, context)


REFUSED = failing(
    grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST", violations=[("campaign.limits.issued", "must be less")]
)
EXISTS = failing(grpc.StatusCode.ALREADY_EXISTS, "campaign 9 has the name 'c' already", reason="ALREADY_EXISTS")
GONE = failing(grpc.StatusCode.UNAVAILABLE, "stopping", reason="SERVER_STOPPING")


@pytest.mark.parametrize(
    ("flags", "answer", "code", "last"),
    [
        ((), created, 0, "3 created, 1 updated, 1 unchanged"),
        (("--dry-run",), created, 0, "3 would be created, 1 would be updated, 1 unchanged"),
        ((), REFUSED, 2, "1 created, 1 updated, 1 unchanged, 1 refused, 1 not tried"),
        (("--dry-run",), REFUSED, 2, "1 would be created, 1 would be updated, 1 unchanged, 1 refused, 1 not tried"),
        ((), EXISTS, 2, "1 created, 1 updated, 1 unchanged, 1 refused, 1 not tried"),
        ((), GONE, 3, "1 created, 1 updated, 1 unchanged, 1 not answered, 1 not tried"),
    ],
)
def test_several_files_are_summed_up_in_the_last_line(ask, fake, several, flags, answer, code, last):
    fake.answers["CreateCampaign"] = until("c", answer)
    ended = ask("campaigns", "apply", *several, *flags)
    assert (ended.code, ended.out.splitlines()[-1]) == (code, last)
    assert (ended.err == "") is (code == 0)


def test_the_last_line_comes_after_the_refusal(fake, several):
    """Where both go to the same terminal."""
    fake.answers["CreateCampaign"] = until("c", REFUSED)
    command = [sys.executable, "-m", "redemption", "campaigns", "apply", *several, "--server", fake.address]
    ended = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX
    )
    *_, refusal, last = ended.stdout.splitlines()
    assert "limits.issued: must be less" in refusal
    assert last == "1 created, 1 updated, 1 unchanged, 1 refused, 1 not tried"


def test_where_no_file_was_tried_nothing_is_summed_up(ask, fake, several):
    fake.answers["ListCampaigns"] = failing(grpc.StatusCode.PERMISSION_DENIED, "no", reason="DENIED")
    ended = ask("campaigns", "apply", *several)
    assert (ended.code, ended.out, ended.err) == (2, "", "redemption: PERMISSION_DENIED: no\n")


@pytest.mark.parametrize(("answer", "code", "done"), [(created, 0, 5), (REFUSED, 2, 3)])
def test_json_is_not_summed_up(ask, fake, several, answer, code, done):
    fake.answers["CreateCampaign"] = until("c", answer)
    ended = ask("campaigns", "apply", *several, "--json")
    assert (ended.code, len(json.loads(ended.out))) == (code, done)


def test_json_names_the_changes(ask, fake, file, existing):
    existing.limits.budget_minor = 1_00
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(campaigns=[existing]), "UpdateCampaign": updated}
    ended = ask("campaigns", "apply", file, "--json")
    assert json.loads(ended.out) == [
        {
            "file": str(file),
            "name": "618 满200减50",
            "number": 3,
            "action": "updated",
            "changes": [{"field": "limits.budget", "before": "¥1.00", "after": "¥500,000.00"}],
        }
    ]


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
    pages = {
        "": ListCampaignsResponse(campaigns=[existing], next_page_token="next"),
        "next": ListCampaignsResponse(campaigns=[other]),
    }
    fake.answers["ListCampaigns"] = lambda request, _context: pages[request.page_token]
    ended = ask("campaigns", "list")
    assert ended.out == (
        "number   name            state    local start        local end\n"
        "     3   618 满200减50   over     2026-06-01 00:00   2026-06-20 23:00\n"
        "    12   sale�[2J        paused   2026-06-01 00:00   2026-06-20 23:00\n"
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
    fake.answers |= {
        "ListCampaigns": ListCampaignsResponse(campaigns=[existing]),
        "GetCampaignStats": stats,
    }
    ended = ask("campaigns", "stats", "618 满200减50")
    assert ended.out == (
        "campaign 3 618 满200减50, over\n"
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
    )


def test_pausing_says_what_is_now(ask, fake, existing):
    existing.state = v1.CAMPAIGN_STATE_PAUSED
    fake.answers |= {
        "GetCampaign": GetCampaignResponse(campaign=existing),
        "PauseCampaign": PauseCampaignResponse(campaign=existing),
    }
    assert ask("campaigns", "pause", "3").out == "campaign 3 618 满200减50 is paused\n"


@pytest.mark.parametrize("name", ["nope", "٣"])
def test_a_name_that_is_not_there_is_said(ask, fake, name):
    fake.answers["ListCampaigns"] = ListCampaignsResponse()
    ended = ask("campaigns", "show", name)
    assert (ended.code, ended.err) == (2, f"redemption: there is no campaign called '{name}' in program 'demo'\n")
