"""The page on errors names every reason, and its example works on what the server sends."""

import importlib
import pkgutil
import re
from pathlib import Path

import grpc
import pytest
from builders.failed_call import FailedCall
from google.rpc import code_pb2, error_details_pb2, status_pb2

import redemption
from redemption.client import RequestRejected, ServerFailed, TryAgain, call_failed, failure
from redemption.domain.errors import OtherField, ServiceError, Violation, ViolationReason, ViolationValues
from redemption.rpc.status import VIOLATIONS_MAX, code_of, status_of
from redemption.rpc.transport import statuses
from redemption.rpc.transport.methods import Status

PAGE = (Path(__file__).parent.parent.parent / "docs" / "errors.md").read_text()
AGAIN = {"yes": TryAgain, "no": RequestRejected, "report it": ServerFailed}


def section(title):
    """The rows of the table under a title."""
    text = re.split(rf"^#+ {re.escape(title)}$", PAGE, flags=re.MULTILINE)[1]
    text = re.split(r"^#", text, flags=re.MULTILINE)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def failures():
    """Every failure that the server can answer with."""
    for module in pkgutil.walk_packages(redemption.__path__, "redemption."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = [ServiceError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith("redemption.")]


def raised(status):
    """What the client raises for a status as it comes over the wire."""
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    error = type("Error", (grpc.RpcError,), {})()
    error.code, error.details = (lambda: code), (lambda: status.message)
    error.trailing_metadata = lambda: (("grpc-status-details-bin", status.details),)
    return call_failed(error)


def test_every_reason_of_the_server_is_told_with_its_status_and_whether_to_try_again():
    """The page, the statuses of the server, and what the client makes of them say the same."""
    expected = set()
    for kind in failures():
        error = kind.__new__(kind)  # their arguments differ
        error.message = "told"
        error.violations = (Violation("a", "is wrong"),)
        again = next(word for word, found in AGAIN.items() if found is type(raised(status_of(error))))
        expected.add((kind.reason, code_pb2.Code.Name(code_of(error)), again))
    rows = section("Every reason")
    assert {(row[0].strip("`"), row[1], row[3]) for row in rows} == expected
    assert len(rows) == len(expected), "each reason once"
    assert all(len(row) == 5 and all(row) for row in rows), "each with its meaning and a remedy"


def test_every_reason_that_the_client_gives_by_itself_is_told():
    told = {row[1].strip("`") for row in section("Errors without a reason")}
    assert told - {""} == set(failure._REMEDIES)


def refusals_of_the_transport():
    made = [statuses.headers_too_large(1, 1), statuses.message_too_large(1)]
    return [each for each in (*vars(statuses).values(), *made) if isinstance(each, Status)]


@pytest.mark.parametrize("status", refusals_of_the_transport(), ids=lambda status: status.message[:40])
def test_the_transport_gives_each_refusal_a_reason_that_is_on_the_page(status):
    """Above all RESOURCE_EXHAUSTED: whether a retry is of use is told by the reason, and to gRPC by ``final``."""
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(status.details).details[0].Unpack(info)
    row = next(row for row in section("Every reason") if row[0] == f"`{info.reason}`")
    assert row[1] == code_pb2.Code.Name(status.code)
    if row[1] == "RESOURCE_EXHAUSTED":
        assert status.final is (row[3] == "no")


def test_every_reason_of_a_field_is_told():
    assert [row[0].strip("`") for row in section("Every reason of a field")] == list(ViolationReason)


def test_the_most_violations_are_told():
    assert f"at most {VIOLATIONS_MAX} of them" in PAGE


def test_the_example_reads_what_the_server_says(capsys):
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    names = {}
    exec(example, names)
    range_values = ViolationValues(least=1, most=9, given=10)
    other_values = ViolationValues(given=20, others=(OtherField("d", 10),))
    error = FailedCall(
        Violation("a", "is wrong"),
        Violation("b", "is wrong", ViolationReason.OUT_OF_RANGE, range_values),
        Violation("c", "is wrong", ViolationReason.MORE_THAN_OTHER, other_values),
    )
    names["tell"](error)
    assert capsys.readouterr().out == "a: is wrong\nb: 1 to 9, not 10\nc: 20 is more than d, 10\n"
