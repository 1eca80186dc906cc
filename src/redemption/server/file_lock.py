"""Locks on files, and this user's own directory for those that belong to no data directory."""

import fcntl
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class LockHeldError(Exception):
    """Another process holds the lock. ``pid`` is the process id in the file; None if there is none."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"{path} is locked by {f'process {pid}' if pid else 'another process'}")
        self.pid = pid


@dataclass(frozen=True, slots=True)
class FileLock:
    """An exclusive ``flock`` on a file that has the holder's pid. It ends with its holder, so it is never stale."""

    fd: int

    @classmethod
    def take(cls, path: Path) -> Self:
        """Take the lock without waiting.

        Raises:
            LockHeldError: another process holds it.
            OSError: the file cannot be opened or locked.
        """
        # Python marks the descriptor close-on-exec: a child gets it only if it is in pass_fds.
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            written = os.pread(fd, 32, 0).strip()
            os.close(fd)
            raise LockHeldError(path, int(written) if written.isdigit() else None) from None
        except OSError:
            os.close(fd)
            raise
        lock = cls(fd)
        lock.name_holder(os.getpid())
        return lock

    def name_holder(self, pid: int) -> None:
        """Write the holder's process id into the file; another process prints it when it is refused."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, f"{pid}\n".encode(), 0)

    def release(self) -> None:
        """Close our descriptor. The file stays: else two processes could lock two files of the same name."""
        os.close(self.fd)


def private_directory() -> Path:
    """Make or check this user's own directory in the system's temporary directory.

    Every user can write there, so another user may have made a directory of this name. It is used only if it is a real
    directory, belongs to this user, and is closed to others.

    Raises:
        OSError: it cannot be made, or is not safe to use.
    """
    directory = private_path()
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(
            f"{directory} must be this user's own directory with mode 0700: remove it, or set another TMPDIR"
        )
    return directory


def private_path() -> Path:
    """Return where this user's own directory is, whether it is there or not."""
    return Path(tempfile.gettempdir()).resolve() / f"redemption-{os.geteuid()}"
