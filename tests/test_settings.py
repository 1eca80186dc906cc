"""Settings: their defaults are those of the transport, and variables that look like settings are found."""

from dataclasses import fields

from redemption.rpc.transport.bounds import Bounds
from redemption.scheduling.work_bounds import WorkBounds
from redemption.settings import BoundSettings, Settings, WorkSettings, unknown_variables


def test_the_bounds_that_can_be_set_are_those_of_the_transport():
    """With the same defaults; the calls at once have a name of their own, from before there were others."""
    defaults = {field.name: field.default for field in fields(Bounds)}
    assert BoundSettings().model_dump() == {name: value for name, value in defaults.items() if name != "calls_max"}
    assert Settings().concurrent_calls_max == defaults["calls_max"]


def test_the_bounds_of_work_that_can_be_set_have_the_same_defaults():
    assert WorkSettings().model_dump() == {field.name: field.default for field in fields(WorkBounds)}


def test_variables_that_look_like_settings_and_are_none_are_found(monkeypatch):
    for name in (
        *("REDEMPTION_BOUNDS_WAIT_SECONDS_MAX", "REDEMPTION_WORKER", "REDEMPTION_BOUNDS__WAIT_SECONDS_MAX"),
        *("REDEMPTION_LISTEN", "REDEMPTION_PORT", "REDEMPTION_PORT_50051_TCP", "REDEMPTION_SERVICE_HOST"),
    ):
        monkeypatch.setenv(name, "1")
    assert unknown_variables() == ["REDEMPTION_BOUNDS_WAIT_SECONDS_MAX", "REDEMPTION_WORKER"]
