"""Signals of who is behind a request, besides its customer: for judging abuse, as digests."""

from collections.abc import Iterable

from redemption.domain.campaign.campaign import RiskSignal
from redemption.domain.order import Customer, RiskContext
from redemption.domain.record import record
from redemption.domain.signed.digest import DigestKind, ProgramDigests


@record(frozen=True, slots=True)
class Signals:
    """Digests, 8 bytes each; None for a signal that the request does not carry, or that is not wanted."""

    person: bytes | None = None
    device: bytes | None = None
    network: bytes | None = None
    payment: bytes | None = None


NO_SIGNALS = Signals()


def signals_of(
    digests: ProgramDigests, customer: Customer, risk: RiskContext, *, wanted: Iterable[RiskSignal]
) -> Signals:
    """Return the wanted signals of a request.

    Args:
        digests: The program's digests.
        customer: Who buys or claims.
        risk: The other signals of the request.
        wanted: The signals to digest. Only these, because one digest costs half a microsecond.
    """
    given = {
        RiskSignal.PERSON: (DigestKind.PERSON, customer.person_id),
        RiskSignal.DEVICE: (DigestKind.DEVICE, risk.device_id),
        RiskSignal.NETWORK: (DigestKind.NETWORK, risk.network_address),
        RiskSignal.PAYMENT: (DigestKind.PAYMENT, risk.payment_fingerprint),
    }
    found: dict[RiskSignal, bytes] = {}
    for signal in wanted:
        kind, text = given[signal]
        if text:
            found[signal] = digests.digest(kind, text.encode())
    return Signals(
        found.get(RiskSignal.PERSON),
        found.get(RiskSignal.DEVICE),
        found.get(RiskSignal.NETWORK),
        found.get(RiskSignal.PAYMENT),
    )
