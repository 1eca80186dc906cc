"""The address that a server listens on: it belongs to one server alone, and to all of its workers."""

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from redemption.server.file_lock import FileLock, LockHeldError, private_directory
from redemption.server.port_holder import connection_by_chance

_PORT_MAX: Final = 65535
_FREE_PORT_TRIES_MAX: Final = 10

# An address as getaddrinfo returns it and bind takes it; the shape of the tuple depends on the family.
_Address: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]


class ListenError(Exception):
    """The address cannot be served; the message is one line: the problem, the place, and what to do."""


class PortInUseError(ListenError):
    """Another process listens on the port, or holds its lock."""


@contextlib.contextmanager
def reserve_port(host: str, port: int) -> Iterator[int]:
    """Hold an address for this server and its workers while the block runs; yield the port number.

    Workers share a port with SO_REUSEPORT. By mistake two servers could share it too, and each would get half of the
    calls. Three things prevent that: a lock file against another supervisor; a bind without SO_REUSEPORT, which fails
    if another process listens; and a bound socket that never listens, which holds the port while workers are replaced.

    Raises:
        PortInUseError: another process has the port.
        ListenError: the host or port cannot be used at all.
    """
    if not 0 <= port <= _PORT_MAX:
        raise ListenError(f"{port} is not a port; choose one from 0 to {_PORT_MAX} with --listen")
    addresses = _resolved(host, port)
    for tries_left in reversed(range(_FREE_PORT_TRIES_MAX if port == 0 else 1)):
        with contextlib.ExitStack() as held:
            try:
                number = port or _free_port(*addresses[0])
                for family, address in addresses:
                    _reserve(held, family, (address[0], number, *address[2:]))
            except OSError as error:
                refusal = _explained(host, port, error)
                if tries_left and isinstance(refusal, PortInUseError):
                    continue  # a port that is free on one address may be in use on the next one
                raise refusal from error
            yield number
            return


def listening_sockets(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Return a socket that listens for each address of a host; several may share the port."""
    sockets: list[socket.socket] = []
    try:
        for family, address in _resolved(host, port):
            # SO_REUSEADDR ignores connections that linger after a server closed them.
            sockets.append(_bound(family, address, socket.SO_REUSEADDR, socket.SO_REUSEPORT))
            sockets[-1].listen(backlog)
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise _explained(host, port, error) from error
    return sockets


def address_text(host: str, port: int) -> str:
    """Return ``host:port``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _resolved(host: str, port: int) -> list[_Address]:
    """Return the addresses of a host (localhost may have two) that belong to this machine."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"cannot find the host '{host}' ({error}); choose another with --listen") from error
    every: dict[_Address, None] = {(family, address): None for family, _, _, _, address in found}
    ours = [address for address in every if _is_ours(*address)]
    if not ours:
        raise ListenError(f"{host} is not an address of this machine; choose another with --listen")
    return ours


def _is_ours(family: socket.AddressFamily, address: tuple[Any, ...]) -> bool:
    try:
        _free_port(family, address)
    except OSError as error:
        return error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
    return True


def _free_port(family: socket.AddressFamily, address: tuple[Any, ...]) -> int:
    with _bound(family, (address[0], 0, *address[2:])) as chosen:
        return int(chosen.getsockname()[1])


def _reserve(held: contextlib.ExitStack, family: socket.AddressFamily, address: tuple[Any, ...]) -> None:
    try:
        lock = FileLock.take(private_directory() / f"port-{address[0]}-{address[1]}.lock")
    except LockHeldError as error:
        raise OSError(errno.EADDRINUSE, str(error)) from error
    held.callback(lock.release)
    # SO_REUSEADDR ignores connections that linger after a server closed them, but not a socket that listens.
    _bound(family, address, socket.SO_REUSEADDR).close()
    try:
        keeper = _bound(family, address, socket.SO_REUSEPORT)  # shares the port with our workers only
    except OSError:
        # Connections linger: ignore them, which also ignores other bound sockets with these options that do not listen.
        keeper = _bound(family, address, socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    held.enter_context(keeper)


def _bound(family: socket.AddressFamily, address: tuple[Any, ...], *options: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6 and address[0] == "::":
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # both IPv4 and IPv6, as gRPC does
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _explained(host: str, port: int, error: OSError) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        holder = None if isinstance(error.__cause__, LockHeldError) else connection_by_chance(port)
        if holder is not None:
            return PortInUseError(
                f"port {port} on {host} is held by a connection of this machine (its other end has port "
                f"{holder.peer}), and nobody listens there: wait until it ends, or choose a port outside of "
                f"{holder.lowest} to {holder.highest} with --listen, which the system gives to connections by itself. "
                f"To keep the port free: sysctl -w net.ipv4.ip_local_reserved_ports={port}"
            )
        return PortInUseError(f"port {port} on {host} is in use; stop the other server or choose another with --listen")
    return ListenError(f"cannot listen on {address_text(host, port)} ({error}); choose another with --listen")
