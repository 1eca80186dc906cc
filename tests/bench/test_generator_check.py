"""The check of the generator itself: other clients see the same server."""

import shutil

import pytest
from tool_loader import load_bench

check = load_bench("generator_check")


@pytest.mark.parametrize("name", ["ours", "h2load", "grpc_aio"])
def test_each_client_drives_the_empty_handler(empty, steady, monkeypatch, name):
    """Ours by a steady time, the others by the machine's: so little is asked of their rate."""
    if name == "h2load" and shutil.which("h2load") is None:
        pytest.skip("h2load is not installed")
    # A step may bring one answer or those of all calls under way: neither too few of them, nor too few calls.
    seconds, steps = 0.3, 300
    steady.step = seconds / steps
    monkeypatch.setattr(check, "CALLS_PER_SECOND_MAX", 2 * check.CONNECTIONS * check.UNDER_WAY / steady.step)
    before = empty.cost()
    found = getattr(check, name)(empty, seconds)
    assert found.wrong == ""
    assert found.sent >= check.CONNECTIONS * check.UNDER_WAY
    assert found.calls_per_second > 0
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
        (rounds(90, 110, 100), "ours, at its rate against grpc.aio: 1.00 (0.91 to 1.11): agrees within 20%", 0),
        (rounds(50, 85, 200), "against grpc.aio: 1.18 (0.50 to 2.00): agrees within 20%", 0),
        (rounds(50, 82, 200), "against grpc.aio: 1.22 (0.50 to 2.00): DIFFERS by more than 20%", 1),
        (rounds(130, 126, 140), "against grpc.aio: 0.77 (0.71 to 0.79): DIFFERS by more than 20%", 1),
        (rounds(90, 110, 100, wrong="UNAVAILABLE"), "INVALID: grpc.aio: UNAVAILABLE", 1),
    ],
)
def test_the_report_says_whether_the_servers_cost_agrees(monkeypatch, tmp_path, capsys, other, told, code):
    monkeypatch.setattr(check.shutil, "which", lambda _: None)
    found = {"ours": rounds(100, 100, 100), "grpc.aio": other, check.FOLLOWING: rounds(100, 100, 100)}
    monkeypatch.setattr(check, "check", lambda *_: found)
    assert check.main(["--results", str(tmp_path)]) == code
    assert told in capsys.readouterr().out
    assert len(list(tmp_path.glob("generator-*.json"))) == 1


def test_our_generator_follows_a_slow_client_at_its_rate(monkeypatch, steady):
    monkeypatch.setattr(check, "CLIENTS", {"grpc.aio": lambda *_: check.Found(100, 300.0, 1.0)})
    found = check.check(["grpc.aio"], 2, 0.3)
    assert [each.found.calls_per_second for each in found[check.FOLLOWING]] == [pytest.approx(300, rel=0.3)] * 2
    assert all(each.server_us > 10 for each in found[check.FOLLOWING])
