"""What CampaignService asks of the use case, and how it writes the answers."""

import asyncio
from collections import Counter
from dataclasses import replace
from unittest.mock import ANY

import grpc
import pytest
from builders.calls import calling
from builders.full_campaign import CAMPAIGN
from rpc.examples import PAGE, STATS, UPDATED, campaign_message, update_message
from rpc.stage import ANYBODY, failure_of, stand_ins
from waiting import SECONDS_MAX, settled

from redemption.domain.campaign.campaign import CampaignState
from redemption.domain.campaign.campaign_checks import NUMBER_MAX
from redemption.domain.campaign.conditions import Conditions, Scope
from redemption.domain.errors import ArchiveUnfinished, Conflict, InvalidRequest
from redemption.rpc.campaign_servicer import PAGE_BYTES_MAX, CampaignServicer, first_number_from
from redemption.rpc.convert.campaigns import campaign_of, new_campaign_from
from redemption.rpc.convert.offers import offer_of
from redemption.scheduling.work_bounds import DEFINITIONS_WAITING_MAX
from redemption.service.campaigns import Page
from redemption.v1 import campaign_pb2
from redemption.v1 import campaign_service_pb2 as messages


async def test_create_answers_with_the_campaign_as_created(run):
    stage = await run()
    stage.campaigns.create.return_value = CAMPAIGN
    request = messages.CreateCampaignRequest(request_id="a", campaign=campaign_message())
    response = await stage.campaign.CreateCampaign(request)
    assert response.campaign == campaign_of(CAMPAIGN)
    stage.campaigns.create.assert_called_once_with(ANYBODY, "a", new_campaign_from(campaign_message()), ANY)


async def test_a_creation_and_a_change_that_are_only_checked_are_asked_of_the_checks(run):
    stage = await run()
    would_be = replace(CAMPAIGN, number=0, version=0)
    stage.campaigns.check_create.return_value = would_be
    stage.campaigns.check_update.return_value = UPDATED
    create = messages.CreateCampaignRequest(request_id="a", campaign=campaign_message(), validate_only=True)
    update = messages.UpdateCampaignRequest(campaign=update_message(), validate_only=True)
    created = await stage.campaign.CreateCampaign(create)
    assert (created.campaign, created.campaign.number, created.campaign.etag) == (campaign_of(would_be), 0, "")
    assert (await stage.campaign.UpdateCampaign(update)).campaign == campaign_of(CAMPAIGN)
    assert [call[0] for call in stage.campaigns.mock_calls] == ["check_create", "check_update"]
    stage.campaigns.check_create.assert_called_once_with(ANYBODY, "a", new_campaign_from(campaign_message()), ANY)


async def test_update_presents_the_etag(run):
    stage = await run()
    stage.campaigns.update.side_effect = Conflict("the campaign was changed meanwhile")
    failure = await failure_of(stage.campaign.UpdateCampaign(messages.UpdateCampaignRequest(campaign=update_message())))
    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    (_, campaign, etag, _), _ = stage.campaigns.update.call_args
    assert (campaign.number, etag) == (7, "v5")


async def test_campaign_that_was_read_can_be_written_back(run):
    """Output-only fields may be set in a request; they are ignored."""
    stage = await run()
    stage.campaigns.update.return_value = UPDATED
    response = await stage.campaign.UpdateCampaign(messages.UpdateCampaignRequest(campaign=campaign_of(CAMPAIGN)))
    warning = {"field": "campaign.end_time", "reason": "ISSUED_EXPIRE_AS_BEFORE", "description": "is later than before"}
    assert response == messages.UpdateCampaignResponse(campaign=campaign_of(CAMPAIGN), warnings=[warning])
    (_, _, etag, _), _ = stage.campaigns.update.call_args
    assert etag == "v5"


@pytest.mark.parametrize(
    ("method", "request_message", "field"),
    [
        ("CreateCampaign", messages.CreateCampaignRequest(request_id="a"), "campaign"),
        ("UpdateCampaign", messages.UpdateCampaignRequest(), "campaign"),
        ("UpdateCampaign", messages.UpdateCampaignRequest(campaign=campaign_message()), "campaign.number"),
        ("ListCampaigns", messages.ListCampaignsRequest(program="shop", page_token="x"), "page_token"),
    ],
)
async def test_malformed_request_is_refused_by_field(run, method, request_message, field):
    stage = await run()
    failure = await failure_of(getattr(stage.campaign, method)(request_message))
    assert (failure.code, failure.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert stage.campaigns.mock_calls == []


LARGE_OFFER = replace(
    CAMPAIGN.offers[0], conditions=Conditions(include=Scope(skus=tuple(f"{number:0100d}" for number in range(200))))
)


class Turns:
    """Counts the turns of the event loop during a block."""

    async def __aenter__(self):
        self.count = 0
        self._task = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()

    async def _run(self):
        while True:
            self.count += 1
            await asyncio.sleep(0)


@pytest.fixture
def servicer():
    """A servicer with stand-ins for the use cases, which pauses after each step, however short."""
    return CampaignServicer(stand_ins())


def definition_request(offers):
    message = campaign_message(*[offer_of(CAMPAIGN.offers[0])] * offers)
    return messages.CreateCampaignRequest(request_id="a", campaign=message, validate_only=True).SerializeToString()


async def test_a_definition_is_converted_in_steps_between_which_others_work(servicer, monkeypatch):
    monkeypatch.setattr("redemption.scheduling.fair_slots.STEP_SECONDS_MIN", 0.0)
    servicer._campaigns.check_create.return_value = CAMPAIGN
    turns = []
    for offers in (1, 100):
        raw = definition_request(offers)
        async with Turns() as others:
            await servicer.create(raw, calling())
        turns.append(others.count)
    few, many = turns
    assert many >= few + 99


async def test_two_definitions_are_worked_on_and_the_others_wait_unparsed(servicer, monkeypatch):
    """A parsed message may take fifty times the memory of its bytes."""
    parsed, go_on = [], asyncio.Event()
    monkeypatch.setattr(
        "redemption.rpc.campaign_servicer.new_campaign_steps", lambda message: parsed.append(message) or iter(())
    )

    async def check(*_):
        await go_on.wait()
        return CAMPAIGN

    servicer._campaigns.check_create.side_effect = check
    calls = [asyncio.ensure_future(servicer.create(definition_request(1), calling())) for _ in range(9)]
    await settled()
    assert len(parsed) == 2
    go_on.set()
    await asyncio.gather(*calls)
    assert len(parsed) == 9


async def test_what_was_only_checked_is_not_kept(servicer):
    """The next check of the same definition would not find it, and each may take megabytes."""
    large = replace(CAMPAIGN, offers=(LARGE_OFFER,))
    servicer._campaigns.check_create.return_value = large
    servicer._campaigns.check_update.return_value = replace(UPDATED, campaign=large)
    update = messages.UpdateCampaignRequest(campaign=update_message(), validate_only=True).SerializeToString()
    for answer in (servicer.create(definition_request(1), calling()), servicer.update(update, calling())):
        assert (await answer).campaign == campaign_of(large)
    assert len(servicer._messages._large) == 0


@pytest.mark.parametrize("method", ["get", "pause", "resume", "end", "archive"])
async def test_callers_who_waited_together_are_answered_two_in_a_turn(servicer, monkeypatch, method):
    """They wait for one read of the ledger; to write all their answers in one turn could take a second."""
    together, written = asyncio.Event(), []

    async def answer(*_):
        await together.wait()
        return CAMPAIGN

    for use_case in ("get", "set_state", "archive"):
        getattr(servicer._campaigns, use_case).side_effect = answer
    request = messages.GetCampaignRequest(program="shop", number=7)
    calls = [asyncio.ensure_future(getattr(servicer, method)(request, calling())) for _ in range(100)]
    async with Turns() as others:
        of = servicer._messages.of
        monkeypatch.setattr(servicer._messages, "of", lambda campaign: written.append(others.count) or of(campaign))
        await settled()
        together.set()
        await asyncio.gather(*calls)
    assert max(Counter(written).values()) <= 2


async def test_a_page_is_written_one_campaign_a_turn(servicer, monkeypatch):
    written = []
    servicer._campaigns.list.return_value = Page([CAMPAIGN] * 100, None)
    async with Turns() as others:
        of = servicer._messages.of
        monkeypatch.setattr(servicer._messages, "of", lambda campaign: written.append(others.count) or of(campaign))
        await servicer.list(messages.ListCampaignsRequest(program="shop"), calling())
    assert len(written) == len(set(written)) == 100


@pytest.mark.parametrize("method", ["get", "pause", "end", "create"])
async def test_who_lists_campaigns_keeps_nobody_from_pausing_or_changing_one(servicer, method):
    """Lists wait for the ledger here, as many as may."""
    for use_case in ("get", "set_state", "check_create"):
        getattr(servicer._campaigns, use_case).return_value = CAMPAIGN
    never = asyncio.Event()

    async def wait(*_, **__):
        await never.wait()

    servicer._campaigns.list.side_effect = wait
    request = messages.ListCampaignsRequest(program="shop")
    lists = [asyncio.ensure_future(servicer.list(request, calling())) for _ in range(DEFINITIONS_WAITING_MAX)]
    await settled()
    asked = definition_request(1) if method == "create" else messages.GetCampaignRequest(program="shop", number=7)
    async with asyncio.timeout(SECONDS_MAX):
        assert (await getattr(servicer, method)(asked, calling())).campaign.number == 7
    for task in lists:
        task.cancel()


async def test_the_answer_of_a_change_that_was_made_is_never_refused(servicer):
    """However many wait, and though the deadline has passed: the transport ends the call for its caller."""
    servicer._campaigns.set_state.return_value = CAMPAIGN
    request = messages.EndCampaignRequest(program="shop", number=7)
    late = calling(seconds=0)
    answers = await asyncio.gather(*(servicer.end(request, late) for _ in range(3 * DEFINITIONS_WAITING_MAX)))
    assert {answer.campaign.number for answer in answers} == {7}


@pytest.mark.parametrize(
    ("method", "state"),
    [("Pause", CampaignState.PAUSED), ("Resume", CampaignState.ACTIVE), ("End", CampaignState.ENDED)],
)
async def test_state_is_set(run, method, state):
    stage = await run()
    stage.campaigns.set_state.return_value = CAMPAIGN
    request = getattr(messages, f"{method}CampaignRequest")(program="shop", number=7)
    response = await getattr(stage.campaign, f"{method}Campaign")(request)
    assert response.campaign.number == 7
    stage.campaigns.set_state.assert_called_once_with(ANYBODY, "shop", 7, state)


async def test_pages_follow_each_other(run):
    stage = await run()
    stage.campaigns.list.side_effect = [PAGE, Page([], None)]
    first = await stage.campaign.ListCampaigns(messages.ListCampaignsRequest(program="shop", page_size=50))
    second = await stage.campaign.ListCampaigns(
        messages.ListCampaignsRequest(program="shop", page_size=50, page_token=first.next_page_token)
    )
    assert (len(first.campaigns), second.next_page_token) == (1, "")
    assert [call.kwargs["first"] for call in stage.campaigns.list.call_args_list] == [1, 51]


async def test_page_of_very_large_definitions_ends_early_and_misses_none(run):
    """What gRPC takes is 4 MiB; an answer beyond that would never arrive."""
    stage = await run()
    large = replace(
        CAMPAIGN.offers[0], conditions=Conditions(include=Scope(skus=tuple("s" * 120 for _ in range(2_000))))
    )
    everything = [replace(CAMPAIGN, number=number, offers=(large,)) for number in range(1, 31)]

    async def page(_caller, _program, *, first, page_size):
        return Page(everything[first - 1 : first - 1 + page_size], first + page_size if page_size < 30 else None)

    stage.campaigns.list.side_effect = page
    seen, token = [], ""
    while True:
        request = messages.ListCampaignsRequest(program="shop", page_size=30, page_token=token)
        response = await stage.campaign.ListCampaigns(request)
        assert 0 < response.ByteSize() < PAGE_BYTES_MAX + 1_000
        seen += [campaign.number for campaign in response.campaigns]
        token = response.next_page_token
        if not token:
            break
    assert seen == list(range(1, 31))


async def test_page_has_one_definition_however_large(run, monkeypatch):
    stage = await run()
    monkeypatch.setattr("redemption.rpc.campaign_servicer.PAGE_BYTES_MAX", 1)
    stage.campaigns.list.return_value = Page([CAMPAIGN, replace(CAMPAIGN, number=8)], None)
    response = await stage.campaign.ListCampaigns(messages.ListCampaignsRequest(program="shop"))
    assert ([campaign.number for campaign in response.campaigns], response.next_page_token) == ([7], "8")


async def test_archiving_knows_the_callers_deadline(run):
    stage = await run()
    stage.campaigns.archive.return_value = replace(CAMPAIGN, state=CampaignState.ARCHIVED)
    began = asyncio.get_running_loop().time()
    request = messages.ArchiveCampaignRequest(program="shop", number=7)
    response = await stage.campaign.ArchiveCampaign(request, timeout=9)
    assert response.campaign.state == campaign_pb2.CAMPAIGN_STATE_ARCHIVED
    (caller, program, number), _ = stage.campaigns.archive.call_args
    assert (program, number) == ("shop", 7)
    # It is told as the time that is left, and counted from when it comes.
    took = asyncio.get_running_loop().time() - began
    assert 8 < caller.deadline - began < 9 + took


async def test_unfinished_archiving_is_worth_asking_again(run):
    stage = await run()
    stage.campaigns.archive.side_effect = ArchiveUnfinished("campaign 7: 12 % of its records are removed")
    failure = await failure_of(stage.campaign.ArchiveCampaign(messages.ArchiveCampaignRequest()))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "ARCHIVE_UNFINISHED")
    assert (failure.message, failure.retry_seconds) == ("campaign 7: 12 % of its records are removed", 0.1)


async def test_one_campaign_and_its_numbers_are_told(run):
    stage = await run()
    stage.campaigns.get.return_value = CAMPAIGN
    stage.campaigns.stats.return_value = STATS
    got = await stage.campaign.GetCampaign(messages.GetCampaignRequest(program="shop", number=7))
    stats = await stage.campaign.GetCampaignStats(messages.GetCampaignStatsRequest(program="shop", number=7))
    assert (got.campaign.name, stats.stats.redeemed) == ("Spring", 8)


@pytest.mark.parametrize(("token", "number"), [("", 1), ("1", 1), ("51", 51), (str(NUMBER_MAX), NUMBER_MAX)])
def test_page_token_is_a_number(token, number):
    assert first_number_from(token) == number


@pytest.mark.parametrize("token", ["0", "-1", " 1", "1x", "\u0661", "\u00b2", str(NUMBER_MAX + 1), "9" * 5_000])
def test_page_token_of_nobody_is_refused(token):
    with pytest.raises(InvalidRequest):
        first_number_from(token)
