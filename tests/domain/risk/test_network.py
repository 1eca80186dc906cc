"""Network addresses and ranges: what is read, what counts as one subject, and which ranges contain it."""

from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.risk.network import IPV4, IPV6, Range, Ranges, read_address, read_range

FOUR = IPV4 + bytes((192, 0, 2, 7))
SIX = IPV6 + bytes.fromhex("20010db800000000")


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("192.0.2.7", FOUR),
        ("::ffff:192.0.2.7", FOUR),
        ("::FFFF:c000:207", FOUR),
        ("64:ff9b::192.0.2.7", FOUR),
        ("64:ff9b::c000:207", FOUR),
        ("64:ff9b:1::c000:207", IPV6 + bytes.fromhex("0064ff9b00010000")),
        ("2002:c000:207::1", FOUR),
        ("2002:c000:207:ffff:1:2:3:4", FOUR),
        ("2003:c000:207::", IPV6 + bytes.fromhex("2003c00002070000")),
        ("2001:db8::", SIX),
        ("2001:DB8::7", SIX),
        ("2001:db8:0:0:ffff:ffff:ffff:ffff", SIX),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", SIX),
        ("0.0.0.0", IPV4 + bytes(4)),
        ("::", IPV6 + bytes(8)),
    ],
)
def test_an_address_stands_for_its_subject(text, subject):
    assert read_address(text) == read_range(text) == subject


@pytest.mark.parametrize(
    "text",
    [
        "",
        "somewhere",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.07",
        "192.0.2.7:80",
        " 192.0.2.7",
        "192.0.2.7\n",
        "[2001:db8::7]",
        "2001:db8::7::",
        "fe80::1%eth0",
        "fe80::1%",
        "١٩٢.0.2.7",
        "0xc0000207",
        "3221225991",
    ],
)
def test_what_is_no_address_is_told_with_an_example(text):
    """Leading zeros are octal for some and decimal for others; a zone means something to one machine only."""
    assert read_address(text) is None
    assert "for example 192.0.2.7" in read_range(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.0/24", Range(IPV4, 24, bytes((192, 0, 2, 0)))),
        ("10.0.0.0/8", Range(IPV4, 8, bytes((10, 0, 0, 0)))),
        ("192.0.2.7/32", FOUR),
        ("::ffff:192.0.2.0/120", Range(IPV4, 24, bytes((192, 0, 2, 0)))),
        ("::ffff:192.0.2.7/128", FOUR),
        ("::ffff:10.0.0.0/104", Range(IPV4, 8, bytes((10, 0, 0, 0)))),
        ("2001:db8::/32", Range(IPV6, 32, bytes.fromhex("20010db800000000"))),
        ("2001:db8::/64", SIX),
        ("2000::/8", Range(IPV6, 8, bytes.fromhex("2000000000000000"))),
        ("64:ff9a::/32", Range(IPV6, 32, bytes.fromhex("0064ff9a00000000"))),
    ],
)
def test_a_range_is_read_and_a_single_subject_is_not_a_range(text, found):
    assert read_range(text) == found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("192.0.2.7/24", "did you mean 192.0.2.0/24?"),
        ("2001:db8::1/48", "did you mean 2001:db8::/48?"),
        ("2001:db8::/65", "narrower than /64"),
        ("2001:db8::7/128", "narrower than /64"),
        ("192.0.2.0/33", "no range"),
        ("192.0.2.0/", "no range"),
        ("/24", "no range"),
        ("10/8", "no range"),
        ("192.0.2.0/255.255.255.0", "no range"),
        ("192.0.2.0/0.0.0.255", "no range"),
        ("192.0.2.0/024", "no range"),
        ("192.0.2.0/+24", "no range"),
        ("192.0.2.0/24 ", "no range"),
        ("192.0.2.0/24/24", "no range"),
        ("192.0.2.0/٢٤", "no range"),
        ("fe80::%eth0/64", "no range"),
        ("192.000.2.0/24", "no range"),
        ("0.0.0.0/0", "is wider than /8"),
        ("10.0.0.0/7", "is wider than /8"),
        ("::ffff:0:0/96", "is wider than /8"),
        ("::ffff:10.0.0.0/103", "is wider than /8"),
        ("::/0", "is wider than /8"),
        ("2000::/3", "is wider than /8"),
        ("64:ff9b::/96", "stands for IPv4 addresses; write their range"),
        ("64:ff9b::192.0.2.7/128", "stands for IPv4 addresses; write their range"),
        ("2002::/16", "stands for IPv4 addresses; write their range"),
        ("2002:c000:207::/48", "stands for IPv4 addresses; write their range"),
    ],
)
def test_what_is_no_range_is_told_with_what_would_be_right(text, problem):
    assert problem in read_range(text)


@pytest.mark.parametrize("text", ["192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32", "::/8", "2001:db8:0:8000::/49"])
def test_a_range_is_written_as_it_is_read(text):
    assert str(read_range(text)) == text


ADDRESSES = st.ip_addresses().map(str)


@st.composite
def _networks(draw):
    address = draw(st.ip_addresses(v=draw(st.sampled_from([4, 6]))))
    bits = draw(st.integers(8, 31 if address.version == 4 else 63))
    return str(ip_network(f"{address}/{bits}", strict=False))


@given(st.lists(_networks(), max_size=8), st.data())
def test_ranges_contain_what_the_standard_library_says(networks, data):
    """Of IPv6 addresses, the first 64 bits count."""
    near = [st.sampled_from(list(map(str, (network[0], network[-1])))) for network in map(ip_network, networks)]
    text = data.draw(st.one_of(ADDRESSES, *near))
    address = ip_address(text)
    as_ipv4 = (address.ipv4_mapped or address.sixtofour) if address.version == 6 else None
    if address in ip_network("64:ff9b::/96"):
        as_ipv4 = IPv4Address(address.packed[12:])
    networks = [network for network in networks if not isinstance(read_range(network), str)]
    expected = {network for network in networks if (as_ipv4 or address) in ip_network(network)}
    ranges = Ranges()
    for network in networks:
        ranges.add(read_range(network))
    assert {str(found) for found in ranges.around(read_address(text))} == expected


def test_a_range_that_is_removed_contains_nothing_any_more():
    ranges, found = Ranges(), read_range("192.0.2.0/24")
    assert not ranges
    ranges.add(found)
    ranges.add(read_range("192.0.3.0/24"))
    ranges.remove(found)
    ranges.remove(found)
    ranges.remove(read_range("10.0.0.0/8"))
    assert list(ranges.around(FOUR)) == []
    assert list(ranges.around(read_address("192.0.3.1"))) == [read_range("192.0.3.0/24")]
    ranges.remove(read_range("192.0.3.0/24"))
    assert not ranges
