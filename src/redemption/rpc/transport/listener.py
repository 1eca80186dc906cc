"""The server of our own transport: it accepts connections, keeps their time limits, and drains them at a stop."""

import asyncio
import ctypes
import resource
import select
import socket
from collections.abc import Callable, Sequence
from math import inf

import structlog

from redemption.domain.call_info import CallInfo
from redemption.rpc.transport import statuses
from redemption.rpc.transport.bounds import MIB, Bounds, Usage
from redemption.rpc.transport.call import GrpcCall, ListenerState
from redemption.rpc.transport.connection import CLOSE_SECONDS_MAX, GrpcConnection
from redemption.rpc.transport.methods import GatheredMethod, Method, Methods, Status
from redemption.rpc.transport.tls import Certificates, Tls, TlsAcceptor
from redemption.rpc.transport.turn import Turn
from redemption.rpc.transport.work_queue import QueuedCall, WorkQueue

BACKLOG = 1_024
"""Connections that may wait to be accepted; the system may allow fewer. Also replaces the backlog of a given socket."""
DEADLINE_STEP_SECONDS = 0.02
"""How late a call may be ended after its deadline; its caller keeps the deadline by itself."""
TICK_SECONDS = 1.0
TRIM_BYTES = 32 * MIB
"""When requests and answers held this many bytes, memory that is free again is given back to the system."""
FILES_RESERVED = 128
"""How many of the files that a process may open are reserved for other things than connections."""
REFUSAL_LOG_SECONDS = 10.0
"""The time between two log messages that connections are refused."""
DRAIN_STEP_SECONDS = 0.01
_log = structlog.get_logger(__name__)
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it


class Listener:
    """Serves methods on listening sockets, from ``start`` to ``stop``, once."""

    def __init__(
        self, methods: Methods, *, make_info: Callable[[str, str, float | None, float], CallInfo], bounds: Bounds
    ) -> None:
        """Build it.

        Args:
            methods: The methods to serve.
            make_info: Makes the ``CallInfo`` of a call, from its path, its peer, the seconds to its deadline (None: it
                has none), and the event loop's time.
            bounds: The limits.
        """
        self._methods = {path.encode(): (path, method) for path, method in methods.items()}
        self._make_info = make_info
        self._bounds = bounds
        self.usage = Usage()
        self._connections: set[GrpcConnection] = set()
        self._servers: list[asyncio.Server] = []
        self._acceptors: list[TlsAcceptor] = []
        self._sockets: list[socket.socket] = []
        self._shared: ListenerState | None = None
        self._clock: asyncio.Task[None] | None = None
        self._certificates: Certificates | None = None
        self._refusal_logged_at = -inf
        self._held_bytes_most = 0

    @property
    def calls(self) -> int:
        """How many calls are at work."""
        return self.usage.calls

    @property
    def started(self) -> bool:
        """Whether it was started."""
        return self._shared is not None

    async def start(self, address: str, tls: Tls | None, *, reuse_port: bool) -> int:
        """Listen on all addresses of a host, and return the port.

        Args:
            address: Host and port; 0 lets the system choose the port.
            tls: The files of a server that speaks TLS; None serves in plain text.
            reuse_port: Share the port with other processes.

        Raises:
            OSError: The address is taken, or a certificate cannot be used.
        """
        sockets = bound_sockets(address, reuse_port=reuse_port)
        try:
            return await self.start_on(sockets, tls)
        except OSError:
            for bound in sockets:
                bound.close()
            raise

    async def start_on(self, sockets: Sequence[socket.socket], tls: Tls | None) -> int:
        """Listen on bound sockets, and return the port.

        Raises:
            OSError: A certificate cannot be used.
        """
        self._certificates = None if tls is None else Certificates(tls)
        loop = asyncio.get_running_loop()
        shared = ListenerState(
            methods=self._methods,
            make_info=self._make_info,
            bounds=self._bounds,
            usage=self.usage,
            loop=loop,
            turn=Turn(loop),
            work=WorkQueue(loop, self._begin, wait_seconds_max=self._bounds.wait_seconds_max),
        )
        port = int(sockets[0].getsockname()[1])
        for bound in sockets:
            await self._listen(bound, shared)
        self._sockets = list(sockets)
        self._shared = shared
        self._clock = loop.create_task(self._keep_time(shared))
        return port

    async def _listen(self, bound: socket.socket, shared: ListenerState) -> None:
        def serve() -> GrpcConnection:
            return GrpcConnection(shared, self._opened, self._closed)

        if self._certificates is None:
            self._servers.append(await shared.loop.create_server(serve, sock=bound, backlog=BACKLOG))
            return
        acceptor = TlsAcceptor(
            self._certificates, serve, seconds_max=self._bounds.preface_seconds_max, has_room=self._has_room
        )
        acceptor.listen(bound, BACKLOG)
        self._acceptors.append(acceptor)

    def reload_certificates(self) -> None:
        """Read the certificates again, for new connections. If they cannot be used, log it and keep the old ones."""
        if self._certificates is None:
            return
        try:
            self._certificates.reload()
        except OSError as error:
            _log.error("the certificates cannot be read again; the old ones stay", error=str(error))
        else:
            _log.info("the certificates were read again")

    async def stop(self, seconds: float) -> None:
        """Take no new connections and calls, let running calls finish, and end those that take too long.

        Every call ends with a status, or its caller knows from the last GOAWAY that it was ignored.
        """
        shared = self._shared
        if shared is None:
            return
        await self._accept_waiting()
        self._close()
        ends = shared.loop.time() + seconds
        while self._retire_all() and shared.loop.time() < ends:  # noqa: ASYNC110 - once in a server's life
            await asyncio.sleep(DRAIN_STEP_SECONDS)
        last = shared.loop.time() + 2 * CLOSE_SECONDS_MAX
        while self._connections and shared.loop.time() < last:
            self._retire_all()
            for call in list(shared.under_way):
                _give_up(call, statuses.STOPPING_AT_WORK)
            for connection in list(self._connections):
                connection.turn_away()
                _tick(connection, shared.loop.time())
            await asyncio.sleep(DRAIN_STEP_SECONDS)
        if self._clock is not None:
            self._clock.cancel()
        for acceptor in self._acceptors:
            acceptor.abort()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    async def _accept_waiting(self) -> None:
        """Accept the connections that wait in the system: it would reset them when the listening socket is closed."""
        waiting = select.poll()
        for bound in self._sockets:
            waiting.register(bound, select.POLLIN)
        for _ in range(BACKLOG):
            if not waiting.poll(0):
                break
            await asyncio.sleep(0)  # uvloop accepts one in each turn
        await asyncio.sleep(0)

    def _close(self) -> None:
        """Take no new connections."""
        self._sockets.clear()
        for server in self._servers:
            server.close()
        for acceptor in self._acceptors:
            acceptor.close()

    def _retire_all(self) -> bool:
        """Ask all callers to leave, also newly accepted ones; return whether calls are at work or may still come."""
        staying = [connection for connection in self._connections if not connection.parting]
        for connection in staying:
            connection.retire()
            _tick(connection, asyncio.get_running_loop().time())
        return bool(staying) or self.usage.calls > 0

    def _begin(self, method: Method, calls: Sequence[QueuedCall]) -> None:
        """Begin the work on calls of one method; a call that has ended meanwhile only frees its place."""
        waiting = []
        for call in calls:
            if call.ended:
                call.answer(statuses.DEADLINE_PASSED)
            elif type(method) is GatheredMethod:
                waiting.append(call)
            else:
                call.begin()
        if waiting and type(method) is GatheredMethod:
            try:
                method.begin(waiting)
            except Exception:  # noqa: BLE001 - else these calls would keep their places for ever
                _log.exception("calls could not be begun")
                for call in waiting:
                    call.answer(statuses.INTERNAL)

    def _trim(self) -> None:
        """Give memory back to the system when much less is held than before: the C library would keep it."""
        held_bytes = self.usage.request_bytes + self.usage.answer_bytes
        self._held_bytes_most = max(self._held_bytes_most, held_bytes)
        if self._held_bytes_most >= TRIM_BYTES and held_bytes < self._held_bytes_most / 4:
            self._held_bytes_most = held_bytes
            if _malloc_trim is not None:
                _malloc_trim(0)

    def _opened(self, connection: GrpcConnection) -> bool:
        self._connections.add(connection)
        here = self.usage.connections.get(connection.address, 0) + 1
        self.usage.connections[connection.address] = here
        if len(self._connections) > self._connections_max():
            return self._refuse("connections_max")
        if here > self._bounds.connections_per_address_max:
            return self._refuse("connections_per_address_max", connection.address)
        return True

    def _refuse(self, bound: str, address: str | None = None) -> bool:
        """Return False, for no room; log it, but not more often than every ``REFUSAL_LOG_SECONDS``."""
        now = asyncio.get_running_loop().time()
        if now >= self._refusal_logged_at + REFUSAL_LOG_SECONDS:
            self._refusal_logged_at = now
            here = len(self._connections)
            _log.warning("connections are refused: there are too many", bound=bound, address=address, connections=here)
        return False

    def _connections_max(self) -> int:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if files == resource.RLIM_INFINITY:  # RLIM_INFINITY is a negative number
            return self._bounds.connections_max
        return max(1, min(self._bounds.connections_max, files - FILES_RESERVED))

    def _has_room(self) -> bool:
        """Whether one more TLS handshake may begin. During handshakes, connections are not counted by address."""
        here = len(self._connections) + sum(acceptor.shaking for acceptor in self._acceptors)
        return here < self._connections_max() or self._refuse("connections_max")

    def _closed(self, connection: GrpcConnection) -> None:
        self._connections.discard(connection)
        here = self.usage.connections.pop(connection.address, 0) - 1
        if here > 0:
            self.usage.connections[connection.address] = here

    async def _keep_time(self, shared: ListenerState) -> None:
        ticked = 0.0
        while True:
            await asyncio.sleep(DEADLINE_STEP_SECONDS)
            now = shared.loop.time()
            for call in [call for call in shared.under_way if call.expires <= now and not call.ended]:
                _give_up(call, statuses.DEADLINE_PASSED_AT_WORK)
            if now - ticked >= TICK_SECONDS:
                ticked = now
                self._trim()
                for connection in list(self._connections):
                    _tick(connection, now)


def _tick(connection: GrpcConnection, now: float) -> None:
    """Call a connection's ``tick``. If it raises, end the connection: the clock must go on for all others."""
    try:
        connection.tick(now)
    except Exception:  # noqa: BLE001 - the other connections need their tick
        _log.exception("a connection failed in its check of time limits and is closed", peer=connection.address)
        connection.abort()


def _give_up(call: GrpcCall, status: Status) -> None:
    """End a call for its caller. If that raises, it is not tried again: the caller keeps its deadline by itself."""
    try:
        call.give_up(status)
    except Exception:  # noqa: BLE001 - the other calls have to be ended too
        _log.exception("a call could not be ended", path=call.path)
        call.ended = True


def bound_sockets(address: str, *, reuse_port: bool) -> list[socket.socket]:
    """Return sockets that are bound to all addresses of a host, all with the same port.

    Raises:
        OSError: An address is taken, or is not an address of this machine.
    """
    host, _, port_text = address.rpartition(":")
    host, port = host.strip("[]"), int(port_text)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, name in dict.fromkeys((family, name) for family, _, _, _, name in found):
            bound = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(bound)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(name[0] != "::"))
            bound.bind((name[0], port, *name[2:]))
            port = bound.getsockname()[1]
    except OSError:
        for bound in sockets:
            bound.close()
        raise
    return sockets
