"""Taking coupons back: a token, a range of serials, or all of a customer's; in force at once, for good."""

from dataclasses import dataclass

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import InvalidRequest, Violation
from redemption.domain.order import id_violations, program_violations
from redemption.domain.outcome import Outcome
from redemption.domain.ports.ledger import Ledger
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.signed.digest import DigestKind, Digests
from redemption.domain.signed.signing import SERIAL_MAX
from redemption.service.coupon_reader import CouponReader
from redemption.service.idempotency import canonical, identity_of

REASON_BYTES_MAX = 256


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
class RevokeRequest:
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

    def __init__(self, *, reader: CouponReader, digests: Digests, ledger: Ledger) -> None:
        self._reader = reader
        self._digests = digests
        self._campaigns = ledger.campaigns
        self._revocation = ledger.revocation

    async def revoke(self, caller: CallInfo, asked: RevokeRequest) -> Outcome:
        """Take coupons back; a token that is not genuine costs the ledger nothing.

        Returns:
            APPROVED, or TOKEN_INVALID.

        Raises:
            ServiceError: Nothing was taken back.
        """
        violations = _violations(asked)
        if violations:
            raise InvalidRequest(violations)
        digests = self._digests.for_program(asked.program)
        identity = identity_of(digests, caller, asked.request_id, _content(asked))
        match asked.target:
            case TokenGiven(text):
                return await self._revoke_token(asked, text, identity)
            case SerialsGiven(first, count):
                issued = await self._revocation.revoke_serials(
                    asked.program, asked.campaign, first, count, identity=identity, reason=asked.reason
                )
                if issued is not None:
                    raise InvalidRequest([Violation("serials", _beyond(asked.campaign, issued))])
            case CustomerGiven(customer_id):
                customer = digests.digest(DigestKind.CUSTOMER, customer_id.encode())
                await self._revocation.revoke_customer(
                    asked.program, asked.campaign, customer, identity=identity, reason=asked.reason
                )
        return Outcome.APPROVED

    async def _revoke_token(self, asked: RevokeRequest, text: str, identity: RequestIdentity) -> Outcome:
        token = self._reader.token(text, asked.program)
        if token is None:
            return Outcome.TOKEN_INVALID
        if asked.campaign not in (0, token.campaign):
            problem = f"is {asked.campaign}, but the token is of campaign {token.campaign}; leave it out"
            raise InvalidRequest([Violation("campaign", problem)])
        campaign = await self._campaigns.load(asked.program, token.campaign)
        if campaign is None:
            self._reader.report_refused(token, None, issued=False)
            return Outcome.TOKEN_INVALID
        issued = await self._revocation.revoke_serials(
            asked.program, token.campaign, token.serial, 1, identity=identity, reason=asked.reason
        )
        if issued is None:
            return Outcome.APPROVED
        self._reader.report_refused(token, campaign, issued=False)
        return Outcome.TOKEN_INVALID


def _violations(asked: RevokeRequest) -> list[Violation]:
    found = list(program_violations(asked.program))
    found += id_violations(asked.request_id, "request_id")
    if not isinstance(asked.target, TokenGiven) and not asked.campaign:
        found.append(Violation("campaign", "is required: the campaign's number"))
    match asked.target:
        case SerialsGiven(first, count):
            if count < 1:
                found.append(Violation("serials.count", "must be 1 or more"))
            elif first + count - 1 > SERIAL_MAX:
                found.append(Violation("serials", f"reach beyond {SERIAL_MAX}, the last serial that there can be"))
        case CustomerGiven(customer_id):
            found += id_violations(customer_id, "customer_id")
    if len(asked.reason.encode()) > REASON_BYTES_MAX:
        found.append(Violation("reason", f"is longer than {REASON_BYTES_MAX} bytes"))
    return found


def _content(asked: RevokeRequest) -> bytes:
    match asked.target:
        case TokenGiven(text):
            what: tuple[object, ...] = ("token", text)
        case SerialsGiven(first, count):
            what = ("serials", first, count)
        case CustomerGiven(customer_id):
            what = ("customer", customer_id)
    return canonical("revoke", asked.campaign, what, asked.reason)


def _beyond(campaign: int, issued: int) -> str:
    if issued == 0:
        return f"campaign {campaign} has issued no coupon yet"
    return f"campaign {campaign} has issued serials 0 to {issued - 1} only"
