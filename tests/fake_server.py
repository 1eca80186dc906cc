"""A gRPC server on a real port that answers as a test tells it to, and keeps what it was asked."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from redemption.v1 import campaign_service_pb2, issuance_service_pb2, redemption_service_pb2, risk_service_pb2
from redemption.v1.bad_request_pb2 import BadRequestValues

# What gRPC's retries are told: else they wait for 0.1 s and more, and nothing but the test's time would be saved.
TRY_AGAIN_AT_ONCE = ("grpc-retry-pushback-ms", "1")


class FakeServer:
    """Answers each method with a message, a list of messages for a stream, or what a function returns."""

    def __init__(self):
        self.answers = {}
        self.asked = defaultdict(list)
        self._server = grpc.server(ThreadPoolExecutor(4))
        for module in (redemption_service_pb2, issuance_service_pb2, campaign_service_pb2, risk_service_pb2):
            for service in module.DESCRIPTOR.services_by_name.values():
                handlers = {method.name: self._handler(method) for method in service.methods}
                self._server.add_generic_rpc_handlers(
                    [grpc.method_handlers_generic_handler(service.full_name, handlers)]
                )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self):
        self._server.stop(None).wait()

    def _handler(self, method):
        def answer(request, context):
            self.asked[method.name].append(request)
            found = self.answers[method.name]
            return found(request, context) if callable(found) else found

        make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        return make(
            answer,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )


def failing(code, message="", *, reason="", violations=(), values=(), retry_after_seconds=None):
    """Answer with a rich error; a violation is a field, what is wrong with it, and the reason if it has one."""

    def answer(_request, context):
        details = []
        if reason:
            details.append(error_details_pb2.ErrorInfo(reason=reason, domain="redemption"))
        if violations:
            bad = error_details_pb2.BadRequest()
            for field, problem, *why in violations:
                bad.field_violations.add(field=field, description=problem, reason="".join(why))
            details.append(bad)
        if values:
            details.append(BadRequestValues(field_violations=values))
        if retry_after_seconds is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(int(retry_after_seconds * 1000))
            details.append(retry)
        status = status_pb2.Status(code=code.value[0], message=message, details=[_packed(each) for each in details])
        told = rpc_status.to_status(status)
        context.abort_with_status(told._replace(trailing_metadata=(*told.trailing_metadata, TRY_AGAIN_AT_ONCE)))

    return answer


def _packed(detail):
    packed = Any()
    packed.Pack(detail)
    return packed
