"""Revokes coupons: one token, a range of serials, or all coupons of a customer; at once and for good."""

from dataclasses import dataclass

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import InvalidRequest, Violation
from redemption.domain.order import id_violations, program_violations
from redemption.domain.outcome import Outcome
from redemption.domain.ports.ledger import Ledger
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.signed.digest import DigestKind, Digests
from redemption.domain.signed.signing import SERIAL_MAX
from redemption.service.coupon_reader import CouponReader, lacks_offer
from redemption.service.idempotency import canonical, identity_of

REASON_BYTES_MAX = 256


@dataclass(frozen=True, slots=True)
class TokenGiven:
    """The coupon of a token."""

    text: str


@dataclass(frozen=True, slots=True)
class SerialsGiven:
    """Coupons of a campaign, by their serials."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class CustomerGiven:
    """All coupons of a campaign that are bound to a customer so far."""

    customer_id: str


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """What to revoke.

    Attributes:
        campaign: The campaign's number; for a token, 0 means the token's campaign.
        reason: Why, for the record.
    """

    program: str
    request_id: str
    target: TokenGiven | SerialsGiven | CustomerGiven
    campaign: int = 0
    reason: str = ""


class Revoker:
    """Revokes coupons of all programs."""

    def __init__(self, *, reader: CouponReader, digests: Digests, ledger: Ledger) -> None:
        self._reader = reader
        self._digests = digests
        self._campaigns = ledger.campaigns
        self._revocation = ledger.revocation

    async def revoke(self, caller: CallInfo, request: RevokeRequest) -> Outcome:
        """Revoke coupons; a token that is not genuine costs the ledger nothing.

        Returns:
            APPROVED, or TOKEN_INVALID.

        Raises:
            ServiceError: Nothing was revoked.
        """
        violations = _violations(request)
        if violations:
            raise InvalidRequest(violations)
        digests = self._digests.for_program(request.program)
        identity = identity_of(digests, caller, request.request_id, _content(request))
        match request.target:
            case TokenGiven(text):
                return await self._revoke_token(request, text, identity)
            case SerialsGiven(first, count):
                issued = await self._revocation.revoke_serials(
                    request.program, request.campaign, first, count, identity=identity, reason=request.reason
                )
                if issued is not None:
                    raise InvalidRequest([Violation("serials", _beyond(request.campaign, issued))])
            case CustomerGiven(customer_id):
                customer = digests.digest(DigestKind.CUSTOMER, customer_id.encode())
                await self._revocation.revoke_customer(
                    request.program, request.campaign, customer, identity=identity, reason=request.reason
                )
        return Outcome.APPROVED

    async def _revoke_token(self, request: RevokeRequest, text: str, identity: RequestIdentity) -> Outcome:
        token = self._reader.token(text, request.program)
        if token is None:
            return Outcome.TOKEN_INVALID
        if request.campaign not in (0, token.campaign):
            problem = f"is {request.campaign}, but the token is of campaign {token.campaign}; leave it out"
            raise InvalidRequest([Violation("campaign", problem)])
        campaign = await self._campaigns.load(request.program, token.campaign)
        # Whoever made such a token must not get the coupon revoked that has the same serial.
        if campaign is None or lacks_offer(token, campaign) or token.outlives_key:
            self._reader.report_refused(token, campaign)
            return Outcome.TOKEN_INVALID
        issued = await self._revocation.revoke_serials(
            request.program, token.campaign, token.serial, 1, identity=identity, reason=request.reason
        )
        if issued is None:
            return Outcome.APPROVED
        self._reader.report_refused(token, campaign, issued=False)
        return Outcome.TOKEN_INVALID


def _violations(request: RevokeRequest) -> list[Violation]:
    found = list(program_violations(request.program))
    found += id_violations(request.request_id, "request_id")
    if not isinstance(request.target, TokenGiven) and not request.campaign:
        found.append(Violation("campaign", "is required: the campaign's number"))
    match request.target:
        case SerialsGiven(first, count):
            if count < 1:
                found.append(Violation("serials.count", "must be 1 or more"))
            elif first + count - 1 > SERIAL_MAX:
                found.append(Violation("serials", f"reach beyond {SERIAL_MAX}, the last serial that there can be"))
        case CustomerGiven(customer_id):
            found += id_violations(customer_id, "customer_id")
    if len(request.reason.encode()) > REASON_BYTES_MAX:
        found.append(Violation("reason", f"is longer than {REASON_BYTES_MAX} bytes"))
    return found


def _content(request: RevokeRequest) -> bytes:
    match request.target:
        case TokenGiven(text):
            what: tuple[object, ...] = ("token", text)
        case SerialsGiven(first, count):
            what = ("serials", first, count)
        case CustomerGiven(customer_id):
            what = ("customer", customer_id)
    return canonical("revoke", request.campaign, what, request.reason)


def _beyond(campaign: int, issued: int) -> str:
    if issued == 0:
        return f"campaign {campaign} has issued no coupon yet"
    return f"campaign {campaign} has issued serials 0 to {issued - 1} only"
