"""Taking coupons back: a token, a range of serials, or all of a customer's; in force at once, for good."""

from dataclasses import dataclass

import structlog

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import InvalidRequest, Violation
from redemption.domain.order import id_violations, program_violations
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import Ledger
from redemption.domain.signed.digest import DigestKind, Digests
from redemption.domain.signed.signing import SERIAL_MAX
from redemption.domain.signed.token import TokenVerifier, VerifiedToken
from redemption.service.request_identity import canonical

REASON_BYTES_MAX = 256
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TokenGiven:
    """The coupon of a token."""

    text: str


@dataclass(frozen=True, slots=True)
class SerialsGiven:
    """Coupons of a campaign by their numbers."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class CustomerGiven:
    """All coupons of a campaign that are bound to a customer so far."""

    customer_id: str


@dataclass(frozen=True, slots=True)
class RevokeOrder:
    """What to take back.

    Attributes:
        campaign: Its number; for a token 0 leaves it open.
        reason: Why, for the record.
    """

    program: str
    request_id: str
    target: TokenGiven | SerialsGiven | CustomerGiven
    campaign: int = 0
    reason: str = ""


class Revoker:
    """Takes back coupons of all programs."""

    def __init__(self, *, verifier: TokenVerifier, digests: Digests, ledger: Ledger) -> None:
        self._verifier = verifier
        self._digests = digests
        self._ledger = ledger

    async def revoke(self, caller: CallInfo, order: RevokeOrder) -> Outcome:
        """Take coupons back; a token that is not genuine costs the ledger nothing.

        Returns:
            APPROVED, or TOKEN_INVALID.

        Raises:
            ServiceError: Nothing was taken back.
        """
        violations = _violations(order)
        if violations:
            raise InvalidRequest(violations)
        digests = self._digests.for_program(order.program)
        request = digests.digest(DigestKind.REQUEST, caller.principal.encode(), order.request_id.encode())
        content = digests.digest(DigestKind.CONTENT, _content(order))
        match order.target:
            case TokenGiven(text):
                return await self._revoke_token(caller.principal, order, text, request, content)
            case SerialsGiven(first, count):
                issued = await self._ledger.revoke_serials(
                    order.program,
                    order.campaign,
                    first,
                    count,
                    principal=caller.principal,
                    request=request,
                    content=content,
                    reason=order.reason,
                )
                if issued is not None:
                    raise InvalidRequest([Violation("serials", _beyond(order.campaign, issued))])
            case CustomerGiven(customer_id):
                customer = digests.digest(DigestKind.CUSTOMER, customer_id.encode())
                await self._ledger.revoke_customer(
                    order.program,
                    order.campaign,
                    customer,
                    principal=caller.principal,
                    request=request,
                    content=content,
                    reason=order.reason,
                )
        return Outcome.APPROVED

    async def _revoke_token(
        self, principal: str, order: RevokeOrder, text: str, request: bytes, content: bytes
    ) -> Outcome:
        token = self._verifier.verify(text, program=order.program)
        if not isinstance(token, VerifiedToken):
            return Outcome.TOKEN_INVALID
        if order.campaign not in (0, token.campaign):
            problem = f"is {order.campaign}, but the token is of campaign {token.campaign}; leave it out"
            raise InvalidRequest([Violation("campaign", problem)])
        if await self._ledger.load(order.program, token.campaign) is None:
            return Outcome.TOKEN_INVALID
        issued = await self._ledger.revoke_serials(
            order.program,
            token.campaign,
            token.serial,
            1,
            principal=principal,
            request=request,
            content=content,
            reason=order.reason,
        )
        if issued is None:
            return Outcome.APPROVED
        _log.critical(
            "a correctly signed token was never issued: a signing key may be stolen",
            program=token.program,
            key_id=f"{token.key_id:08x}",
            campaign=token.campaign,
            serial=token.serial,
        )
        return Outcome.TOKEN_INVALID


def _violations(order: RevokeOrder) -> list[Violation]:
    found = list(program_violations(order.program))
    found += id_violations(order.request_id, "request_id")
    if not isinstance(order.target, TokenGiven) and not order.campaign:
        found.append(Violation("campaign", "is required: the campaign's number"))
    match order.target:
        case SerialsGiven(first, count):
            if count < 1:
                found.append(Violation("serials.count", "must be 1 or more"))
            elif first + count - 1 > SERIAL_MAX:
                found.append(Violation("serials", f"reach beyond {SERIAL_MAX}, the last serial that there can be"))
        case CustomerGiven(customer_id):
            found += id_violations(customer_id, "customer_id")
    if len(order.reason.encode()) > REASON_BYTES_MAX:
        found.append(Violation("reason", f"is longer than {REASON_BYTES_MAX} bytes"))
    return found


def _content(order: RevokeOrder) -> bytes:
    match order.target:
        case TokenGiven(text):
            what: tuple[object, ...] = ("token", text)
        case SerialsGiven(first, count):
            what = ("serials", first, count)
        case CustomerGiven(customer_id):
            what = ("customer", customer_id)
    return canonical("revoke", order.campaign, what, order.reason)


def _beyond(campaign: int, issued: int) -> str:
    if issued == 0:
        return f"campaign {campaign} has issued no coupon yet"
    return f"campaign {campaign} has issued serials 0 to {issued - 1} only"
