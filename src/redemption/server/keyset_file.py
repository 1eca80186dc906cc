"""The file with the signing keys: checks it when it is read, and makes it once for a development server."""

import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from redemption.domain.signed.keyset import JSON_LENGTH_MAX, Keyset, KeysetError
from redemption.server.startup import StartRefused
from redemption.settings import Settings

_ROOT: Final = 0
"""The user who can change every file anyway; secrets that a container gets are often root's."""
_SET_IT: Final = "set REDEMPTION_KEYSET to the file with the keys"
_MAKE_ONE: Final = "docs/operating.md tells how to make one (A keyset of your own)"


def fence_path(settings: Settings) -> Path:
    """Return the path of the fence, which is what this machine remembers of the ledger."""
    return settings.fence or settings.keyset.with_name(settings.keyset.name + ".fence")


def require_apart(settings: Settings) -> None:
    """Refuse a keyset inside the data directory.

    By default the fence is beside the keyset. So a restored backup would restore the fence as well, and nothing would
    notice that the ledger lost writes.

    Raises:
        StartRefused: The keyset is there.
    """
    if settings.redis_url is None and settings.keyset.resolve().is_relative_to(settings.data_dir.resolve()):
        raise StartRefused(
            f"the keyset {settings.keyset} lies inside {settings.data_dir}, and would be restored together with the "
            "ledger: keep it elsewhere"
        )


def read_keyset(settings: Settings) -> Keyset:
    """Read the keyset.

    Raises:
        StartRefused: It is missing, malformed, of another environment, or others may read or replace it.
    """
    path = settings.keyset
    content, found = _contents(path)
    # Parsed before its mode is looked at: nobody must be told to change the mode of a file that is no keyset.
    try:
        keyset = Keyset.from_json(content)
    except KeysetError as error:
        raise StartRefused(f"{path}: {error}") from error
    if found.st_uid not in (os.geteuid(), _ROOT):
        raise StartRefused(
            f"{path} belongs to another user ({found.st_uid}), who may change the keys: chown it to the server's user"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise StartRefused(f"{path} can be read by others: chmod 600 {path}")
    _require_closed_directories(settings)
    if keyset.environment != settings.environment:
        raise StartRefused(
            f"{path} is of environment {keyset.environment!r}, this server of {settings.environment!r}: "
            "use the keyset that belongs to it"
        )
    if keyset.development and not (settings.development and settings.redis_url is None):
        raise StartRefused(
            f"{path} is a development keyset: it serves an embedded ledger in development, nothing else. "
            f"Set REDEMPTION_KEYSET to another keyset; {_MAKE_ONE}"
        )
    return keyset


def require_living_key(settings: Settings, keyset: Keyset, now: int) -> None:
    """Refuse a keyset whose primary key signs nothing any more; ``now`` is in Unix seconds.

    Asked once, when a server starts. One that runs then goes on: it redeems, and refuses to mint.

    Raises:
        StartRefused: The key's life is over.
    """
    key = keyset.primary
    if key.max_expires_at <= now:
        ended = datetime.fromtimestamp(key.max_expires_at, UTC).strftime("%Y-%m-%d")
        anew = f"; or begin anew without it, its fence and {settings.data_dir}" if keyset.development else ""
        raise StartRefused(
            f"{settings.keyset}: its primary key {key.id:08x} ended on {ended} (max_expires_at) and signs nothing: "
            f"add a new key and make it PRIMARY, this one VERIFY_ONLY{anew}"
        )


def _contents(path: Path) -> tuple[bytes, os.stat_result]:
    """Return a file's bytes, at most one more than a keyset may have, and what the system says of that file."""
    try:
        # Without waiting: a FIFO that nobody writes to would keep us waiting for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError as error:
        raise StartRefused(f"there is no keyset at {path}: {_SET_IT}; {_MAKE_ONE}") from error
    except OSError as error:
        raise StartRefused(f"{path} cannot be read ({error.strerror}): {_SET_IT}, which this user may read") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise StartRefused(f"{path} is not a regular file: {_SET_IT}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(JSON_LENGTH_MAX + 1), found
    finally:
        os.close(descriptor)


def _require_closed_directories(settings: Settings) -> None:
    """Refuse a keyset or a fence that anybody could replace, itself or the link to it.

    In a directory with the sticky bit, as /tmp has it, only the owner of a file can replace it.
    """
    for path in (settings.keyset, fence_path(settings)):
        for directory in {path.absolute().parent, path.resolve().parent}:
            try:
                mode = directory.stat().st_mode
            except FileNotFoundError:
                continue
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise StartRefused(f"everybody may replace {path}: chmod o-w {directory}")


def may_make_keyset(settings: Settings) -> bool:
    """Whether this may be the first start of a development server; the ledger must be empty, too.

    Raises:
        StartRefused: Nobody can tell whether there is a keyset, because its path cannot be looked at.
    """
    if not settings.development or settings.redis_url is not None:
        return False
    with _keyset_named(settings.keyset):
        return not settings.keyset.exists() and not fence_path(settings).exists()


def make_keyset(settings: Settings) -> Keyset:
    """Make a development keyset that only this user can read, and wait until it is on disk.

    Raises:
        StartRefused: It cannot be made there, or everybody could replace it.
    """
    keyset = Keyset.generate(
        environment=settings.environment, development=True, now=int(time.time()), random=secrets.token_bytes
    )
    with _keyset_named(settings.keyset):
        settings.keyset.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_closed_directories(settings)
        descriptor = os.open(settings.keyset, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(keyset.to_json())
            file.flush()
            os.fsync(file.fileno())
    return keyset


@contextmanager
def _keyset_named(path: Path) -> Iterator[None]:
    """Say of an error of the file system that it is about the keyset."""
    try:
        yield
    except OSError as error:
        raise StartRefused(
            f"the keyset cannot be made at {path} ({error}): set REDEMPTION_KEYSET (--keyset) to a place where this "
            "user may write"
        ) from error
