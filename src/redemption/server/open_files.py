"""How many files a process of the server may open: as many as the system allows, and enough for its connections."""

import resource
from math import inf

import structlog

from redemption.server.startup import StartRefused
from redemption.settings import Settings

FILES_RESERVED = 128
"""How many files a process needs besides its connections: the ledger's connections (67 at most), the log, the fence,
listening sockets. The listener keeps as many free (``FILES_RESERVED`` there)."""
_log = structlog.get_logger(__name__)


def prepare_open_files(settings: Settings) -> None:
    """Raise the limit of open files as far as the system allows; processes that are started later have it as well.

    If there are too few files for ``connections_max``, log how many connections will be taken.

    Raises:
        StartRefused: There are too few for any connection.
    """
    files = _raised()
    connections_max = settings.bounds.connections_max
    wanted = FILES_RESERVED + connections_max
    if files <= FILES_RESERVED:
        raise StartRefused(
            f"a process may open {files:.0f} files here (ulimit -Hn), and needs {FILES_RESERVED} and one for each "
            f"connection: allow {wanted} (LimitNOFILE= of systemd, --ulimit nofile= of docker)"
        )
    if files < wanted:
        _log.warning(
            "fewer connections are taken than connections_max: a process may open too few files; raise ulimit -Hn, "
            "or lower the bound",
            connections=int(files) - FILES_RESERVED,
            connections_max=connections_max,
            files_max=int(files),
            files_wanted=wanted,
        )


def _raised() -> float:
    """Raise the soft limit to the hard limit, and return it; infinite when there is none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # some systems refuse a limit above one of their own
            hard = soft
    return inf if hard == resource.RLIM_INFINITY else hard
