"""Subjects: who or what a rule counts and a list names. People are known by keyed digests only."""

from enum import IntEnum
from typing import Final

from redemption.domain.order import Customer, RiskContext
from redemption.domain.record import record
from redemption.domain.risk.network import Range, read_address
from redemption.domain.signed.digest import DigestKind, ProgramDigests


class SubjectKind(IntEnum):
    """What a subject is; the numbers are those of the contract, except for the last."""

    CUSTOMER = 1
    PERSON = 2
    DEVICE = 3
    NETWORK = 4
    PAYMENT = 5
    COUPON = 6
    RANGE = 7
    """A range of addresses, in lists only; the contract calls it NETWORK."""

    __hash__ = int.__hash__  # an enum's own __hash__ is Python code that hashes the name


DIGEST_KINDS: Final = {
    SubjectKind.CUSTOMER: DigestKind.CUSTOMER,
    SubjectKind.PERSON: DigestKind.PERSON,
    SubjectKind.DEVICE: DigestKind.DEVICE,
    SubjectKind.NETWORK: DigestKind.NETWORK,
    SubjectKind.PAYMENT: DigestKind.PAYMENT,
}
"""Kinds that are kept as digests."""
_KINDS: Final = {kind.value: kind for kind in SubjectKind}


@record(frozen=True, slots=True)
class Subject:
    """One subject as it is kept.

    Attributes:
        kind: What it is.
        id: Its digest, 8 bytes; of a coupon campaign (4 bytes) and serial (8 bytes); of a range its family, its prefix
            length (1 byte) and its first subject.
    """

    kind: SubjectKind
    id: bytes

    @property
    def text(self) -> str:
        """Return the id for people: a digest in hexadecimal digits, a coupon as campaign:serial, a range as CIDR."""
        if self.kind is SubjectKind.COUPON:
            return f"{int.from_bytes(self.id[:4])}:{int.from_bytes(self.id[4:])}"
        if self.kind is SubjectKind.RANGE:
            return str(self.range)
        return self.id.hex()

    @property
    def range(self) -> Range:
        """Return the range that it is."""
        return Range(self.id[:1], self.id[1], self.id[2:])

    @property
    def packed(self) -> bytes:
        """Return kind and id in one text of bytes, the subject's name in the ledger."""
        return bytes((self.kind,)) + self.id


def subject_from(packed: bytes) -> Subject:
    """Return the subject of ``Subject.packed``; raises ValueError for a kind that is not known."""
    kind = _KINDS.get(packed[0])  # three times as fast as the enum's own look-up
    if kind is None:
        raise ValueError(f"a subject of unknown kind {packed[0]}")
    return Subject(kind, packed[1:])


def coupon_subject(campaign: int, serial: int) -> Subject:
    """Return a coupon as a subject."""
    return Subject(SubjectKind.COUPON, campaign.to_bytes(4) + serial.to_bytes(8))


def range_subject(found: Range) -> Subject:
    """Return a range of addresses as a subject."""
    return Subject(SubjectKind.RANGE, found.family + bytes((found.bits,)) + found.first)


def digest_of(digests: ProgramDigests, kind: SubjectKind, text: str) -> bytes | None:
    """Return the digest of a subject that a request names; None if it names none, or an address that is none."""
    if not text:
        return None
    if kind is SubjectKind.NETWORK:
        address = read_address(text)
        return None if address is None else digests.digest(DigestKind.NETWORK, address)
    return digests.digest(DIGEST_KINDS[kind], text.encode())


def named(kind: SubjectKind, customer: Customer, risk: RiskContext) -> str:
    """Return how a request names its subject of a kind; empty if it does not."""
    if kind is SubjectKind.DEVICE:
        return risk.device_id
    if kind is SubjectKind.NETWORK:
        return risk.network_address
    if kind is SubjectKind.CUSTOMER:
        return customer.customer_id
    if kind is SubjectKind.PAYMENT:
        return risk.payment_fingerprint
    return customer.person_id
