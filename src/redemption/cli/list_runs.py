"""Runs the commands of a list: whom they name, in requests of a size that the server takes, and what was done."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from rich.progress import Progress as Bar

from redemption.cli import list_changes as lists
from redemption.cli.exits import BAD_INPUT, INTERRUPTED, Stop
from redemption.cli.input.instants import INSTANT, instant
from redemption.cli.input.networks import width
from redemption.cli.input.spans import SPAN, span
from redemption.cli.input.subjects import KINDS, Ref, Subject, file_subjects, ref_of, typed_subjects
from redemption.cli.list_changes import ENTRIES_MAX, REQUEST_MAX, OfList, Progress
from redemption.cli.output.lists import print_entries
from redemption.cli.output.screen import complain, print_message, say, stderr
from redemption.cli.program_file.campaigns import names_of
from redemption.cli.server_calls import Unanswered, all_campaigns, connected, warn_of_no_campaign
from redemption.client import RedemptionClient, RequestRejected
from redemption.settings import Settings
from redemption.v1 import risk_service_pb2 as risk
from redemption.v1.rules_pb2 import LIST_KIND_ALLOW, LIST_KIND_DENY

_now = time.time


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom a command names, as it was typed.

    Attributes:
        options: The texts of the options, by their kinds.
        file: A file with one subject a line, or ``-``.
        kind: The kind of all lines of the file; None: each line says it.
        ids: Subjects as a list prints them.
    """

    options: dict[str, Sequence[str]]
    file: Path | None
    kind: str | None
    ids: Sequence[str] = ()


def run_add(
    settings: Settings,
    name: str,
    whom: Whom,
    *,
    reason: str,
    expires: str | None,
    skip: int,
    wide: bool,
    as_json: bool,
) -> None:
    """Add to a list, and print how many were added.

    Args:
        settings: The server and the program.
        name: The list.
        whom: Whom to add.
        reason: Why.
        expires: Until when, as it was typed; None: for good.
        skip: So many of them are left out, from the first.
        wide: Ranges of IPv6 that are wider than /16 are meant.
        as_json: Print the contract's answer.

    Raises:
        Stop: Something that was typed is wrong, there is no room, or a call failed; it says how to go on.
    """
    if skip and whom.file is None:
        raise Stop(BAD_INPUT, "--skip leaves out lines of a file: give --file FILE too")
    subjects, twice = _subjects(name, whom)
    if not wide:
        _refuse_wide(subjects)
    until = None if expires is None else _expiry(expires)
    of, progress = _of(settings.program, name), Progress()
    rest = subjects[skip:]
    lists.require_room(len(rest))
    try:
        with connected(settings) as client:
            before = lists.total_of(client, settings.program)
            numbers = lists.campaign_numbers(client, settings.program, rest)
            _warn_of_campaigns(client, settings.program, set(numbers.values()))
            messages = [subject.message(numbers) for subject in rest]
            steps = lists.add(client, of, messages, reason=reason, expire_time=until, progress=progress)
            _take(steps, len(messages), f"{name} add")
            warn_of_no_campaign(client, settings.program)
    except (Unanswered, KeyboardInterrupt) as error:
        more = f", and with --skip {skip + progress.sent} only the rest" if progress.sent else ""
        done = f"{progress.sent:,} of {len(rest):,} were added"
        raise _stopped(error, done, f"the same command adds the rest{more}", progress) from error
    if as_json:
        print_message(risk.AddListEntriesResponse(entries=progress.entries, total=progress.total))
        return
    if len(rest) + before > ENTRIES_MAX:  # entries that had expired were removed for them
        counts = [(len(rest), "added or changed"), (twice, "given twice")]
    else:  # somebody else may have changed the lists at the same time
        new = min(max(progress.total - before, 0), len(rest))
        counts = [(new, "added"), (len(rest) - new, "there already, changed"), (twice, "given twice")]
    _print_total(of, counts, progress.total)


def run_remove(settings: Settings, name: str, whom: Whom, *, as_json: bool) -> None:
    """Remove from a list, and print how many were removed.

    Raises:
        Stop: Something that was typed is wrong, or a call failed; it says how to go on.
    """
    subjects, twice = _subjects(name, whom)
    count = len(subjects)
    of, progress = _of(settings.program, name), Progress()
    try:
        with connected(settings) as client:
            numbers = lists.campaign_numbers(client, settings.program, subjects)
            messages = [subject.message(numbers) for subject in subjects]
            _take(lists.remove(client, of, messages, progress=progress), count, f"{name} remove")
    except (Unanswered, KeyboardInterrupt) as error:
        done = f"{progress.removed:,} were removed"
        raise _stopped(error, done, "the same command removes the rest", progress) from error
    if as_json:
        print_message(risk.RemoveListEntriesResponse(removed=progress.removed, total=progress.total))
        return
    counts = [(progress.removed, "removed"), (count - progress.removed, "not there"), (twice, "given twice")]
    _print_total(of, counts, progress.total)


def run_list(settings: Settings, name: str, *, as_json: bool) -> None:
    """Print the entries of a list."""
    of = _of(settings.program, name)
    with connected(settings) as client:
        entries, total = lists.entries_of(client, of)
        found = list(entries)
    if as_json:
        print_message(risk.ListListEntriesResponse(entries=found, total=total))
        return
    if found:
        print_entries(found, _now())
    _print_total(of, [(len(found), "on it")], total)


def _subjects(name: str, whom: Whom) -> tuple[list[Subject | Ref], int]:
    """Return whom a command names, each once, and how many were named again."""
    if whom.kind is not None and whom.file is None:
        raise Stop(BAD_INPUT, "--kind says what the lines of a file are: give --file FILE too")
    every: list[Subject | Ref] = [*typed_subjects(whom.options), *map(ref_of, whom.ids)]
    every += [] if whom.file is None else file_subjects(whom.file, whom.kind)
    if name == "allow" and any(subject.kind == "coupon" for subject in every):
        raise Stop(BAD_INPUT, "a coupon can be denied, and not allowed: allow its customer instead")
    if not every:
        kinds = [kind for kind in KINDS if name == "deny" or kind != "coupon"]
        raise Stop(BAD_INPUT, f"say whom: give {', '.join(f'--{kind}' for kind in kinds)}, --id or --file FILE")
    found = list(dict.fromkeys(every))
    return found, len(every) - len(found)


def _refuse_wide(subjects: Iterable[Subject | Ref]) -> None:
    """Refuse ranges so wide that they are hardly meant.

    Raises:
        Stop: There are some; a line for each.
    """
    ranges = (each.text if isinstance(each, Subject) else each.id for each in subjects if each.kind == "network")
    problems = [f"{text} {told}: give --yes if that is meant" for text in ranges if (told := width(text))]
    if problems:
        raise Stop(BAD_INPUT, *problems)


def _expiry(text: str) -> Timestamp:
    """Return when entries expire: an instant, or so long from now."""
    now = int(_now())
    if not SPAN.fullmatch(text) and not INSTANT.fullmatch(text):
        what = "a length of time in s, m, h or d such as 7d, or an instant such as 2026-11-12T00:00+08:00"
        raise Stop(BAD_INPUT, f"--expires: must be {what}; it is {text[:40]!r}")
    try:
        until = Timestamp(seconds=now + span(text).seconds) if SPAN.fullmatch(text) else instant(text, None)
    except ValueError as error:
        raise Stop(BAD_INPUT, f"--expires: {error}") from error
    if SPAN.fullmatch(text) and until.seconds == now:
        raise Stop(BAD_INPUT, f"--expires: must be 1s or more; it is {text[:40]!r}")
    if until.nanos:
        raise Stop(BAD_INPUT, f"--expires: must be a whole second; it is {text[:40]!r}")
    if until.seconds <= now:
        raise Stop(BAD_INPUT, f"--expires: has passed: the entries would do nothing; it is {text[:40]!r}")
    return until


def _warn_of_campaigns(client: RedemptionClient, program: str, numbers: set[int]) -> None:
    """Print a warning for each campaign of coupons that the program does not have."""
    known = names_of(all_campaigns(client, program)) if numbers else {}
    for number in sorted(numbers - known.keys()):
        complain(f"warning: there is no campaign {number} in program {program}: nobody can have its coupons")


def _of(program: str, name: str) -> OfList:
    return OfList(program, LIST_KIND_DENY if name == "deny" else LIST_KIND_ALLOW)


def _take(steps: Iterable[int], total: int, what: str) -> None:
    """Take the steps of a command, with their progress in a terminal if there are several."""
    if total <= REQUEST_MAX or not stderr().is_terminal:
        for _ in steps:
            pass
        return
    with Bar(console=stderr(), transient=True) as bar:
        task = bar.add_task(what, total=total)
        for count in steps:
            bar.advance(task, count)


def _stopped(error: Unanswered | KeyboardInterrupt, done: str, again: str, progress: Progress) -> Stop:
    """Return the exception for a command that was stopped between two requests, with what was done."""
    if isinstance(error, Unanswered):
        if not error.sent:
            return error
        rejected = isinstance(error.error, RequestRejected)  # the same again would be rejected again
        if rejected and not progress.sent:
            return error
        stop = Stop(error.code, f"{error}; {done}" if rejected else f"{error}; {done}; {again}")
        stop.failure = error.failure
    else:
        stop = Stop(INTERRUPTED, f"interrupted; {done}; {again}")
    stop.done_before = {"done": progress.sent}
    return stop


def _print_total(of: OfList, counts: Sequence[tuple[int, str]], total: int) -> None:
    name = "deny" if of.kind == LIST_KIND_DENY else "allow"
    first, *others = counts
    told = ", ".join(f"{count:,} {words}" for count, words in (first, *((n, words) for n, words in others if n)))
    say(f"{name} list of program {of.program}: {told}; both lists have {total:,} of at most {ENTRIES_MAX:,} entries")
