"""What holds a port that cannot be bound: a server that listens, or an outgoing connection that got it by chance."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENS = "0A"


def outgoing_connection(port: int) -> str | None:
    """Return the peer's port of a connection whose own end has the port, if nobody listens there; else None.

    Linux gives outgoing connections ports from 32768 on, also port 50051. Elsewhere this is not known.
    """
    peers = []
    for own, peer, state in _sockets():
        if own != port:
            continue
        if state == _LISTENS:
            return None
        peers.append(peer)
    return str(peers[0]) if peers else None


def _sockets() -> Iterator[tuple[int, int, str]]:
    """Return the own port, the peer's port and the state of each TCP socket."""
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                _, own, peer, state, *_ = line.split()
                yield int(own.rpartition(":")[2], 16), int(peer.rpartition(":")[2], 16), state
