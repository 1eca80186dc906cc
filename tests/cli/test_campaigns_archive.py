"""``campaigns archive``: one call after the other until all is removed; the progress is shown."""

import io
import sys

import grpc
import pytest
from fake_server import failing

from redemption.v1 import campaign_pb2 as v1
from redemption.v1.campaign_service_pb2 import ArchiveCampaignResponse, GetCampaignResponse

FOUND = v1.Campaign(number=3, name="618", state=v1.CAMPAIGN_STATE_ENDED)
ARCHIVED = ArchiveCampaignResponse(campaign=v1.Campaign(number=3, name="618", state=v1.CAMPAIGN_STATE_ARCHIVED))


class Terminal(io.StringIO):
    """A person who types one line."""

    def isatty(self):
        return True


def unfinished(message):
    code = grpc.StatusCode.UNAVAILABLE
    return failing(code, message, reason="ARCHIVE_UNFINISHED", retry_after_seconds=0.01)


def in_turn(*answers):
    """Answer each call with the next one."""
    left = list(answers)

    def answer(request, context):
        found = left.pop(0)
        return found(request, context) if callable(found) else found

    return answer


def test_it_goes_on_until_all_is_removed(ask, fake):
    halfway = [
        unfinished(f"campaign 3 is archived, {done} % of its records are removed; ask again") for done in (0, 62)
    ]
    fake.answers |= {
        "GetCampaign": GetCampaignResponse(campaign=FOUND),
        "ArchiveCampaign": in_turn(*halfway, ARCHIVED),
    }
    ended = ask("campaigns", "archive", "3", "--program", "shop")
    assert (ended.code, ended.out) == (0, "campaign 3 618 is archived\n")
    assert ended.err == (
        "campaign 3 is archived, 0 % of its records are removed\n"
        "campaign 3 is archived, 62 % of its records are removed\n"
    )
    assert [(request.program, request.number) for request in fake.asked["ArchiveCampaign"]] == [("shop", 3)] * 3


@pytest.mark.parametrize(
    ("answer", "code", "line"),
    [
        (
            failing(grpc.StatusCode.FAILED_PRECONDITION, "number: campaign 3 may still see returns", reason="WRONG"),
            2,
            "redemption: FAILED_PRECONDITION: number: campaign 3 may still see returns\n",
        ),
        (
            failing(grpc.StatusCode.UNAVAILABLE, "no ledger", reason="LEDGER_UNAVAILABLE"),
            3,
            "redemption: UNAVAILABLE: no ledger\n",
        ),
    ],
)
def test_any_other_failure_ends_it(ask, fake, answer, code, line):
    fake.answers |= {"GetCampaign": GetCampaignResponse(campaign=FOUND), "ArchiveCampaign": answer}
    ended = ask("campaigns", "archive", "3")
    assert (ended.code, ended.out, ended.err) == (code, "", line)
    assert len(fake.asked["ArchiveCampaign"]) == 1


@pytest.mark.parametrize(
    ("typed", "code", "told", "asked"),
    [
        ("n\n", 1, "redemption: nothing was done\n", 0),
        ("\n", 1, "redemption: nothing was done\n", 0),
        ("y\n", 0, "", 1),
    ],
)
def test_a_person_is_asked_first(ask, fake, monkeypatch, typed, code, told, asked):
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    fake.answers |= {"GetCampaign": GetCampaignResponse(campaign=FOUND), "ArchiveCampaign": ARCHIVED}
    ended = ask("campaigns", "archive", "3")
    assert "Remove every coupon's record of campaign 3 618?" in ended.out
    assert (ended.code, ended.err) == (code, told)
    assert len(fake.asked["ArchiveCampaign"]) == asked


def test_with_yes_nobody_is_asked(ask, fake, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    fake.answers |= {"GetCampaign": GetCampaignResponse(campaign=FOUND), "ArchiveCampaign": ARCHIVED}
    ended = ask("campaigns", "archive", "3", "--yes")
    assert (ended.code, ended.out) == (0, "campaign 3 618 is archived\n")
