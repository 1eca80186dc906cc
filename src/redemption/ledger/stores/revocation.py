"""Taking coupons back: of a range of serials, or of a customer; every server's next decision knows of it."""

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
        """Take a range of serials back.

        Returns:
            None when it is done; else how many serials were ever issued, because the range reaches beyond them.

        Raises:
            NotFound: There is no such campaign.
            WrongState: It is archived.
            RequestIdReused: The request id stands for something else.
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
        """Take back every coupon issued so far that is bound to a customer.

        Raises:
            NotFound: There is no such campaign.
            WrongState: It is archived.
            RequestIdReused: The request id stands for something else.
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
