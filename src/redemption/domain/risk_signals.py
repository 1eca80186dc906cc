"""Who is behind a request, beside its customer: signals by which abuse is judged, as digests."""

from collections.abc import Iterable

from redemption.domain.campaign.campaign import RiskSignal
from redemption.domain.order import Customer, RiskContext
from redemption.domain.record import record
from redemption.domain.signed.digest import DigestKind, ProgramDigests


@record(frozen=True, slots=True)
class Signals:
    """Digests, 8 bytes each; None for a signal that the request does not give, or that nobody asks for."""

    person: bytes | None = None
    device: bytes | None = None
    network: bytes | None = None
    payment: bytes | None = None


NO_SIGNALS = Signals()


def signals_of(
    digests: ProgramDigests, customer: Customer, risk: RiskContext, *, wanted: Iterable[RiskSignal]
) -> Signals:
    """Return the signals of a request that somebody asks for.

    Args:
        digests: The program's.
        customer: Who buys or claims.
        risk: What else the request tells.
        wanted: The signals that are asked for: making a digest costs half a microsecond.
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
