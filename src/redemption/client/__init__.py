"""What a checkout imports: typed clients that retry, their messages and exceptions, and sentences for shoppers.

A complete checkout, except for building the order::

    from redemption.client import RedeemRequest, RedemptionClient, connect, new_request_id, sentence

    with connect("127.0.0.1:50051") as channel:
        client = RedemptionClient(channel)
        answer = client.redeem(RedeemRequest(request_id=new_request_id(), checkout=checkout))
        for verdict in answer.decision.verdicts:
            print(sentence(verdict, currency_code="CNY", lang="zh"))

Keep the request id until there is an answer: a retry with the same request id never redeems twice. ``errors`` has what
a call raises. With asyncio, ``AsyncRedemptionClient(connect_aio(address))`` is the same. The messages of campaigns are
in ``redemption.v1``. ``docs/calling.md`` has all of this for other languages, too.
"""

from redemption.client.channel import DEADLINE_SECONDS, Tls, connect, connect_aio, new_request_id, service_config
from redemption.client.errors import CallFailed, RequestRejected, ServerFailed, TryAgain, call_failed
from redemption.client.failure import Failure, FieldViolation, OtherField, failure_of
from redemption.client.holding import AsyncHeld, Held, holding, holding_aio
from redemption.client.money import format_money, minor_units, money_decimal
from redemption.client.sentences_en_zh import Lang, coupons_words, disposition_words, sentence
from redemption.client.stub import AsyncRedemptionClient, RedemptionClient
from redemption.v1.decision_pb2 import Allocation, Decision, Detail, TokenVerdict
from redemption.v1.issuance_service_pb2 import (
    ClaimOffer,
    ClaimRequest,
    ClaimResponse,
    InspectTokenRequest,
    InspectTokenResponse,
    MintedToken,
    MintForm,
    MintRequest,
    MintResponse,
    RevokeRequest,
    RevokeResponse,
    SerialRange,
    TokenState,
)
from redemption.v1.order_pb2 import Checkout, Customer, Line, Order, RiskContext, Shipping
from redemption.v1.outcome_pb2 import (
    DISPOSITION_APPROVED,
    DISPOSITION_CHANGE_ORDER,
    DISPOSITION_FINAL,
    DISPOSITION_FIX_CALLER,
    DISPOSITION_TRY_LATER,
    Disposition,
    Outcome,
)
from redemption.v1.redemption_service_pb2 import (
    BatchRedeemError,
    BatchRedeemRequest,
    BatchRedeemResponse,
    BatchRedeemResult,
    ConfirmRequest,
    ConfirmResponse,
    GetRedemptionRequest,
    GetRedemptionResponse,
    QuoteRequest,
    QuoteResponse,
    RedeemRequest,
    RedeemResponse,
    Redemption,
    RedemptionState,
    ReleaseRequest,
    ReleaseResponse,
    ReserveRequest,
    ReserveResponse,
    ReverseLine,
    ReverseRequest,
    ReverseResponse,
)

__all__ = [
    "DEADLINE_SECONDS",
    "DISPOSITION_APPROVED",
    "DISPOSITION_CHANGE_ORDER",
    "DISPOSITION_FINAL",
    "DISPOSITION_FIX_CALLER",
    "DISPOSITION_TRY_LATER",
    "Allocation",
    "AsyncHeld",
    "AsyncRedemptionClient",
    "BatchRedeemError",
    "BatchRedeemRequest",
    "BatchRedeemResponse",
    "BatchRedeemResult",
    "CallFailed",
    "Checkout",
    "ClaimOffer",
    "ClaimRequest",
    "ClaimResponse",
    "ConfirmRequest",
    "ConfirmResponse",
    "Customer",
    "Decision",
    "Detail",
    "Disposition",
    "Failure",
    "FieldViolation",
    "GetRedemptionRequest",
    "GetRedemptionResponse",
    "Held",
    "InspectTokenRequest",
    "InspectTokenResponse",
    "Lang",
    "Line",
    "MintForm",
    "MintRequest",
    "MintResponse",
    "MintedToken",
    "Order",
    "OtherField",
    "Outcome",
    "QuoteRequest",
    "QuoteResponse",
    "RedeemRequest",
    "RedeemResponse",
    "Redemption",
    "RedemptionClient",
    "RedemptionState",
    "ReleaseRequest",
    "ReleaseResponse",
    "RequestRejected",
    "ReserveRequest",
    "ReserveResponse",
    "ReverseLine",
    "ReverseRequest",
    "ReverseResponse",
    "RevokeRequest",
    "RevokeResponse",
    "RiskContext",
    "SerialRange",
    "ServerFailed",
    "Shipping",
    "Tls",
    "TokenState",
    "TokenVerdict",
    "TryAgain",
    "call_failed",
    "connect",
    "connect_aio",
    "coupons_words",
    "disposition_words",
    "failure_of",
    "format_money",
    "holding",
    "holding_aio",
    "minor_units",
    "money_decimal",
    "new_request_id",
    "sentence",
    "service_config",
]
