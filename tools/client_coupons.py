"""A campaign with coupons, and the requests, as bytes, that clients of other languages send."""

import base64
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from redemption.client import RedemptionClient, Tls, connect, new_request_id
from redemption.v1 import campaign_pb2 as campaigns
from redemption.v1.campaign_service_pb2 import CreateCampaignRequest
from redemption.v1.issuance_service_pb2 import InspectTokenRequest, MintRequest, MintResponse
from redemption.v1.order_pb2 import Checkout, Line, Order
from redemption.v1.outcome_pb2 import OUTCOME_APPROVED
from redemption.v1.redemption_service_pb2 import RedeemRequest, RedeemResponse

PROGRAM: Final = "clients"
NAME: Final = "满200减50 ünd 100%25 · \N{ADMISSION TICKETS}"
"""It comes back in a status message, so it has characters beyond ASCII, and a percent sign before two digits."""
MINT_SECONDS_MAX: Final = 30.0
_DAY: Final = 86_400


class Coupons:
    """A campaign on a server, and its coupons."""

    def __init__(self, address: str, tls: Tls | None = None) -> None:
        """Create the campaign."""
        self._address = address
        self._tls = tls
        with connect(address, tls=tls) as channel:
            answer = RedemptionClient(channel).create_campaign(self._create())
        self.campaign = answer.campaign.number

    @staticmethod
    def _create() -> CreateCampaignRequest:
        now = int(time.time())
        tier = campaigns.Tier(threshold=200_00, amount_off_minor=50_00)
        campaign = campaigns.Campaign(
            program=PROGRAM,
            name=NAME,
            currency_code="CNY",
            time_zone="Asia/Shanghai",
            start_time=Timestamp(seconds=now - 60),
            end_time=Timestamp(seconds=now + _DAY),
            offers=[campaigns.Offer(name="50 off", tiers=campaigns.Tiers(tiers=[tier]))],
        )
        return CreateCampaignRequest(request_id=new_request_id(), campaign=campaign)

    def same_name(self) -> bytes:
        """Return a request to create a campaign with the same name; it is refused with a message that has the name."""
        return self._create().SerializeToString()

    @property
    def name_taken(self) -> str:
        """The message of that refusal."""
        return f"campaign {self.campaign} has the name {NAME!r} already"

    def mint(self, count: int) -> bytes:
        """Return a request to mint coupons."""
        return self._mint(count).SerializeToString()

    def tokens(self, count: int) -> list[str]:
        """Mint coupons."""
        with connect(self._address, tls=self._tls, deadline_seconds=MINT_SECONDS_MAX) as channel:
            parts = RedemptionClient(channel).mint(self._mint(count))
            return [token.token for part in parts for token in part.tokens]

    def redeems(self, count: int) -> list[bytes]:
        """Return ``count`` requests to redeem, each with a new coupon and an order of its own."""
        return [redeem(token) for token in self.tokens(count)]

    def _mint(self, count: int) -> MintRequest:
        return MintRequest(program=PROGRAM, request_id=new_request_id(), campaign=self.campaign, count=count)


def redeem(token: str) -> bytes:
    """Return a request to redeem a coupon."""
    line = Line(line_id="1", sku="shoe-42", quantity=1, amount_minor=238_00)
    order = Order(order_id=new_request_id(), currency_code="CNY", lines=[line])
    checkout = Checkout(program=PROGRAM, tokens=[token], order=order)
    return RedeemRequest(request_id=new_request_id(), checkout=checkout).SerializeToString()


def invalid_redeem() -> bytes:
    """Return a request to redeem with an order without lines, which is not valid."""
    order = Order(order_id="empty", currency_code="CNY")
    checkout = Checkout(program=PROGRAM, tokens=["any"], order=order)
    return RedeemRequest(request_id=new_request_id(), checkout=checkout).SerializeToString()


def inspect(token: str) -> dict[str, str]:
    """Return a request to inspect a token, as JSON fields."""
    request = InspectTokenRequest(program=PROGRAM, token=token)
    return {"program": request.program, "token": request.token}


def approval_of(answer: bytes) -> str:
    """Return the redemption of an approval; an empty text if it is not an approval."""
    decision = RedeemResponse.FromString(answer).decision
    return decision.verdicts[0].redemption_id if decision.outcome == OUTCOME_APPROVED else ""


def minted(parts: Iterable[bytes]) -> set[str]:
    """Return the tokens in the messages of a stream."""
    return {token.token for part in parts for token in MintResponse.FromString(part).tokens}


class RequestFiles:
    """Writes requests into files, which the clients read."""

    def __init__(self, directory: Path) -> None:
        """Use a directory that exists."""
        self._directory = directory
        self._names = iter(range(10**6))

    def one(self, request: bytes) -> str:
        """Write one message, and return the file's path."""
        return self._write([request])

    def several(self, requests: Sequence[bytes]) -> str:
        """Write several messages, each after its length."""
        return self._write(_framed(requests))

    def _write(self, parts: Iterable[bytes]) -> str:
        path = self._directory / f"{next(self._names)}.bin"
        path.write_bytes(b"".join(parts))
        return str(path)


def _framed(requests: Sequence[bytes]) -> Iterator[bytes]:
    for request in requests:
        yield len(request).to_bytes(4, "big")
        yield request


def in_base64(data: bytes) -> str:
    """Return bytes as base64, which is how JSON carries them."""
    return base64.b64encode(data).decode()
