"""Receipts: the same bytes at every replay, and no forged one is accepted."""

import pytest
from builders.keysets import keyset_of, rotated
from builders.times import NOW
from builders.vectors import KEYSETS, vectors_of
from hypothesis import example, given
from hypothesis import strategies as st

from redemption.domain.signed.base64url import armor, unarmor
from redemption.domain.signed.keyset import KeyState
from redemption.domain.signed.receipt import Receipt, ReceiptDefect, ReceiptKeys, Receipts
from redemption.domain.signed.signing import SigningError

SHOP = "shop"
KEYSET = keyset_of()
RECEIPTS = Receipts(ReceiptKeys(KEYSET))
PLAIN = {"key_id": KEYSET.primary.id, "campaign": 7, "serial": 9, "generation": 0, "redeemed_at": NOW}

READERS = {name: Receipts(ReceiptKeys(keyset)) for name, keyset in KEYSETS.items()}
VECTOR_ROWS = vectors_of("receipt")["vectors"]


@pytest.mark.parametrize("vector", VECTOR_ROWS, ids=[vector["name"] for vector in VECTOR_ROWS])
def test_vector(vector):
    reader = READERS[vector.get("keyset", "main")]
    result = reader.verify(vector["text"], program=vector.get("program", SHOP))
    if "receipt" in vector:
        expected = Receipt(**vector["receipt"] | {"use": bytes.fromhex(vector["receipt"]["use"])})
        assert result == expected
        assert reader.sign(expected, program=SHOP) == vector["text"]
    else:
        assert result is ReceiptDefect(vector["defect"])


def test_the_vectors_meet_every_defect():
    assert {vector["defect"] for vector in VECTOR_ROWS if "defect" in vector} == set(ReceiptDefect)


@given(
    campaign=st.integers(0, 2**32 - 1),
    serial=st.integers(0, 2**40 - 1),
    generation=st.integers(0, 2**16 - 1),
    redeemed_at=st.integers(0, 2**32 - 1),
    use=st.none() | st.binary(min_size=8, max_size=8),
)
def test_what_is_signed_is_read_back(campaign, serial, generation, redeemed_at, use):
    receipt = Receipt(
        key_id=KEYSET.primary.id,
        campaign=campaign,
        serial=serial,
        generation=generation,
        redeemed_at=redeemed_at,
        shared=use is not None,
        use=use or bytes(8),
    )
    text = RECEIPTS.sign(receipt, program=SHOP)
    assert len(text) == 64
    assert RECEIPTS.verify(text, program=SHOP) == receipt


def test_every_flip_of_a_single_bit_is_refused():
    raw = int.from_bytes(unarmor(RECEIPTS.sign(Receipt(**PLAIN), program=SHOP)))
    texts = [armor((raw ^ 1 << bit).to_bytes(48)) for bit in range(384)]
    assert not [text for text in texts if isinstance(RECEIPTS.verify(text, program=SHOP), Receipt)]


@given(st.text())
@example("\ud800" * 64)
@example("AQ" + "A" * 62)
def test_no_text_raises(text):
    assert isinstance(RECEIPTS.verify(text, program=SHOP), ReceiptDefect)


@pytest.mark.parametrize("states", [(), (KeyState.DISABLED,), (KeyState.DISABLED, KeyState.DESTROY_SCHEDULED)], ids=str)
def test_a_replay_gives_the_same_bytes_after_rotation_and_disabling(states):
    receipt = Receipt(**PLAIN)
    text = RECEIPTS.sign(receipt, program=SHOP)
    later = Receipts(ReceiptKeys(rotated(KEYSET, *states)))
    assert later.sign(receipt, program=SHOP) == text
    assert later.verify(text, program=SHOP) == receipt


def test_a_destroyed_key_neither_signs_nor_verifies():
    text = RECEIPTS.sign(Receipt(**PLAIN), program=SHOP)
    states = (KeyState.DISABLED, KeyState.DESTROY_SCHEDULED, KeyState.DESTROYED)
    later = Receipts(ReceiptKeys(rotated(KEYSET, *states)))
    assert later.verify(text, program=SHOP) is ReceiptDefect.KEY_UNKNOWN
    with pytest.raises(SigningError, match="destroyed"):
        later.sign(Receipt(**PLAIN), program=SHOP)


@pytest.mark.parametrize("program", ["", "shop2", "\ud800"])
def test_a_receipt_of_another_program_never_verifies(program):
    text = RECEIPTS.sign(Receipt(**PLAIN), program=SHOP)
    assert RECEIPTS.verify(text, program=program) is ReceiptDefect.TAG


@pytest.mark.parametrize("program", ["", "x" * 129, "\ud800"])
def test_nothing_is_signed_for_an_impossible_program(program):
    with pytest.raises(SigningError, match="program"):
        RECEIPTS.sign(Receipt(**PLAIN), program=program)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"key_id": 2**32}, "key_id is 4294967296"),
        ({"campaign": -1}, "campaign is -1"),
        ({"serial": 2**40}, "serial is"),
        ({"generation": 2**16}, "generation is 65536"),
        ({"redeemed_at": 2**32}, "redeemed_at is"),
        ({"shared": True, "use": bytes(7)}, "use is 7 bytes"),
        ({"use": b"12345678"}, "use must be zero"),
    ],
)
def test_an_impossible_receipt_cannot_be_made(changed, message):
    with pytest.raises(SigningError, match=message):
        Receipt(**PLAIN | changed)


def test_keys_are_cached_after_a_verification_only_and_bounded():
    keys = ReceiptKeys(KEYSET, cache_size=2)
    receipts = Receipts(keys)
    good = RECEIPTS.sign(Receipt(**PLAIN), program=SHOP)
    for program in ("a", "b", "c"):
        receipts.verify(good, program=program)
    receipts.verify(armor(unarmor(good)[:32] + bytes(16)), program=SHOP)
    assert len(keys._checked) == 0
    receipts.verify(good, program=SHOP)
    assert len(keys._checked) == 1
    for number in range(5):
        program = f"program-{number}"
        receipts.verify(receipts.sign(Receipt(**PLAIN), program=program), program=program)
    assert (len(keys._checked), keys._signing.cache_info().currsize) == (2, 2)


def test_an_unknown_key_is_not_cached_by_an_attempt_to_sign():
    keys = ReceiptKeys(KEYSET)
    with pytest.raises(SigningError, match="not in the keyset"):
        Receipts(keys).sign(Receipt(**PLAIN | {"key_id": KEYSET.primary.id ^ 1}), program=SHOP)
    assert keys._signing.cache_info().currsize == 0
