"""Changes a program's deny or allow list, in requests of a size that the server takes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypedDict, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from redemption.cli.exits import BAD_INPUT, Stop
from redemption.cli.input.subjects import Ref, Subject, coupon_parts
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


class _Fields(TypedDict):
    subjects: list[v1.RiskSubject]
    refs: list[v1.SubjectRef]


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


def require_room(count: int) -> None:
    """Refuse more subjects than there can ever be room for, before anything is sent.

    Whether there is room beside the entries that are there, the server says: it knows which of them are new.

    Args:
        count: How many subjects are to be added.

    Raises:
        Stop: There are too many; the message says the bound.
    """
    if count > ENTRIES_MAX:
        problem = f"there is no room: {count:,} to add, and both lists together have room for {ENTRIES_MAX:,} entries"
        raise Stop(BAD_INPUT, f"{problem}; nothing was sent")


def campaign_numbers(client: RedemptionClient, program: str, subjects: Iterable[Subject | Ref]) -> dict[str, int]:
    """Return the numbers of the campaigns that coupons name.

    Raises:
        Stop: There is no campaign of some name; the message names it.
    """
    coupons = (each for each in subjects if isinstance(each, Subject) and each.kind == "coupon")
    named = {coupon_parts(coupon.text)[0] for coupon in coupons}
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
    subjects: Sequence[v1.RiskSubject | v1.SubjectRef],
    *,
    reason: str,
    expire_time: Timestamp | None,
    progress: Progress,
) -> Iterator[int]:
    """Add entries, and yield after each answer how many subjects it was about; ``progress`` is brought up to date."""
    for part in _parts(subjects):
        request = risk.AddListEntriesRequest(
            program=of.program, list=of.kind, reason=reason, expire_time=expire_time, **_fields(part)
        )
        answer = client.add_list_entries(request)
        progress.sent += len(part)
        progress.entries += answer.entries
        progress.total = answer.total
        yield len(part)


def remove(
    client: RedemptionClient,
    of: OfList,
    subjects: Sequence[v1.RiskSubject | v1.SubjectRef],
    *,
    progress: Progress,
) -> Iterator[int]:
    """Remove entries, and yield as ``add`` does; ``progress`` is brought up to date."""
    for part in _parts(subjects):
        request = risk.RemoveListEntriesRequest(program=of.program, list=of.kind, **_fields(part))
        answer = client.remove_list_entries(request)
        progress.sent += len(part)
        progress.removed += answer.removed
        progress.total = answer.total
        yield len(part)


def _fields(part: Sequence[v1.RiskSubject | v1.SubjectRef]) -> _Fields:
    """Return the fields of a request that name somebody."""
    return {
        "subjects": [each for each in part if isinstance(each, v1.RiskSubject)],
        "refs": [each for each in part if isinstance(each, v1.SubjectRef)],
    }


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
