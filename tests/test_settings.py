"""Settings: their defaults are those of the transport, and variables that only look like settings are found."""

import json
from dataclasses import fields

import pytest

from redemption.app import _as_config, quota_rules
from redemption.cli.exits import BAD_INPUT, Stop
from redemption.cli.input.options import settings_of
from redemption.rpc.transport.bounds import Bounds
from redemption.scheduling.quota import Quota, QuotaRules
from redemption.scheduling.work_bounds import WorkBounds
from redemption.settings import (
    BoundSettings,
    QuotaSettings,
    Settings,
    WorkSettings,
    contradictions,
    environment_problems,
)


def test_the_bounds_that_can_be_set_are_those_of_the_transport():
    """With the same defaults; the calls at once have a name of their own, from before there were others."""
    defaults = {field.name: field.default for field in fields(Bounds)}
    assert BoundSettings().model_dump() == {name: value for name, value in defaults.items() if name != "calls_max"}
    assert Settings().concurrent_calls_max == defaults["calls_max"]


def test_the_bounds_of_work_that_can_be_set_have_the_same_defaults():
    assert WorkSettings().model_dump() == {field.name: field.default for field in fields(WorkBounds)}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("REDEMPTION_DURABILTY", "there is no such setting; did you mean REDEMPTION_DURABILITY"),
        ("redemption_durabilty", "there is no such setting; did you mean REDEMPTION_DURABILITY"),
        ("REDEMPTION_WORKER", "there is no such setting; did you mean REDEMPTION_WORKERS"),
        (
            "REDEMPTION_BOUNDS_WAIT_SECONDS_MAX",
            "there is no such setting; did you mean REDEMPTION_BOUNDS__WAIT_SECONDS_MAX",
        ),
        ("REDEMPTION_WORK__QUOTE_MAX", "there is no such setting; did you mean REDEMPTION_WORK__QUOTES_MAX"),
        ("REDEMPTION_WORKERS__MAX", "there is no such setting; did you mean REDEMPTION_WORKERS"),
        ("REDEMPTION_BOUNDS", "set each of them by itself, as REDEMPTION_BOUNDS__<NAME>"),
        ("REDEMPTION_PORT", "there is no such setting"),
        ("REDEMPTION_", "there is no such setting"),
    ],
)
def test_a_variable_that_looks_like_a_setting_and_is_none_is_wrong(monkeypatch, name, problem):
    monkeypatch.setenv(name, "1")
    assert environment_problems() == {name: problem}


def test_variables_of_others_are_left_alone(monkeypatch):
    """What Kubernetes sets in every container for services called ``redemption…``, and what the build reads."""
    for name, value in (
        ("REDEMPTION_SERVICE_HOST", "10.0.0.1"),
        ("REDEMPTION_SERVICE_PORT", "50051"),
        ("REDEMPTION_SERVICE_PORT_GRPC", "50051"),
        ("REDEMPTION_PORT", "tcp://10.0.0.1:50051"),
        ("REDEMPTION_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
        ("REDEMPTION_LEDGER_PORT_6379_TCP_ADDR", "10.0.0.2"),
        ("REDEMPTION_LEDGER_SERVICE_PORT", "6379"),
        ("REDEMPTION_COMPILE", "1"),
    ):
        monkeypatch.setenv(name, value)
    assert environment_problems() == {}


def variables():
    """Every variable that sets something."""
    for name, field in Settings.model_fields.items():
        if field.annotation in (BoundSettings, WorkSettings, QuotaSettings):
            yield from (f"REDEMPTION_{name}__{part}".upper() for part in field.annotation.model_fields)
        else:
            yield f"REDEMPTION_{name}".upper()


def test_every_name_that_sets_something_is_known(monkeypatch):
    for name in variables():
        monkeypatch.setenv(name, "1")
    assert environment_problems() == {}


def test_an_empty_value_is_wrong(monkeypatch):
    """It would be a path, or a program, that nobody meant."""
    for name in ("REDEMPTION_KEYSET", "REDEMPTION_REDIS_URL", "REDEMPTION_WORK__QUOTES_MAX"):
        monkeypatch.setenv(name, "")
    assert set(environment_problems()) == {
        *("REDEMPTION_KEYSET", "REDEMPTION_REDIS_URL", "REDEMPTION_WORK__QUOTES_MAX"),
    }


JUNK = [
    "",
    " ",
    "0",
    "-1",
    "1e400",
    "nan",
    "9" * 40,
    "{",
    "[]",
    "null",
    "\udcff",
    "密",
    "x" * 5_000,
    "a\nb",
    "://@",
    "%",
]


def said(**flags):
    """What a command says of its flags and the present environment, line by line."""
    try:
        settings_of(**flags)
    except Stop as stop:
        return stop.code, stop.told
    return BAD_INPUT, ()


def test_whatever_stands_in_a_variable_is_a_setting_or_told_in_a_line(monkeypatch):
    """Never a traceback, and never more than a line can hold."""
    for name in [*sorted(variables()), "REDEMPTION_BOUNDS", "REDEMPTION_OTHER"]:
        for value in JUNK:
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                code, lines = said()
            assert code == BAD_INPUT
            assert all(line.startswith("redemption: ") and line.isprintable() and len(line) < 600 for line in lines)


@pytest.mark.parametrize(
    ("variables", "rules"),
    [
        ({}, None),
        ({"PROGRAMS": '{"staff": null}'}, None),
        ({"PROGRAM_CALLS_PER_SECOND": "2.5"}, QuotaRules(program=Quota(2.5, 3))),
        (
            {"PRINCIPAL_CALLS_PER_SECOND": "100", "PRINCIPAL_BURST": "7"},
            QuotaRules(principal=Quota(100, 7)),
        ),
        (
            {
                "PROGRAM_CALLS_PER_SECOND": "5",
                "PROGRAMS": '{"paid": {"calls_per_second": 500, "burst": 1000}, "staff": null}',
                "PRINCIPALS": '{"spiffe://shop/loud": {"calls_per_second": 0.5}}',
            },
            QuotaRules(
                program=Quota(5, 5),
                programs={"paid": Quota(500, 1000), "staff": None},
                principals={"spiffe://shop/loud": Quota(0.5, 1)},
            ),
        ),
    ],
)
def test_quotas_are_read_and_reach_the_workers(monkeypatch, variables, rules):
    """A worker gets its settings as JSON of the supervisor."""
    for name, value in variables.items():
        monkeypatch.setenv(f"REDEMPTION_QUOTAS__{name}", value)
    settings = settings_of()
    assert quota_rules(settings) == rules
    for name in variables:
        monkeypatch.delenv(f"REDEMPTION_QUOTAS__{name}")
    handed_on = Settings(**json.loads(json.dumps(_as_config(settings))))
    assert quota_rules(handed_on) == rules


SHAPE = 'must be a JSON object of names, such as {"shop": {"calls_per_second": 500, "burst": 1000}, "staff": null}'


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PROGRAM_CALLS_PER_SECOND", "0", "must be at least 0.001"),
        ("PROGRAM_CALLS_PER_SECOND", "inf", "input should be a finite number"),
        ("PROGRAM_CALLS_PER_SECOND", "nan", "input should be a finite number"),
        ("PROGRAM_BURST", "5", "needs program_calls_per_second as well"),
        ("PRINCIPAL_BURST", "0", "must be at least 1"),
        ("PROGRAMS", "[]", SHAPE),
        ("PROGRAMS", '{"a":' * 9_999, SHAPE),
        ("PROGRAMS", "shop=5", f"{SHAPE}: Expecting value"),
        ("PROGRAMS", '{"a": null, "a": null}', f"{SHAPE}: a name is in it twice"),
        ("PROGRAMS", '{"No Such": null}', "'No Such': a name of a program must be 1 to 64 of a-z, 0-9, _ and -"),
        ("PROGRAMS", '{"a": 5}', "'a': must be null, for no quota, or an object with calls_per_second"),
        ("PROGRAMS", '{"a": {}}', "'a': calls_per_second: field required"),
        ("PROGRAMS", '{"a": {"calls_per_second": -1}}', "'a': calls_per_second: must be at least 0.001"),
        ("PROGRAMS", '{"a": {"calls_per_second": 1, "x": 1}}', "'a': x: extra inputs are not permitted"),
        ("PRINCIPALS", '{"": null}', "'': a name must be 1 to 1024 characters"),
    ],
)
def test_a_wrong_quota_is_told_in_one_line_with_its_name(monkeypatch, name, value, problem):
    monkeypatch.setenv(f"REDEMPTION_QUOTAS__{name}", value)
    code, (line,) = said()
    assert code == BAD_INPUT
    assert line.startswith(f"redemption: REDEMPTION_QUOTAS__{name}: {problem}")


PAIR = "tls_certificate and tls_key go together: give both, or none"
CLIENT_PAIR = "tls_client_certificate and tls_client_key go together: give both, or none"
NO_AUTHORITY = "tls_client_certificate and tls_client_key need tls_ca as well: else calls go in plain text"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, []),
        ({"tls_certificate": "c", "tls_key": "k", "tls_client_ca": "a"}, []),
        ({"tls_certificate": "c"}, [PAIR]),
        ({"tls_key": "k", "tls_client_ca": "a", "tls_client_key": "k"}, [PAIR, CLIENT_PAIR]),
        ({"tls_client_ca": "a"}, ["tls_client_ca needs tls_certificate and tls_key as well"]),
        ({"tls_client_certificate": "c"}, [CLIENT_PAIR]),
        ({"tls_client_certificate": "c", "tls_client_key": "k"}, [NO_AUTHORITY]),
        ({"tls_client_certificate": "c", "tls_client_key": "k", "tls_ca": "a"}, []),
    ],
)
def test_settings_that_cannot_be_together_are_told(given, told):
    assert contradictions(given) == told


@pytest.mark.parametrize(
    ("flags", "variables", "told"),
    [
        ({"workers": 0}, {"REDEMPTION_TLS_KEY": "k"}, ["--workers", PAIR]),
        ({"tls_key": "k"}, {"REDEMPTION_WORKERS": "0", "redemption_tls_client_ca": "a"}, ["REDEMPTION_WORKERS", PAIR]),
        ({"tls_key": "k"}, {"REDEMPTION_WORKER": "1"}, ["REDEMPTION_WORKER", PAIR]),
        ({"tls_key": "k"}, {"REDEMPTION_TLS_CERTIFICATE": "-----BEGIN"}, ["REDEMPTION_TLS_CERTIFICATE"]),
        ({"tls_key": "k"}, {"REDEMPTION_TLS_CERTIFICATE": ""}, ["REDEMPTION_TLS_CERTIFICATE", PAIR]),
        ({}, {"REDEMPTION_TLS_CERTIFICATE": ""}, ["REDEMPTION_TLS_CERTIFICATE"]),
        ({"tls_key": "k"}, {"REDEMPTION_TLS_CERTIFICATE": "c"}, []),
    ],
)
def test_all_that_is_wrong_is_told_at_once(monkeypatch, flags, variables, told):
    """Wrong values and wrong names do not hide that settings cannot be together."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    _, lines = said(**flags)
    assert [line.split(": ")[1] for line in lines] == [each.partition(": ")[0] for each in told]
