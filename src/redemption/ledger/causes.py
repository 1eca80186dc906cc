"""Why the ledger cannot be used, in one line for its operator: what is wrong, at which address, and what to do.

Callers of the service get less: the address is not their business.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    ResponseError,
)

from redemption.domain.errors import LedgerRefused, LedgerUnavailable
from redemption.ledger.place import Place
from redemption.ledger.trust.reply_errors import error_of

NOT_REACHED = "the ledger cannot be reached, or does not answer in time"
"""What callers are told."""
NO_REDIS = "does not speak the protocol of Redis: a server of another kind has this address"
PROTECTED = (
    "is in protected mode, so it takes connections from its own machine alone: give it a user with a password "
    "(docs/operating.md)"
)
FULL = "has as many connections as it may have (maxclients)"
_NO_ANSWER = "does not answer in time: is the address right, and does a firewall let the connection through?"
_CLOSED = "closed the connection"
_NO_TLS = "cannot agree on TLS with this server"
_UNCLEAR = (NO_REDIS, _NO_ANSWER, _CLOSED, _NO_TLS)
_UNKNOWN_COMMAND = re.compile(r"unknown command ['`]([^'`]+)['`]", re.IGNORECASE)
_CONNECTING = re.compile(r"Error (-?[0-9]+) connecting to \S+\. (.*?)\.?$")
_TEXT_LENGTH_MAX = 200
# The first that is in the text of an error counts.
_BY_TEXT = (
    ("without any password configured", "has no password for the default user: remove the password from the URL"),
    ("authentication required", "wants a password: write redis://USER:PASSWORD@HOST:PORT"),
    ("noauth", "wants a password: write redis://USER:PASSWORD@HOST:PORT"),
    ("protected mode", PROTECTED),
    ("db index is out of range", "has no database of this number"),
    ("max number of clients", FULL),
    ("closed by server", _CLOSED),
)


class LedgerUnreachable(LedgerUnavailable):
    """There is no connection to the ledger, or it was lost.

    Attributes:
        is_clear: Whether the error says why. If not, ``probe.look`` may find out.
    """

    def __init__(self, message: str, *, for_operator: str = "", is_clear: bool = False) -> None:
        super().__init__(message, for_operator=for_operator)
        self.is_clear = is_clear


def unreachable(error: BaseException, place: Place) -> LedgerUnreachable:
    """Return the failure for an error of the connection; raise it from that error."""
    cause = cause_of(error, place)
    is_clear = not cause.startswith(_UNCLEAR)
    return LedgerUnreachable(NOT_REACHED, for_operator=f"the ledger at {place} {cause}", is_clear=is_clear)


def not_heard(late_seconds: float, place: Place) -> LedgerUnreachable:
    """Return the failure for an answer that this process was too busy to read in time."""
    return LedgerUnreachable(
        NOT_REACHED,
        for_operator=f"this process was too busy to hear the ledger at {place} in time: its event loop was blocked for "
        f"{late_seconds:.1f} s or longer",
        is_clear=True,
    )


def writes_hang(place: Place) -> str:
    """Return the cause for the operator when the ledger answers reads, and not whether it takes writes."""
    return (
        f"the ledger at {place} answers reads and lets writes wait: are its writes paused (CLIENT PAUSE … WRITE, "
        "CLIENT UNPAUSE ends that), or does its disk hang?"
    )


def refused(error: ResponseError, place: Place) -> LedgerUnavailable:
    """Return the failure for an error reply; raise it from that error."""
    failure = error_of(error)
    if type(failure) is LedgerRefused:  # no kind of its own: the reply says what is wrong
        failure.for_operator = f"the ledger at {place} {cause_of(error, place)}"
    return failure


def cause_of(error: BaseException, place: Place) -> str:
    """Return what the ledger does wrong, as the end of a sentence that begins with "the ledger at …"."""
    for each in _chain(error):
        cause = _of_tls(each, place) or _of_socket(each) or _of_client(each) or _of_reply(each, place)
        if cause:
            return cause
    text = " ".join(str(error).split())[:_TEXT_LENGTH_MAX]
    return f"cannot be used: {type(error).__name__}{f' ({text})' if text else ''}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the causes of an error, the first one first: it says most."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    return reversed(causes)


def _of_tls(error: BaseException, place: Place) -> str | None:
    """Return what an error of TLS means."""
    match error:
        case ssl.SSLCertVerificationError():
            why = error.verify_message.rstrip(".")
            return f"shows a certificate that is not trusted ({why}): name its authority with ?ssl_ca_certs=FILE"
        case ssl.SSLError() if "WRONG_VERSION" in str(error.reason):
            return "does not speak TLS at this port: write redis:// instead of rediss://, or its TLS port"
        case ssl.SSLError():
            return f"{_NO_TLS} ({error.reason or error})"
        case FileNotFoundError() | PermissionError() if place.with_tls:
            return f"cannot be connected: {_unreadable(place)} in its URL cannot be read ({error.strerror})"
    return None


def _of_socket(error: BaseException) -> str | None:
    """Return what an error of a socket means."""
    match error:
        case socket.gaierror():
            return "has a host name that cannot be found: correct it"
        case ConnectionRefusedError():
            return "refuses the connection: nothing listens there, so start it or correct the address"
        case TimeoutError():
            return _NO_ANSWER
        case ConnectionResetError() | BrokenPipeError():
            return _CLOSED
        case FileNotFoundError():
            return "has no socket of this name: start it, or correct the path"
        case OSError() if error.strerror:
            return f"cannot be connected ({error.strerror})"
    return None


def _of_client(error: BaseException) -> str | None:
    """Return what an error of the Redis client means that has the number of a socket's error in its text alone."""
    found = _CONNECTING.match(str(error))
    if found is None:
        return None
    number, text = int(found[1]), found[2]
    # OSError chooses the class by the number; those of the resolver are negative.
    return _of_socket(socket.gaierror(number, text) if number < 0 else OSError(number, text))


def _of_reply(error: BaseException, place: Place) -> str | None:
    """Return what an error of the Redis client means."""
    text = str(error)
    for words, cause in _BY_TEXT:
        if words in text.lower():
            return cause
    unknown = _UNKNOWN_COMMAND.search(text)
    if unknown:
        return f"does not know the command {unknown[1]}: it was renamed or switched off, and the service needs it"
    match error:
        case AuthenticationError():
            return f"does not let {place.shown_user} in: the user is unknown or off, or the password is wrong"
        case BusyLoadingError():
            return "is still loading its data"
        case InvalidResponse():
            return NO_REDIS
    return None


def _unreadable(place: Place) -> str:
    names = [f"{name} ({path})" for name, path in place.tls_files if not os.access(path, os.R_OK)]
    return " and ".join(names) or "a file for TLS"
