"""Why a start may fail: each failure is one line for a person, with an exit code of its own."""

import pytest

from redemption.domain.errors import LedgerUnavailable
from redemption.domain.signed.keyset import KeysetError
from redemption.ledger.trust.reply_errors import LedgerNotTrusted
from redemption.server.embedded_valkey import EmbeddedValkeyError
from redemption.server.listening import ListenError
from redemption.server.startup import EXIT_FAILED, EXIT_NOT_TRUSTED, StartRefused, refusals, refuse


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


def test_a_defect_is_no_refusal():
    with pytest.raises(ZeroDivisionError), refusals():
        raise ZeroDivisionError
