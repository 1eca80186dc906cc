"""The script that tries other clients: what it calls wrong, and what it does without them. It is not run as a whole."""

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from tool_loader import load_tool

plan = load_tool("client_plan")
cases = load_tool("client_cases")
h2spec = load_tool("client_h2spec")
process = load_tool("client_process")
script = load_tool("try_clients")


def _seen(**told):
    return plan.observation_of({"name": "a case", **told})


def _details(*messages):
    status = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT)
    for message in messages:
        status.details.add().Pack(message)
    return plan.base64.b64encode(status.SerializeToString()).decode()


INFO = error_details_pb2.ErrorInfo(reason="INVALID_REQUEST")
OTHER_INFO = error_details_pb2.ErrorInfo(reason="OTHER")
FIELD = error_details_pb2.BadRequest(field_violations=[{"field": "checkout.order.lines", "description": "must be"}])
ASKED = {"codes": {"4": cases.SHORT_DEADLINES}}


@pytest.mark.parametrize(
    ("judge", "told", "problem"),
    [
        (cases._invalid, {"code": 3, "details": _details(INFO, FIELD)}, ""),
        (cases._invalid, {"code": 3, "details": _details(INFO)}, "the fields are"),
        (cases._invalid, {"code": 3, "details": _details(OTHER_INFO, FIELD)}, "the reason is"),
        (cases._invalid, {"code": 3, "details": _details(INFO, FIELD), "reason": "OTHER"}, "the reason is"),
        (cases._invalid, {"code": 13, "message": "oh"}, "INTERNAL instead of INVALID_ARGUMENT: oh"),
        (cases._approved, {"messages": [""]}, "1 of 1 were not approved"),
        (cases._short_deadlines, ASKED, ""),
        (cases._short_deadlines, {"codes": {"4": cases.SHORT_DEADLINES - 1, "1": 1}}, "1 CANCELLED"),
        (cases._short_deadlines, {"codes": {"0": cases.SHORT_DEADLINES}}, "quicker"),
        (cases._short_deadlines, {"codes": {"4": 1}}, "1 DEADLINE_EXCEEDED"),
        (cases._approved_or_refused, {"codes": {"8": cases.MANY}, "message": cases.TOO_MUCH_WORK}, ""),
        (cases._approved_or_refused, {"codes": {"8": cases.MANY}, "message": "another bound"}, "another bound"),
        (cases._approved_or_refused, {"codes": {"0": cases.MANY - 1, "14": 1}}, "1 UNAVAILABLE"),
        (cases._went_on, {"steps": [{"name": "calls", "codes": {"0": 1}}, {"name": "watch"}]}, "only 1 calls"),
        (
            cases._went_on,
            {"steps": [{"name": "calls", "codes": {"0": 500, "14": 1}}, {"name": "watch"}]},
            "UNAVAILABLE",
        ),
        (
            cases._went_on,
            {"steps": [{"name": "calls", "codes": {"0": 500}}, {"name": "watch", "code": 1}]},
            "CANCELLED",
        ),
    ],
)
def test_what_a_client_saw_is_judged(judge, told, problem):
    found = judge(_seen(**told), {})
    assert problem in found
    assert bool(problem) == bool(found)


def test_an_answer_that_changed_is_told():
    before, after = _seen(messages=["YQ==", "", "Yg=="]), _seen(messages=["YQ==", "Yw==", "Yw=="])
    assert cases._unchanged(after, before) == "1 have another answer than before"


def test_a_failed_case_of_h2spec_is_found(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase package="http2/1" classname="good"></testcase>'
        '<testcase package="http2/2" classname="bad"><failure>no</failure></testcase></testsuite></testsuites>'
    )
    assert h2spec._results(report, process.Ran(1, "", "")) == (1, ["http2/2: bad"])


def test_who_is_missing_is_told_and_is_no_failure(capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert script.main(["h2spec"]) == 0
    assert "MISSING" in capsys.readouterr().out


def test_help_says_what_each_needs(capsys):
    with pytest.raises(SystemExit):
        script.main(["--help"])
    said = capsys.readouterr().out
    for name, install in script.TOOLS.items():
        assert name in said
        assert install in said
