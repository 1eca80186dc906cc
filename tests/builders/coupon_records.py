"""Records of coupons, as ``lua/records.lua`` describes them."""

PLAIN, FLAGGED = 9, 10
FREE, REDEEMED = 0, 1
WIDE, GENERATION = 1, 2
DIGESTS_LAST = 29


def given_back(record, generation):
    """The record of a coupon that was given back, from that of a use of which only discount and day are not 0."""
    assert record[0] == PLAIN * 16 + REDEEMED
    discount, day = record[DIGESTS_LAST : DIGESTS_LAST + 3], record[DIGESTS_LAST + 3 :]
    flagged = record[1:DIGESTS_LAST] + bytes((GENERATION,)) + day + discount
    return bytes((FLAGGED * 16 + FREE,)) + flagged + generation.to_bytes(2)


def discount_of(record):
    """The discount of a coupon that is used or was given back, minor units."""
    form = record[0] >> 4
    if form == FLAGGED:
        start, is_wide = DIGESTS_LAST + 3, record[DIGESTS_LAST] & WIDE
    else:
        start, is_wide = DIGESTS_LAST, form != PLAIN and (form - 1) & WIDE
    return int.from_bytes(record[start : start + (8 if is_wide else 3)])
