"""What holds a port that cannot be bound: a server that listens, or a connection that got the port by chance."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_CHOSEN_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LISTENS = "0A"


@dataclass(frozen=True, slots=True)
class PortHolder:
    """A connection that holds a port where nobody listens.

    Attributes:
        peer: The port of its other end.
        lowest: The lowest port that the system gives to connections by itself.
        highest: The highest of them.
    """

    peer: int
    lowest: int
    highest: int


def connection_by_chance(port: int) -> PortHolder | None:
    """Return the connection that holds a port, if nobody listens there and the system gives such ports by itself.

    Who opened the connection is not known: a server that stops listening may still finish its last calls. Linux gives
    ports from 32768 on, also port 50051. Elsewhere nothing of this is known.
    """
    lowest, highest = _chosen_ports()
    if not lowest <= port <= highest:
        return None
    peers = []
    for own, peer, state in _sockets():
        if own != port:
            continue
        if state == _LISTENS:
            return None
        peers.append(peer)
    return PortHolder(peers[0], lowest, highest) if peers else None


def _chosen_ports() -> tuple[int, int]:
    """Return the lowest and the highest port that the system gives to connections by itself; (1, 0) if unknown."""
    try:
        lowest, highest = map(int, _CHOSEN_PORTS.read_text().split())
    except (OSError, ValueError):
        return 1, 0
    return lowest, highest


def _sockets() -> Iterator[tuple[int, int, str]]:
    """Return the own port, the peer's port and the state of each TCP socket."""
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                _, own, peer, state, *_ = line.split()
                yield int(own.rpartition(":")[2], 16), int(peer.rpartition(":")[2], 16), state
