"""``campaigns apply``: files become campaigns, each change is named, and nothing is done twice."""

import json
import subprocess
import sys

import grpc
import pytest
from fake_server import failing
from waiting import SECONDS_MAX

from redemption.v1 import campaign_pb2 as v1
from redemption.v1.campaign_service_pb2 import (
    CampaignWarning,
    CreateCampaignResponse,
    ListCampaignsResponse,
    UpdateCampaignResponse,
)


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


@pytest.mark.parametrize(
    ("stored", "days", "state"),
    [
        (v1.CAMPAIGN_STATE_ACTIVE, 0, "active"),
        (v1.CAMPAIGN_STATE_ACTIVE, -30, "scheduled"),
        (v1.CAMPAIGN_STATE_ACTIVE, 30, "over"),
        (v1.CAMPAIGN_STATE_PAUSED, 0, "paused"),
        (v1.CAMPAIGN_STATE_ENDED, 0, "ended"),
        (v1.CAMPAIGN_STATE_ARCHIVED, 30, "archived"),
    ],
)
@pytest.mark.parametrize(("budget_minor", "action"), [(500_000_00, "unchanged"), (1_00, "updated")])
def test_a_campaign_that_does_not_run_is_told_with_its_state(
    ask, fake, file, existing, monkeypatch, stored, days, state, budget_minor, action
):
    """A file of a campaign that has ended is accepted, but nothing can be redeemed."""
    monkeypatch.setattr("redemption.cli.campaigns._now", lambda: existing.start_time.seconds + (1 + days) * 86_400)
    existing.state = stored
    existing.limits.budget_minor = budget_minor
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(campaigns=[existing]), "UpdateCampaign": updated}
    ended = ask("campaigns", "apply", file)
    shown = "" if state == "active" else f", {state}"
    assert (ended.code, ended.out.splitlines()[0]) == (0, f"{action:10} 3 618 满200减50{shown}")
    (applied,) = json.loads(ask("campaigns", "apply", file, "--json").out)
    assert (applied["action"], applied["state"]) == (action, state)


def test_the_state_is_that_after_the_change(ask, fake, file, existing):
    """A campaign that was over runs again when it is extended."""
    existing.end_time.seconds -= 19 * 86_400
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(campaigns=[existing]), "UpdateCampaign": updated}
    assert ask("campaigns", "apply", file).out.splitlines()[0] == "updated    3 618 满200减50"


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
    """What is wrong with any of them is told, and nothing is applied."""
    wrong, broken, twice = (tmp_path / f"{name}.yaml" for name in ("wrong", "broken", "twice"))
    wrong.write_text(file.read_text().replace("  budget: 500000.00", "  budget: much\n  issued: many"))
    broken.write_text("name:\n\t- x\n")
    twice.write_text(file.read_text())
    gone = tmp_path / "gone.yaml"
    ended = ask("campaigns", "apply", file, wrong, gone, broken, twice, "--json")
    assert (ended.code, dict(fake.asked)) == (2, {})
    problems = [line.removeprefix(f"{tmp_path}/").partition(": ") for line in ended.err.splitlines()]
    assert [(place.partition(":")[0], what.partition(":")[0]) for place, _, what in problems] == [
        ("wrong.yaml", "limits.budget"),
        ("wrong.yaml", "limits.issued"),
        ("gone.yaml", "cannot be read"),
        ("broken.yaml", "is indented with a tab; use spaces"),
        ("twice.yaml", "name"),
    ]
    assert json.loads(ended.out)["error"]["message"] == ended.err.strip()


def test_two_files_of_one_campaign_are_refused_before_anything_is_applied(ask, fake, file, tmp_path):
    """The second would undo the first. Both are named with the lines of their names."""
    other, third = tmp_path / "other.yaml", tmp_path / "third.yaml"
    other.write_text("# the same again\n" + file.read_text())
    third.write_text(file.read_text().replace("name: 618 满200减50", "name: 618 满200减51", 1))
    ended = ask("campaigns", "apply", third, file, other)
    line = 1 + file.read_text().splitlines().index("name: 618 满200减50")
    said = f"name: is that of {file}:{line} as well; a campaign is known by its name: give one file"
    assert (ended.code, ended.err, dict(fake.asked)) == (2, f"{other}:{line + 1}: {said}\n", {})


def test_a_new_name_with_the_offers_of_a_live_campaign_is_no_second_campaign_by_accident(ask, fake, file, existing):
    """Somebody edited the name in the file: the campaign has to be renamed, or a second one has to be wanted."""
    existing.name, existing.limits.budget_minor = "618 满200减50 旧", 1_00
    existing.end_time.seconds = 4_000_000_000
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(campaigns=[existing]), "CreateCampaign": created}
    for flags in ((), ("--dry-run",), ("--json",)):
        ended = ask("campaigns", "apply", file, *flags)
        assert (ended.code, dict.keys(fake.asked)) == (2, {"ListCampaigns"})
        assert ended.err == (
            f"{file}:1: name: is new, but campaign 3, '618 满200减50 旧', has the same offers and time; to rename it, "
            "add the line 'number: 3'; to make a second campaign, give --create\n"
        )
    ended = ask("campaigns", "apply", file, "--create")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "created    4 618 满200减50")


@pytest.mark.parametrize(
    "change",
    [
        lambda campaign: campaign.end_time.FromSeconds(1_600_000_000),
        lambda campaign: setattr(campaign, "state", v1.CAMPAIGN_STATE_ENDED),
        lambda campaign: setattr(campaign, "state", v1.CAMPAIGN_STATE_ARCHIVED),
        lambda campaign: setattr(campaign.offers[1].percent_off, "basis_points", 1300),
        lambda campaign: setattr(campaign, "currency_code", "HKD"),
        lambda campaign: campaign.start_time.FromSeconds(1_600_000_000),
    ],
    ids=["over", "ended", "archived", "other offers", "another currency", "another time"],
)
def test_a_campaign_that_is_over_or_gives_something_else_is_no_obstacle(ask, fake, file, existing, change):
    existing.name, existing.end_time.seconds = "last year", 4_000_000_000
    change(existing)
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(campaigns=[existing]), "CreateCampaign": created}
    assert ask("campaigns", "apply", file).out.startswith("created    4 618 满200减50\n")


def test_what_another_file_of_the_command_is_about_is_not_renamed(ask, fake, file, existing, tmp_path):
    """A festival has several campaigns with the same offers; some of them may be there already."""
    existing.end_time.seconds = 4_000_000_000
    other = tmp_path / "other.yaml"
    other.write_text(file.read_text().replace("name: 618 满200减50", "name: another", 1))
    fake.answers |= {
        "ListCampaigns": ListCampaignsResponse(campaigns=[existing]),
        "CreateCampaign": created,
        "UpdateCampaign": updated,
    }
    assert ask("campaigns", "apply", other).code == 2
    assert ask("campaigns", "apply", file, other).code == 0


def numbered(file, number):
    file.write_text(file.read_text() + f"number: {number}\n")


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_a_file_with_the_number_renames_the_campaign(ask, fake, file, existing, dry_run):
    existing.name, existing.limits.budget_minor = "before", 1_00
    numbered(file, 3)
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(campaigns=[existing]), "UpdateCampaign": updated}
    ended = ask("campaigns", "apply", file, *dry_run)
    assert ended.code == 0
    assert ended.out.splitlines()[1:] == ["  name: before → 618 满200减50", "  limits.budget: ¥1.00 → ¥500,000.00"]
    (request,) = fake.asked["UpdateCampaign"]
    assert (request.campaign.number, request.campaign.name, request.campaign.etag) == (3, "618 满200减50", "v7")


def test_a_rename_whose_answer_was_lost_is_recognised(ask, fake, file, existing):
    before = v1.Campaign()
    before.CopyFrom(existing)
    before.name = "before"
    numbered(file, 3)
    pages = iter([[before], [existing]])
    fake.answers |= {
        "ListCampaigns": lambda _request, _context: ListCampaignsResponse(campaigns=next(pages)),
        "UpdateCampaign": failing(grpc.StatusCode.ABORTED, "etag", reason="ETAG_MISMATCH"),
    }
    assert ask("campaigns", "apply", file).code == 0


def test_a_number_that_does_not_exist_is_no_new_campaign(ask, fake, file, existing):
    numbered(file, 8)
    fake.answers["ListCampaigns"] = ListCampaignsResponse(campaigns=[existing])
    ended = ask("campaigns", "apply", file)
    line = len(file.read_text().splitlines())
    problem = "there is no campaign 8 in this program; take the line out to make a new one"
    assert (ended.code, ended.err) == (2, f"{file}:{line}: number: {problem}\n")


def test_the_number_of_an_unrelated_campaign_is_refused(ask, fake, file, existing):
    """As when a file with a number is applied to another program."""
    existing.name, existing.offers[1].percent_off.basis_points = "before", 5000
    numbered(file, 3)
    fake.answers["ListCampaigns"] = ListCampaignsResponse(campaigns=[existing])
    ended = ask("campaigns", "apply", file)
    assert (ended.code, set(fake.asked)) == (2, {"ListCampaigns"})
    assert "number: campaign 3 is called 'before' and has other offers; if it is the one that is meant" in ended.err


def test_two_files_with_one_number_are_refused(ask, fake, file, tmp_path):
    numbered(file, 3)
    other = tmp_path / "other.yaml"
    other.write_text(file.read_text().replace("name: 618 满200减50", "name: another", 1))
    ended = ask("campaigns", "apply", file, other)
    line = len(file.read_text().splitlines())
    said = f"{other}:{line}: number: is that of {file}:{line} as well; it is one campaign: give one file\n"
    assert (ended.code, ended.err, dict(fake.asked)) == (2, said, {})


def test_a_name_that_looks_like_another_is_named_with_its_line(ask, fake, file):
    problem = "'618 满200减50' looks the same as '618满200减50', the name of campaign 9; choose a name that differs"
    fake.answers |= {
        "ListCampaigns": ListCampaignsResponse(),
        "CreateCampaign": failing(grpc.StatusCode.ALREADY_EXISTS, f"campaign.name: {problem}", reason="ALREADY_EXISTS"),
    }
    ended = ask("campaigns", "apply", file)
    told = f"{file}:1: name: {problem}; to rename that campaign, give this file its number\n"
    assert (ended.code, ended.err) == (2, told)


def test_a_name_is_sent_in_one_normal_form(ask, fake, file):
    """A file from a Mac may have another one; the campaign is found all the same."""
    file.write_text(file.read_text().replace("name: 618 满200减50", "name: Cafe\u0301", 1))
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(), "CreateCampaign": created}
    ask("campaigns", "apply", file)
    assert fake.asked["CreateCampaign"][0].campaign.name == "Caf\u00e9"


MISTAKES = [
    ("  budget: 500000.00", "  budget: 40.00", "{file}:18: warning: limits.budget: is less than the ¥100.00 that one "),
    (
        "end_time: 2026-06-21T00:00:00.5+09:00",
        "end_time: 2026-06-02 00:00",
        "{file}:5: warning: end_time: has passed",
    ),
]


@pytest.mark.parametrize(("before", "after", "warning"), MISTAKES)
def test_a_sure_mistake_is_applied_with_a_warning_that_names_the_line(ask, fake, file, before, after, warning):
    file.write_text(file.read_text().replace(before, after, 1))
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(), "CreateCampaign": created}
    ended = ask("campaigns", "apply", file)
    assert (ended.code, ended.out) == (0, "created    4 618 满200减50\n")
    (line,) = ended.err.splitlines()
    assert line.startswith(warning.format(file=file))


@pytest.mark.parametrize(("before", "after", "warning"), MISTAKES)
def test_what_a_warning_is_about_is_refused_if_that_is_wanted(ask, fake, file, tmp_path, before, after, warning):
    """Then no file is applied at all."""
    right = tmp_path / "right.yaml"
    right.write_text(file.read_text().replace("name: 618 满200减50", "name: right", 1))
    file.write_text(file.read_text().replace(before, after, 1))
    ended = ask("campaigns", "apply", right, file, "--strict")
    assert (ended.code, ended.out, dict(fake.asked)) == (2, "", {})
    (line,) = ended.err.splitlines()
    assert line.startswith(warning.format(file=file))
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(), "CreateCampaign": created}
    assert ask("campaigns", "apply", right, "--strict").code == 0


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
        (("--dry-run",), REFUSED, 2, "2 would be created, 1 would be updated, 1 unchanged, 1 refused"),
        (("--dry-run",), GONE, 3, "1 would be created, 1 would be updated, 1 unchanged, 1 not answered, 1 not tried"),
        ((), EXISTS, 2, "1 created, 1 updated, 1 unchanged, 1 refused, 1 not tried"),
        ((), GONE, 3, "1 created, 1 updated, 1 unchanged, 1 not answered, 1 not tried"),
    ],
)
def test_several_files_are_summed_up_in_the_last_line(ask, fake, several, flags, answer, code, last):
    fake.answers["CreateCampaign"] = until("c", answer)
    ended = ask("campaigns", "apply", *several, *flags)
    assert (ended.code, ended.out.splitlines()[-1]) == (code, last)
    assert (ended.err == "") is (code == 0)


def test_a_dry_run_tells_what_the_server_refuses_of_all_files(ask, fake, several):
    """Nothing is changed, so there is no reason to stop at the first."""
    fake.answers["CreateCampaign"] = REFUSED
    ended = ask("campaigns", "apply", *several, "--dry-run")
    assert (ended.code, ended.out.splitlines()[-1]) == (2, "1 would be updated, 1 unchanged, 3 refused")
    assert [line.partition(":")[0] for line in ended.err.splitlines()] == [str(file) for file in several[2:]]
    told = json.loads(ask("campaigns", "apply", *several, "--dry-run", "--json").out)
    assert (len(told["applied"]), told["error"]["code"]) == (2, "INVALID_ARGUMENT")
    assert told["error"]["message"] == ended.err.strip()


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


def test_json_is_not_summed_up(ask, fake, several):
    fake.answers["CreateCampaign"] = created
    ended = ask("campaigns", "apply", *several, "--json")
    assert (ended.code, len(json.loads(ended.out))) == (0, 5)


def test_json_of_a_failure_is_one_document_with_what_was_done_before(ask, fake, several):
    fake.answers["CreateCampaign"] = until("c", REFUSED)
    ended = ask("campaigns", "apply", *several, "--json")
    told = json.loads(ended.out)
    assert (ended.code, len(told["applied"]), told["error"]["code"]) == (2, 3, "INVALID_ARGUMENT")
    assert [each["field"] for each in told["error"]["violations"]] == ["campaign.limits.issued"]
    assert told["error"]["message"] == ended.err.strip()


def test_what_was_paused_on_the_command_line_stays_paused(ask, fake, file, existing):
    """A file that says nothing of pauses does not take them back."""
    existing.paused_merchant_ids.append("mill")
    existing.paused_offers.append(1)
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(campaigns=[existing]), "UpdateCampaign": updated}
    assert ask("campaigns", "apply", file).out == "unchanged  3 618 满200减50\n"
    file.write_text(file.read_text().replace("  budget: 500000.00", "  budget: 1.00"))
    assert ask("campaigns", "apply", file).code == 0
    (request,) = fake.asked["UpdateCampaign"]
    assert (request.campaign.paused_merchant_ids, request.campaign.paused_offers) == (["mill"], [1])


def test_a_file_pauses_parts_and_takes_that_back(ask, fake, file, existing):
    existing.paused_merchant_ids.append("mill")
    existing.paused_skus.append("soap")
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(campaigns=[existing]), "UpdateCampaign": updated}
    file.write_text(file.read_text() + "paused_merchant_ids: []\npaused_offers: [1]\n")
    assert ask("campaigns", "apply", file).out == (
        "updated    3 618 满200减50\n  paused_offers: not set → 1\n  paused_merchant_ids: mill → not set\n"
    )
    (request,) = fake.asked["UpdateCampaign"]
    assert request.campaign.paused_merchant_ids == []
    assert request.campaign.paused_skus == ["soap"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_warning_of_the_server_names_the_line(ask, fake, file, existing, as_json):
    existing.end_time.seconds -= 3600
    warning = CampaignWarning(field="campaign.end_time", reason="ISSUED_EXPIRE_AS_BEFORE", description="is later")
    fake.answers |= {
        "ListCampaigns": ListCampaignsResponse(campaigns=[existing]),
        "UpdateCampaign": lambda request, _: UpdateCampaignResponse(campaign=request.campaign, warnings=[warning]),
    }
    ended = ask("campaigns", "apply", file, "--dry-run", *(["--json"] if as_json else []))
    expected = f"{file}:5: warning: end_time: is later"
    assert ended.code == 0
    assert (json.loads(ended.out)[0]["warnings"] if as_json else ended.err.splitlines()) == [expected]


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_the_server_warns_of_is_refused_if_that_is_wanted(ask, fake, file, tmp_path, existing, dry_run):
    """No file is applied at all, also none before it."""
    new = tmp_path / "another.yaml"
    new.write_text(file.read_text().replace("name: 618 满200减50", "name: another", 1))
    existing.end_time.seconds -= 3600
    warning = CampaignWarning(field="campaign.end_time", reason="ISSUED_EXPIRE_AS_BEFORE", description="is later")
    fake.answers |= {
        "ListCampaigns": ListCampaignsResponse(campaigns=[existing]),
        "CreateCampaign": created,
        "UpdateCampaign": lambda request, _: UpdateCampaignResponse(campaign=request.campaign, warnings=[warning]),
    }
    ended = ask("campaigns", "apply", new, file, "--strict", *(["--dry-run"] if dry_run else []))
    assert (ended.code, ended.out, ended.err) == (2, "", f"{file}:5: warning: end_time: is later\n")
    assert all(
        request.validate_only for method in ("CreateCampaign", "UpdateCampaign") for request in fake.asked[method]
    )


def test_json_has_the_warnings_of_the_file_too(ask, fake, file):
    file.write_text(file.read_text().replace("  budget: 500000.00", "  budget: 40.00", 1))
    fake.answers |= {"ListCampaigns": ListCampaignsResponse(), "CreateCampaign": created}
    ended = ask("campaigns", "apply", file, "--json")
    (applied,) = json.loads(ended.out)
    (warning,) = applied["warnings"]
    assert warning.startswith(f"{file}:18: warning: limits.budget: is less than")
    assert ended.err == ""


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
            "state": "active",
            "changes": [{"field": "limits.budget", "before": "¥1.00", "after": "¥500,000.00"}],
            "warnings": [],
        }
    ]
