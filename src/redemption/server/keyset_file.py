"""The file that holds the signing keys: read with suspicion, made once for a development server."""

import os
import secrets
import stat
import time
from pathlib import Path

from redemption.domain.signed.keyset import Keyset, KeysetError
from redemption.server.startup import StartRefused
from redemption.settings import Settings


def fence_path(settings: Settings) -> Path:
    """Return where this machine keeps what it remembers of the ledger."""
    return settings.fence or settings.keyset.with_name(settings.keyset.name + ".fence")


def require_apart(settings: Settings) -> None:
    """Refuse a keyset inside the data directory: a restored backup would bring its own memory along.

    Raises:
        StartRefused: It lies there.
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
    """Whether this may be the very first start of a development server; its ledger must be empty, too."""
    first = settings.development and settings.redis_url is None and not settings.keyset.exists()
    return first and not fence_path(settings).exists()


def make_keyset(settings: Settings) -> Keyset:
    """Make a development keyset, for our eyes only, and wait until it is on disk."""
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
