"""IssuanceService: bringing coupons into the world, and telling what a token is."""

from collections.abc import AsyncGenerator, Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from redemption.domain.errors import InvalidRequest, NotBuilt, Violation
from redemption.rpc.call import CallContext, principal_of
from redemption.rpc.guard import ServerStream, Unary
from redemption.rpc.timestamps import MILLISECONDS, at_seconds, ms_from
from redemption.service.issuer import Inspection, Issuer, MintOrder
from redemption.v1 import issuance_service_pb2 as messages
from redemption.v1 import redemption_service_pb2


class IssuanceServicer:
    """Answers IssuanceService."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    def methods(self) -> Mapping[str, Unary | ServerStream]:
        """Return what this version answers, by the names of the contract."""
        return {
            "Mint": ServerStream(messages.MintRequest, self.mint),
            "InspectToken": Unary(messages.InspectTokenRequest, self.inspect_token),
        }

    async def mint(
        self, request: messages.MintRequest, context: CallContext
    ) -> AsyncGenerator[messages.MintResponse, None]:
        """Mint tokens. Each part is signed when the one before was taken: nobody signs for a caller who left."""
        for part in await self._issuer.mint(principal_of(context), mint_order_from(request)):
            yield messages.MintResponse(
                tokens=[messages.MintedToken(token=minted.token, serial=minted.serial) for minted in part]
            )

    async def inspect_token(
        self,
        request: messages.InspectTokenRequest,
        context: CallContext,  # noqa: ARG002 - every method has one
    ) -> messages.InspectTokenResponse:
        """Tell what a token is and what became of it."""
        return inspection_of(await self._issuer.inspect(request.program, request.token))


def mint_order_from(request: messages.MintRequest) -> MintOrder:
    """Return what to mint.

    Raises:
        InvalidRequest: A field is not what it can be.
        NotBuilt: It asks for exchange codes, or for a token with many uses.
    """
    if request.form not in messages.MintForm.values():
        raise InvalidRequest([Violation("form", f"is {request.form}, which this version does not know")])
    if request.form == messages.MINT_FORM_CODE:
        raise NotBuilt("form: exchange codes are not supported by this version; mint tokens")
    if request.shared:
        raise NotBuilt("shared: tokens for many uses are not supported by this version")
    return MintOrder(
        program=request.program,
        request_id=request.request_id,
        campaign=request.campaign,
        offer_index=request.offer_index,
        count=request.count,
        customer_id=request.customer_id,
        not_before_ms=_whole_second(request.not_before, "not_before") if request.HasField("not_before") else None,
        expires_at_ms=_whole_second(request.expire_time, "expire_time") if request.HasField("expire_time") else None,
        skip=request.skip,
    )


def inspection_of(inspection: Inspection) -> messages.InspectTokenResponse:
    """Return what is told of a token; of one that is not genuine, nothing more than that."""
    token = inspection.token
    if token is None:
        return messages.InspectTokenResponse(state=messages.TOKEN_STATE_INVALID)
    use = inspection.use
    redemption = None
    if use is not None:
        redemption = redemption_service_pb2.Redemption(
            redemption_id=inspection.redemption_id,
            campaign=token.campaign,
            serial=token.serial,
            discount_minor=use.discount_minor,
            redeem_time=at_seconds(use.redeemed_at),
            state=redemption_service_pb2.REDEMPTION_STATE_REDEEMED,
        )
    return messages.InspectTokenResponse(
        state=messages.TOKEN_STATE_UNUSED if use is None else messages.TOKEN_STATE_REDEEMED,
        key_id=f"{token.key_id:08x}",
        campaign=token.campaign,
        offer_index=token.offer_index,
        serial=token.serial,
        not_before=at_seconds(token.not_before),
        expire_time=at_seconds(token.expires_at),
        holder_bound=token.holder_bound,
        shared=token.shared,
        redemption=redemption,
    )


def _whole_second(timestamp: Timestamp, field: str) -> int:
    milliseconds = ms_from(timestamp, field)
    if milliseconds % MILLISECONDS:
        raise InvalidRequest([Violation(field, "must be a whole second")])
    return milliseconds
