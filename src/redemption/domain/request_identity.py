"""What makes two requests the same request."""

from redemption.domain.record import record


@record(frozen=True, slots=True)
class RequestIdentity:
    """Who asks, under which request id, and what: as digests, because the ledger keeps no names.

    Attributes:
        principal: Who asks; for the record.
        request: Digest of principal and request id. Request ids of different principals are different requests.
        content: Digest of what was asked; another content under the same request id is refused.
    """

    principal: str
    request: bytes
    content: bytes
