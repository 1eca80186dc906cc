"""``serve``: flags become settings, and its exit code is the server's."""

import pytest

from redemption import app
from redemption.settings import Settings


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
    text = command("serve", "--help").out
    of_the_client = {"server", "tls_ca", "tls_client_certificate", "tls_client_key", "lang"}
    missing = [name for name in Settings.model_fields if f"--{name.replace('_', '-')}" not in text]
    assert set(missing) - of_the_client == set()


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
