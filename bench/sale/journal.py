"""The journal: every answer of a run, so that the verdict is given by what callers were told, and by nothing else."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

PREBUILT = "prebuilt"
"""Who sent the redeems of the prebuilt-frame generator; the others were sent by a kind of buyers."""
DEADLINE_SECONDS = 5.0
"""Of each call; one without an answer counts as if it had taken so long."""
UNKNOWN = "UNKNOWN"
"""The answer of a call that got none, or not whether it was done: it is looked up after the run."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One call, or one order of a batch.

    Attributes:
        method: The method of the contract, such as Redeem.
        request_id: The request id; a repeated call has the same one.
        sent_at: When it was sent, Unix seconds.
        seconds: How long it took.
        answer: The outcome, such as APPROVED; for a call that failed its status, or ``UNKNOWN``.
        expected: The answer is one that this buyer had to expect.
        counted: Its time counts: it was sent after the warm-up, and is the first order of its call.
        campaign: The campaign that was wanted; 0: none.
        customer: The customer.
        token: The coupon's token.
        receipt: Of an approved redemption: its receipt.
        discount_minor: What it took off.
        sender: The kind of buyer, or ``PREBUILT``.
        position: Which order of its call this is, from 0.
    """

    method: str
    request_id: str
    sent_at: float
    seconds: float
    answer: str
    expected: bool = True
    counted: bool = True
    campaign: int = 0
    customer: str = ""
    token: str = ""
    receipt: str = ""
    discount_minor: int = 0
    sender: str = ""
    position: int = 0

    @property
    def row(self) -> str:
        """What it is counted as in tables: its method, and apart what was prebuilt."""
        return f"{self.method} ({PREBUILT})" if self.sender == PREBUILT else self.method

    @property
    def waited_seconds(self) -> float:
        """How long the caller waited; without an answer as long as the deadline."""
        return max(self.seconds, DEADLINE_SECONDS) if self.answer == UNKNOWN else self.seconds

    @property
    def approved(self) -> bool:
        """Whether the caller was told that it is approved."""
        return self.answer == "APPROVED"


class Journal:
    """The entries of one process, or of all.

    Attributes:
        entries: The entries.
        whole: Whether nothing is missing: each process has sent all it has.
    """

    def __init__(self, entries: Iterable[Entry] = (), *, whole: bool = True) -> None:
        self.entries = list(entries)
        self.whole = whole
        self._taken = 0

    def note(self, entry: Entry) -> None:
        """Add an entry."""
        self.entries.append(entry)

    def take(self) -> list[tuple[Any, ...]]:
        """Return the entries since the last call, as locust sends them to its master."""
        new = self.entries[self._taken :]
        self._taken = len(self.entries)
        return [astuple(each) for each in new]

    def add(self, taken: Iterable[Iterable[Any]]) -> None:
        """Add what ``take`` returned in another process."""
        self.entries.extend(Entry(*each) for each in taken)

    def write(self, file: Path) -> None:
        """Write all entries, one a line, below a line of names."""
        with file.open("w", encoding="utf-8") as out:
            out.write(json.dumps([field.name for field in fields(Entry)]) + "\n")
            for entry in self.entries:
                out.write(json.dumps(astuple(entry), ensure_ascii=False) + "\n")


def read_journal(file: Path) -> Journal:
    """Read a journal.

    Raises:
        ValueError: It is none, or of another version.
    """
    return Journal(_entries(file))


def _entries(file: Path) -> Iterator[Entry]:
    names = [field.name for field in fields(Entry)]
    with file.open(encoding="utf-8") as lines:
        if json.loads(next(lines, "null")) != names:
            raise ValueError(f"{file}: is no journal of this version of the bench")
        for line in lines:
            yield Entry(*json.loads(line))
