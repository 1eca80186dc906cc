"""The failures of a start, and the logging of all processes."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, ExcInfo

from redemption.domain.errors import LedgerUnavailable, ServiceError
from redemption.domain.signed.keyset import KeysetError
from redemption.ledger.trust.reply_errors import LedgerNotTrusted
from redemption.printable import printable
from redemption.server.embedded_valkey import EmbeddedValkeyError, TornFileError
from redemption.server.listening import ListenError
from redemption.server.worker_process import WorkerError

EXIT_FAILED = 4
EXIT_NOT_TRUSTED = 5


class StartRefused(Exception):
    """The server cannot start; the message is one line that says what to change.

    Parts of it may come from others, such as the ledger's server, so it is made safe to show on a terminal.

    Attributes:
        exit_code: The exit code of the process.
    """

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(printable(" ".join(message.splitlines())))
        self.exit_code = exit_code


@contextmanager
def refusals() -> Iterator[None]:
    """Replace every error that a start may meet by ``StartRefused``."""
    try:
        yield
    except LedgerNotTrusted as error:
        raise StartRefused(error.for_operator, EXIT_NOT_TRUSTED) from error
    except TornFileError as error:
        raise StartRefused(str(error), EXIT_NOT_TRUSTED) from error
    except LedgerUnavailable as error:
        raise StartRefused(error.for_operator) from error
    except ServiceError as error:
        raise StartRefused(error.message) from error
    except WorkerError as error:
        raise StartRefused(error.refusal or str(error), error.exit_code) from error
    except (KeysetError, ListenError, EmbeddedValkeyError, OSError) as error:
        raise StartRefused(str(error)) from error


def refuse(refused: StartRefused) -> int:
    """Print the reason in one line for a person, and return the exit code."""
    print(f"redemption: {refused}", file=sys.stderr)  # noqa: T201 - this is the program's own output
    return refused.exit_code


def configure_logging(level: int = logging.INFO) -> None:
    """Log to stderr: lines for people if it is a terminal, else JSON for programs."""
    people = sys.stderr.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=_traceback) if people else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # JSON escapes what a terminal would obey.
            _printable_values if people else structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Stderr())),
    )


def _printable_values(_logger: object, _method: str, entry: EventDict) -> EventDict:
    return {name: printable(value) if isinstance(value, str) else value for name, value in entry.items()}


def _traceback(out: TextIO, exc_info: ExcInfo) -> None:
    """Write a plain traceback: a rich one prints local variables, which may be tokens and keys."""
    plain = StringIO()
    structlog.dev.plain_traceback(plain, exc_info)
    out.write(printable(plain.getvalue()))


class _Stderr:
    """Writes to the present ``sys.stderr``. An error is ignored: a closed pipe must not stop the server."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
