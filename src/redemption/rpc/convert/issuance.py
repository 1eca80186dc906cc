"""Requests and answers of IssuanceService, from protobuf to the domain and back."""

from redemption.domain.errors import InvalidRequest, NotBuilt, Violation
from redemption.domain.judging.claiming import Claim, CodeGiven, OfferWanted
from redemption.domain.order import GUEST, NO_RISK_CONTEXT
from redemption.domain.outcome import Outcome
from redemption.rpc.convert.orders import DISPOSITIONS, OUTCOMES, customer_from, detail_of, risk_from
from redemption.rpc.convert.timestamps import at_ms, at_seconds, whole_second_ms_from
from redemption.service.claimer import Claimed
from redemption.service.issuer import Inspection, Minted, MintRequest
from redemption.service.revoker import CustomerGiven, RevokeRequest, SerialsGiven, TokenGiven
from redemption.v1 import issuance_service_pb2 as messages
from redemption.v1 import redemption_service_pb2


def mint_request_from(request: messages.MintRequest) -> MintRequest:
    """Return what to mint.

    Raises:
        InvalidRequest: A field has a wrong value.
        NotBuilt: The request is for a token with many uses.
    """
    if request.form not in messages.MintForm.values():
        raise InvalidRequest([Violation("form", f"is {request.form}, which this version does not know")])
    if request.shared:
        raise NotBuilt("shared: tokens for many uses are not supported by this version")
    return MintRequest(
        program=request.program,
        request_id=request.request_id,
        campaign=request.campaign,
        offer_index=request.offer_index,
        count=request.count,
        customer_id=request.customer_id,
        not_before_ms=(
            whole_second_ms_from(request.not_before, "not_before") if request.HasField("not_before") else None
        ),
        expires_at_ms=(
            whole_second_ms_from(request.expire_time, "expire_time") if request.HasField("expire_time") else None
        ),
        skip=request.skip,
    )


def minted_of(part: list[Minted]) -> messages.MintResponse:
    """Return a part of the answer to Mint."""
    return messages.MintResponse(
        tokens=[messages.MintedToken(token=minted.token, serial=minted.serial, code=minted.code) for minted in part]
    )


def claim_from(request: messages.ClaimRequest) -> Claim:
    """Return what is claimed.

    Raises:
        InvalidRequest: It names neither an offer nor a code.
    """
    source: OfferWanted | CodeGiven
    match request.WhichOneof("source"):
        case "offer":
            source = OfferWanted(request.offer.campaign, request.offer.offer_index)
        case "code":
            source = CodeGiven(request.code)
        case _:
            raise InvalidRequest([Violation("offer", "is required, or code: of what to claim")])
    return Claim(
        request.program,
        request.request_id,
        source,
        customer_from(request.customer) if request.HasField("customer") else GUEST,
        risk_from(request.risk) if request.HasField("risk") else NO_RISK_CONTEXT,
    )


def claimed_of(claimed: Claimed) -> messages.ClaimResponse:
    """Return the answer to Claim."""
    approved = claimed.outcome is Outcome.APPROVED
    return messages.ClaimResponse(
        outcome=OUTCOMES[claimed.outcome],
        disposition=DISPOSITIONS[claimed.disposition],
        token=claimed.token,
        not_before=at_seconds(claimed.not_before) if approved else None,
        expire_time=at_seconds(claimed.expires_at) if approved else None,
        detail=None if claimed.detail is None else detail_of(claimed.detail),
    )


def revoke_request_from(request: messages.RevokeRequest) -> RevokeRequest:
    """Return what to revoke.

    Raises:
        InvalidRequest: It names no token, no serials and no customer.
    """
    target: TokenGiven | SerialsGiven | CustomerGiven
    match request.WhichOneof("target"):
        case "token":
            target = TokenGiven(request.token)
        case "serials":
            target = SerialsGiven(request.serials.first, request.serials.count)
        case "customer_id":
            target = CustomerGiven(request.customer_id)
        case _:
            raise InvalidRequest([Violation("token", "is required, or serials, or customer_id: what to revoke")])
    return RevokeRequest(request.program, request.request_id, target, request.campaign, request.reason)


def revoked_of(outcome: Outcome) -> messages.RevokeResponse:
    """Return the answer to Revoke."""
    return messages.RevokeResponse(outcome=OUTCOMES[outcome], disposition=DISPOSITIONS[outcome.disposition])


def inspection_of(inspection: Inspection) -> messages.InspectTokenResponse:
    """Return the answer about a token; if the token is not genuine, the answer says only that."""
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
        state=_state(inspection),
        key_id=f"{token.key_id:08x}",
        campaign=token.campaign,
        offer_index=token.offer_index,
        serial=token.serial,
        not_before=at_seconds(token.not_before),
        expire_time=at_seconds(token.expires_at),
        holder_bound=token.holder_bound,
        shared=token.shared,
        redemption=redemption,
        honoured_until=at_ms(inspection.honoured_until_ms) if inspection.honoured_until_ms else None,
    )


def _state(inspection: Inspection) -> messages.TokenState:
    # A coupon that was used and then revoked counts as used.
    if inspection.use is not None:
        return messages.TOKEN_STATE_REDEEMED
    return messages.TOKEN_STATE_REVOKED if inspection.revoked else messages.TOKEN_STATE_UNUSED
