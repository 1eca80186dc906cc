"""Settlements: what an approval allocated, signed so that it can be trusted later."""

import pytest
from builders.keysets import keyset_of
from builders.times import NOW
from builders.vectors import KEYSETS, vectors_of
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.decision import Allocation
from redemption.domain.signed.receipt import Receipt, ReceiptKeys, Receipts, receipt_text
from redemption.domain.signed.settlement import (
    ALLOCATIONS_MAX,
    LENGTH_MAX,
    VERSION,
    SettledRedemption,
    Settlement,
    SettlementDefect,
    Settlements,
    settled_bytes,
    settlement_bytes,
)
from redemption.domain.signed.signing import SigningError

SHOP = "shop"
KEYSET = keyset_of()
KEYS = ReceiptKeys(KEYSET)
SETTLEMENTS = Settlements(KEYS)

READERS = {name: Settlements(ReceiptKeys(keyset)) for name, keyset in KEYSETS.items()}
VECTOR_ROWS = vectors_of("settlement")["vectors"]

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=32)


@st.composite
def redemptions(draw):
    allocations, line_amounts = [], []
    for line_id in draw(st.lists(TEXTS, unique=True, max_size=5)):
        amount_minor = draw(st.integers(0, 10**12))
        allocations.append(Allocation(line_id, amount_minor, draw(st.integers(0, amount_minor))))
        line_amounts.append(draw(st.integers(amount_minor, 2**53 - 1)))
    return SettledRedemption(
        campaign=draw(st.integers(0, 2**32 - 1)),
        serial=draw(st.integers(0, 2**40 - 1)),
        generation=draw(st.integers(0, 2**16 - 1)),
        discount_minor=sum(allocation.amount_minor for allocation in allocations),
        allocations=tuple(allocations),
        line_amounts=tuple(line_amounts),
        use=draw(st.binary(min_size=8, max_size=8)),
    )


def a_redemption(*allocations, **changed):
    allocated = tuple(Allocation(*allocation) for allocation in allocations)
    amounts = tuple(allocation.amount_minor for allocation in allocated)
    plain = {"campaign": 7, "serial": 9, "generation": 0, "allocations": allocated, "line_amounts": amounts}
    plain["discount_minor"] = sum(allocation.amount_minor for allocation in allocated)
    return SettledRedemption(**plain | changed)


def a_settlement(*redemptions, **changed):
    plain = {"key_id": KEYSET.primary.id, "order_id": "order-1"}
    return Settlement(**plain | changed, redemptions=redemptions or (a_redemption(("line-1", 300, 100)),))


def read(document):
    """A settlement as a vector has it."""
    redemptions = []
    for row in document["redemptions"]:
        allocations = tuple(Allocation(*allocation[:3]) for allocation in row["allocations"])
        line_amounts = tuple(amount for allocation in row["allocations"] for amount in allocation[3:])
        changed = {"allocations": allocations, "line_amounts": line_amounts, "use": bytes.fromhex(row["use"])}
        redemptions.append(SettledRedemption(**row | changed))
    return Settlement(**document | {"redemptions": tuple(redemptions)})


@pytest.mark.parametrize("vector", VECTOR_ROWS, ids=[vector["name"] for vector in VECTOR_ROWS])
def test_vector(vector):
    reader = READERS[vector.get("keyset", "main")]
    presented = bytes.fromhex(vector["hex"])
    result = reader.verify(presented, program=vector.get("program", SHOP))
    if "settlement" in vector:
        assert result == read(vector["settlement"])
        if result.version == VERSION:
            assert reader.sign(result, program=SHOP) == presented
    else:
        assert result is SettlementDefect(vector["defect"])


def test_the_vectors_meet_every_defect():
    assert {vector["defect"] for vector in VECTOR_ROWS if "defect" in vector} == set(SettlementDefect)


@given(TEXTS, st.lists(redemptions(), min_size=1, max_size=4))
def test_what_is_signed_is_read_back(order_id, drawn):
    settlement = a_settlement(*drawn, order_id=order_id)
    signed = SETTLEMENTS.sign(settlement, program=SHOP)
    assert SETTLEMENTS.verify(signed, program=SHOP) == settlement
    assert SETTLEMENTS.sign(settlement, program=SHOP) == signed


def test_every_flip_of_a_single_bit_is_refused():
    signed = SETTLEMENTS.sign(a_settlement(), program=SHOP)
    number = int.from_bytes(signed)
    flips = [(number ^ 1 << bit).to_bytes(len(signed)) for bit in range(8 * len(signed))]
    assert not [flip for flip in flips if isinstance(SETTLEMENTS.verify(flip, program=SHOP), Settlement)]


@given(st.binary(max_size=100))
def test_no_bytes_raise(presented):
    assert isinstance(SETTLEMENTS.verify(presented, program=SHOP), SettlementDefect)


@pytest.mark.parametrize("program", ["", "shop2", "\ud800"])
def test_a_settlement_of_another_program_never_verifies(program):
    signed = SETTLEMENTS.sign(a_settlement(), program=SHOP)
    assert SETTLEMENTS.verify(signed, program=program) is SettlementDefect.TAG


def test_the_largest_settlement_is_within_its_bound():
    lines = [(f"{number:0128}", 2**53 - 1 if not number else 0, 0) for number in range(ALLOCATIONS_MAX)]
    largest = a_settlement(*[a_redemption(*lines)] * 32, order_id="o" * 128)
    signed = SETTLEMENTS.sign(largest, program=SHOP)
    assert len(signed) == LENGTH_MAX
    assert SETTLEMENTS.verify(signed, program=SHOP) == largest
    assert SETTLEMENTS.verify(signed + b"\0", program=SHOP) is SettlementDefect.LENGTH


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: a_settlement(order_id=""), "order_id is 0 bytes"),
        (lambda: a_settlement(order_id="x" * 129), "order_id is 129 bytes"),
        (lambda: a_settlement(order_id="\ud800"), "order_id holds a lone surrogate"),
        (lambda: a_settlement(key_id=-1), "key_id is -1"),
        (lambda: a_settlement(*[a_redemption()] * 33), "33 redemptions; settle 1 to 32"),
        (lambda: Settlement(key_id=1, order_id="o", redemptions=()), "0 redemptions"),
        (lambda: a_redemption(campaign=2**32), "campaign is"),
        (lambda: a_redemption(serial=2**40), "serial is"),
        (lambda: a_redemption(generation=2**16), "generation is"),
        (lambda: a_redemption(use=b""), "use is 0 bytes"),
        (lambda: a_redemption(discount_minor=-1), "discount_minor is -1"),
        (lambda: a_redemption(("l", 2**53, 0)), "discount_minor is 9007199254740992"),
        (lambda: a_redemption(("l", 2**53, 0), discount_minor=1), "amount_minor 9007199254740992"),
        (lambda: a_redemption(("l", 1, 2)), "merchant_minor 2 of amount_minor 1"),
        (lambda: a_redemption(("l", 1, -1)), "merchant_minor -1"),
        (lambda: a_redemption(("", 1, 0)), "line_id is 0 bytes"),
        (lambda: a_redemption(("\ud800", 1, 0)), "line_id holds a lone surrogate"),
        (lambda: a_redemption(("l", 1, 0), ("l", 2, 0)), "the same line"),
        (lambda: a_redemption(("l", 1, 0), discount_minor=2), "sum to 1, the discount is 2"),
        (lambda: a_redemption(*[(f"{n}", 0, 0) for n in range(1_001)]), "the number of allocations is 1001"),
        (lambda: a_redemption(("l", 2, 0), line_amounts=(1,)), "a line of 1 has amount_minor 2"),
        (lambda: a_redemption(("l", 2, 0), line_amounts=(2**53,)), "a line of 9007199254740992 has amount_minor 2"),
        (lambda: a_redemption(("l", 2, 0), line_amounts=(2, 2)), "2 line amounts for 1 allocations"),
        (lambda: a_settlement(a_redemption(("l", 2, 0), line_amounts=())), "0 line amounts for 1 allocations"),
        (lambda: a_settlement(version=1), "1 line amounts for 1 allocations"),
    ],
)
def test_an_impossible_settlement_cannot_be_made(make, message):
    with pytest.raises(SigningError, match=message):
        make()


def test_version_1_is_read_and_not_signed():
    old = a_settlement(a_redemption(("l", 2, 0), line_amounts=()), version=1)
    with pytest.raises(SigningError, match="version 1 is only read"):
        SETTLEMENTS.sign(old, program=SHOP)


def test_receipts_and_settlements_share_their_keys():
    """One derivation serves both."""
    keys = ReceiptKeys(KEYSET)
    receipt = Receipt(key_id=KEYSET.primary.id, campaign=7, serial=9, generation=0, redeemed_at=NOW)
    Receipts(keys).sign(receipt, program=SHOP)
    Settlements(keys).sign(a_settlement(), program=SHOP)
    assert keys._signing.cache_info().currsize == 1


def test_forgeries_leave_nothing_in_the_cache():
    keys = ReceiptKeys(KEYSET)
    settlements = Settlements(keys)
    signed = SETTLEMENTS.sign(a_settlement(), program=SHOP)
    settlements.verify(signed[:-1] + bytes([signed[-1] ^ 1]), program=SHOP)
    settlements.verify(signed, program="shop2")
    assert len(keys._checked) == 0
    settlements.verify(signed, program=SHOP)
    assert len(keys._checked) == 1


@pytest.mark.parametrize(
    ("allocations", "problem"),
    [
        ((Allocation("1", 10, 11),), "merchant_minor 11 of amount_minor 10"),
        ((Allocation("1", 5), Allocation("1", 5)), "name the same line"),
        ((Allocation("1", 5), Allocation("2", 4)), "sum to 9, the discount is 10"),
        ((Allocation("1", 10),) * 1_001, "one is out of range"),
        ((Allocation("1", 12, 0),), "a line of 11 has merchant_minor 0 of amount_minor 12"),
    ],
)
def test_nonsense_is_not_written_down_for_a_signature(allocations, problem):
    with pytest.raises(SigningError, match=problem):
        settled_bytes(1, 2, 0, 10, allocations, line_amounts=[11] * len(allocations))


def test_numbers_out_of_range_are_not_written_down_for_a_signature():
    for serial, discount in ((2**40, 10), (-1, 10), (2, 2**53)):
        with pytest.raises(SigningError, match="out of range"):
            settled_bytes(1, serial, 0, discount, (Allocation("1", discount),), line_amounts=(discount,))


@pytest.mark.parametrize(("order_id", "count"), [("", 1), ("o" * 129, 1), ("\ud800", 1), ("order", 0), ("order", 33)])
def test_no_settlement_is_signed_of_what_none_can_say(order_id, count):
    key = KEYS.signing(SHOP, KEYSET.primary.id)
    with pytest.raises(SigningError):
        settlement_bytes(
            key, order_id, [settled_bytes(1, 2, 0, 10, (Allocation("1", 10),), line_amounts=(10,))] * count
        )


def test_nothing_is_signed_under_the_decoy():
    decoy = KEYS.select(SHOP, KEYSET.primary.id ^ 1)
    with pytest.raises(SigningError, match="not known"):
        settlement_bytes(decoy, "order", [settled_bytes(1, 2, 0, 10, (Allocation("1", 10),), line_amounts=(10,))])
    with pytest.raises(SigningError, match="not known"):
        receipt_text(decoy, 1, 2, 0, 1)
