"""Changes a program's deny or allow list, in requests of a size that the server takes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from redemption.cli.exits import BAD_INPUT, Stop
from redemption.cli.input.subjects import Subject, coupon_parts
from redemption.cli.program_file.campaigns import names_of, number_of
from redemption.cli.server_calls import all_campaigns
from redemption.client import RedemptionClient
from redemption.v1 import risk_service_pb2 as risk
from redemption.v1 import rules_pb2 as v1

REQUEST_MAX = 1000
"""So many entries a request takes."""
ENTRIES_MAX = 100_000
"""So many entries both lists of a program take together."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class OfList:
    """One list of a program."""

    program: str
    kind: v1.ListKind


@dataclass(slots=True)
class Progress:
    """How far a command is that changes many entries.

    Attributes:
        sent: How many subjects the server has answered.
        entries: Those that were added.
        removed: How many were removed.
        total: How many entries both lists have now.
    """

    sent: int = 0
    entries: list[v1.ListEntry] = field(default_factory=list)
    removed: int = 0
    total: int = 0


def entries_of(client: RedemptionClient, of: OfList) -> tuple[Iterator[v1.ListEntry], int]:
    """Return the entries of a list, page by page, and how many both lists have."""
    first = client.list_list_entries(
        risk.ListListEntriesRequest(program=of.program, list=of.kind, page_size=REQUEST_MAX)
    )
    return _entries(client, of, first), first.total


def total_of(client: RedemptionClient, program: str) -> int:
    """Return how many entries both lists of a program have."""
    return client.list_list_entries(risk.ListListEntriesRequest(program=program, page_size=1)).total


def require_room(client: RedemptionClient, program: str, count: int, *, total: int, now: float) -> None:
    """Refuse more subjects than there is room for, before anything is sent.

    The server removes entries that have expired when it needs their room.

    Args:
        client: The server.
        program: The program.
        count: How many subjects are to be added.
        total: How many entries both lists have.
        now: The present, Unix seconds.

    Raises:
        Stop: There are too many; the message says the bound and how many there are.
    """
    if count + total <= ENTRIES_MAX:
        return
    entries, _ = entries_of(client, OfList(program, v1.LIST_KIND_UNSPECIFIED))
    expired = sum(entry.HasField("expire_time") and entry.expire_time.seconds <= now for entry in entries)
    if count + total - expired > ENTRIES_MAX:
        of_them = f" ({expired:,} of them expired)" if expired else ""
        there = f"{count:,} to add, and both lists together have {total:,}{of_them} of at most {ENTRIES_MAX:,} entries"
        again = "after a command that was interrupted, give --skip as it said"
        raise Stop(BAD_INPUT, f"there is no room: {there}; nothing was sent; {again}")


def campaign_numbers(client: RedemptionClient, program: str, subjects: Iterable[Subject]) -> dict[str, int]:
    """Return the numbers of the campaigns that coupons name.

    Raises:
        Stop: There is no campaign of some name; the message names it.
    """
    named = {coupon_parts(subject.text)[0] for subject in subjects if subject.kind == "coupon"}
    numbers = {text: number for text in named if (number := number_of(text)) is not None}
    if named == numbers.keys():
        return numbers
    by_name = {name: number for number, name in names_of(all_campaigns(client, program)).items()}
    missing = sorted(text for text in named if text not in numbers and text not in by_name)
    if missing:
        raise Stop(BAD_INPUT, *(f"there is no campaign called {text[:40]!r} in this program" for text in missing))
    return numbers | {text: by_name[text] for text in named if text not in numbers}


def add(
    client: RedemptionClient,
    of: OfList,
    subjects: Sequence[v1.RiskSubject],
    *,
    reason: str,
    expire_time: Timestamp | None,
    progress: Progress,
) -> Iterator[int]:
    """Add entries, and yield after each answer how many subjects it was about; ``progress`` is brought up to date."""
    for part in _parts(subjects):
        request = risk.AddListEntriesRequest(
            program=of.program, list=of.kind, subjects=part, reason=reason, expire_time=expire_time
        )
        answer = client.add_list_entries(request)
        progress.sent += len(part)
        progress.entries += answer.entries
        progress.total = answer.total
        yield len(part)


def remove(
    client: RedemptionClient,
    of: OfList,
    subjects: Sequence[v1.RiskSubject],
    refs: Sequence[v1.SubjectRef],
    *,
    progress: Progress,
) -> Iterator[int]:
    """Remove entries, and yield as ``add`` does; ``progress`` is brought up to date."""
    requests = [risk.RemoveListEntriesRequest(subjects=part) for part in _parts(subjects)]
    requests += [risk.RemoveListEntriesRequest(refs=part) for part in _parts(refs)]
    for request in requests:
        request.program, request.list = of.program, of.kind
        answer = client.remove_list_entries(request)
        count = len(request.subjects) + len(request.refs)
        progress.sent += count
        progress.removed += answer.removed
        progress.total = answer.total
        yield count


def _entries(client: RedemptionClient, of: OfList, page: risk.ListListEntriesResponse) -> Iterator[v1.ListEntry]:
    while True:
        yield from page.entries
        if not page.next_page_token:
            return
        page = client.list_list_entries(
            risk.ListListEntriesRequest(
                program=of.program, list=of.kind, page_size=REQUEST_MAX, page_token=page.next_page_token
            )
        )


def _parts(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    rest = iter(items)
    while part := list(islice(rest, REQUEST_MAX)):
        yield part
