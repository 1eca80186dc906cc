"""Network addresses and ranges: how they are read, and which of them count as one subject."""

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_network
from typing import Final, NamedTuple

_CIDR: Final = re.compile(r"[^/%]+/(0|[1-9][0-9]{0,2})")
"""Python would also read masks, leading zeros and zones."""
_NO_RANGE: Final = "is no range in CIDR notation, for example 192.0.2.0/24 or 2001:db8::/48"
_BITS_MIN: Final = 8
"""A wider range is a slip, or an attempt to name everybody."""
IPV4: Final = b"4"
IPV6: Final = b"6"
_CACHED = 4096
_IPV4_BITS: Final = 32
_IPV6_BITS: Final = 64
"""An IPv6 customer has a /64 as a rule, and may change the rest of the address at will."""
_MAPPED: Final = bytes(10) + b"\xff\xff"
"""How an IPv4 address begins that is written as an IPv6 address, ``::ffff:192.0.2.7``."""
_MAPPED_BITS: Final = 8 * len(_MAPPED)
_NAT64: Final = bytes.fromhex("0064ff9b") + bytes(8)
"""``64:ff9b::/96``: what a translator makes of IPv4 addresses (RFC 6052). All of them are in one /64."""
_6TO4: Final = b"\x20\x02"
"""``2002::/16``: IPv6 through an IPv4 address (RFC 3056). Each IPv4 address has 65,536 /64 of it."""


class Range(NamedTuple):
    """A range of addresses, wider than one subject.

    Attributes:
        family: ``IPV4`` or ``IPV6``.
        bits: The length of its prefix.
        first: Its first subject, 4 bytes (IPv4) or 8 bytes (the first half of an IPv6 address).
    """

    family: bytes
    bits: int
    first: bytes

    def __str__(self) -> str:
        """Return it in CIDR notation."""
        if self.family == IPV4:
            return f"{IPv4Address(self.first)}/{self.bits}"
        return f"{IPv6Address(self.first + bytes(8))}/{self.bits}"


@lru_cache(maxsize=_CACHED)
def read_address(text: str) -> bytes | None:
    """Return the subject that an address stands for, or None when the text is no address.

    An IPv4 address stands for itself, also when it is written as an IPv6 address (``::ffff:192.0.2.7``, NAT64, 6to4).
    An IPv6 address stands for its first 64 bits. The result begins with the family.
    """
    try:
        return IPV4 + IPv4Address(text).packed
    except AddressValueError:
        pass
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return None
    if address.scope_id is not None:
        return None
    packed = address.packed
    if packed.startswith((_MAPPED, _NAT64)):
        return IPV4 + packed[_MAPPED_BITS // 8 :]
    return IPV4 + packed[2:6] if packed.startswith(_6TO4) else IPV6 + packed[:8]


def read_range(text: str) -> Range | bytes | str:
    """Read an address or a range in CIDR notation.

    Returns:
        The subject of a single address (as ``read_address``), also of an IPv4 /32 and an IPv6 /64; a wider range; or
        what is wrong with the text, and what would be right.
    """
    if "/" not in text:
        subject = read_address(text)
        return subject if subject is not None else "is no network address, for example 192.0.2.7 or 2001:db8::7"
    if not _CIDR.fullmatch(text):
        return _NO_RANGE
    try:
        network = ip_network(text)
    except ValueError:
        try:
            wider = ip_network(text, strict=False)
        except ValueError:
            return _NO_RANGE
        return f"has bits set behind the prefix; did you mean {wider}?"
    bits, packed = network.prefixlen, network.network_address.packed
    if packed.startswith(_MAPPED):
        bits, packed = bits - _MAPPED_BITS, packed[len(_MAPPED) :]
    if bits < _BITS_MIN:
        return f"is wider than /{_BITS_MIN}, a large part of all addresses; name the ranges that are meant"
    if 8 * len(packed) == _IPV4_BITS:
        return IPV4 + packed if bits == _IPV4_BITS else Range(IPV4, bits, packed)
    if packed.startswith((_NAT64, _6TO4)):
        return "stands for IPv4 addresses; write their range, for example 192.0.2.0/24"
    if bits > _IPV6_BITS:
        return "is narrower than /64; IPv6 addresses are judged by their /64"
    return IPV6 + packed[:8] if bits == _IPV6_BITS else Range(IPV6, bits, packed[:8])


class Ranges:
    """Ranges by their length, to find those that contain a subject: one look-up for each length that occurs."""

    def __init__(self) -> None:
        self._by_length: dict[tuple[bytes, int], set[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def add(self, wanted: Range) -> None:
        """Add a range."""
        self._by_length.setdefault((wanted.family, wanted.bits), set()).add(_prefix(wanted.first, wanted.bits))

    def remove(self, unwanted: Range) -> None:
        """Remove a range, if it is there."""
        length = (unwanted.family, unwanted.bits)
        found = self._by_length.get(length, set())
        found.discard(_prefix(unwanted.first, unwanted.bits))
        if not found:
            self._by_length.pop(length, None)

    def around(self, subject: bytes) -> Iterator[Range]:
        """Yield the ranges that contain a subject, as ``read_address`` returns it."""
        family, address = subject[:1], subject[1:]
        for of_family, bits in self._by_length:
            if of_family == family and _prefix(address, bits) in self._by_length[of_family, bits]:
                yield Range(family, bits, _first(address, bits))


def _prefix(address: bytes, bits: int) -> int:
    return int.from_bytes(address) >> (8 * len(address) - bits)


def _first(address: bytes, bits: int) -> bytes:
    return (_prefix(address, bits) << (8 * len(address) - bits)).to_bytes(len(address))
