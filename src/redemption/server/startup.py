"""What a start may stumble over, and how its processes log."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

import structlog

from redemption.domain.errors import ServiceError
from redemption.domain.signed.keyset import KeysetError
from redemption.ledger.trust.reply_errors import LedgerNotTrusted
from redemption.server.embedded_valkey import EmbeddedValkeyError
from redemption.server.supervisor import ListenError

EXIT_FAILED = 4
EXIT_NOT_TRUSTED = 5


class StartRefused(Exception):
    """It does not start like this; the message is one line that says what to change.

    Attributes:
        exit_code: What the process should exit with.
    """

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def refusals() -> Iterator[None]:
    """Turn everything that a start may stumble over into ``StartRefused``."""
    try:
        yield
    except LedgerNotTrusted as error:
        raise StartRefused(error.message, EXIT_NOT_TRUSTED) from error
    except ServiceError as error:
        raise StartRefused(error.message) from error
    except (KeysetError, ListenError, EmbeddedValkeyError, OSError) as error:
        raise StartRefused(str(error)) from error


def refuse(refused: StartRefused) -> int:
    """Say it in one clear line, for a person, and return the exit code."""
    print(f"redemption: {refused}", file=sys.stderr)  # noqa: T201 - this is the program's own output
    return refused.exit_code


def configure_logging(level: int = logging.INFO) -> None:
    """Log to stderr: lines for people on a terminal, JSON for programs elsewhere."""
    people = sys.stderr.isatty()
    # Plain tracebacks: the pretty ones show local variables, and those hold tokens and keys.
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if people
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if people else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Stderr())),
    )


class _Stderr:
    """Whatever stderr is at the moment. Nobody may read it any more: that must not stop a service."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
