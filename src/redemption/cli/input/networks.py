"""Checks network addresses and ranges that were typed, and says how wide a range is."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

_IPV6 = 6
_IPV6_BITS = 64
_MAPPED_BITS = 96
"""IPv4 addresses that are written as IPv6 addresses, ``::ffff:192.0.2.7``, are judged as IPv4 addresses."""
_CIDR = re.compile(r"[^/%]+/(0|[1-9][0-9]{0,2})")
"""Python would also read masks, leading zeros and zones."""
_OTHER_IPV4 = (ip_network("64:ff9b::/96"), ip_network("2002::/16"))
"""Other IPv6 addresses that are judged as IPv4 addresses: NAT64 and 6to4."""
_BITS_MIN = 8
_CONSENT_BITS = 16
"""Almost all IPv6 addresses in use are in 2000::/8 and 2600::/8."""


def network_problem(text: str) -> str:
    """Return what is wrong with an address or a range; the server says the same, but only of what it is sent."""
    if "/" not in text:
        return "" if _is_address(text) else f"is no network address, such as 192.0.2.7; it is {text[:60]!r}"
    network = _network(text)
    if network is None:
        return f"is no range in CIDR notation, such as 192.0.2.0/24; it is {text[:60]!r}"
    mapped = isinstance(network.network_address, IPv6Address) and network.network_address.ipv4_mapped is not None
    bits = network.prefixlen - (_MAPPED_BITS if mapped else 0)
    if bits < _BITS_MIN:
        return f"is wider than /{_BITS_MIN}; name the ranges that are meant; it is {text[:60]!r}"
    address = text.partition("/")[0]
    if str(network.network_address) != str(_address(address)):
        hint = f"it is {text[:60]!r}" if width(str(network)) else f"did you mean {network}?"
        return f"has bits set behind the prefix; {hint}"
    if any(network.network_address in other for other in _OTHER_IPV4):
        return f"stands for IPv4 addresses; write their range, such as 192.0.2.0/24; it is {text[:60]!r}"
    if network.version == _IPV6 and not mapped and bits > _IPV6_BITS:
        return f"is narrower than /64; IPv6 addresses are judged by their /64; it is {text[:60]!r}"
    return ""


def width(text: str) -> str:
    """Return how wide a range of IPv6 is that is too wide to be listed without consent; empty for all others."""
    network = _network(text) if "/" in text else None
    if network is None or network.version != _IPV6 or network.prefixlen >= _CONSENT_BITS:
        return ""
    return f"is wider than /{_CONSENT_BITS}: it has 1 of {2**network.prefixlen:,} of all addresses of IPv6"


def _network(text: str) -> IPv4Network | IPv6Network | None:
    if not _CIDR.fullmatch(text):
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


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
