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
    """Except the bounds and quotas: they are many, and are rarely needed."""
    text = command("serve", "--help").out
    of_the_client = {"server", "tls_ca", "tls_client_certificate", "tls_client_key", "lang"}
    missing = [name for name in Settings.model_fields if not re.search(rf"--{name.replace('_', '-')}\b", text)]
    assert set(missing) - of_the_client == {"bounds", "work", "quotas"}


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
        ("CONNECTIONS_MAX", "0", "must be more than 0; it is '0'"),
        ("HEADER_BYTES_MAX", "1", "must be at least 1024; it is '1'"),
        ("HEADER_BYTES_MAX", "300000", "must be at most 65536; it is '300000'"),
        ("STREAMS_PER_CONNECTION_MAX", "9" * 10, f"must be at most 1000000; it is '{'9' * 10}'"),
        ("HEADER_FIELD_MAX", "9", "there is no such setting; did you mean REDEMPTION_BOUNDS__HEADER_FIELDS_MAX"),
    ],
)
def test_a_wrong_bound_is_named(command, served, monkeypatch, name, value, problem):
    monkeypatch.setenv(f"REDEMPTION_BOUNDS__{name}", value)
    ended = command("serve")
    assert (ended.code, ended.err, served) == (2, f"redemption: REDEMPTION_BOUNDS__{name}: {problem}\n", [])


SECRETS = ["hunter2/x", "hunter2#x", "hunter2?x", "hunter2@x", "100%x", "12/hunter2", "6379#hunter2", "密hunter2", "[x"]
"""Passwords as people choose them, none of them as a URL takes it."""


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("how", ["variable", "flag"])
def test_a_password_that_is_not_encoded_is_one_line_without_it(command, served, monkeypatch, secret, how):
    url = f"redis://app:{secret}@ledger.example:6379"
    if how == "variable":
        monkeypatch.setenv("REDEMPTION_REDIS_URL", url)
    ended = command("serve", *([] if how == "variable" else ["--redis-url", url]))
    assert (ended.code, ended.out, ended.err.count("\n"), served) == (2, "", 1, [])
    assert ended.err.startswith(f"redemption: {'REDEMPTION_REDIS_URL' if how == 'variable' else '--redis-url'}: ")
    assert "/ as %2F, # as %23, @ as %40, % as %25" in ended.err
    for part in (secret, "hunter2", "app", "ledger.example"):
        assert part not in ended.err.replace("/ as %2F", "")


@pytest.mark.parametrize("environment", ["development", "production"])
def test_an_empty_address_is_no_embedded_ledger(command, served, monkeypatch, environment):
    monkeypatch.setenv("REDEMPTION_ENVIRONMENT", environment)
    monkeypatch.setenv("REDEMPTION_REDIS_URL", "")
    ended = command("serve")
    told = "redemption: REDEMPTION_REDIS_URL: is empty: give it a value, or unset it\n"
    assert (ended.code, ended.err, served) == (2, told, [])
    monkeypatch.delenv("REDEMPTION_REDIS_URL")
    ended = command("serve", "--redis-url", " ")
    told = "--redis-url is empty; leave the option out for the default: an embedded one"
    assert ended.err == f"redemption serve: {told}; see redemption serve --help\n"


def test_everything_that_is_wrong_is_told_at_once(command, served, monkeypatch):
    for name, value in (
        ("DURABILTY", "fast"),
        ("DURABILITY", "quick"),
        ("WORK", '{"quotes_max": 1}'),
        ("BOUNDS__WAIT_SECONDS_MAX", "inf"),
        ("KEYSET", ""),
        ("INSECURE", "perhaps"),
        ("ENVIRONMENT", "Prod"),
        ("DRAIN_SECONDS", "nan"),
        ("REDIS_URL", "redis://:hunter2/x@127.0.0.1:6379"),
    ):
        monkeypatch.setenv(f"REDEMPTION_{name}", value)
    ended = command("serve", "--workers", "0", "--listen", "redis://:hunter2@127.0.0.1")
    assert (ended.code, ended.out, served) == (2, "", [])
    assert "hunter2" not in ended.err
    told = dict(line.removeprefix("redemption: ").split(": ", 1) for line in ended.err.splitlines())
    assert set(told) == {
        *("REDEMPTION_DURABILTY", "REDEMPTION_DURABILITY", "REDEMPTION_WORK", "REDEMPTION_BOUNDS__WAIT_SECONDS_MAX"),
        *("REDEMPTION_KEYSET", "REDEMPTION_INSECURE", "REDEMPTION_ENVIRONMENT", "REDEMPTION_DRAIN_SECONDS"),
        *("REDEMPTION_REDIS_URL", "--workers", "--listen"),
    }
    assert told["REDEMPTION_DURABILITY"] == "input should be 'strict' or 'fast'; it is 'quick'"
    assert told["REDEMPTION_INSECURE"] == "must be true or false; it is 'perhaps'"
    assert told["REDEMPTION_ENVIRONMENT"].startswith("must be 1 to 32 of a-z")
    assert told["--listen"] == "must be HOST:PORT, for example 127.0.0.1:50051"


def test_a_wrong_name_and_settings_that_cannot_be_together_are_told_at_once(command, served, monkeypatch):
    monkeypatch.setenv("REDEMPTION_DURABILTY", "fast")
    ended = command("serve", "--tls-key", "key.pem")
    assert (ended.code, len(ended.err.splitlines()), served) == (2, 2, [])


@pytest.mark.parametrize("name", ["TLS_KEY", "TLS_CERTIFICATE", "TLS_CLIENT_KEY", "KEYSET", "FENCE", "DATA_DIR"])
@pytest.mark.parametrize(
    "content",
    ["-----BEGIN PRIVATE KEY-----\nMIIsecret\n", '{"keys": ["secret"]}', "secret" * 400],
    ids=["PEM", "JSON", "long"],
)
def test_the_content_of_a_file_is_not_taken_for_its_path_and_not_repeated(command, served, monkeypatch, name, content):
    monkeypatch.setenv(f"REDEMPTION_{name}", content)
    ended = command("serve")
    first, *others = ended.err.splitlines()
    assert first == f"redemption: REDEMPTION_{name}: must be the path of a file, not its content"
    assert all("go together" in line for line in others), "a key without its certificate is wrong as well"
    assert "secret" not in ended.err
    assert (ended.code, served) == (2, [])


def test_a_url_in_the_wrong_place_is_not_repeated(command, served):
    """People forget the flag before it."""
    ended = command("serve", "redis://:hunter2@127.0.0.1:6379")
    assert (ended.code, served) == (2, [])
    assert "hunter2" not in ended.err


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--workers", "0"), "--workers: must be at least 1; it is '0'"),
        (("--listen", "50051"), "--listen: must be HOST:PORT, for example 127.0.0.1:50051; it is '50051'"),
    ],
)
def test_a_wrong_value_is_named_with_its_flag(command, served, flags, error):
    ended = command("serve", *flags)
    assert (ended.code, ended.err, served) == (2, f"redemption: {error}\n", [])


@pytest.mark.parametrize(
    ("leftovers", "told"),
    [
        (["CRET@h"], "unexpected argument"),
        (["CRET@h", "CRET", "-CRET"], "an option that it does not have"),
        (["CRET@h", "CRET"], "unexpected arguments"),
        (["--", "CRET@h"], "unexpected argument"),
        (["--CRET@h"], "an option that it does not have"),
        (["-CRET@h"], "an option that it does not have"),
        (["--CRET=x@h"], "an option that it does not have"),
    ],
)
@pytest.mark.parametrize("url", [["--redis-url", "redis://a:S3"], ["redis://a:S3"]])
def test_the_rest_of_a_password_with_a_blank_is_not_repeated(command, served, url, leftovers, told):
    """Without quotes, the shell makes several arguments of the URL."""
    ended = command("serve", *url, *leftovers)
    assert (ended.code, served) == (2, [])
    assert ended.err.startswith("redemption serve: got ")
    assert told in ended.err
    assert "a value with blanks needs quotes" in ended.err
    assert "-C" not in ended.err
    assert "CRET" not in ended.err
    assert "S3" not in ended.err


def test_how_many_arguments_were_not_expected_is_told(command, served):
    ended = command("serve", "--redis-url", "redis://a:S3", "CRET", "CRET@h")
    assert ended.err == (
        "redemption serve: got 2 unexpected arguments (not shown, as a password may be in it; a value with blanks "
        "needs quotes); see redemption serve --help\n"
    )


def test_an_option_that_is_misspelt_is_still_named(command, served):
    ended = command("serve", "--worker", "3")
    assert "no such option: --worker (Possible options: --workers)" in ended.err
    assert "(b)" in command("get", "--request-id", "a", "b").err, "other commands have no URL with a password"
