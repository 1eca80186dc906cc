"""What was given on the command line: it is checked here, before anything is played."""

import re
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from redemption.cli.exits import BAD_INPUT, Stop

ADDRESS = "127.0.0.1:50051"
LOOPBACK = ("127.", "localhost", "[::1]")
PORT_MAX = 65_535
_TOKEN = re.compile(r"[A-Za-z0-9_-]{40,}")


def kinds_of(options: Namespace, named: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the kinds of buyers who come: by --tags, or all that were named.

    Args:
        options: With ``tags`` and ``exclude_tags``.
        named: The kinds whose classes were named on the command line, or all.
        known: All kinds.

    Raises:
        Stop: A tag is no kind of buyers, or there are none left.
    """
    tags, without = options.tags or [], options.exclude_tags or []
    for each in (*tags, *without):
        if each not in known:
            raise Stop(BAD_INPUT, f"--tags are kinds of buyers: {', '.join(known)}; there is no {each!r}")
    chosen = [kind for kind in named if (not tags or kind in tags) and kind not in without]
    if not chosen:
        raise Stop(BAD_INPUT, "--tags and --exclude-tags leave no kind of buyers")
    return chosen


def address_of(host: str | None, *, owned: bool) -> str:
    """Return host and port of the server.

    Raises:
        Stop: It is another machine, and nobody said that it is theirs.
    """
    address = (host or ADDRESS).removeprefix("grpc://").removeprefix("http://").rstrip("/")
    if not address.startswith(LOOPBACK) and not owned:
        raise Stop(BAD_INPUT, f"{address} is another machine: is it yours to load? then say so with --yes-i-own-it")
    port = address.rpartition(":")[2]
    if not port.isascii() or not port.isdigit() or not 0 < int(port) <= PORT_MAX:
        raise Stop(BAD_INPUT, f"--host must be HOST:PORT, such as {ADDRESS}; it is {address!r}")
    return address


def content_of(file: Path, option: str) -> bytes:
    """Return what is in a file.

    Raises:
        Stop: It cannot be read, or there is nothing in it.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Stop(BAD_INPUT, f"{option}: {file}: cannot be read: {error.strerror}") from error
    if not content.strip():
        raise Stop(BAD_INPUT, f"{option}: {file}: is empty")
    return content


def tokens_of(file: Path) -> list[str]:
    """Return the tokens of a file, one a line.

    Raises:
        Stop: It cannot be read, or a line is no token.
    """
    tokens = content_of(file, "--tokens").decode(errors="replace").split()
    for number, token in enumerate(tokens, start=1):
        if not _TOKEN.fullmatch(token):
            raise Stop(BAD_INPUT, f"--tokens: {file}: token {number} is none: {token[:40]!r}")
    return tokens


def folder_of(name: str) -> Path:
    """Return the folder for the results; it is made if there is none.

    Raises:
        Stop: It cannot be written to.
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Stop(BAD_INPUT, f"--results: {folder}: cannot be written to: {error.strerror}") from error
    return folder
