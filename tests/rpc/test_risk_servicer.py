"""What RiskService asks of the use cases, and how it bounds large requests."""

import asyncio
from dataclasses import replace
from unittest.mock import ANY

import grpc
import pytest
from builders.calls import calling
from builders.times import NOW
from google.protobuf.message import DecodeError
from rpc.examples import ACTIVE, ADDED, ENTRIES, ENTRY, KNOWN, RANGE, REQUESTS, TOP, rules_message
from rpc.stage import ANYBODY, failure_of, stand_ins
from waiting import SECONDS_MAX, settled

from redemption.domain.errors import Conflict, LimitReached, NotFound, Overloaded
from redemption.domain.ports.rules import ListChanged
from redemption.domain.risk.given_subjects import GivenRef
from redemption.domain.risk.rules import Tightened
from redemption.domain.risk.subjects import SubjectKind
from redemption.rpc import risk_servicer
from redemption.rpc.convert.listed import entry_of
from redemption.rpc.convert.rules import rules_from, rules_of
from redemption.rpc.risk_servicer import ENTRIES_BYTES_MAX, FIELDS_MAX, RiskServicer, require_few_fields
from redemption.scheduling.work_bounds import LISTS_WAITING_MAX
from redemption.service.risk_lists import SUBJECTS_MAX
from redemption.v1 import risk_service_pb2 as messages
from redemption.v1 import rules_pb2

RULES = rules_of("shop", ACTIVE)


@pytest.mark.parametrize(
    ("name", "request_", "asked"),
    [
        ("GetRules", messages.GetRulesRequest(program="shop"), ("get", ("shop",), {})),
        (
            "UpdateRules",
            messages.UpdateRulesRequest(rules=rules_message()),
            ("update", ("shop", rules_from(rules_message()), "v5"), {}),
        ),
        (
            "UpdateRules",
            messages.UpdateRulesRequest(rules=rules_message(), validate_only=True),
            ("check_update", ("shop", rules_from(rules_message()), "v5"), {}),
        ),
        (
            "TightenRule",
            messages.TightenRuleRequest(program="shop", rule={"name": "five", "limit": 1}),
            ("tighten", ("shop", Tightened("five", limit=1)), {}),
        ),
        ("LoosenRule", messages.LoosenRuleRequest(program="shop", name="five"), ("loosen", ("shop", "five"), {})),
        (
            "FreezeClaims",
            messages.FreezeClaimsRequest(program="shop"),
            ("set_claims_frozen", ("shop",), {"frozen": True}),
        ),
        ("ThawClaims", messages.ThawClaimsRequest(program="shop"), ("set_claims_frozen", ("shop",), {"frozen": False})),
    ],
)
async def test_every_answer_about_rules_has_the_rules_as_they_are_now(run, name, request_, asked):
    stage = await run()
    method, args, changes = asked
    getattr(stage.risk_rules, method).return_value = ACTIVE
    response = await getattr(stage.risk, name)(request_)
    assert response.rules == RULES
    getattr(stage.risk_rules, method).assert_called_once_with(ANYBODY, *args, **changes)


@pytest.mark.parametrize(
    ("name", "request_", "field"),
    [
        ("UpdateRules", messages.UpdateRulesRequest(), "rules"),
        ("TightenRule", messages.TightenRuleRequest(program="shop"), "rule"),
        ("ListListEntries", messages.ListListEntriesRequest(page_token="z"), "page_token"),
        ("ListListEntries", messages.ListListEntriesRequest(list=7), "list"),
    ],
)
async def test_what_is_missing_or_unknown_is_refused_by_its_field(run, name, request_, field):
    failure = await failure_of(getattr((await run()).risk, name)(request_))
    assert (failure.code, failure.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (Conflict("changed"), grpc.StatusCode.ABORTED, "ETAG_MISMATCH"),
        (NotFound("no rule"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        (LimitReached("full"), grpc.StatusCode.FAILED_PRECONDITION, "LIMIT_REACHED"),
    ],
)
async def test_failures_have_their_status(run, error, code, reason):
    stage = await run()
    stage.risk_rules.loosen.side_effect = error
    failure = await failure_of(stage.risk.LoosenRule(messages.LoosenRuleRequest(program="shop", name="five")))
    assert (failure.code, failure.reason) == (code, reason)


async def test_entries_are_added_removed_and_listed(run):
    stage = await run()
    stage.risk_lists.add.return_value = ADDED
    stage.risk_lists.remove.return_value = ListChanged(total=7, removed=2)
    stage.risk_lists.list.return_value = ENTRIES
    (add, *_), (remove, *_) = REQUESTS["RiskService.AddListEntries"], REQUESTS["RiskService.RemoveListEntries"]
    added = await stage.risk.AddListEntries(add)
    assert added == messages.AddListEntriesResponse(entries=[entry_of(ENTRY), entry_of(RANGE)], total=7)
    removed = await stage.risk.RemoveListEntries(remove)
    assert removed == messages.RemoveListEntriesResponse(removed=2, total=7)
    request = messages.ListListEntriesRequest(program="shop", list=1, page_size=2, page_token="01")
    page = await stage.risk.ListListEntries(request)
    assert page == messages.ListListEntriesResponse(entries=added.entries, next_page_token="0102", total=7)
    stage.risk_lists.list.assert_called_once_with(ANYBODY, "shop", 1, after=b"\x01", page_size=2, slot=ANY)


def many(count, text="x" * 128):
    return messages.AddListEntriesRequest(
        program="p" * 64, list=1, reason="r" * 128, subjects=[{"person_id": text}] * count
    )


def test_the_largest_request_fits_and_is_not_counted_out():
    raw = many(SUBJECTS_MAX).SerializeToString()
    assert len(raw) < ENTRIES_BYTES_MAX
    require_few_fields(raw)


@pytest.mark.parametrize("count", [SUBJECTS_MAX + 1, FIELDS_MAX + 1, 40_000])
@pytest.mark.parametrize("method", ["AddListEntries", "RemoveListEntries"])
async def test_too_many_subjects_are_told_the_bound_and_how_many_there_are(run, method, count):
    """Far too many are not even parsed."""
    stage = await run()
    request = getattr(messages, f"{method}Request")(program="shop", list=1, subjects=[rules_pb2.RiskSubject()] * count)
    failure = await failure_of(getattr(stage.risk, method)(request))
    there_are = str(count) if count < 8_000 else f"{FIELDS_MAX} and more"
    assert (failure.code, failure.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["subjects"])
    assert f"1 to {SUBJECTS_MAX} in one request, refs included; there are {there_are}" in failure.message
    assert stage.risk_lists.mock_calls == []


async def test_refs_count_as_subjects_do(run):
    stage = await run()
    refs = [rules_pb2.SubjectRef(kind=1, id="0" * 16)] * SUBJECTS_MAX
    request = messages.RemoveListEntriesRequest(program="shop", list=1, subjects=[{"person_id": "x"}], refs=refs)
    failure = await failure_of(stage.risk.RemoveListEntries(request))
    assert f"there are {SUBJECTS_MAX + 1}" in failure.message


async def test_a_thousand_subjects_are_converted_in_steps():
    """Whoever waits for the event loop meanwhile gets it many times."""
    use_cases = stand_ins()
    use_cases.risk_lists.add.return_value = replace(ADDED, entries=[ENTRY] * SUBJECTS_MAX)
    servicer = RiskServicer(use_cases)
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    response = await servicer.add_list_entries(many(SUBJECTS_MAX).SerializeToString(), calling())
    counting.cancel()
    assert len(response.entries) == SUBJECTS_MAX
    assert turns >= 3


async def test_changes_of_one_programs_lists_are_some_time_apart_and_others_do_not_wait(monkeypatch):
    """Each change has all orders in flight judged again. Here the time is longer than the caller's deadline."""
    monkeypatch.setattr(risk_servicer, "LIST_CHANGE_SECONDS", 7200)
    use_cases = stand_ins()
    use_cases.risk_lists.add.return_value = ADDED
    servicer = RiskServicer(use_cases)
    request = many(1)
    await servicer.add_list_entries(request.SerializeToString(), calling())
    with pytest.raises(Overloaded) as refused:
        await servicer.add_list_entries(request.SerializeToString(), calling())
    assert refused.value.retry_after_seconds > 3000
    removal = messages.RemoveListEntriesRequest(program=request.program, list=request.list)
    with pytest.raises(Overloaded):
        await servicer.remove_list_entries(removal.SerializeToString(), calling())
    request.program = "cafe"
    await servicer.add_list_entries(request.SerializeToString(), calling())
    assert use_cases.risk_lists.add.await_count == 2


async def test_only_so_many_large_requests_wait(monkeypatch):
    monkeypatch.setattr(risk_servicer, "LIST_CHANGE_SECONDS", 0)
    use_cases = stand_ins()
    released = asyncio.Event()

    async def add(*_):
        await released.wait()
        return ADDED

    use_cases.risk_lists.add.side_effect = add
    servicer = RiskServicer(use_cases)
    raw = many(1).SerializeToString()
    calls = [asyncio.create_task(servicer.add_list_entries(raw, calling())) for _ in range(LISTS_WAITING_MAX + 2)]
    await settled()
    refused = [call for call in calls if call.done()]
    assert [type(call.exception()).__name__ for call in refused] == ["Overloaded"]
    released.set()
    async with asyncio.timeout(SECONDS_MAX):
        assert len([call for call in await asyncio.gather(*calls, return_exceptions=True) if call]) == len(calls)


def test_large_bytes_that_are_no_message_are_refused():
    with pytest.raises(DecodeError):
        require_few_fields(b"\x0a\xff\x7f" * 6000)


async def test_who_tried_most_in_vain_is_listed(run):
    stage = await run()
    stage.use_cases.risk_subjects.top.return_value = TOP
    answer = await stage.risk.ListTopSubjects(messages.ListTopSubjectsRequest(program="shop", minutes=5))
    (found,) = answer.subjects
    assert (found.subject.id, found.refused, found.failures) == (TOP[0][0].text, 3, 4)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "subject"),
        ({"ref": {"id": "x"}}, "ref.kind"),
        ({"ref": {"kind": 3, "id": "x"}, "subject": {"device_id": "phone"}}, "ref"),
    ],
)
async def test_a_subject_is_named_once(run, asked, field):
    stage = await run()
    failure = await failure_of(stage.risk.GetSubject(messages.GetSubjectRequest(program="shop", **asked)))
    assert failure.fields == [field]


async def test_a_subject_is_asked_for_as_it_was_shown(run):
    stage = await run()
    stage.use_cases.risk_subjects.subject.return_value = KNOWN
    ref = {"kind": rules_pb2.SUBJECT_KIND_DEVICE, "id": "0123456789abcdef"}
    await stage.risk.GetSubject(messages.GetSubjectRequest(program="shop", ref=ref))
    (*_, asked) = stage.use_cases.risk_subjects.subject.await_args.args
    assert asked == GivenRef(SubjectKind.DEVICE, "0123456789abcdef")


async def test_what_is_known_of_a_subject_is_told(run):
    stage = await run()
    stage.use_cases.risk_subjects.subject.return_value = KNOWN
    request = messages.GetSubjectRequest(program="shop", subject={"device_id": "phone"})
    answer = await stage.risk.GetSubject(request)
    assert answer.subject.id == KNOWN.subject.text
    assert [entry.reason for entry in answer.entries] == [KNOWN.entries[0].reason]
    (count,) = answer.counts
    assert (count.rule, count.left, count.customers) == ("five", 0, [b"12345678".hex()])
    assert (answer.refused, answer.failures, answer.locked_until.seconds) == (3, 4, NOW)
    assert count.try_after.seconds == NOW
