"""``serve``: flags become settings, and its exit code is the server's."""

import re

import pytest

from redemption import app
from redemption.app import work_bounds
from redemption.scheduling.work_bounds import WorkBounds
from redemption.settings import BoundSettings, Settings


@pytest.fixture
def served(monkeypatch):
    """The settings that a server was run with; none is run."""
    found = []

    def serve(settings):
        found.append(settings)
        return 5

    monkeypatch.setattr(app, "serve", serve)
    return found


def test_flags_win_over_the_environment(command, served, monkeypatch, tmp_path):
    monkeypatch.setenv("REDEMPTION_LISTEN", "127.0.0.1:7")
    monkeypatch.setenv("REDEMPTION_WORKERS", "3")
    ended = command("serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path, "--insecure", "--no-reflection")
    (settings,) = served
    assert ended.code == 5
    assert (settings.listen, settings.workers, settings.data_dir) == ("127.0.0.1:0", 3, tmp_path)
    assert (settings.insecure, settings.reflection) == (True, False)


def test_without_flags_the_settings_are_their_own(command, served):
    command("serve")
    assert served == [Settings()]


def test_every_setting_of_the_server_has_a_flag(command):
    """Except the bounds: they are many, and are rarely needed."""
    text = command("serve", "--help").out
    of_the_client = {"server", "tls_ca", "tls_client_certificate", "tls_client_key", "lang"}
    missing = [name for name in Settings.model_fields if not re.search(rf"--{name.replace('_', '-')}\b", text)]
    assert set(missing) - of_the_client == {"bounds", "work"}


def test_a_bound_is_set_in_the_environment(command, served, monkeypatch):
    monkeypatch.setenv("REDEMPTION_BOUNDS__HEADER_FIELDS_MAX", "40")
    command("serve")
    assert served[0].bounds == BoundSettings(header_fields_max=40)


def test_a_bound_of_work_reaches_what_keeps_it(command, served, monkeypatch):
    monkeypatch.setenv("REDEMPTION_WORK__QUOTES_MAX", "3")
    command("serve")
    assert work_bounds(served[0]) == WorkBounds(quotes_max=3)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("CONNECTIONS_MAX", "0", "input should be greater than 0; it is '0'"),
        ("HEADER_BYTES_MAX", "1", "input should be greater than or equal to 1024; it is '1'"),
        ("HEADER_BYTES_MAX", "300000", "input should be less than or equal to 65536; it is '300000'"),
        ("STREAMS_PER_CONNECTION_MAX", "9" * 10, f"input should be less than or equal to 1000000; it is '{'9' * 10}'"),
        ("HEADER_FIELD_MAX", "9", "there is no such setting"),
    ],
)
def test_a_wrong_bound_is_named(command, served, monkeypatch, name, value, problem):
    monkeypatch.setenv(f"REDEMPTION_BOUNDS__{name}", value)
    ended = command("serve")
    assert (ended.code, ended.err, served) == (2, f"redemption: REDEMPTION_BOUNDS__{name}: {problem}\n", [])


@pytest.mark.parametrize("given", ["127.0.0.1:6379", "http://user:secret@127.0.0.1:6379"])
def test_a_ledger_address_of_another_kind_is_named_and_not_repeated(command, served, monkeypatch, given):
    """It may hold a password."""
    monkeypatch.setenv("REDEMPTION_REDIS_URL", given)
    ended = command("serve")
    assert (ended.code, served) == (2, [])
    example = "for example redis://127.0.0.1:6379"
    assert ended.err == (
        f"redemption: REDEMPTION_REDIS_URL: must begin with redis://, rediss:// or unix://, {example}\n"
    )


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--workers", "0"), "--workers: input should be greater than or equal to 1; it is '0'"),
        (("--listen", "50051"), "--listen: must be HOST:PORT, for example 127.0.0.1:50051; it is '50051'"),
    ],
)
def test_a_wrong_value_is_named_with_its_flag(command, served, flags, error):
    ended = command("serve", *flags)
    assert (ended.code, ended.err, served) == (2, f"redemption: {error}\n", [])
