"""The check of the generator itself: other clients see the same server."""

import shutil

import pytest
from tool_loader import load_bench

check = load_bench("generator_check")


@pytest.mark.parametrize("name", ["ours", "h2load", "grpc_aio"])
def test_each_client_drives_the_empty_handler(empty, name):
    if name == "h2load" and shutil.which("h2load") is None:
        pytest.skip("h2load is not installed")
    before = empty.cost()
    found = getattr(check, name)(empty, 0.3)
    assert found.wrong == ""
    assert found.sent >= 0.8 * found.calls_per_second * 0.3 > 20
    assert 0 < found.p50_ms < 1000 * check.CONNECTIONS * check.UNDER_WAY / found.calls_per_second * 3
    assert (empty.cost() - before).server > 0


@pytest.mark.parametrize("name", ["ours", "h2load", "grpc_aio"])
def test_each_client_tells_when_calls_fail(empty, monkeypatch, name):
    if name == "h2load" and shutil.which("h2load") is None:
        pytest.skip("h2load is not installed")
    monkeypatch.setattr(check, "REDEEM", "/redemption.v1.RedemptionService/Nothing")
    monkeypatch.setattr(check, "CALLS_PER_SECOND_MAX", 1000)
    if name == "grpc_aio":
        found = check.uvloop.run(check.client(empty.authority, 0.1))
    else:
        found = getattr(check, name)(empty, 0.1)
    assert found.wrong.startswith({"ours": "UNIMPLEMENTED", "h2load": "answers without", "grpc_aio": "UNIMPL"}[name])


def rounds(*costs, wrong=""):
    return [check.Round(check.Found(100, 1000.0, 1.5, wrong), cost) for cost in costs]


@pytest.mark.parametrize(
    ("other", "told", "code"),
    [
        (rounds(90, 110, 100), "ours against other: 1.00 (0.91 to 1.11): agrees", 0),
        (rounds(50, 92, 200), "ours against other: 1.09 (0.50 to 2.00): agrees", 0),
        (rounds(50, 89, 200), "ours against other: 1.12 (0.50 to 2.00): DIFFERS by more than 10%", 1),
        (rounds(120, 112, 130), "ours against other: 0.83 (0.77 to 0.89): DIFFERS by more than 10%", 1),
        (rounds(90, 110, 100, wrong="UNAVAILABLE"), "INVALID: other: UNAVAILABLE", 1),
    ],
)
def test_the_report_says_whether_the_servers_cost_agrees(monkeypatch, tmp_path, capsys, other, told, code):
    monkeypatch.setattr(check.shutil, "which", lambda _: None)
    monkeypatch.setattr(check, "check", lambda *_: [rounds(100, 100, 100), other])
    assert check.main(["--results", str(tmp_path)]) == code
    assert told.replace("other", "grpc.aio") in capsys.readouterr().out
    assert len(list(tmp_path.glob("generator-*.json"))) == 1
