"""What an error reply of the ledger means: the caller learns what to do, and never the text of the reply."""

import pytest
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError
from refused import require_silence

from redemption.domain.errors import LedgerRefused
from redemption.ledger.permissions import LedgerForbids
from redemption.ledger.trust.reply_errors import (
    LedgerClockAhead,
    LedgerClockApart,
    LedgerFull,
    LedgerNotReady,
    LedgerNotTrusted,
    LedgerReadOnly,
    NoLedger,
    error_of,
    has_unknown_text,
)

MEANINGS = [
    (ResponseError("NOLEDGER secret"), NoLedger, "begin or accept its ledger"),
    (ResponseError("NOTTRUSTED secret"), LedgerNotTrusted, "not the one that this server knows"),
    (ResponseError("CLOCKAPART 7000 1000 secret"), LedgerClockApart, "6.0 s ahead of this server's"),
    (ResponseError("CLOCKAPART 1000 7500"), LedgerClockApart, "6.5 s behind this server's"),
    (ResponseError("CLOCKAHEAD secret"), LedgerClockAhead, "a time that has not come"),
    (ReadOnlyError("secret"), LedgerReadOnly, "takes no writes now"),
    (OutOfMemoryError("secret"), LedgerFull, "no memory left"),
    (ResponseError("READONLY secret"), LedgerReadOnly, "takes no writes now"),
    (ResponseError("OOM secret"), LedgerFull, "no memory left"),
    (ResponseError("MISCONF secret"), LedgerReadOnly, "takes no writes now"),
    (NoPermissionError("User secret has no permissions to run the 'fcall' command"), LedgerForbids, "does not allow"),
    (ResponseError("NOPERM No permissions to access a key"), LedgerForbids, "does not allow"),
    (ResponseError("NOPERM No permissions to access a channel"), LedgerForbids, "does not allow"),
    (NoPermissionError("secret"), LedgerForbids, "does not allow"),
    (ResponseError("NOPERM secret"), LedgerForbids, "does not allow"),
    (
        ResponseError("ERR ACL failure in script: User secret has no permissions to run the 'hset' command script: x"),
        LedgerForbids,
        "does not allow",
    ),
    (ResponseError("BUSY secret"), LedgerNotReady, "does not take calls now"),
    (ResponseError("LOADING secret"), LedgerNotReady, "does not take calls now"),
    (ResponseError("WRONGTYPE secret"), LedgerRefused, "its operator finds the cause in the log"),
    (ResponseError(""), LedgerRefused, "its operator finds the cause in the log"),
]


@pytest.mark.parametrize(("reply", "failure", "told"), MEANINGS, ids=[repr(reply) for reply, *_ in MEANINGS])
def test_each_error_reply_has_its_meaning(reply, failure, told):
    error = error_of(reply)
    assert type(error) is failure
    assert told in error.message
    assert "secret" not in error.message
    require_silence(error)
    assert has_unknown_text(error) == (failure in (LedgerRefused, LedgerForbids)), "then it has to be logged"


@pytest.mark.parametrize(
    ("reply", "cure"),
    [("NOLEDGER", "redemption ledger adopt"), ("NOTTRUSTED", "ledger status"), ("CLOCKAHEAD", "ledger reset-clock")],
)
def test_what_an_operator_has_to_run_is_told_to_the_operator_alone(reply, cure):
    assert cure in error_of(ResponseError(reply)).for_operator
