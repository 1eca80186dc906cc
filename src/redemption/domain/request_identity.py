"""What makes two requests the same request."""

from redemption.domain.record import record


@record(frozen=True, slots=True)
class RequestIdentity:
    """The principal, request id and content of a request: as digests, because the ledger keeps no names.

    Attributes:
        principal: Who calls; for the record.
        request: Digest of principal and request id. Request ids of different principals are different requests.
        content: Digest of the request's content; other content under the same request id is refused.
    """

    principal: str
    request: bytes
    content: bytes
