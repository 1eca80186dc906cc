"""What a server remembers of the ledger it trusts, in a file beside the keyset.

If a ledger was emptied, or restored from a backup, coupons that were spent could be spent again. So a server remembers,
outside of the ledger, the random epoch of each program's ledger and the highest sequence number that it saw. A ledger
with another epoch or a lower sequence number is not served until an operator adopts it. It also remembers the check
values of the keyset, so that an edited keyset with the same id is noticed (``docs/token.md``).
"""

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redemption.domain.signed.check_values import named
from redemption.ledger.trust.header import Header
from redemption.ledger.trust.reply_errors import NOT_TRUSTED, LedgerNotTrusted

_UNKNOWN = b"?"
"""What the ledger's functions are told where a ledger must be known: they refuse the call."""
_TRIES = 50
_PAUSE_SECONDS = 0.02
_ROOT = 0
"""The user who can change every file anyway."""
_NAMED_MAX = 3
"""How many secrets that differ are named in a message."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What is remembered of one program's ledger: its epoch, and the highest sequence number seen of it."""

    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class _Contents:
    """What the file holds: for each program its mark, and the check values of the keyset that it was used with."""

    marks: dict[str, Mark]
    check_values: dict[str, dict[str, str]]


class Fence:
    """The marks of all programs, kept in memory and written to the file by ``save``.

    Several server processes share the file: it keeps the highest mark of all of them.

    What is remembered must be on the ledger's disk: a ledger that was restarted after a crash must never be behind it.
    With ``strict`` durability each reply is. With ``fast`` the marks trail the ledger by two to four seconds, until a
    check has proved what another one read before (``remember``).
    """

    def __init__(
        self,
        path: Path,
        keyset_id: str,
        check_values: Mapping[str, str],
        *,
        trails: bool = False,
        learns: bool = True,
    ) -> None:
        """Read the file.

        Args:
            path: The file; if it is missing, nothing is remembered.
            keyset_id: The keyset that signs the coupons of this ledger. A ledger of another keyset is not served.
            check_values: The check values of that keyset.
            trails: A reply of the ledger does not mean that it is on disk (``fast``).
            learns: A ledger of which nothing is remembered is accepted (development). Else an operator must adopt it: a
                server without its fence cannot know whether the ledger is the right one.

        Raises:
            LedgerNotTrusted: The file exists, and is damaged, of another user, or writable for everybody.
        """
        self.path = path
        self.keyset_id = keyset_id
        self.check_values = check_values
        self.trails = trails
        self.learns = learns
        contents = _read(path)
        self._marks = contents.marks
        self._remembered_values = contents.check_values
        self._dirty = False

    def programs(self) -> list[str]:
        """Return the programs whose ledger is remembered."""
        return sorted(self._marks)

    def mark(self, program: str) -> Mark | None:
        """Return what is remembered of a program's ledger."""
        return self._marks.get(program)

    def known(self, program: str) -> bytes:
        """Return a program's mark as the ledger's functions read it, see ``lua/frame.lua``."""
        mark = self._marks.get(program)
        if mark is None:
            return b"" if self.learns else _UNKNOWN
        return b"%b%d" % (mark.epoch.encode(), mark.seq)

    def check(self, program: str, mark: Mark | None, header: Header | None) -> None:
        """Compare the header of a program's ledger with the mark, and observe the header.

        Args:
            program: The program.
            mark: The mark from before the header was read; other calls may have raised it since.
            header: The header, or None when there is no ledger of this program.

        Raises:
            LedgerNotTrusted: The ledger has another keyset or epoch, is empty, was rolled back, or is not known.
        """
        self.require(program, mark, header)
        if header is not None:
            self.observe(program, header.epoch, header.seq)

    def require(self, program: str, mark: Mark | None, header: Header | None) -> None:
        """Compare the header of a program's ledger with the mark.

        Raises:
            LedgerNotTrusted: As ``check``.
        """
        problem = self.problem(mark, header)
        if problem:
            raise LedgerNotTrusted(
                NOT_TRUSTED,
                for_operator=f"the ledger of program {program!r} {problem}; coupons that were used would be usable "
                "again. Restore the right ledger, or accept this one: "
                f"redemption ledger adopt --program {program}",
            )

    def problem(self, mark: Mark | None, header: Header | None) -> str | None:
        """Return why a ledger is not trusted, or None when it is."""
        if mark is None and header is not None and not self.learns:
            return "is not known to this machine, which cannot tell whether it is an older copy"
        return self.contradiction(mark, header)

    def contradiction(self, mark: Mark | None, header: Header | None) -> str | None:
        """Return what of a ledger contradicts what is remembered, or None."""
        if header is not None and header.keyset_id != self.keyset_id:
            return f"belongs to keyset {header.keyset_id}, not to {self.keyset_id}"
        if mark is None:
            return None
        if header is None:
            return f"is empty, but this server remembers it at call {mark.seq}"
        if header.epoch != mark.epoch:
            return "is another one than this server remembers"
        if header.seq < mark.seq:
            return f"stands at call {header.seq}, but this server remembers call {mark.seq}: it was rolled back"
        return None

    def require_keyset(self, program: str, header: Header | None, stored: Mapping[str, str]) -> None:
        """Compare the keyset with the one that a program's ledger was used with.

        Args:
            program: The program.
            header: Its ledger's header; ``check`` tells of a ledger that is not there or has another keyset's id.
            stored: The check values that the ledger has stored, by name; those of new keys are missing.

        Raises:
            LedgerNotTrusted: The keyset has the same id and another secret.
        """
        if header is not None and header.keyset_id == self.keyset_id:
            problem = self.keyset_problem(program, stored)
            if problem:
                raise LedgerNotTrusted(NOT_TRUSTED, for_operator=problem)

    def keyset_problem(self, program: str, stored: Mapping[str, str]) -> str | None:
        """Return what differs in the keyset from the one that a ledger was used with, and the way out; or None."""
        remembered = self._remembered_values.get(program, {})
        differing = [
            named(name)
            for name, value in self.check_values.items()
            if value != stored.get(name, value) or value != remembered.get(name, value)
        ]
        if not differing:
            return None
        more = f" and {len(differing) - _NAMED_MAX} more" if len(differing) > _NAMED_MAX else ""
        return (
            f"keyset {self.keyset_id} is another one than the ledger of program {program!r} was used with, though its "
            f"id is the same. It differs in: {', '.join(differing[:_NAMED_MAX])}{more}. With it, limits would begin "
            "anew or coupons would be invalid. Put the right keyset file back, or accept this one: "
            f"redemption ledger adopt --program {program}"
        )

    def remember_keyset(self, program: str) -> None:
        """Remember the keyset's check values for a program whose ledger is trusted; those of new keys are added."""
        remembered = self._remembered_values.setdefault(program, {})
        if any(name not in remembered for name in self.check_values):
            self._remembered_values[program] = {**self.check_values, **remembered}
            self._dirty = True

    def observe(self, program: str, epoch: str, seq: int) -> None:
        """Take the sequence number of a reply of a trusted ledger."""
        if not self.trails:
            self.remember(program, epoch, seq)
        elif program not in self._marks:
            self._marks[program] = Mark(epoch, 0)  # in memory alone, until a check has proved that it is on disk

    def is_behind(self, headers: Mapping[str, Header]) -> bool:
        """Whether the headers of some programs are newer than what is remembered."""
        return any(header.seq > self._marks[program].seq for program, header in headers.items())

    def remember(self, program: str, epoch: str, seq: int) -> None:
        """Remember a sequence number that is on the ledger's disk, if it is higher, or if the epoch is new."""
        mark = self._marks.get(program)
        if mark is None or mark.epoch != epoch or mark.seq < seq:
            self._marks[program] = Mark(epoch, seq)
            self._dirty = True

    def adopt(self, program: str, epoch: str, seq: int) -> None:
        """Replace what is remembered of a program, in memory and at once in the file."""
        with _locked(self.path):
            contents = _read(self.path)
            contents.marks[program] = self._marks[program] = Mark(epoch, seq)
            contents.check_values[program] = self._remembered_values[program] = dict(self.check_values)
            _write(self.path, contents)

    def learn_adoptions(self) -> None:
        """Take over from the file what an operator adopted: each adoption gives the ledger a new epoch."""
        contents = _read(self.path)
        for program, mark in contents.marks.items():
            mine = self._marks.get(program)
            if mine is None or mine.epoch != mark.epoch:
                self._marks[program] = mark
                self._remembered_values[program] = contents.check_values.get(program, {})

    def rewrite(self) -> None:
        """Write the file as it is, to find out whether it can be written.

        Raises:
            OSError: It cannot be.
            LedgerNotTrusted: It cannot be read.
        """
        with _locked(self.path):
            _write(self.path, _read(self.path))

    def save(self) -> None:
        """Write new marks to the file, except where another process wrote a higher one; wait until it is on disk.

        May run in another thread while ``observe`` is called.
        """
        if not self._dirty:
            return
        self._dirty = False
        try:
            with _locked(self.path):
                contents = _read(self.path)
                unproved = set()
                for program, mine in tuple(self._marks.items()):
                    if not mine.seq:
                        unproved.add(program)
                        continue
                    theirs = contents.marks.get(program)
                    if theirs is None or (theirs.epoch == mine.epoch and theirs.seq < mine.seq):
                        contents.marks[program] = mine
                for program, values in tuple(self._remembered_values.items()):
                    if program not in unproved:
                        contents.check_values[program] = {**values, **contents.check_values.get(program, {})}
                _write(self.path, contents)
        except BaseException:
            self._dirty = True
            raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file, so that no other server process writes it; wait for the lock about 1 s at most.

    Raises:
        OSError: Another process still has the lock, or the lock's file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock_path = path.with_name(path.name + ".lock")
    lock = os.open(lock_path, flags, 0o600)
    try:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not left:
                    raise OSError(errno.EWOULDBLOCK, "another process holds this lock", str(lock_path)) from None
                time.sleep(_PAUSE_SECONDS)
        yield
    finally:
        os.close(lock)


def _read(path: Path) -> _Contents:
    content = _content(path)
    if content is None:
        return _Contents({}, {})
    try:
        stored = json.loads(content)
        return _Contents(
            marks={program: _mark(**mark) for program, mark in stored["programs"].items()},
            check_values={program: _values(values) for program, values in stored.get("keysets", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerNotTrusted(
            NOT_TRUSTED,
            for_operator=f"{path} cannot be read as a fence ({error}); restore it, or delete it and adopt the ledger",
        ) from error


def _content(path: Path) -> bytes | None:
    """Return what the file holds; None when there is no file.

    Raises:
        LedgerNotTrusted: Somebody else may have written it.
    """
    try:
        # Without waiting: a FIFO that nobody writes to would keep us waiting for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise LedgerNotTrusted(
                NOT_TRUSTED,
                for_operator=f"{path} is not a regular file; restore the fence, or remove this and adopt the ledger",
            )
        if found.st_uid not in (os.geteuid(), _ROOT):
            raise LedgerNotTrusted(
                NOT_TRUSTED,
                for_operator=f"{path} belongs to another user ({found.st_uid}), who may have changed what it "
                "remembers. If it is the right one, chown it to the server's user",
            )
        if found.st_mode & stat.S_IWOTH:
            raise LedgerNotTrusted(
                NOT_TRUSTED,
                for_operator=f"everybody may write {path}, so what it remembers is not certain. If it is the right "
                f"one: chmod 600 {path}",
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _mark(*, epoch: object, seq: object) -> Mark:
    if not isinstance(epoch, str) or not epoch.isascii() or not isinstance(seq, int):
        raise TypeError("epoch must be an ASCII text and seq a whole number")
    return Mark(epoch, seq)


def _values(values: dict[str, object]) -> dict[str, str]:
    if not all(isinstance(value, str) for value in values.values()):
        raise TypeError("a check value must be a text")
    return {name: str(value) for name, value in values.items()}


def _write(path: Path, contents: _Contents) -> None:
    marks = {program: {"epoch": mark.epoch, "seq": mark.seq} for program, mark in sorted(contents.marks.items())}
    # Beside the marks, not in them: the version before reads the marks, and does not know these.
    document = {"programs": marks, "keysets": dict(sorted(contents.check_values.items()))}
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)  # left by a crash, or a link that somebody laid: O_EXCL follows none
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(document))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
