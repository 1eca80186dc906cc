"""Claims as bytes: each field has its place, a number that does not fit is refused, and each reply is read."""

import struct
from dataclasses import replace

import pytest
from builders.calls import PRINCIPAL
from builders.campaigns import campaign_of
from ledger.claims import VALID_FROM, VALID_UNTIL, claim_item
from ledger.desk import digest

from redemption.domain.outcome import Outcome
from redemption.domain.ports.issuing import ClaimedCoupon, ClaimRefused, CodeFound
from redemption.domain.ports.orders import Failed, Mismatch, Outdated
from redemption.ledger.wire.claims import pack_claim, unpack_claim
from redemption.ledger.wire.orders import Head

CAMPAIGN = campaign_of(7)
HEAD = Head(17, 1_800_000_000_999, "0123456789abcdef")
FIXED_BYTES = 1 + 10 + 8 + 4 + 4 + 2 + 8 + 2 + 4 + 4 + 4 + 2 + 8 + 8 + 4 + 9 + 9 + 11
"""Of a claim, before its principal, as ``lua/claim.lua`` describes it."""


def test_a_claim_is_packed_in_the_order_that_lua_reads():
    """Each field has a value of its own, so a mix-up of two shows."""
    code = digest("code", 10)
    item = claim_item(CAMPAIGN, version=3, offer_index=2, offer_quota=600, since_ms=5, until_ms=9, code=code)
    item = replace(item, rules_version=11, checks=b"\x01\x02" + digest("device", 8))
    packed = pack_claim(item)
    principal = PRINCIPAL.encode()
    assert packed[FIXED_BYTES:] == bytes((len(principal),)) + principal + b"\x01\x02" + digest("device", 8)
    assert struct.unpack(">c10s8sIIHQHIIIHQQI?8s?8s?10s", packed[:FIXED_BYTES]) == (
        *(b"C", digest("request", 10), digest("content", 8), 7, 3, 2, 600, Outcome.APPROVED),
        *(VALID_FROM, VALID_UNTIL, 7, 20_000, 5, 9),
        *(11, True, digest("ann", 8), True, digest("ann herself", 8), True, code),
    )


def test_what_is_not_known_is_told_apart_from_zeros():
    nobody = pack_claim(claim_item(CAMPAIGN, customer=None, person=None))
    zeros = pack_claim(claim_item(CAMPAIGN, customer=bytes(8), person=bytes(8), code=bytes(10)))
    assert (nobody[FIXED_BYTES - 29 : FIXED_BYTES], len(nobody)) == (bytes(29), len(zeros))
    assert nobody != zeros


@pytest.mark.parametrize(
    "changes",
    [
        {"campaign": 2**32},
        {"version": 2**32},
        {"offer_index": 2**16},
        {"offer_quota": 2**64},
        {"not_before": -1},
        {"expires_at": 2**32},
        {"key_id": 2**32},
        {"day": 2**16},
        {"until_ms": 2**64},
    ],
    ids=repr,
)
def test_a_number_that_does_not_fit_is_not_packed(changes):
    assert pack_claim(replace(claim_item(CAMPAIGN), **changes)) is None


CLAIMED = struct.pack(">IIHQIII", 1_800_000_000, 7, 2, 2**40 - 1, VALID_FROM, VALID_UNTIL, 9)
FOUND = struct.pack(">IHQIII", 7, 2, 2**40 - 1, VALID_FROM, VALID_UNTIL, 9)
COUPON = ClaimedCoupon(1_800_000_000, 7, 2, 2**40 - 1, VALID_FROM, VALID_UNTIL, 9)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"A" + CLAIMED, COUPON),
        (b"P" + CLAIMED, replace(COUPON, remembered=True)),
        (b"L" + FOUND, CodeFound(7, 2, 2**40 - 1, VALID_FROM, VALID_UNTIL, 9)),
        (b"N" + struct.pack(">HB", Outcome.ISSUE_LIMIT, 1), ClaimRefused(Outcome.ISSUE_LIMIT, only_today=True)),
        (b"N" + struct.pack(">HB", Outcome.REVOKED, 0), ClaimRefused(Outcome.REVOKED, only_today=False)),
        (b"M", Mismatch(1_800_000_000)),
        (b"S", Outdated(1_800_000_000_999)),
        (b"C", Outdated(1_800_000_000_999)),
        (b"E" + b"a record cannot be read \xff", Failed("a record cannot be read \ufffd")),
    ],
)
def test_each_answer_of_the_ledger_is_read(reply, answer):
    assert unpack_claim(reply, HEAD) == (answer, ())
