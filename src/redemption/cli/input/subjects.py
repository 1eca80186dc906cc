"""Reads whom a list names: from options, from a file with one subject a line, or as a list prints it."""

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from redemption.cli.exits import BAD_INPUT, BadFile, Stop
from redemption.cli.input.file_bytes import read_bytes
from redemption.cli.input.file_text import file_text
from redemption.cli.input.networks import network_problem
from redemption.v1 import rules_pb2 as v1

KINDS = {
    "customer": v1.SUBJECT_KIND_CUSTOMER,
    "person": v1.SUBJECT_KIND_PERSON,
    "device": v1.SUBJECT_KIND_DEVICE,
    "network": v1.SUBJECT_KIND_NETWORK,
    "payment": v1.SUBJECT_KIND_PAYMENT,
    "coupon": v1.SUBJECT_KIND_COUPON,
}
_FIELDS = {
    "customer": "customer_id",
    "person": "person_id",
    "device": "device_id",
    "network": "network",
    "payment": "payment_fingerprint",
}
_EXAMPLES = {
    "customer": "c-123",
    "person": "p-123",
    "device": "d-123",
    "network": "192.0.2.0/24",
    "payment": "card-123",
    "coupon": "3:17",
}
STDIN = "-"
_FILE_BYTES_MAX = 16 * 1024 * 1024
_LINE_BYTES_MAX = 4096
_TEXT_BYTES_MAX = 128
_SERIAL_MAX = 2**40 - 1
_PROBLEMS_MAX = 20
_COUPON = re.compile(r"(?P<campaign>.+):(?P<serial>[0-9]{1,16})")
_DIGEST = re.compile(r"[0-9a-f]{16}")
_HEADING = re.compile(r"subject(?:   +until .*)?$")
_TOTAL = re.compile(r"(?:deny|allow) list of program ")
_REASON = "    "
"""The beginnings of lines that list prints and that name nobody; a reason is a line of its own in a narrow terminal."""
_COUPON_REF = re.compile(r"[0-9]{1,10}:[0-9]{1,16}")


class Subject(NamedTuple):
    """One subject as it was typed: its kind, and its text. A coupon's campaign may be a name."""

    kind: str
    text: str

    def message(self, numbers: dict[str, int]) -> v1.RiskSubject:
        """Return it for the contract; ``numbers`` has the numbers of the campaigns that coupons name."""
        if self.kind == "coupon":
            campaign, serial = coupon_parts(self.text)
            return v1.RiskSubject(coupon=v1.CouponSerial(campaign=numbers[campaign], serial=serial))
        return v1.RiskSubject(**{_FIELDS[self.kind]: self.text})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Ref:
    """One subject as a list prints it: its kind, and its digest, its range or its coupon."""

    kind: str
    id: str

    def message(self, _numbers: dict[str, int]) -> v1.SubjectRef:
        """Return it for the contract."""
        return v1.SubjectRef(kind=KINDS[self.kind], id=self.id)


def typed_subjects(typed: dict[str, Sequence[str]]) -> list[Subject]:
    """Return the subjects of options, by their kinds.

    Raises:
        Stop: Some are wrong; a line for each.
    """
    found, problems = [], []
    for kind, texts in typed.items():
        for text in texts:
            subject = Subject(kind, text.strip())
            problem = problem_of(subject)
            if problem:
                problems.append(f"--{kind}: {problem}")
            found.append(subject)
    if problems:
        raise Stop(BAD_INPUT, *problems)
    return found


def file_subjects(file: Path, kind: str | None) -> list[Subject | Ref]:
    """Return the subjects of a file, or of standard input for ``-``.

    Args:
        file: One subject a line. Empty lines, and lines that begin with ``#``, count for nothing.
        kind: The kind of all of them; None: each line begins with its kind, or is one that a list prints.

    Raises:
        BadFile: It cannot be read, or lines are wrong; each is named by its number.
    """
    piped = str(file) == STDIN
    name = "standard input" if piped else str(file)
    if piped:
        content = sys.stdin.buffer.read(_FILE_BYTES_MAX + 1)
        if len(content) > _FILE_BYTES_MAX:
            raise BadFile(f"{name}: is larger than {_FILE_BYTES_MAX // 1024} KiB")
    else:
        content = read_bytes(file, bytes_max=_FILE_BYTES_MAX)
    found: list[Subject | Ref] = []
    problems: list[str] = []
    text = file_text(name, content, piped=piped)
    for number, line in _lines(text) if kind else _without_frame(_lines(text)):
        subject, problem = _of_line(line.strip(), kind)
        if problem:
            problems.append(f"{name}:{number}: {problem}")
        found.append(subject)
    if problems:
        more = len(problems) - _PROBLEMS_MAX
        rest = [f"{name}: and {more} more lines are wrong"] if more > 0 else []
        raise BadFile(*problems[:_PROBLEMS_MAX], *rest)
    if not found:
        raise BadFile(f"{name}: names nobody")
    return found


def possible_subjects(value: str, kind: str | None) -> list[Subject]:
    """Return all subjects that a text can be; ``-`` reads the text from standard input.

    Args:
        value: The text.
        kind: Only this kind; None: every kind that the text can be.

    Raises:
        Stop: It cannot be any of them.
    """
    text = value.strip()
    if text == STDIN:
        text = file_text("standard input", sys.stdin.buffer.read(_LINE_BYTES_MAX), piped=True).strip()
        if "\n" in text:
            raise Stop(BAD_INPUT, "standard input: has more than one line; give one id")
    kinds = KINDS if kind is None else (kind,)
    subjects = [Subject(each, text) for each in kinds]
    # Without a kind, a name and a number are an id as a rule, and not a campaign by its name.
    right = [each for each in subjects if not problem_of(each) and (kind or each.kind != "coupon" or _is_numbers(text))]
    if not right:
        raise Stop(BAD_INPUT, f"VALUE: {problem_of(subjects[0])}")
    return right


def _is_numbers(coupon: str) -> bool:
    return _COUPON_REF.fullmatch(coupon) is not None


def ref_of(text: str) -> Ref:
    """Return a subject as a list prints it: ``device:0123456789abcdef``.

    Raises:
        Stop: It is none.
    """
    found = _ref(text.strip())
    if found is None:
        problem = f"must be as list prints it, such as device:0123456789abcdef; it is {text[:40]!r}"
        raise Stop(BAD_INPUT, f"--id: {problem}")
    return found


def digest_hint(text: str) -> str:
    """Return what to type for a text that looks like a digest; empty for all others."""
    if _DIGEST.fullmatch(text):
        return f"{text} looks like a digest: then give --id and its kind, such as --id device:{text}"
    found = _ref(text)
    return "" if found is None or found.kind == "coupon" else f"{text} looks like a digest: then give --id {text}"


def ref_text(ref: v1.SubjectRef) -> str:
    """Return a subject as ``ref_of`` reads it."""
    kind = next((word for word, number in KINDS.items() if number == ref.kind), str(ref.kind))
    return f"{kind}:{ref.id}"


def coupon_parts(text: str) -> tuple[str, int]:
    """Return the campaign, a number or a name, and the serial of a coupon that ``problem_of`` took."""
    found = _COUPON.fullmatch(text)
    assert found is not None, "a coupon was checked before"
    return found["campaign"], int(found["serial"])


def problem_of(subject: Subject) -> str:
    """Return what is wrong with a subject; empty if nothing is."""
    kind, text = subject
    if not text:
        return "is empty"
    if len(text.encode()) > _TEXT_BYTES_MAX:
        return f"is longer than {_TEXT_BYTES_MAX} bytes; it has {len(text.encode())}"
    if any(unicodedata.category(char) == "Cc" for char in text):
        return "has a control character"
    if kind == "network":
        return network_problem(text)
    if kind == "coupon":
        found = _COUPON.fullmatch(text)
        if found is None:
            return f"must be CAMPAIGN:SERIAL, such as 3:17; it is {text[:40]!r}"
        if int(found["serial"]) > _SERIAL_MAX:
            return f"has a serial above {_SERIAL_MAX}"
    return ""


def _of_line(line: str, kind: str | None) -> tuple[Subject | Ref, str]:
    """Return the subject of a line, and what is wrong with it."""
    if kind is None:
        # Behind a subject, a list prints three blanks and the columns that follow.
        listed = _ref(line.partition("   ")[0])
        if listed is not None:
            return listed, ""
        first, _, rest = line.partition(" ")
        if first not in KINDS:
            kinds = ", ".join(KINDS)
            problem = "must be a kind, a blank and an id, such as 'device d-123', or give --kind for all lines"
            return Subject("", line), f"{problem}; the kinds are {kinds}"
        if not rest.strip():
            return Subject(
                first, ""
            ), f"the id is missing: a line is a kind and an id, such as '{first} {_EXAMPLES[first]}'"
        subject = Subject(first, rest.strip())
    else:
        subject = Subject(kind, line)
    if " #" in subject.text:
        return subject, "has a comment behind the id; a comment needs a line of its own"
    return subject, problem_of(subject)


def _ref(text: str) -> Ref | None:
    kind, _, known = text.partition(":")
    right = _DIGEST.fullmatch(known) is not None
    if kind == "coupon":
        right = _COUPON_REF.fullmatch(known) is not None
    elif kind == "network" and "/" in known:
        right = not problem_of(Subject(kind, known))
    return Ref(kind, known) if kind in KINDS and right else None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Return the lines that say something, with their numbers."""
    for number, line in enumerate(text.split("\n"), start=1):
        plain = line.replace("\t", " ").rstrip()
        if plain and not plain.lstrip().startswith("#"):
            yield number, plain


def _without_frame(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Leave out what list prints around its subjects: the heading, the reasons on lines of their own, the total."""
    is_listed = False
    for number, line in lines:
        if _HEADING.match(line):
            is_listed = True
        elif not (_TOTAL.match(line) or (is_listed and line.startswith(_REASON))):
            yield number, line
