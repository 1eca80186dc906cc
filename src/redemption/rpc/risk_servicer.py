"""RiskService: rules against abuse, deny lists and allow lists, and what they did."""

from collections.abc import Callable, Mapping
from typing import Final

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import InvalidRequest, Violation, ViolationReason
from redemption.rpc.convert.listed import (
    asked_from,
    entry_steps,
    key_from,
    known_of,
    list_kind_from,
    ref_of,
    unwanted_steps,
    wanted_steps,
)
from redemption.rpc.convert.rules import rules_from, rules_of, stats_of, tightened_from
from redemption.rpc.guard import UNCOUNTED_BYTES_MAX, Unary, Unparsed
from redemption.rpc.message_fields import fields_of
from redemption.rpc.request_limits import REQUEST_BYTES_MAX
from redemption.scheduling.fair_slots import FairSlots
from redemption.scheduling.pace import Pace
from redemption.scheduling.work_bounds import LIST_CHANGE_SECONDS, LISTS, LISTS_WAITING_MAX
from redemption.service.risk_lists import SUBJECTS_MAX
from redemption.service.use_cases import UseCases
from redemption.v1 import risk_service_pb2 as messages

ENTRIES_BYTES_MAX: Final = 160 * 1024
"""The largest request with subjects: 1,000 of them, of 128 bytes each."""
FIELDS_MAX: Final = 2 * SUBJECTS_MAX
"""The most fields of a large request with subjects; below this, the use case says exactly how many there are."""


class RiskServicer:
    """Answers RiskService."""

    def __init__(self, use_cases: UseCases) -> None:
        self._rules = use_cases.risk_rules
        self._lists = use_cases.risk_lists
        self._subjects = use_cases.risk_subjects
        self._reading = FairSlots(LISTS, waiting_max=LISTS_WAITING_MAX)
        self._changes = FairSlots(LISTS, waiting_max=LISTS_WAITING_MAX)
        self._pace = Pace(LIST_CHANGE_SECONDS, waiting_max=LISTS_WAITING_MAX)
        self._pages = FairSlots(LISTS, waiting_max=LISTS_WAITING_MAX)

    def methods(self) -> Mapping[str, Unary | Unparsed]:
        """Return the methods that this version answers, by their names in the contract."""
        return {
            "GetRules": Unary(messages.GetRulesRequest, self.get_rules, REQUEST_BYTES_MAX),
            "UpdateRules": Unary(messages.UpdateRulesRequest, self.update_rules, REQUEST_BYTES_MAX),
            "TightenRule": Unary(messages.TightenRuleRequest, self.tighten_rule, REQUEST_BYTES_MAX),
            "LoosenRule": Unary(messages.LoosenRuleRequest, self.loosen_rule, REQUEST_BYTES_MAX),
            "FreezeClaims": Unary(messages.FreezeClaimsRequest, self.freeze_claims, REQUEST_BYTES_MAX),
            "ThawClaims": Unary(messages.ThawClaimsRequest, self.thaw_claims, REQUEST_BYTES_MAX),
            "AddListEntries": Unparsed(messages.AddListEntriesRequest, self.add_list_entries, ENTRIES_BYTES_MAX),
            "RemoveListEntries": Unparsed(
                messages.RemoveListEntriesRequest, self.remove_list_entries, ENTRIES_BYTES_MAX
            ),
            "ListListEntries": Unary(messages.ListListEntriesRequest, self.list_list_entries, REQUEST_BYTES_MAX),
            "GetRiskStats": Unary(messages.GetRiskStatsRequest, self.get_risk_stats, REQUEST_BYTES_MAX),
            "ListTopSubjects": Unary(messages.ListTopSubjectsRequest, self.list_top_subjects, REQUEST_BYTES_MAX),
            "GetSubject": Unary(messages.GetSubjectRequest, self.get_subject, REQUEST_BYTES_MAX),
        }

    async def get_rules(self, request: messages.GetRulesRequest, info: CallInfo) -> messages.GetRulesResponse:
        """Get the rules of a program."""
        active = await self._rules.get(info, request.program)
        return messages.GetRulesResponse(rules=rules_of(request.program, active))

    async def update_rules(self, request: messages.UpdateRulesRequest, info: CallInfo) -> messages.UpdateRulesResponse:
        """Replace the rules of a program; with ``validate_only``, only check whether they would be replaced."""
        if not request.HasField("rules"):
            raise InvalidRequest([Violation("rules", "is required", ViolationReason.REQUIRED)])
        program, rules = request.rules.program, rules_from(request.rules)
        change = self._rules.check_update if request.validate_only else self._rules.update
        active = await change(info, program, rules, request.rules.etag)
        return messages.UpdateRulesResponse(rules=rules_of(program, active))

    async def tighten_rule(self, request: messages.TightenRuleRequest, info: CallInfo) -> messages.TightenRuleResponse:
        """Tighten a rule in an emergency."""
        if not request.HasField("rule"):
            raise InvalidRequest([Violation("rule", "is required", ViolationReason.REQUIRED)])
        active = await self._rules.tighten(info, request.program, tightened_from(request.rule))
        return messages.TightenRuleResponse(rules=rules_of(request.program, active))

    async def loosen_rule(self, request: messages.LoosenRuleRequest, info: CallInfo) -> messages.LoosenRuleResponse:
        """Let a rule be in force as it was applied."""
        active = await self._rules.loosen(info, request.program, request.name)
        return messages.LoosenRuleResponse(rules=rules_of(request.program, active))

    async def freeze_claims(
        self, request: messages.FreezeClaimsRequest, info: CallInfo
    ) -> messages.FreezeClaimsResponse:
        """Refuse all claims."""
        active = await self._rules.set_claims_frozen(info, request.program, frozen=True)
        return messages.FreezeClaimsResponse(rules=rules_of(request.program, active))

    async def thaw_claims(self, request: messages.ThawClaimsRequest, info: CallInfo) -> messages.ThawClaimsResponse:
        """Allow claims again."""
        active = await self._rules.set_claims_frozen(info, request.program, frozen=False)
        return messages.ThawClaimsResponse(rules=rules_of(request.program, active))

    async def add_list_entries(
        self,
        raw: bytes,
        info: CallInfo,
        parse: Callable[[bytes], messages.AddListEntriesRequest] = messages.AddListEntriesRequest.FromString,
    ) -> messages.AddListEntriesResponse:
        """Add entries to a list."""
        async with self._reading.slot(info.deadline) as slot:
            require_few_fields(raw)
            request = parse(raw)
            await slot.pause()
            _require_few(len(request.subjects) + len(request.refs))
            wanted = await slot.drive_small_steps(wanted_steps(request))
        await self._pace.turn(request.program, info.deadline)
        async with self._changes.slot(info.deadline) as slot:
            added = await self._lists.add(info, request.program, wanted, slot)
            entries = await slot.drive_small_steps(entry_steps(added.entries))
            await slot.pause()
            return messages.AddListEntriesResponse(entries=entries, total=added.total)

    async def remove_list_entries(
        self,
        raw: bytes,
        info: CallInfo,
        parse: Callable[[bytes], messages.RemoveListEntriesRequest] = messages.RemoveListEntriesRequest.FromString,
    ) -> messages.RemoveListEntriesResponse:
        """Remove entries from a list."""
        async with self._reading.slot(info.deadline) as slot:
            require_few_fields(raw)
            request = parse(raw)
            await slot.pause()
            _require_few(len(request.subjects) + len(request.refs))
            unwanted = await slot.drive_small_steps(unwanted_steps(request))
        await self._pace.turn(request.program, info.deadline)
        async with self._changes.slot(info.deadline) as slot:
            done = await self._lists.remove(info, request.program, unwanted, slot)
            return messages.RemoveListEntriesResponse(removed=done.removed, total=done.total)

    async def list_list_entries(
        self, request: messages.ListListEntriesRequest, info: CallInfo
    ) -> messages.ListListEntriesResponse:
        """List the entries."""
        list_kind, after = list_kind_from(request.list), key_from(request.page_token)
        async with self._pages.slot(info.deadline) as slot:
            page = await self._lists.list(
                info, request.program, list_kind, after=after, page_size=request.page_size, slot=slot
            )
            entries = await slot.drive_small_steps(entry_steps(page.entries))
            await slot.pause()
            return messages.ListListEntriesResponse(
                entries=entries, next_page_token=page.next_key.hex(), total=page.total
            )

    async def get_risk_stats(
        self, request: messages.GetRiskStatsRequest, info: CallInfo
    ) -> messages.GetRiskStatsResponse:
        """Count what the rules did."""
        return stats_of(await self._rules.stats(info, request.program))

    async def list_top_subjects(
        self, request: messages.ListTopSubjectsRequest, info: CallInfo
    ) -> messages.ListTopSubjectsResponse:
        """List those who tried most in vain."""
        found = await self._subjects.top(
            info, request.program, minutes=request.minutes, subjects_max=request.subjects_max
        )
        subjects = [
            messages.TopSubject(subject=ref_of(subject), refused=tried.refused, failures=tried.failures)
            for subject, tried in found
        ]
        return messages.ListTopSubjectsResponse(subjects=subjects)

    async def get_subject(self, request: messages.GetSubjectRequest, info: CallInfo) -> messages.GetSubjectResponse:
        """Return what is known of a subject."""
        return known_of(await self._subjects.subject(info, request.program, asked_from(request)))


def require_few_fields(raw: bytes) -> None:
    """Refuse a large request that has far too many subjects, before it is parsed.

    Parsing 160 KiB of empty ones takes about 4 ms.

    Raises:
        DecodeError: The bytes are no message.
        InvalidRequest: It has too many.
    """
    if len(raw) <= UNCOUNTED_BYTES_MAX:
        return
    for count, _ in enumerate(fields_of(raw)):
        if count == FIELDS_MAX:
            _refuse_many(f"{FIELDS_MAX} and more")


def _require_few(count: int) -> None:
    """Refuse too many subjects before they are converted."""
    if count > SUBJECTS_MAX:
        _refuse_many(str(count))


def _refuse_many(there_are: str) -> None:
    problem = f"must be 1 to {SUBJECTS_MAX} in one request, refs included; there are {there_are}: send several requests"
    raise InvalidRequest([Violation("subjects", problem, ViolationReason.WRONG_COUNT)])
