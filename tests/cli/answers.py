"""What a server answers: decisions, and a redemption that is looked up."""

from google.protobuf.timestamp_pb2 import Timestamp

from redemption.v1 import outcome_pb2 as v1
from redemption.v1.decision_pb2 import Decision, Detail, TokenVerdict
from redemption.v1.redemption_service_pb2 import REDEMPTION_STATE_REDEEMED, Redemption

NOW = 1_794_400_200
"""2026-11-11 20:30 in Shanghai, when everything was decided."""


def off(index, campaign, minor, *allocations):
    return TokenVerdict(
        token_index=index,
        outcome=v1.OUTCOME_APPROVED,
        disposition=v1.DISPOSITION_APPROVED,
        campaign=campaign,
        discount_minor=minor,
        allocations=allocations,
    )


def no(index, campaign, outcome, disposition=v1.DISPOSITION_CHANGE_ORDER, **detail):
    return TokenVerdict(
        token_index=index, outcome=outcome, disposition=disposition, campaign=campaign, detail=Detail(**detail)
    )


def decision(outcome, disposition, *verdicts):
    return Decision(
        outcome=outcome,
        disposition=disposition,
        discount_minor=sum(verdict.discount_minor for verdict in verdicts),
        verdicts=verdicts,
        decide_time=Timestamp(seconds=NOW),
    )


def approved(*verdicts):
    return decision(v1.OUTCOME_APPROVED, v1.DISPOSITION_APPROVED, *verdicts)


REDEMPTION = Redemption(
    redemption_id="RECEIPT",
    campaign=3,
    serial=17,
    discount_minor=50_00,
    redeem_time=Timestamp(seconds=1_798_675_200),
    state=REDEMPTION_STATE_REDEEMED,
)

TYPED = (
    *("A", "B", "--order", "ord-1", "--spend", "1200", "--currency", "JPY"),
    *("--customer", "alice", "--program", "shop"),
)
"""A checkout as it is typed, and as the server is asked."""
TYPED_CHECKOUT = {
    "program": "shop",
    "tokens": ["A", "B"],
    "order": {
        "order_id": "ord-1",
        "currency_code": "JPY",
        "lines": [{"line_id": "1", "quantity": "1", "amount_minor": "1200"}],
    },
    "customer": {"customer_id": "alice"},
}
