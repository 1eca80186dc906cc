"""Reads whom a list names: from options, from a file with one subject a line, or as a list prints it."""

import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import NamedTuple

from redemption.cli.exits import BAD_INPUT, BadFile, Stop
from redemption.cli.input.file_bytes import read_bytes
from redemption.cli.input.file_text import file_text
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
STDIN = "-"
_FILE_BYTES_MAX = 16 * 1024 * 1024
_LINE_BYTES_MAX = 4096
_TEXT_BYTES_MAX = 128
_SERIAL_MAX = 2**40 - 1
_PROBLEMS_MAX = 20
_IPV6 = 6
_IPV6_BITS = 64
_BITS_MIN = 8
_MAPPED_BITS = 96
"""IPv4 addresses that are written as IPv6 addresses, ``::ffff:192.0.2.7``, are judged as IPv4 addresses."""
_OTHER_IPV4 = (ip_network("64:ff9b::/96"), ip_network("2002::/16"))
"""Other IPv6 addresses that are judged as IPv4 addresses: NAT64 and 6to4."""
_CIDR = re.compile(r"[^/%]+/(0|[1-9][0-9]{0,2})")
"""Python would also read masks, leading zeros and zones."""
_COUPON = re.compile(r"(?P<campaign>.+):(?P<serial>[0-9]{1,16})")
_DIGEST = re.compile(r"[0-9a-f]{16}")
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


def file_subjects(file: Path, kind: str | None) -> list[Subject]:
    """Return the subjects of a file, or of standard input for ``-``.

    Args:
        file: One subject a line; empty lines, and lines that begin with ``#``, count for nothing.
        kind: The kind of all of them; None: each line begins with its kind.

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
    found, problems = [], []
    for number, line in _lines(file_text(name, content, piped=piped)):
        subject, problem = _of_line(line, kind)
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
        text = file_text("standard input", sys.stdin.buffer.readline(_LINE_BYTES_MAX), piped=True).strip()
    kinds = KINDS if kind is None else (kind,)
    subjects = [Subject(each, text) for each in kinds]
    # Without a kind, a name and a number are an id as a rule, and not a campaign by its name.
    right = [each for each in subjects if not problem_of(each) and (kind or each.kind != "coupon" or _is_numbers(text))]
    if not right:
        raise Stop(BAD_INPUT, f"VALUE: {problem_of(subjects[0])}")
    return right


def _is_numbers(coupon: str) -> bool:
    return _COUPON_REF.fullmatch(coupon) is not None


def ref_of(text: str) -> v1.SubjectRef:
    """Return a subject as a list prints it: ``device:0123456789abcdef``.

    Raises:
        Stop: It is none.
    """
    kind, _, known = text.strip().partition(":")
    right = _DIGEST.fullmatch(known) is not None
    if kind == "coupon":
        right = _COUPON_REF.fullmatch(known) is not None
    elif kind == "network" and "/" in known:
        right = not problem_of(Subject(kind, known))
    if kind not in KINDS or not right:
        problem = f"must be as list prints it, such as device:0123456789abcdef; it is {text[:40]!r}"
        raise Stop(BAD_INPUT, f"--id: {problem}")
    return v1.SubjectRef(kind=KINDS[kind], id=known)


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
        return f"is longer than {_TEXT_BYTES_MAX} bytes"
    if any(unicodedata.category(char) == "Cc" for char in text):
        return "has a control character"
    if kind == "network":
        return _network_problem(text)
    if kind == "coupon":
        found = _COUPON.fullmatch(text)
        if found is None:
            return f"must be CAMPAIGN:SERIAL, such as 3:17; it is {text[:40]!r}"
        if int(found["serial"]) > _SERIAL_MAX:
            return f"has a serial above {_SERIAL_MAX}"
    return ""


def _of_line(line: str, kind: str | None) -> tuple[Subject, str]:
    """Return the subject of a line, and what is wrong with it."""
    if kind is None:
        first, _, rest = line.partition(" ")
        if first not in KINDS:
            kinds = ", ".join(KINDS)
            problem = f"must begin with a kind and a blank, or give --kind for all lines; the kinds are {kinds}"
            return Subject("", line), problem
        subject = Subject(first, rest.strip())
    else:
        subject = Subject(kind, line)
    return subject, problem_of(subject)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.replace("\t", " ").strip()
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def _network_problem(text: str) -> str:
    """Return what is wrong with an address or a range; the server says the same, but only of what it is sent."""
    if "/" not in text:
        return "" if _is_address(text) else f"is no network address, such as 192.0.2.7; it is {text[:60]!r}"
    no_range = f"is no range in CIDR notation, such as 192.0.2.0/24; it is {text[:60]!r}"
    if not _CIDR.fullmatch(text):
        return no_range
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return no_range
    address = text.partition("/")[0]
    if str(network.network_address) != str(_address(address)):
        return f"has bits set behind the prefix; did you mean {network}?"
    mapped = isinstance(network.network_address, IPv6Address) and network.network_address.ipv4_mapped is not None
    bits = network.prefixlen - (_MAPPED_BITS if mapped else 0)
    if bits < _BITS_MIN:
        return f"is wider than /{_BITS_MIN}; name the ranges that are meant; it is {text[:60]!r}"
    if any(network.network_address in other for other in _OTHER_IPV4):
        return f"stands for IPv4 addresses; write their range, such as 192.0.2.0/24; it is {text[:60]!r}"
    if network.version == _IPV6 and not mapped and bits > _IPV6_BITS:
        return f"is narrower than /64; IPv6 addresses are judged by their /64; it is {text[:60]!r}"
    return ""


def _is_address(text: str) -> bool:
    try:
        address = _address(text)
    except AddressValueError:
        return False
    return isinstance(address, IPv4Address) or address.scope_id is None


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return IPv6Address(text)
