"""Reservation ids: the terms of a hold, signed so that any server can confirm it."""

import pytest
from builders.keysets import keyset_of
from builders.vectors import KEYSETS, vectors_of
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.signed.receipt import ReceiptKeys
from redemption.domain.signed.reservation import Reservation, ReservationDefect, Reservations, ReservedCoupon
from redemption.domain.signed.signing import SigningError

SHOP = "shop"
KEYSET = keyset_of()
RESERVATIONS = Reservations(ReceiptKeys(KEYSET))
READERS = {name: Reservations(ReceiptKeys(keyset)) for name, keyset in KEYSETS.items()}
VECTOR_ROWS = vectors_of("reservation")["vectors"]
MOST = 2**53 - 1


def a_coupon(**changed):
    plain = {"key_id": KEYSET.primary.id, "campaign": 7, "serial": 9, "offer_index": 0, "generation": 0}
    amounts = {"discount_minor": 50_00, "merchant_minor": 10_00, "order_value_minor": 238_00}
    return ReservedCoupon(**plain | {"holder_bound": False} | amounts | changed)


def a_reservation(**changed):
    plain = {"order": b"order-", "customer": None, "terms": b"terms!", "held_until": 1_900_000_000}
    return Reservation(**plain | {"coupons": (a_coupon(),)} | changed)


def read(document):
    """A reservation as a vector has it."""
    customer = document["customer"]
    return Reservation(
        order=bytes.fromhex(document["order"]),
        customer=customer and bytes.fromhex(customer),
        terms=bytes.fromhex(document["terms"]),
        held_until=document["held_until"],
        coupons=tuple(ReservedCoupon(**coupon) for coupon in document["coupons"]),
    )


@pytest.mark.parametrize("vector", VECTOR_ROWS, ids=[vector["name"] for vector in VECTOR_ROWS])
def test_vector(vector):
    reader = READERS[vector.get("keyset", "main")]
    result = reader.verify(vector["text"], program=vector.get("program", SHOP))
    if "reservation" in vector:
        assert result == read(vector["reservation"])
        assert reader.sign(result, program=SHOP) == vector["text"]
    else:
        assert result == ReservationDefect(vector["defect"])


def test_the_vectors_cover_every_defect():
    assert {ReservationDefect(row["defect"]) for row in VECTOR_ROWS if "defect" in row} == set(ReservationDefect)


COUPONS = st.builds(
    a_coupon,
    campaign=st.integers(0, 2**32 - 1),
    serial=st.integers(0, 2**40 - 1),
    offer_index=st.integers(0, 2**16 - 1),
    generation=st.integers(0, 2**16 - 1),
    holder_bound=st.booleans(),
    discount_minor=st.integers(10_00, MOST),
    order_value_minor=st.integers(0, MOST),
)


@given(
    order=st.binary(min_size=6, max_size=6),
    customer=st.none() | st.binary(min_size=8, max_size=8),
    terms=st.binary(min_size=6, max_size=6),
    held_until=st.integers(0, 2**32 - 1),
    coupons=st.lists(COUPONS, min_size=1, max_size=32).map(tuple),
)
def test_what_is_signed_is_read_again(**fields):
    reservation = Reservation(**fields)
    assert RESERVATIONS.verify(RESERVATIONS.sign(reservation, program=SHOP), program=SHOP) == reservation


@given(st.data())
def test_any_changed_character_is_noticed(data):
    text = RESERVATIONS.sign(a_reservation(coupons=(a_coupon(), a_coupon(serial=10))), program=SHOP)
    place = data.draw(st.integers(0, len(text) - 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = data.draw(st.sampled_from(alphabet).filter(lambda letter: letter != text[place]))
    changed = text[:place] + other + text[place + 1 :]
    assert isinstance(RESERVATIONS.verify(changed, program=SHOP), ReservationDefect)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_no_text_raises(text):
    assert isinstance(RESERVATIONS.verify(text, program=SHOP), ReservationDefect)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"coupons": ()}, "there are 0 coupons; reserve 1 to 32"),
        ({"coupons": (a_coupon(),) * 33}, "there are 33 coupons; reserve 1 to 32"),
        ({"order": b"short"}, "order is 5 bytes; it must be 6"),
        ({"customer": bytes(9)}, "customer is 9 bytes; it must be 8"),
        ({"terms": b""}, "terms is 0 bytes; it must be 6"),
        ({"held_until": 2**32}, "held_until is 4294967296"),
        ({"coupons": (a_coupon(serial=2**40),)}, "serial is"),
        ({"coupons": (a_coupon(discount_minor=2**53),)}, "discount_minor is"),
        ({"coupons": (a_coupon(merchant_minor=50_01),)}, "merchant_minor is 5001; it must be between 0 and 5000"),
    ],
)
def test_what_cannot_be_signed(changed, message):
    with pytest.raises(SigningError, match=message):
        a_reservation(**changed)


def test_nothing_is_signed_under_a_key_that_is_not_known():
    with pytest.raises(SigningError, match="is not in the keyset or was destroyed"):
        RESERVATIONS.sign(a_reservation(coupons=(a_coupon(key_id=1),)), program=SHOP)
