"""Subjects as the requests of operators name them: checked, and turned into what is kept."""

import re
from typing import Final

from redemption.domain.campaign.campaign_checks import NUMBER_MAX
from redemption.domain.errors import Violation, ViolationReason
from redemption.domain.order import id_violations
from redemption.domain.record import record
from redemption.domain.risk.lists import ListKind
from redemption.domain.risk.network import Range, read_range
from redemption.domain.risk.subjects import (
    DIGEST_KINDS,
    Subject,
    SubjectKind,
    coupon_subject,
    digest_of,
    range_subject,
)
from redemption.domain.signed.digest import DigestKind, ProgramDigests
from redemption.domain.signed.signing import SERIAL_MAX

FIELDS: Final = {
    SubjectKind.CUSTOMER: "customer_id",
    SubjectKind.PERSON: "person_id",
    SubjectKind.DEVICE: "device_id",
    SubjectKind.NETWORK: "network",
    SubjectKind.PAYMENT: "payment_fingerprint",
    SubjectKind.COUPON: "coupon",
}
"""The field of the contract in which a subject of each kind is."""
_DIGEST: Final = re.compile(r"[0-9a-f]{16}")
_NO_REF: Final = "is no id of an earlier answer: 16 hexadecimal digits, or a range of addresses in CIDR notation"
_NEVER_ALLOWED: Final = "cannot be allowed: no rule counts coupons; take it out"
_COUPON: Final = re.compile(r"([0-9]{1,10}):([0-9]{1,13})")


@record(frozen=True, slots=True)
class GivenSubject:
    """A subject as a request names it.

    Attributes:
        kind: What it is; an address or a range is NETWORK.
        text: How the request names it; empty for a coupon.
        campaign: Of a coupon, the campaign.
        serial: Of a coupon, its number in the campaign.
    """

    kind: SubjectKind
    text: str = ""
    campaign: int = 0
    serial: int = 0


@record(frozen=True, slots=True)
class GivenRef:
    """A subject as the service showed it: its kind (a range is NETWORK), and ``Subject.text``."""

    kind: SubjectKind
    id: str


def read_subject(
    given: GivenSubject, digests: ProgramDigests, field: str, added_to: ListKind | None = None
) -> Subject | Violation:
    """Return a subject as it is kept, or what is wrong with it.

    Args:
        given: The subject.
        digests: The program's digests.
        field: Its path in the request.
        added_to: The list that it is to be added to, if any.
    """
    path = f"{field}.{FIELDS[given.kind]}"
    if given.kind is SubjectKind.COUPON:
        if added_to is ListKind.ALLOW:
            return Violation(path, _NEVER_ALLOWED)
        return _coupon(given.campaign, given.serial, path)
    for violation in id_violations(given.text, path):
        return violation
    if given.kind is SubjectKind.NETWORK:
        found = read_range(given.text)
        if isinstance(found, str):
            return Violation(path, found)
        if isinstance(found, Range):
            return range_subject(found)
        return Subject(SubjectKind.NETWORK, digests.digest(DigestKind.NETWORK, found))
    digest = digest_of(digests, given.kind, given.text)
    assert digest is not None, "its text is not empty"
    return Subject(given.kind, digest)


def read_ref(given: GivenRef, field: str, added_to: ListKind | None = None) -> Subject | Violation:
    """Return a subject that the service showed, or what is wrong with it; arguments as for ``read_subject``."""
    path = f"{field}.id"
    if given.kind is SubjectKind.COUPON:
        if added_to is ListKind.ALLOW:
            return Violation(path, _NEVER_ALLOWED)
        coupon = _COUPON.fullmatch(given.id)
        if coupon is None:
            return Violation(path, "is no coupon, campaign:serial, for example 7:42")
        return _coupon(int(coupon[1]), int(coupon[2]), path)
    if given.kind is SubjectKind.NETWORK and "/" in given.id:
        found = read_range(given.id)
        return range_subject(found) if isinstance(found, Range) else Violation(path, _NO_REF)
    if given.kind not in DIGEST_KINDS or not _DIGEST.fullmatch(given.id):
        return Violation(path, _NO_REF)
    return Subject(given.kind, bytes.fromhex(given.id))


def _coupon(campaign: int, serial: int, path: str) -> Subject | Violation:
    if not 1 <= campaign <= NUMBER_MAX:
        problem = "must have a campaign: 1 or more" if not campaign else f"has no campaign of this service: {campaign}"
        return Violation(path, problem, ViolationReason.REQUIRED if not campaign else None)
    if not 0 <= serial <= SERIAL_MAX:
        return Violation(path, f"must have a serial of 0 to {SERIAL_MAX}; it is {serial}")
    return coupon_subject(campaign, serial)
