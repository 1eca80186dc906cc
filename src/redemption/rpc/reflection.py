"""The standard reflection service, for development: tools read the contract from the server.

Versions v1 and v1alpha have the same messages. grpcio's own servicer has v1alpha only, and does not find a file by the
name of a method, which some tools request (grpc/grpc#34743).
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError
from google.rpc import code_pb2  # type: ignore[import-untyped] # no marker
from grpc_reflection.v1alpha import reflection_pb2 as messages

from redemption.rpc.transport.methods import DialogMethod, Methods

SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
REQUEST_BYTES_MAX = 64 * 1024

_Request = messages.ServerReflectionRequest
_Response = messages.ServerReflectionResponse


class Reflection:
    """Answers requests about the contract."""

    def __init__(self, services: Sequence[str]) -> None:
        """Build it; ``services`` are the full names of all services."""
        self._services = sorted([*services, *SERVICES])
        self._pool = descriptor_pool.Default()

    def methods(self) -> Methods:
        """Return the methods for a transport."""
        method = DialogMethod(request_bytes_max=REQUEST_BYTES_MAX, answer=self._answer)
        return {f"/{service}/ServerReflectionInfo": method for service in SERVICES}

    def _answer(self, raw: bytes) -> bytes:
        try:
            request = _Request.FromString(raw)
        except DecodeError:
            return _failed(_Request(), code_pb2.INVALID_ARGUMENT, "is not a ServerReflectionRequest")
        try:
            response = self._response(request)
        except KeyError:
            return _failed(request, code_pb2.NOT_FOUND, "there is no such thing in the contract")
        echo = _Response(original_request=request, valid_host=request.host)
        return _written(response) + _written(echo)  # joined, the bytes are one message with the fields of both

    def _response(self, request: messages.ServerReflectionRequest) -> messages.ServerReflectionResponse:
        """Answer a request.

        Raises:
            KeyError: The contract does not have what the request names.
        """
        match request.WhichOneof("message_request"):
            case "list_services":
                listed = [messages.ServiceResponse(name=name) for name in self._services]
                return _Response(list_services_response=messages.ListServiceResponse(service=listed))
            case "file_by_filename":
                return _files(self._pool.FindFileByName(request.file_by_filename))
            case "file_containing_symbol":
                return _files(self._file_of(request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                extended = self._pool.FindMessageTypeByName(wanted.containing_type)
                extension = self._pool.FindExtensionByNumber(extended, wanted.extension_number)
                return _files(self._pool.FindFileContainingSymbol(extension.full_name))
            case "all_extension_numbers_of_type":
                extended = self._pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
                numbers = [extension.number for extension in self._pool.FindAllExtensions(extended)]
                return _Response(
                    all_extension_numbers_response=messages.ExtensionNumberResponse(
                        base_type_name=extended.full_name, extension_number=numbers
                    )
                )
            case _:
                raise KeyError("a question of a kind that is not known")

    def _file_of(self, symbol: str) -> FileDescriptor:
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            # The name of a method: find the file of its service.
            return self._pool.FindFileContainingSymbol(symbol.rpartition(".")[0])


@lru_cache(maxsize=64)
def _files(found: FileDescriptor) -> messages.ServerReflectionResponse:
    """Return a file and all files that it imports, each once."""
    files: dict[str, bytes] = {}

    def collect(wanted: Iterable[FileDescriptor]) -> None:
        for file in wanted:
            if file.name not in files:
                written = descriptor_pb2.FileDescriptorProto()
                file.CopyToProto(written)
                files[file.name] = written.SerializeToString()
                collect(file.dependencies)

    collect([found])
    return _Response(file_descriptor_response=messages.FileDescriptorResponse(file_descriptor_proto=files.values()))


def _failed(request: messages.ServerReflectionRequest, code: int, problem: str) -> bytes:
    error = messages.ErrorResponse(error_code=code, error_message=problem)
    return _written(_Response(original_request=request, error_response=error))


def _written(response: messages.ServerReflectionResponse) -> bytes:
    written: bytes = response.SerializeToString()
    return written
