"""Where the ledger is, as its operator may read it: with its address and user, and without its password."""

from dataclasses import dataclass

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import SSLConnection

_PORT = 6379
_TLS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True)
class Place:
    """The ledger's address.

    Attributes:
        host: The host; empty for a socket in the file system.
        port: The port.
        path: The path of the socket; empty for a host.
        user: The user's name; empty for the default user.
        with_tls: Whether TLS is spoken.
        tls_files: The files and directories that the URL names for TLS, by the names of their options.
    """

    host: str = ""
    port: int = _PORT
    path: str = ""
    user: str = ""
    with_tls: bool = False
    tls_files: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, pool: ConnectionPool) -> "Place":
        """Return where the connections of a pool lead."""
        given = pool.connection_kwargs
        path = str(given.get("path", ""))
        return cls(
            host="" if path else str(given.get("host", "localhost")),
            port=int(given.get("port", _PORT)),
            path=path,
            user=str(given.get("username") or ""),
            with_tls=issubclass(pool.connection_class, SSLConnection),
            tls_files=tuple((name, str(given[name])) for name in _TLS_FILES if given.get(name)),
        )

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.with_tls else 'redis'}://{host}:{self.port}"

    @property
    def shown_user(self) -> str:
        """The user as a message names it."""
        return f"user {self.user!r}" if self.user else "the default user"
