"""Every failure has its gRPC status; the status has what the caller can act on, and fits into the trailer."""

import importlib
import pkgutil

import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

import redemption
from redemption.domain import errors
from redemption.domain.errors import (
    InvalidRequest,
    LedgerUnavailable,
    OtherField,
    ServiceError,
    Violation,
    ViolationReason,
    ViolationValues,
)
from redemption.rpc.status import CODES, MESSAGE_BYTES_MAX, VIOLATIONS_MAX, code_of, internal_status, short, status_of
from redemption.v1 import bad_request_pb2
from redemption.v1.bad_request_pb2 import BadRequestValues

TRAILER_BYTES_MAX = 8_192
"""What gRPC accepts for sure; beyond that the caller sees no status at all."""
NAMES_BYTES = 200
"""What the names of the headers take, as HTTP/2 counts it, and the code."""

TABLE = [
    ("InvalidRequest", code_pb2.INVALID_ARGUMENT),
    ("NotFound", code_pb2.NOT_FOUND),
    ("AlreadyExists", code_pb2.ALREADY_EXISTS),
    ("Conflict", code_pb2.ABORTED),
    ("RequestIdReused", code_pb2.INVALID_ARGUMENT),
    ("WrongState", code_pb2.FAILED_PRECONDITION),
    ("LimitReached", code_pb2.FAILED_PRECONDITION),
    ("ArchiveUnfinished", code_pb2.UNAVAILABLE),
    ("NotBuilt", code_pb2.UNIMPLEMENTED),
    ("Overloaded", code_pb2.RESOURCE_EXHAUSTED),
    ("TooLarge", code_pb2.RESOURCE_EXHAUSTED),
    ("MethodUnknown", code_pb2.UNIMPLEMENTED),
    ("EncodingUnknown", code_pb2.UNIMPLEMENTED),
    ("RequestMalformed", code_pb2.INTERNAL),
    ("LedgerUnavailable", code_pb2.UNAVAILABLE),
    ("LedgerUnreachable", code_pb2.UNAVAILABLE),
    ("LedgerDown", code_pb2.UNAVAILABLE),
    ("LedgerRefused", code_pb2.UNAVAILABLE),
    ("LedgerForbids", code_pb2.UNAVAILABLE),
    ("LedgerNotTrusted", code_pb2.UNAVAILABLE),
    ("NoLedger", code_pb2.UNAVAILABLE),
    ("LedgerNotDurable", code_pb2.UNAVAILABLE),
    ("LedgerFull", code_pb2.UNAVAILABLE),
    ("FenceUnsaved", code_pb2.UNAVAILABLE),
    ("LedgerReadOnly", code_pb2.UNAVAILABLE),
    ("LedgerNotReady", code_pb2.UNAVAILABLE),
    ("LedgerUnknown", code_pb2.UNAVAILABLE),
    ("LedgerClockApart", code_pb2.UNAVAILABLE),
    ("LedgerClockAhead", code_pb2.UNAVAILABLE),
    ("QuotaExceeded", code_pb2.RESOURCE_EXHAUSTED),
    ("Stopping", code_pb2.UNAVAILABLE),
    ("DeadlinePassed", code_pb2.DEADLINE_EXCEEDED),
    ("ItemFailed", code_pb2.INTERNAL),
]


def every_failure() -> dict[str, type[ServiceError]]:
    """Find all kinds of ServiceError that the package declares, wherever they are."""
    for module in pkgutil.walk_packages(redemption.__path__, "redemption."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, open_ends = {}, [ServiceError]
    while open_ends:
        for kind in open_ends.pop().__subclasses__():
            if kind.__module__.startswith("redemption."):
                found[kind.__name__] = kind
                open_ends.append(kind)
    return found


FAILURES = every_failure()


def failure(name: str) -> ServiceError:
    argument = [Violation("field", "problem")] if name == "InvalidRequest" else "what to do"
    return FAILURES[name](argument)


def details(error: ServiceError) -> dict[str, Message]:
    raw = status_of(error).details
    messages = [*vars(error_details_pb2).values(), *vars(bad_request_pb2).values()]
    kinds = {kind.DESCRIPTOR.full_name: kind for kind in messages if isinstance(kind, type)}
    unpacked = {}
    for detail in status_pb2.Status.FromString(raw).details:
        message = kinds[detail.TypeName()]()
        detail.Unpack(message)
        unpacked[detail.TypeName().rpartition(".")[2]] = message
    return unpacked


def trailer_bytes(status) -> int:
    """Count a status as it travels: details in base64, the message percent-encoded."""
    return (len(status.details) + 2) // 3 * 4 + 3 * len(status.message.encode())


def test_table_names_every_failure():
    assert {name for name, _ in TABLE} == set(FAILURES)


def test_every_failure_gets_its_code_on_purpose():
    """Every class has its own code, not the one of ServiceError."""
    for kind in FAILURES.values():
        assert any(parent in CODES for parent in kind.__mro__), kind


@pytest.mark.parametrize(("name", "code"), TABLE)
def test_failure_has_its_code(name, code):
    assert code_of(failure(name)) == code
    assert status_of(failure(name)).code == code


@pytest.mark.parametrize("name", FAILURES)
def test_failure_tells_its_stable_reason(name):
    info = details(failure(name))["ErrorInfo"]
    assert (info.reason, info.domain) == (FAILURES[name].reason, "redemption")


@pytest.mark.parametrize("name", FAILURES)
def test_failure_tells_when_to_try_again_if_ever(name):
    retry = details(failure(name)).get("RetryInfo")
    expected = FAILURES[name].retry_after_seconds
    assert (retry and retry.retry_delay.ToTimedelta().total_seconds()) == expected


@pytest.mark.parametrize("name", [name for name, _ in TABLE])
def test_codes_that_invite_a_retry_say_when_or_that_it_is_of_no_use(name):
    """Clients retry UNAVAILABLE and RESOURCE_EXHAUSTED by their code; what is too large stays so."""
    status = status_of(failure(name))
    inviting = status.code in (code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED)
    assert ("RetryInfo" in details(failure(name)) or status.final) is inviting


def test_failure_without_a_code_is_internal():
    assert code_of(ServiceError("what happened")) == code_pb2.INTERNAL


def test_violations_are_told_by_field():
    told = details(InvalidRequest([Violation("a.b", "is wrong"), Violation("c", "is too")]))["BadRequest"]
    assert [(entry.field, entry.description) for entry in told.field_violations] == [
        ("a.b", "is wrong"),
        ("c", "is too"),
    ]


def test_reasons_and_values_are_told_beside_the_texts():
    values = ViolationValues(least=1, most=9, given=0, others=(OtherField("c", 0), OtherField("d")))
    violations = [
        Violation("a", "is wrong"),
        Violation("b", "is too", ViolationReason.OUT_OF_RANGE, values),
        Violation("e", "is missing", ViolationReason.REQUIRED),
    ]
    told = details(InvalidRequest(violations))
    entries = told["BadRequest"].field_violations
    assert [(entry.field, entry.description, entry.reason) for entry in entries] == [
        ("a", "is wrong", ""),
        ("b", "is too", "OUT_OF_RANGE"),
        ("e", "is missing", "REQUIRED"),
    ]
    others = [{"field": "c", "value": 0}, {"field": "d"}]
    expected = BadRequestValues(field_violations=[{}, {"least": 1, "most": 9, "given": 0, "others": others}, {}])
    assert told["BadRequestValues"] == expected


def test_where_only_texts_are_told_no_values_are_sent():
    told = details(InvalidRequest([Violation("a", "is wrong"), Violation("b", "is missing", ViolationReason.REQUIRED)]))
    assert set(told) == {"ErrorInfo", "BadRequest"}


INT64 = st.integers(-(2**63), 2**63 - 1)
ANY_VALUES = st.builds(
    ViolationValues,
    *[st.none() | INT64] * 3,
    st.lists(st.builds(OtherField, st.text(max_size=600), st.none() | INT64), max_size=8).map(tuple),
)
ANY_VIOLATIONS = st.lists(
    st.builds(
        Violation,
        st.text(max_size=600),
        st.text(max_size=600),
        st.none() | st.sampled_from(ViolationReason),
        st.none() | ANY_VALUES,
    ),
    min_size=1,
    max_size=40,
)


@given(ANY_VIOLATIONS)
def test_no_text_is_dropped_for_the_sake_of_reasons_and_values(violations):
    texts = [Violation(violation.field, violation.problem) for violation in violations]
    expected = details(InvalidRequest(texts))["BadRequest"]
    told = details(InvalidRequest(violations))["BadRequest"]
    for entry in told.field_violations:
        entry.ClearField("reason")
    assert told == expected


def test_reasons_and_values_are_told_as_long_as_there_is_room():
    others = (OtherField("f" * 200, 2**63 - 1),)
    violation = Violation("a", "p" * 100, ViolationReason.MORE_THAN_OTHER, ViolationValues(given=1, others=others))
    status = status_of(InvalidRequest([violation] * 50))
    told = details(InvalidRequest([violation] * 50))
    reasons = [entry.reason for entry in told["BadRequest"].field_violations]
    count = len(told["BadRequestValues"].field_violations)
    assert reasons == ["MORE_THAN_OTHER"] * count + [""] * (VIOLATIONS_MAX - count)
    assert 0 < count < VIOLATIONS_MAX
    assert trailer_bytes(status) < TRAILER_BYTES_MAX


@pytest.mark.parametrize("text", ["a", "券"])
def test_the_largest_status_fits_into_a_trailer(text):
    """Texts and values that fill their room to the last bytes, in characters of one byte and of three."""
    for size in range(1, 600):
        values = ViolationValues(1, 2, 3, (OtherField(text * size),))
        violation = Violation(text * size, text * size, ViolationReason.OVER_MIDNIGHT, values)
        status = status_of(InvalidRequest([violation] * 50))
        assert trailer_bytes(status) < TRAILER_BYTES_MAX - NAMES_BYTES


def test_reused_request_id_names_the_field():
    told = details(failure("RequestIdReused"))["BadRequest"]
    assert [entry.field for entry in told.field_violations] == ["request_id"]


@given(ANY_VIOLATIONS)
def test_status_of_any_invalid_request_fits_into_a_trailer(violations):
    status = status_of(InvalidRequest(violations))
    assert trailer_bytes(status) < TRAILER_BYTES_MAX


@given(st.text())
def test_status_of_any_message_fits_into_a_trailer(message):
    status = status_of(LedgerUnavailable(message * 100))
    assert trailer_bytes(status) < TRAILER_BYTES_MAX


def test_first_violations_are_told_of_very_many():
    told = details(InvalidRequest([Violation(f"lines[{index}]", "is wrong") for index in range(500)]))["BadRequest"]
    assert [entry.field for entry in told.field_violations] == [f"lines[{index}]" for index in range(VIOLATIONS_MAX)]


@pytest.mark.parametrize("text", ["a" * 501, "券" * 167, "a" * 498 + "券", "a" * 100_000])
def test_long_message_is_cut_between_characters(text):
    cut = short(text)
    assert len(cut.encode()) <= MESSAGE_BYTES_MAX
    assert cut.endswith("...")
    assert text.startswith(cut.removesuffix("..."))


@pytest.mark.parametrize("text", ["", "a" * 500, "券" * 166])
def test_message_that_fits_is_left_alone(text):
    assert short(text) == text


def test_internal_status_gives_the_correlation_id_twice():
    """For people in the message, for programs in the details."""
    status = internal_status("0123abcd")
    info = error_details_pb2.ErrorInfo()
    status_pb2.Status.FromString(status.details).details[0].Unpack(info)
    assert "0123abcd" in status.message
    assert dict(info.metadata) == {"correlation_id": "0123abcd"}
    assert info.reason == errors.ServiceError.reason
