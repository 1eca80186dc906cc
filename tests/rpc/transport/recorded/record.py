"""Records what a real grpcio client sends: run it to make the files beside it again.

    .venv/bin/python tests/rpc/transport/recorded/record.py

The client makes one call and leaves; a plain socket keeps all bytes that it sent, and `Http2Connection` answers them.
"""

import asyncio
import socket
import threading
from pathlib import Path

import grpc

from redemption.rpc.transport.grpc_call import OK_TRAILERS, RESPONSE_HEADERS, framed
from redemption.rpc.transport.http2 import DataReceived, Http2Bounds, Http2Connection, RequestReceived, StreamReset

HERE = Path(__file__).parent
BYTES_A_LINE = 32
SECONDS_MAX = 10
METADATA = (("x-tenant", "shop"), ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
BINARY = (*METADATA, ("baggage-bin", b"\0\1\2\xff"))


def serve(listener: socket.socket, answer: object, seen: threading.Event, sent: bytearray) -> None:
    """Answer one connection, and keep what comes on it."""
    connection, _ = listener.accept()
    http2 = Http2Connection(
        Http2Bounds(streams_max=100, header_bytes_max=16_384, stream_window_bytes=65_535, connection_window_bytes=2**20)
    )
    with connection:
        connection.sendall(http2.bytes_to_send(2**20)[0])
        while received := connection.recv(65_536):
            sent += received
            for event in http2.receive(received):
                if type(event) is RequestReceived:
                    seen.set()
                if answer is not None and type(event) is DataReceived and event.end_stream:
                    answer(http2, event.stream_id)
                if type(event) is StreamReset:
                    return
            connection.sendall(http2.bytes_to_send(2**20)[0])


def recorded(call: object, answer: object) -> bytes:
    """What a client sends for one call."""
    sent = bytearray()
    seen = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener, answer, seen, sent))
        server.start()
        asyncio.run(call(listener.getsockname()[1], seen))
        server.join(SECONDS_MAX)
    return bytes(sent)


def answer_once(http2: Http2Connection, stream_id: int) -> None:
    http2.answer(stream_id, RESPONSE_HEADERS, framed(b"yes"), OK_TRAILERS)


def answer_thrice(http2: Http2Connection, stream_id: int) -> None:
    http2.begin_answer(stream_id, RESPONSE_HEADERS)
    for number in range(3):
        http2.send_body(stream_id, framed(b"%d" % number))
    http2.end_answer(stream_id, OK_TRAILERS)


async def unary(port: int, seen: threading.Event) -> None:
    """A call of one message, with a deadline and metadata."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary("/redemption.v1.RedemptionService/Redeem")
        assert await method(b"\x0a\x05hello" * 40, timeout=SECONDS_MAX, metadata=BINARY) == b"yes"
        assert await method(b"", timeout=SECONDS_MAX) == b"yes"


async def compressed(port: int, seen: threading.Event) -> None:
    """A call whose message is gzipped."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary("/redemption.v1.RedemptionService/Redeem")
        assert await method(bytes(2_000), timeout=SECONDS_MAX, compression=grpc.Compression.Gzip) == b"yes"


async def stream(port: int, seen: threading.Event) -> None:
    """A call of many messages, which is answered by many."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")(
            iter([b"one", b"", b"three" * 30]), timeout=SECONDS_MAX
        )
        assert [message async for message in call] == [b"0", b"1", b"2"]


async def cancelled(port: int, seen: threading.Event) -> None:
    """A call that is taken back."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/redemption.v1.RedemptionService/Redeem")(b"hello", timeout=SECONDS_MAX)
        waiting = asyncio.ensure_future(call)
        await asyncio.to_thread(seen.wait, SECONDS_MAX)
        waiting.cancel()
        await asyncio.wait([waiting])
        call.cancel()


def main() -> None:
    """Record all."""
    calls = {unary: answer_once, compressed: answer_once, stream: answer_thrice, cancelled: None}
    for call, answer in calls.items():
        sent = recorded(call, answer)
        (HERE / f"{call.__name__}.hex").write_text(sent.hex("\n", -BYTES_A_LINE) + "\n")
        print(call.__name__, len(sent))


if __name__ == "__main__":
    main()
