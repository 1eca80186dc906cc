"""What sampled stacks were busy with: collapsed stacks, as py-spy writes them, and what each function's time is for.

A stack is judged from its innermost frame on. The first function of the project says what the time is for, unless a
library with a job of its own was called from there. The event loop's own frames count only where no such function is
between it and the end: a write that the batcher asked for is the batcher's.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

GRPC = "gRPC core and its Python layer"
LOOP = "event loop"
MESSAGES = "messages: protobuf, conversion"
DIGESTS = "token, digests, signatures"
JUDGING = "checking, judging, pricing"
PACKING = "packing"
BATCHER = "batcher and connection"
ANSWER = "answer: receipt, settlement, decision"
GARBAGE = "garbage collector"
ELSE = "everything else"

_WAITING = re.compile(r"epoll_p?wait|poll|select|pthread_cond_\w+|sem_\w+|nanosleep|take_gil|PyThread_acquire_lock\w*")
_WAITING_FRAMES = 4
"""Innermost frames among which the one that waits is; those behind it are often nameless."""
_SHOWN_CHARACTERS = 72
_GARBAGE = re.compile(r"gc_collect\w*|deduce_unreachable|subtract_refs|move_unreachable|visit_(decref|reachable)")
# Libraries that have a job of their own, wherever they are called from.
_LIBRARIES = (
    (GRPC, re.compile(r"grpc/")),
    (MESSAGES, re.compile(r"google/(protobuf|_upb)|_message\.")),
    (DIGESTS, re.compile(r"cryptography/|_rust\.abi3|libcrypto|hmac\.py|hashlib\.py|hmacmodule|_hashopenssl")),
    (BATCHER, re.compile(r"redis/|hiredis")),
)
# The project's functions: by name where a file has several jobs, else by file.
_FUNCTIONS = (
    (DIGESTS, re.compile(r"redeemer\.py Redeemer\._digest|redeemer\.py .*\._open\b")),
    (JUDGING, re.compile(r"redeemer\.py .*(_judge|_item)")),
    (ANSWER, re.compile(r"redeemer\.py .*(_result|_in_callers_order|_completed)")),
)
_FILES = (
    (GRPC, re.compile(r"rpc/(guard|call|server|health)\.py")),
    (MESSAGES, re.compile(r"rpc/|/v1/")),
    (DIGESTS, re.compile(r"domain/(token|digest|signing|keyset|pae|armor|receipt)\.py|service/(content|coupons)\.py")),
    (ANSWER, re.compile(r"service/answer\.py|domain/(settlement|decision|outcome)\.py")),
    (PACKING, re.compile(r"ledger/codec\.py|ports\.py")),
    (BATCHER, re.compile(r"ledger/")),
    (JUDGING, re.compile(r"domain/")),
)
_LOOP = re.compile(r"uvloop|asyncio|^(loop|core|stream|epoll|linux|unix|poll|tcp|loop-watcher)\.[ch]|queue\.h")
_OUTERMOST = re.compile(r"redemption/(worker|__main__)\.py")
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>.*?)(?::\d+)?\)")
_NAMELESS = re.compile(r"0x[0-9a-f]+")


class Frame(NamedTuple):
    """One function on a stack, and its file."""

    function: str
    file: str

    @property
    def text(self) -> str:
        """How tables show it."""
        text = f"{self.function} ({self.file.removeprefix('redemption/')})"
        return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def collapsed(text: str) -> Iterator[tuple[list[Frame], int]]:
    """Read collapsed stacks, outermost frame first, and how often each was seen."""
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if count.isdigit():
            yield [_frame(part) for part in stack.split(";")], int(count)


def _frame(text: str) -> Frame:
    found = _FRAME.fullmatch(text)
    return Frame(found["function"], found["file"]) if found else Frame(text, "")


def at_work(
    stacks: Iterable[tuple[Sequence[Frame], int]],
) -> list[tuple[Sequence[Frame], int]]:
    """Return the stacks of a worker's main thread, its event loop, but for those that only wait."""
    return [(stack, count) for stack, count in stacks if _is_main(stack) and not _waits(stack)]


def _is_main(stack: Sequence[Frame]) -> bool:
    return any(_OUTERMOST.match(frame.file) for frame in stack)


def _waits(stack: Sequence[Frame]) -> bool:
    return any(_WAITING.fullmatch(frame.function) for frame in stack[-_WAITING_FRAMES:])


def purpose(stack: Sequence[Frame]) -> tuple[str, str]:
    """Return what a stack was busy with, and by which function."""
    if any(_GARBAGE.fullmatch(frame.function) for frame in stack):
        return GARBAGE, "collections"
    in_loop: Frame | None = None
    for frame in reversed(stack):
        if _OUTERMOST.match(frame.file):
            break
        if frame.file.startswith("redemption/"):
            return _of_project(frame), frame.text
        for name, pattern in _LIBRARIES:
            if pattern.search(frame.file):
                return name, _told(stack, frame)
        if in_loop is None and _LOOP.search(frame.file):
            in_loop = frame
    return (LOOP, _told(stack, in_loop)) if in_loop else (ELSE, stack[-1].text if stack else "nothing")


def _of_project(frame: Frame) -> str:
    where = f"{frame.file} {frame.function}"
    for name, pattern in (*_FUNCTIONS, *_FILES):
        if pattern.search(where):
            return name
    return ELSE


def _told(stack: Sequence[Frame], decisive: Frame) -> str:
    """Name a library's function: the C library's at the end (often a system call), or itself, or only its file."""
    last = stack[-1]
    if last.file.startswith(("libc", "libpthread")) and not _NAMELESS.fullmatch(last.function):
        return f"{last.function} (libc)"
    if _NAMELESS.fullmatch(decisive.function):
        return decisive.file.rpartition("/")[2].partition(".")[0]
    return decisive.text


@dataclass(slots=True)
class Profile:
    """Samples by purpose, and in each by function."""

    samples: Counter[str] = field(default_factory=Counter)
    functions: dict[str, Counter[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, stacks: Iterable[tuple[Sequence[Frame], int]]) -> "Profile":
        """Count stacks."""
        profile = cls()
        for stack, count in stacks:
            name, function = purpose(stack)
            profile.samples[name] += count
            profile.functions.setdefault(name, Counter())[function] += count
        return profile


def speedscope(stacks: Iterable[tuple[Sequence[Frame], int]], name: str) -> dict[str, Any]:
    """Return a flame graph as https://www.speedscope.app reads it."""
    indexes: dict[Frame, int] = {}
    samples, weights = [], []
    for stack, count in stacks:
        samples.append([indexes.setdefault(frame, len(indexes)) for frame in stack])
        weights.append(count)
    profile = {"type": "sampled", "name": name, "unit": "none", "startValue": 0, "endValue": sum(weights)}
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "shared": {"frames": [{"name": frame.function, "file": frame.file} for frame in indexes]},
        "profiles": [{**profile, "samples": samples, "weights": weights}],
    }
