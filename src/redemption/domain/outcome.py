"""The typed verdict on a coupon, its precedence, and what the caller should do about it."""

from enum import IntEnum


class Disposition(IntEnum):
    """What the caller should do next; the numbers are those of the contract."""

    APPROVED = 1
    CHANGE_ORDER = 2
    TRY_LATER = 3
    FINAL = 4
    FIX_CALLER = 5

    __hash__ = int.__hash__  # an enum's own __hash__ is Python code that hashes the name


class Outcome(IntEnum):
    """The verdict on a token or on a whole decision; the numbers are those of the contract.

    They are in order of precedence: when several apply, the smallest is the answer. There are two exceptions: when the
    present order itself used the coupon, ``ALREADY_REDEEMED`` ranks as ``SAME_ORDER_RANK``; and a claim's code is read
    before anything else is judged.
    """

    TOKEN_INVALID = 10
    NOT_EVALUATED = 20
    DENYLISTED = 30
    VELOCITY_EXCEEDED = 40
    TOKEN_NOT_YET_VALID = 50
    TOKEN_EXPIRED = 60
    CUSTOMER_REQUIRED = 70
    HOLDER_MISMATCH = 80
    RISK_CONTEXT_REQUIRED = 90
    REVOKED = 100
    CAMPAIGN_NOT_STARTED = 110
    CAMPAIGN_PAUSED = 120
    CAMPAIGN_ENDED = 130
    OUTSIDE_WINDOW = 140
    ALREADY_REDEEMED = 150
    RESERVED = 160
    TIER_REQUIRED = 170
    SEGMENT_REQUIRED = 180
    NEW_CUSTOMER_ONLY = 190
    CHANNEL_MISMATCH = 200
    STORE_MISMATCH = 210
    REGION_MISMATCH = 220
    PAYMENT_METHOD_MISMATCH = 230
    CURRENCY_MISMATCH = 240
    SCOPE_MISMATCH = 250
    MIN_SPEND_NOT_MET = 260
    MIN_QUANTITY_NOT_MET = 270
    GROUP_TOO_SMALL = 280
    EXCLUSIVE_CONFLICT = 290
    NO_EFFECT = 300
    CUSTOMER_LIMIT = 310
    CUSTOMER_DAY_LIMIT = 320
    DAY_LIMIT = 330
    SLOT_LIMIT = 340
    CAMPAIGN_LIMIT = 350
    BUDGET_EXHAUSTED = 360
    STACK_REJECTED = 370
    APPROVED = 400
    CLAIM_LIMIT = 500
    ISSUE_LIMIT = 510
    CODE_INVALID = 520
    CODE_MISTYPED = 525
    IDEMPOTENCY_MISMATCH = 600
    RESERVATION_NOT_FOUND = 610
    REDEMPTION_NOT_FOUND = 615
    RESERVATION_EXPIRED = 620
    REVERSAL_EXCEEDS = 630
    RETURN_WINDOW_CLOSED = 640

    __hash__ = int.__hash__  # an enum's own __hash__ is Python code that hashes the name

    @property
    def disposition(self) -> Disposition:
        """What the caller should do, when the outcome alone decides it."""
        return DISPOSITIONS[self]


SAME_ORDER_RANK = 15
"""The rank of ``ALREADY_REDEEMED`` when the present order itself used the coupon: right after ``TOKEN_INVALID``."""
NEVER_ISSUED_RANK = 14
"""The rank of ``TOKEN_INVALID`` when the serial was never issued: the answer is the same, the log tells the cause."""
BUDGET_DAY_RANK = 361
"""The rank of ``BUDGET_EXHAUSTED`` when only the day's budget is used up: a retry tomorrow may succeed."""

_GROUPS = {
    Disposition.APPROVED: (Outcome.APPROVED,),
    Disposition.CHANGE_ORDER: (
        Outcome.NOT_EVALUATED,
        Outcome.CUSTOMER_REQUIRED,
        Outcome.CHANNEL_MISMATCH,
        Outcome.STORE_MISMATCH,
        Outcome.REGION_MISMATCH,
        Outcome.PAYMENT_METHOD_MISMATCH,
        Outcome.SCOPE_MISMATCH,
        Outcome.MIN_SPEND_NOT_MET,
        Outcome.MIN_QUANTITY_NOT_MET,
        Outcome.GROUP_TOO_SMALL,
        Outcome.EXCLUSIVE_CONFLICT,
        Outcome.NO_EFFECT,
        Outcome.STACK_REJECTED,
        Outcome.CODE_MISTYPED,
        Outcome.RESERVATION_EXPIRED,
    ),
    Disposition.TRY_LATER: (
        Outcome.VELOCITY_EXCEEDED,
        Outcome.TOKEN_NOT_YET_VALID,
        Outcome.CAMPAIGN_NOT_STARTED,
        Outcome.CAMPAIGN_PAUSED,
        Outcome.OUTSIDE_WINDOW,
        Outcome.RESERVED,
        Outcome.CUSTOMER_DAY_LIMIT,
        Outcome.DAY_LIMIT,
        Outcome.SLOT_LIMIT,
    ),
    Disposition.FIX_CALLER: (
        Outcome.RISK_CONTEXT_REQUIRED,
        Outcome.IDEMPOTENCY_MISMATCH,
        Outcome.RESERVATION_NOT_FOUND,
        Outcome.REDEMPTION_NOT_FOUND,
        Outcome.REVERSAL_EXCEEDS,
    ),
}
DISPOSITIONS = dict.fromkeys(Outcome, Disposition.FINAL) | {
    outcome: disposition for disposition, outcomes in _GROUPS.items() for outcome in outcomes
}
