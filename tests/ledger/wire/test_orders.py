"""The bytes that the ledger keeps: what older versions wrote is still read, and records are as short as can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.ports.orders import AnsweredToken, Remembered
from redemption.ledger.wire.orders import pack_answer, unpack_answer, unpack_request

OLD_ANSWER = bytes.fromhex("02010000002a0588270200881d0181020000002aac020000")
"""Written by version 0.1.0: coupon 5 of campaign 1 took 50.00, 37.20 of line 0; coupon 300 of campaign 257 nothing."""
OLD_TOKENS = (
    AnsweredToken(1, 42, 5, 50_00, 0, ((0, 37_20), (1, 12_80))),
    AnsweredToken(257, 42, 300, 0, 0, ()),
)


def test_an_answer_of_an_older_version_is_read():
    assert unpack_answer(OLD_ANSWER, 0) == OLD_TOKENS


def test_an_answer_without_merchants_is_written_as_older_versions_did():
    assert pack_answer(OLD_TOKENS) == OLD_ANSWER


@pytest.mark.parametrize(
    ("record", "generations"),
    [
        ("01112233445566778865000000", (0, 0)),
        ("021122334455667788650000000200000003", (0, 3)),
    ],
)
def test_a_remembered_request_of_an_older_version_is_read(record, generations):
    found = unpack_request(bytes.fromhex(record) + OLD_ANSWER)
    assert found == Remembered(0x65000000, generations, OLD_TOKENS)


def test_the_merchants_part_costs_its_own_bytes_only():
    shared = (AnsweredToken(1, 42, 5, 50_00, 3_000, ((0, 50_00),)), AnsweredToken(2, 42, 6, 1_00, 0, ((0, 1_00),)))
    plain = tuple(
        AnsweredToken(
            *(getattr(token, name) for name in ("campaign", "key_id", "serial", "discount_minor")), 0, token.parts
        )
        for token in shared
    )
    assert len(pack_answer(shared)) == len(pack_answer(plain)) + 2 + 1
    assert unpack_answer(pack_answer(shared), 0) == shared


TOKENS = st.builds(
    lambda campaign, key_id, serial, basis_points, parts: AnsweredToken(
        campaign, key_id, serial, sum(amount for _, amount in parts), basis_points, tuple(parts)
    ),
    st.integers(1, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**40 - 1),
    st.one_of(st.just(0), st.integers(0, 10_000)),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 2**40)), max_size=8),
)


@given(st.lists(TOKENS, max_size=32))
def test_what_is_written_is_read(tokens):
    assert unpack_answer(b"before" + pack_answer(tokens), 6) == tuple(tokens)
