"""Revokes coupons: a range of serials, or those of a customer; it holds for the next decision of every server."""

from redemption.domain.errors import LimitReached, NotFound, RequestIdReused, WrongState
from redemption.domain.request_identity import RequestIdentity
from redemption.ledger.functions import FunctionClient


class RevocationStore:
    """Implements ``domain.ports.issuing.RevocationLedger``."""

    def __init__(self, functions: FunctionClient) -> None:
        self._functions = functions

    async def revoke_serials(
        self,
        program: str,
        number: int,
        first: int,
        count: int,
        *,
        identity: RequestIdentity,
        reason: str = "",
    ) -> int | None:
        """Revoke a range of serials.

        Returns:
            None when it is done. If the range has serials that were not issued: how many were issued; nothing is done.

        Raises:
            NotFound: There is no such campaign.
            WrongState: The campaign is archived.
            RequestIdReused: The request id stands for another request.
            LimitReached: The campaign has too many separate ranges.
        """
        last = first + count - 1
        about = (identity.principal, number, identity.request, identity.content, reason)
        return await self._revoke("revoke_serials", program, number, *about, first, last)

    async def revoke_customer(
        self,
        program: str,
        number: int,
        customer: bytes,
        *,
        identity: RequestIdentity,
        reason: str = "",
    ) -> None:
        """Revoke all coupons that are bound to a customer and were issued until now.

        Raises:
            NotFound: There is no such campaign.
            WrongState: The campaign is archived.
            RequestIdReused: The request id stands for another request.
            LimitReached: The campaign has too many revoked customers.
        """
        about = (identity.principal, number, identity.request, identity.content, reason)
        await self._revoke("revoke_customer", program, number, *about, customer)

    async def _revoke(self, function: str, program: str, number: int, *args: bytes | int | str) -> int | None:
        _, reply = await self._functions.write(function, program, *args)
        word = reply[0]
        if word == b"mismatch":
            raise RequestIdReused("request_id: stands for another request already; use a new one")
        if word == b"gone":
            raise NotFound(f"campaign: there is no campaign {number} in program {program!r}")
        if word == b"archived":
            raise WrongState(f"campaign: {number} is archived; nothing of it is left to be revoked")
        if word == b"full":
            raise LimitReached(
                f"campaign {number} has {int(reply[1])} separate revocations of this kind already, which is the most; "
                "revoke ranges that join them, or end the campaign"
            )
        return int(reply[1]) if word == b"beyond" else None
