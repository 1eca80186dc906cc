"""Entries of deny lists and allow lists, from protobuf to the domain and back."""

from collections.abc import Generator, Sequence
from typing import Final, cast

from redemption.domain.errors import VIOLATIONS_MAX, InvalidRequest, Violation, ViolationReason
from redemption.domain.risk.given_subjects import FIELDS, GivenRef, GivenSubject
from redemption.domain.risk.lists import ListEntry, ListKind
from redemption.domain.risk.subjects import Subject, SubjectKind
from redemption.rpc.convert.timestamps import at_ms, at_seconds, whole_second_ms_from
from redemption.rpc.message_limits import require_shape
from redemption.service.risk_lists import EntriesUnwanted, EntriesWanted
from redemption.service.risk_subjects import SubjectKnown
from redemption.v1 import risk_service_pb2 as messages
from redemption.v1 import rules_pb2

# Looked up by name: a name that the contract does not have fails at import. The contract has no kind for ranges.
SUBJECT_KINDS: Final = {
    kind: cast("rules_pb2.SubjectKind", rules_pb2.SubjectKind.Value(f"SUBJECT_KIND_{kind.name}")) for kind in FIELDS
} | {SubjectKind.RANGE: rules_pb2.SUBJECT_KIND_NETWORK}
_LISTS: Final = {
    kind: cast("rules_pb2.ListKind", rules_pb2.ListKind.Value(f"LIST_KIND_{kind.name}")) for kind in ListKind
}
_GIVEN: Final = {field: kind for kind, field in FIELDS.items()}
_SAYS_NOTHING: Final = f"says nothing: set one of {', '.join(FIELDS.values())}"


def wanted_steps(request: messages.AddListEntriesRequest) -> Generator[None, None, EntriesWanted]:
    """Return the entries to add; yields after each.

    Raises:
        InvalidRequest: A field has a wrong value.
        NotBuilt: A subject is of a kind that this version does not know.
    """
    list_kind = _require_list(request.list)
    expires_at_ms = (
        whole_second_ms_from(request.expire_time, "expire_time") if request.HasField("expire_time") else None
    )
    subjects = yield from _subject_steps(request.subjects)
    refs = yield from _ref_steps(request.refs)
    return EntriesWanted(list_kind, subjects, request.reason, expires_at_ms, refs)


def unwanted_steps(request: messages.RemoveListEntriesRequest) -> Generator[None, None, EntriesUnwanted]:
    """Return the entries to remove; yields after each.

    Raises:
        InvalidRequest: A field has a wrong value.
        NotBuilt: A subject is of a kind that this version does not know.
    """
    list_kind = _require_list(request.list)
    subjects = yield from _subject_steps(request.subjects)
    refs = yield from _ref_steps(request.refs)
    return EntriesUnwanted(list_kind, subjects, refs)


def list_kind_from(number: int) -> ListKind | None:
    """Return the list of a request; None means both.

    Raises:
        InvalidRequest: It is one that this version does not know.
    """
    if number not in rules_pb2.ListKind.values():
        raise InvalidRequest([Violation("list", f"is {number}, which this version does not know")])
    return ListKind(number) if number else None


def subject_from(message: rules_pb2.RiskSubject, field: str) -> GivenSubject:
    """Return a subject that a request names.

    Raises:
        InvalidRequest: It names none.
        NotBuilt: It is of a kind that this version does not know.
    """
    which = message.WhichOneof("subject")
    if which is None:
        require_shape(message, field)
        raise InvalidRequest([Violation(field, _SAYS_NOTHING, ViolationReason.REQUIRED)])
    if which == "coupon":
        coupon = message.coupon
        require_shape(message, field)
        return GivenSubject(SubjectKind.COUPON, campaign=coupon.campaign, serial=coupon.serial)
    return GivenSubject(_GIVEN[which], getattr(message, which))


def asked_from(request: messages.GetSubjectRequest) -> GivenSubject | GivenRef:
    """Return whom a request asks about.

    Raises:
        InvalidRequest: It names nobody, or names them twice.
        NotBuilt: A subject is of a kind that this version does not know.
    """
    if not request.HasField("ref"):
        return subject_from(request.subject, "subject")
    if request.HasField("subject"):
        raise InvalidRequest([Violation("ref", "names somebody a second time: set either subject or ref")])
    return _ref_from(request.ref, "ref")


def ref_of(subject: Subject) -> rules_pb2.SubjectRef:
    """Return a subject as it is shown."""
    return rules_pb2.SubjectRef(kind=SUBJECT_KINDS[subject.kind], id=subject.text)


def entry_of(entry: ListEntry) -> rules_pb2.ListEntry:
    """Return the contract's entry."""
    return rules_pb2.ListEntry(
        subject=ref_of(entry.subject),
        list=_LISTS[entry.list],
        reason=entry.reason,
        expire_time=at_seconds(entry.expires_at) if entry.expires_at else None,
        add_time=at_seconds(entry.added_at),
        principal=entry.principal,
    )


def known_of(known: SubjectKnown) -> messages.GetSubjectResponse:
    """Return what is known of a subject."""
    until_ms = known.locked_until_ms
    return messages.GetSubjectResponse(
        subject=ref_of(known.subject),
        entries=[entry_of(entry) for entry in known.entries],
        counts=[
            messages.SubjectCount(
                rule=count.rule,
                left=count.left,
                try_after=None if count.try_after_ms is None else at_ms(count.try_after_ms),
                customers=[digest.hex() for digest in count.customers],
            )
            for count in known.counts
        ],
        refused=known.tried.refused,
        failures=known.tried.failures,
        locked_until=None if until_ms is None else at_ms(until_ms),
    )


def entry_steps(entries: Sequence[ListEntry]) -> Generator[None, None, list[rules_pb2.ListEntry]]:
    """Return the contract's entries; yields after each."""
    found = []
    for entry in entries:
        found.append(entry_of(entry))
        yield
    return found


def key_from(page_token: str) -> bytes:
    """Return where a page of entries begins. The page token is the name of an entry, in hexadecimal digits.

    Raises:
        InvalidRequest: The token was not made by this service.
    """
    try:
        return bytes.fromhex(page_token)
    except ValueError as error:
        raise InvalidRequest([Violation("page_token", "is not the next_page_token of an earlier answer")]) from error


def _subject_steps(subjects: Sequence[rules_pb2.RiskSubject]) -> Generator[None, None, list[GivenSubject]]:
    found: list[GivenSubject] = []
    violations: list[Violation] = []
    for index, subject in enumerate(subjects):
        try:
            found.append(subject_from(subject, f"subjects[{index}]"))
        except InvalidRequest as error:
            violations += error.violations
            if len(violations) >= VIOLATIONS_MAX:
                break
        yield
    if violations:
        raise InvalidRequest(violations)
    return found


def _ref_steps(refs: Sequence[rules_pb2.SubjectRef]) -> Generator[None, None, list[GivenRef]]:
    found = []
    for index, ref in enumerate(refs):
        found.append(_ref_from(ref, f"refs[{index}]"))
        yield
    return found


def _ref_from(ref: rules_pb2.SubjectRef, field: str) -> GivenRef:
    require_shape(ref, field)
    if not ref.kind:
        raise InvalidRequest([Violation(f"{field}.kind", "is required", ViolationReason.REQUIRED)])
    return GivenRef(SubjectKind(ref.kind), ref.id)


def _require_list(number: int) -> ListKind:
    list_kind = list_kind_from(number)
    if list_kind is None:
        raise InvalidRequest([Violation("list", "is required: DENY or ALLOW", ViolationReason.REQUIRED)])
    return list_kind
