"""The file with the signing keys: checks it when it is read, and makes it once for a development server."""

import os
import secrets
import stat
import time
from pathlib import Path

from redemption.domain.signed.keyset import Keyset, KeysetError
from redemption.server.startup import StartRefused
from redemption.settings import Settings


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
        StartRefused: It is missing, malformed, readable by others, or of another environment.
    """
    path = settings.keyset
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise StartRefused(f"there is no keyset at {path}: set REDEMPTION_KEYSET to the file with the keys") from error
    if mode & 0o077:
        raise StartRefused(f"{path} can be read by others: chmod 600 {path}")
    try:
        keyset = Keyset.from_json(content)
    except KeysetError as error:
        raise StartRefused(f"{path}: {error}") from error
    if keyset.environment != settings.environment:
        raise StartRefused(
            f"{path} is of environment {keyset.environment!r}, this server of {settings.environment!r}: "
            "use the keyset that belongs to it"
        )
    if keyset.development and not (settings.development and settings.redis_url is None):
        raise StartRefused(f"{path} is a development keyset: it serves an embedded ledger in development, nothing else")
    return keyset


def may_make_keyset(settings: Settings) -> bool:
    """Whether this may be the first start of a development server; the ledger must be empty, too."""
    first = settings.development and settings.redis_url is None and not settings.keyset.exists()
    return first and not fence_path(settings).exists()


def make_keyset(settings: Settings) -> Keyset:
    """Make a development keyset that only this user can read, and wait until it is on disk."""
    keyset = Keyset.generate(
        environment=settings.environment, development=True, now=int(time.time()), random=secrets.token_bytes
    )
    settings.keyset.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.keyset, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(keyset.to_json())
        file.flush()
        os.fsync(file.fileno())
    return keyset
