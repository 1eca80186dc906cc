"""Why a start may fail: each failure is one line for a person, with an exit code of its own."""

import re

import pytest
import structlog
from redis.exceptions import ResponseError

from redemption.domain.errors import LedgerUnavailable
from redemption.domain.signed.keyset import KeysetError
from redemption.ledger.trust.reply_errors import LedgerNotTrusted
from redemption.server.embedded_valkey import EmbeddedValkeyError
from redemption.server.listening import ListenError
from redemption.server.startup import EXIT_FAILED, EXIT_NOT_TRUSTED, StartRefused, configure_logging, refusals, refuse


@pytest.mark.parametrize(
    ("failure", "exit_code"),
    [
        (LedgerNotTrusted("it was rolled back"), EXIT_NOT_TRUSTED),
        (LedgerUnavailable("it does not answer"), EXIT_FAILED),
        (KeysetError("it has no primary key"), EXIT_FAILED),
        (ListenError("the port is taken"), EXIT_FAILED),
        (EmbeddedValkeyError("its directory is in use"), EXIT_FAILED),
        (PermissionError("not yours"), EXIT_FAILED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_failure_of_a_start_is_told_in_its_own_words(capsys, failure, exit_code):
    with pytest.raises(StartRefused) as refused, refusals():
        raise failure
    assert refuse(refused.value) == exit_code
    assert capsys.readouterr().err == f"redemption: {getattr(failure, 'message', failure)}\n"


# A title for the window, a clear screen, the order of reading reversed, and an 8-bit CSI.
CODES = "\x1b]0;owned\x07 \x1b[2J \u202etxt \x9b31m"


def test_a_refusal_is_one_line_that_a_terminal_shows_as_it_is(capsys):
    """The ledger's server, or whatever has its address, may have written a part of it."""
    with pytest.raises(StartRefused) as refused, refusals():
        raise LedgerUnavailable("for callers", for_operator=f"the ledger said {CODES}\nredemption: all is well")
    refuse(refused.value)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert line == (
        "redemption: the ledger said \ufffd]0;owned\ufffd \ufffd[2J \ufffdtxt \ufffd31m redemption: all is well"
    )
    assert str(refused.value).isprintable(), "as the command line tells it, also with --json"


def raised(error):
    """The error with a traceback."""
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_log_shows_no_codes_of_others(capsys, monkeypatch, is_terminal):
    """Neither in a value nor in a traceback; for programs they are escaped."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    configure_logging()
    structlog.get_logger().error(
        "failed", cause=CODES, short="\x1b]0;owned\x07", each=[CODES], exc_info=raised(ResponseError(CODES))
    )
    told = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err)  # without the log's own colours
    assert "failed" in told
    assert "Traceback" in told
    assert "owned" in told
    assert all(char.isprintable() or char == "\n" for char in told)


def test_a_defect_is_no_refusal():
    with pytest.raises(ZeroDivisionError), refusals():
        raise ZeroDivisionError
