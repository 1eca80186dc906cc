"""Pre-authentication encoding: PASETO's published vectors, and the ambiguity that it prevents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.signed.pae import exact_bytes, pae, pae_prefix

PARTS = st.lists(st.binary(max_size=20), max_size=5)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), "0000000000000000"),
        ((b"",), "01000000000000000000000000000000"),
        ((b"", b""), "020000000000000000000000000000000000000000000000"),
        ((b"Paragon",), "0100000000000000070000000000000050617261676f6e"),
        (
            (b"Paragon", b"Initiative"),
            "0200000000000000070000000000000050617261676f6e0a00000000000000496e6974696174697665",
        ),
    ],
)
def test_pae_encodes_as_the_paseto_specification_does(parts, expected):
    assert pae(*parts).hex() == expected


@given(PARTS, PARTS)
def test_different_lists_of_parts_never_encode_alike(left, right):
    assert (pae(*left) == pae(*right)) == (left == right)


@given(PARTS, st.binary(max_size=40))
def test_the_prefix_and_the_last_part_are_the_whole(first, last):
    assert pae_prefix(*first, last_length=len(last)) + last == pae(*first, last)


@given(st.text(), st.text())
def test_exact_bytes_tell_all_texts_apart(left, right):
    """Also lone surrogates, which hypothesis makes, and which have no UTF-8."""
    assert (exact_bytes(left) == exact_bytes(right)) == (left == right)


def test_exact_bytes_do_not_normalise():
    assert exact_bytes("é") != exact_bytes("e\u0301")


def test_a_lone_surrogate_becomes_bytes_that_no_text_has():
    with pytest.raises(UnicodeDecodeError):
        exact_bytes("\ud800").decode()
