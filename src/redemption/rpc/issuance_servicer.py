"""IssuanceService: issuing coupons, revoking them, and inspecting tokens."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from redemption.domain.call_info import CallInfo
from redemption.rpc.convert.issuance import (
    claim_from,
    claimed_of,
    inspection_of,
    mint_request_from,
    minted_of,
    revoke_request_from,
    revoked_of,
)
from redemption.rpc.guard import ServerStream, Unary
from redemption.rpc.request_limits import REQUEST_BYTES_MAX
from redemption.service.use_cases import UseCases
from redemption.v1 import issuance_service_pb2 as messages


class IssuanceServicer:
    """Answers IssuanceService."""

    def __init__(self, use_cases: UseCases) -> None:
        self._issuer = use_cases.issuer
        self._claimer = use_cases.claimer
        self._revoker = use_cases.revoker

    def methods(self) -> Mapping[str, Unary | ServerStream]:
        """Return the methods that this version answers, by their names in the contract."""
        return {
            "Mint": ServerStream(messages.MintRequest, self.mint, REQUEST_BYTES_MAX),
            "Claim": Unary(messages.ClaimRequest, self.claim, REQUEST_BYTES_MAX),
            "Revoke": Unary(messages.RevokeRequest, self.revoke, REQUEST_BYTES_MAX),
            "InspectToken": Unary(messages.InspectTokenRequest, self.inspect_token, REQUEST_BYTES_MAX),
        }

    async def mint(self, request: messages.MintRequest, info: CallInfo) -> AsyncGenerator[messages.MintResponse, None]:
        """Mint coupons. A part is made when the one before was taken: nothing is signed after the caller left."""
        order = mint_request_from(request)
        mint = self._issuer.mint_codes if request.form == messages.MINT_FORM_CODE else self._issuer.mint
        async with aclosing(await mint(info, order)) as parts:
            async for part in parts:
                yield minted_of(part)

    async def claim(self, request: messages.ClaimRequest, info: CallInfo) -> messages.ClaimResponse:
        """Issue one coupon to a customer."""
        claim = claim_from(request)
        return claimed_of(await self._claimer.claim(info, claim))

    async def revoke(self, request: messages.RevokeRequest, info: CallInfo) -> messages.RevokeResponse:
        """Revoke coupons."""
        return revoked_of(await self._revoker.revoke(info, revoke_request_from(request)))

    async def inspect_token(
        self, request: messages.InspectTokenRequest, info: CallInfo
    ) -> messages.InspectTokenResponse:
        """Return what a token is and whether it was used or revoked."""
        return inspection_of(await self._issuer.inspect(info, request.program, request.token))
