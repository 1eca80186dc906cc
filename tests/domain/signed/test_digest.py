"""Digests: equal input gives equal digests, other input gives others, and caches are bounded."""

import pytest
from builders.vectors import KEYSETS, vectors_of
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.signed.digest import DigestKind, Digests
from redemption.domain.signed.signing import Secret

ROOT = Secret(bytes(range(32)))
SHOP = Digests(ROOT, environment="test").for_program("shop")

VECTOR_ROWS = vectors_of("digest")["vectors"]


def test_vectors():
    keyset = KEYSETS["main"]
    digests = Digests(keyset.privacy_root, environment=keyset.environment).for_program("shop")
    for row in VECTOR_ROWS:
        parts = [bytes.fromhex(part) for part in row["parts"]]
        assert digests.digest(DigestKind[row["kind"].upper()], *parts).hex() == row["digest"]
    assert {row["kind"] for row in VECTOR_ROWS} == {kind.value for kind in DigestKind}


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        (DigestKind.CUSTOMER, 8),
        (DigestKind.PERSON, 8),
        (DigestKind.DEVICE, 8),
        (DigestKind.NETWORK, 8),
        (DigestKind.PAYMENT, 8),
        (DigestKind.ORDER, 6),
        (DigestKind.REQUEST, 10),
        (DigestKind.CONTENT, 8),
        (DigestKind.CODE, 10),
    ],
)
def test_each_kind_has_its_length(kind, length):
    assert len(SHOP.digest(kind, b"x")) == length


def test_every_kind_program_environment_and_root_digests_differently():
    """Compared over six bytes, the length of the shortest."""
    places = [
        Digests(ROOT, environment="test").for_program("shop"),
        Digests(ROOT, environment="test").for_program("shop2"),
        Digests(ROOT, environment="tests").for_program("hop"),
        Digests(Secret(bytes(32)), environment="test").for_program("shop"),
    ]
    digests = {place.digest(kind, b"customer-42")[:6] for place in places for kind in DigestKind}
    assert len(digests) == len(places) * len(DigestKind)


@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_parts_are_kept_apart(left, right):
    same = SHOP.digest(DigestKind.CONTENT, *left) == SHOP.digest(DigestKind.CONTENT, *right)
    assert same == (left == right)


def test_digests_last_across_restarts():
    again = Digests(Secret(bytes(range(32))), environment="test").for_program("shop")
    assert again.digest(DigestKind.ORDER, b"order-1") == SHOP.digest(DigestKind.ORDER, b"order-1")


def test_derived_keys_are_kept_for_a_bounded_number_of_programs():
    digests = Digests(ROOT, environment="test", programs_cached=2)
    first = digests.for_program("a")
    assert digests.for_program("a") is first
    for program in "bcd":
        digests.for_program(program)
    assert digests.for_program.cache_info().currsize == 2
    assert digests.for_program("a") is not first


def test_a_program_that_is_no_text_does_not_raise():
    assert len(Digests(ROOT, environment="test").for_program("\ud800").digest(DigestKind.ORDER, b"x")) == 6
