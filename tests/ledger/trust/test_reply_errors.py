"""What an error reply of the ledger means: the caller learns what to do, and never the text of the reply."""

import pytest
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from redemption.domain.errors import LedgerRefused
from redemption.ledger.permissions import LedgerForbids
from redemption.ledger.trust.reply_errors import (
    LedgerClockAhead,
    LedgerClockApart,
    LedgerFull,
    LedgerNotReady,
    LedgerNotTrusted,
    LedgerReadOnly,
    error_of,
    has_unknown_text,
)

MEANINGS = [
    (ResponseError("NOLEDGER secret"), LedgerNotTrusted, "redemption ledger adopt"),
    (ResponseError("NOTTRUSTED secret"), LedgerNotTrusted, "redemption ledger status"),
    (ResponseError("CLOCKAPART 7000 1000 secret"), LedgerClockApart, "6.0 s ahead of this server's"),
    (ResponseError("CLOCKAPART 1000 7500"), LedgerClockApart, "6.5 s behind this server's"),
    (ResponseError("CLOCKAHEAD secret"), LedgerClockAhead, "redemption ledger reset-clock"),
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
    assert has_unknown_text(error) == (failure in (LedgerRefused, LedgerForbids)), "then it has to be logged"
