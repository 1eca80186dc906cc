"""A call that the server refused, as its caller gets it."""

import grpc

from redemption.domain.errors import InvalidRequest
from redemption.rpc.status import status_of


class FailedCall(grpc.RpcError):
    """Writes violations as they come over the wire."""

    def __init__(self, *violations):
        super().__init__()
        self._status = status_of(InvalidRequest(violations))

    def code(self):
        return grpc.StatusCode.INVALID_ARGUMENT

    def details(self):
        return self._status.message

    def trailing_metadata(self):
        return (("grpc-status-details-bin", self._status.details),)
