"""The command as a whole: exit codes, help, mistakes, quiet output, colours."""
# ruff: noqa: E501 - what is printed is compared in one piece.

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from fake_server import failing
from interpreted import COMPILED
from waiting import SECONDS_MAX, until

from redemption import __version__
from redemption.cli import exits
from redemption.cli.input.options import language
from redemption.settings import Settings
from redemption.v1 import outcome_pb2 as v1
from redemption.v1.decision_pb2 import Decision, TokenVerdict
from redemption.v1.redemption_service_pb2 import RedeemResponse

REDEEM = ("redeem", "TOKEN", "--order", "1", "--spend", "1")
REFUSED = RedeemResponse(
    decision=Decision(
        outcome=v1.OUTCOME_REVOKED,
        disposition=v1.DISPOSITION_FINAL,
        verdicts=[TokenVerdict(outcome=v1.OUTCOME_REVOKED, disposition=v1.DISPOSITION_FINAL)],
    )
)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, exits.BAD_INPUT),
        (grpc.StatusCode.FAILED_PRECONDITION, exits.BAD_INPUT),
        (grpc.StatusCode.UNAUTHENTICATED, exits.BAD_INPUT),
        (grpc.StatusCode.UNIMPLEMENTED, exits.BAD_INPUT),
        (grpc.StatusCode.NOT_FOUND, exits.REFUSED),
        (grpc.StatusCode.UNAVAILABLE, exits.UNREACHABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, exits.UNREACHABLE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, exits.UNREACHABLE),
        (grpc.StatusCode.INTERNAL, exits.FAILED),
        (grpc.StatusCode.UNKNOWN, exits.FAILED),
        (grpc.StatusCode.DATA_LOSS, exits.FAILED),
    ],
)
def test_every_status_has_an_exit_code(status, code):
    assert exits.code_of_status(status.name) == code


def test_a_server_that_is_not_there_is_one_line(command):
    ended = command(*REDEEM, "--server", "127.0.0.1:1")
    assert (ended.code, ended.out) == (3, "")
    told = "cannot reach the server at 127.0.0.1:1: Connection refused; is it running? (redemption serve)"
    assert ended.err == f"redemption: {told}\n"


def test_a_server_that_does_not_answer_in_time_is_one_line(ask, fake, monkeypatch):
    def hang(_request, context):
        while context.is_active():
            time.sleep(0.01)
        return REFUSED

    monkeypatch.setattr("redemption.cli.server_calls._DEADLINE_SECONDS", 0.3)
    fake.answers["Redeem"] = hang
    ended = ask(*REDEEM, "--request-id", "try-1")
    told = f"the server at {fake.address} did not answer in time; it is not known whether anything was done; to ask again safely: --request-id try-1"
    assert (ended.code, ended.err) == (3, f"redemption: {told}\n")


def test_an_internal_error_is_the_servers_failure(ask, fake):
    fake.answers["Redeem"] = failing(
        grpc.StatusCode.INTERNAL, "an internal error; give the operator this id: 7", reason="INTERNAL"
    )
    ended = ask(*REDEEM, "--request-id", "try-1")
    told = "INTERNAL: an internal error; give the operator this id: 7; to ask again safely: --request-id try-1"
    assert (ended.code, ended.err) == (4, f"redemption: {told}\n")


@pytest.mark.parametrize(
    ("reason", "code"), [("OVERLOADED", exits.UNREACHABLE), ("TOO_LARGE", exits.BAD_INPUT), ("", exits.BAD_INPUT)]
)
def test_a_request_that_is_too_large_is_bad_input_and_not_a_busy_server(ask, fake, reason, code):
    """Both have the same gRPC status."""
    fake.answers["Redeem"] = failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "no", reason=reason)
    ended = ask(*REDEEM)
    assert (ended.code, "--request-id" in ended.err) == (code, reason == "OVERLOADED")


def test_a_defect_is_neither_a_refusal_nor_silent(command, monkeypatch):
    monkeypatch.setattr("redemption.cli.input.checkout._from_flags", lambda _typed: 1 / 0)
    ended = command(*REDEEM)
    assert ended.code == exits.FAILED
    assert "ZeroDivisionError" in ended.err


@pytest.mark.parametrize(
    "arguments", [(), *((group,) for group in ("campaigns", "program", "deny", "allow", "fraud", "ledger"))]
)
def test_a_group_alone_shows_its_help(command, arguments):
    ended = command(*arguments)
    assert ended.code == exits.BAD_INPUT
    assert ended.out.startswith(f"Usage: {' '.join(('redemption', *arguments))}")


COMMANDS = [
    *[(name,) for name in ("serve", "mint", "claim", "quote", "redeem", "revoke", "inspect", "get", "samples", "demo")],
    *[("campaigns", name) for name in ("list", "show", "stats", "apply", "pause", "resume", "end", "archive")],
    *[("program", name) for name in ("apply", "show", "tighten", "loosen", "freeze-claims", "thaw-claims")],
    *[(group, name) for group in ("deny", "allow") for name in ("add", "remove", "list")],
    *[("fraud", name) for name in ("stats", "top", "who")],
    *[("ledger", name) for name in ("status", "adopt")],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_within_80_columns(command, arguments):
    ended = command(*arguments, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert "Examples:\n  redemption " in re.sub(r"\n +", "\n  ", ended.out)
    assert max(map(len, ended.out.splitlines())) <= 80


@pytest.mark.parametrize(
    "arguments", [each for each in COMMANDS if each not in (("serve",), ("ledger", "adopt"))], ids=" ".join
)
def test_every_command_that_answers_can_answer_in_json(command, arguments):
    assert "--json" in command(*arguments, "--help").out


def test_the_help_names_the_defaults_of_the_settings(command):
    settings = Settings()
    assert f"[REDEMPTION_SERVER; {settings.server}]" in command("redeem", "--help").out
    assert f"[REDEMPTION_PROGRAM; {settings.program}]" in command("redeem", "--help").out
    text = " ".join(command("serve", "--help").out.split())
    for value in (
        settings.listen,
        settings.environment,
        settings.workers,
        settings.data_dir,
        settings.keyset,
        settings.durability,
        settings.drain_seconds,
        settings.drain_notice_seconds,
        settings.concurrent_calls_max,
        settings.outbox_max,
    ):
        assert f"[{value:g}]" in text if isinstance(value, float) else f"[{value}]" in text


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_the_packages(command, flag):
    ended = command(flag)
    assert (ended.code, ended.out) == (0, f"{__version__}{' compiled' if COMPILED else ''}\n")


@pytest.mark.parametrize(
    ("variables", "chosen", "expected"),
    [
        ({}, None, "en"),
        ({"LANG": "zh_CN.UTF-8"}, None, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, None, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_TW"}, None, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, None, "zh"),
        ({"LANG": "zh_CN.UTF-8"}, "en", "en"),
        ({"LANG": "de_DE"}, "zh", "zh"),
        ({"LANG": "C"}, None, "en"),
    ],
)
def test_the_language_is_chosen_or_the_locales(monkeypatch, variables, chosen, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language(chosen) == expected


def test_the_language_can_be_a_setting(ask, fake, monkeypatch):
    monkeypatch.setenv("REDEMPTION_LANG", "zh")
    fake.answers["Redeem"] = REFUSED
    assert ask(*REDEEM).out == "REVOKED (不可用)   已被商家收回\n"


def test_a_setting_that_is_wrong_is_named_as_it_was_given(command, monkeypatch):
    assert (
        command(*REDEEM, "--server", "nowhere").err
        == "redemption: --server: must be HOST:PORT, for example 127.0.0.1:50051; it is 'nowhere'\n"
    )
    monkeypatch.setenv("REDEMPTION_SERVER", "nowhere")
    ended = command(*REDEEM)
    assert (ended.code, ended.err) == (
        2,
        "redemption: REDEMPTION_SERVER: must be HOST:PORT, for example 127.0.0.1:50051; it is 'nowhere'\n",
    )


def in_terminal(arguments, **environment):
    """Run the command in a terminal and return what it shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "redemption", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:
        pass  # Linux says so when the other side has closed
    os.close(ours)
    process.wait(SECONDS_MAX)
    return shown.decode()


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals_and_can_be_refused(fake, environment, coloured):
    fake.answers["Redeem"] = REFUSED
    shown = in_terminal([*REDEEM, "--server", fake.address], **environment)
    assert "REVOKED (final)   was withdrawn by the shop" in shown
    assert ("\x1b[31m" in shown) is coloured


def test_ctrl_c_is_quiet(fake):
    started = []

    def hang(_request, context):
        started.append(True)
        while context.is_active():
            time.sleep(0.01)
        return REFUSED

    fake.answers["Redeem"] = hang
    process = subprocess.Popen(
        [sys.executable, "-m", "redemption", *REDEEM, "--server", fake.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until(lambda: started)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("--help",), ("campaigns", "schema"), REDEEM], ids=" ".join)
def test_an_output_without_room_is_one_line(fake, arguments, unbuffered):
    fake.answers["Redeem"] = REFUSED
    environment = os.environ | {"REDEMPTION_SERVER": fake.address, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "redemption", *arguments],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=SECONDS_MAX,
        )
    told = "redemption: the output cannot be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (exits.FAILED, told)


def test_help_does_not_wait_for_grpc_rich_or_pydantic():
    """Importing them costs more than all the rest."""
    code = "import sys, redemption.cli.root; print(sorted({'grpc', 'rich', 'pydantic', 'google.protobuf', 'yaml'} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=SECONDS_MAX
    )
    assert found.stdout == "[]\n"
