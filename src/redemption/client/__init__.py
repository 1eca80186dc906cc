"""What a checkout imports: channels that retry, typed RPCs, and sentences for shoppers.

A complete checkout, except for building the order::

    from redemption.client import RedemptionClient, connect, new_request_id, sentence

    with connect("127.0.0.1:50051") as channel:
        client = RedemptionClient(channel)
        answer = client.redeem(RedeemRequest(request_id=new_request_id(), checkout=checkout))
        for verdict in answer.decision.verdicts:
            print(sentence(verdict, currency_code="CNY", lang="zh"))

Keep the request id until there is an answer: a retry with the same request id never redeems twice. With asyncio, use
the generated stubs instead of ``RedemptionClient``: ``RedemptionServiceStub(connect_aio(address)).Redeem(request)``.
"""

from redemption.client.channel import DEADLINE_SECONDS, Tls, connect, connect_aio, new_request_id
from redemption.client.failure import Failure, FieldViolation, OtherField, failure_of
from redemption.client.money import format_money, minor_units, money_decimal
from redemption.client.sentences_en_zh import Lang, coupons_words, disposition_words, sentence
from redemption.client.stub import RedemptionClient

__all__ = [
    "DEADLINE_SECONDS",
    "Failure",
    "FieldViolation",
    "Lang",
    "OtherField",
    "RedemptionClient",
    "Tls",
    "connect",
    "connect_aio",
    "coupons_words",
    "disposition_words",
    "failure_of",
    "format_money",
    "minor_units",
    "money_decimal",
    "new_request_id",
    "sentence",
]
