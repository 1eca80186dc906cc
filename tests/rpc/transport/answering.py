"""A server of nothing: what its transport does with each event, by the functions of grpc_call.py alone."""

from redemption.rpc.transport.grpc_call import (
    OK_TRAILERS,
    RESPONSE_HEADERS,
    DialogReader,
    MessageReader,
    Rejected,
    fitting,
    framed,
    read_head,
    whole_message,
)
from redemption.rpc.transport.http2 import DataReceived, ErrorCode, RequestReceived, StreamClosed, TrailersReceived

BYTES_MAX = 4_096


class Answering:
    """Reads each call as it comes and answers it: with the message that came, or with why it is refused.

    Attributes:
        calls: What was understood of each call, by its stream: path, seconds, headers, messages, and whether it was
            taken on.
        late_resets: Streams that were refused before they had said all, to be reset in the next drive.
    """

    def __init__(self, connection):
        self._connection = connection
        self._readers = {}
        self.calls = {}
        self.late_resets = []

    def take(self, events):
        for event in events:
            try:
                self._take(event)
            except Rejected as rejected:
                self.calls[event.stream_id]["refused"] = dict(rejected.headers)
                self._readers.pop(event.stream_id, None)
                self.late_resets.append(event.stream_id)
                limit = min(self._connection.peer_header_bytes_max, 8_192)
                self._connection.answer(event.stream_id, fitting(rejected.headers, limit))

    def reset_late(self):
        for stream_id in self.late_resets:
            self._connection.reset(stream_id, ErrorCode.NO_ERROR)
        self.late_resets.clear()

    def _take(self, event):
        if type(event) is RequestReceived:
            call = self.calls[event.stream_id] = {"messages": []}
            call["headers"] = list(event.headers)
            fields = dict(event.headers)
            call["path"] = fields.get(b":path", b"")
            call["seconds"], gzip = read_head(fields)
            if call["path"].startswith(b"/grpc.reflection"):
                self._readers[event.stream_id] = DialogReader(bytes_max=BYTES_MAX)
            else:
                self._readers[event.stream_id] = MessageReader(compressed=gzip, bytes_max=BYTES_MAX)
            if event.end_stream:
                self._read(event.stream_id, b"", ended=True)
        elif type(event) is DataReceived:
            self._read(event.stream_id, event.data, ended=event.end_stream)
        elif type(event) is TrailersReceived:
            self._read(event.stream_id, b"", ended=True)
        elif type(event) is StreamClosed:
            self._readers.pop(event.stream_id, None)

    def _read(self, stream_id, data, *, ended):
        reader = self._readers.get(stream_id)
        if reader is None:
            return
        messages = self.calls[stream_id]["messages"]
        if type(reader) is DialogReader:
            messages += reader.feed(data)
            if ended:
                reader.end()
        else:
            if ended:
                whole_message(data, BYTES_MAX)
            reader.feed(data)
            if ended:
                messages.append(reader.message())
        if ended:
            del self._readers[stream_id]
            self._connection.answer(stream_id, RESPONSE_HEADERS, framed(b"".join(messages)), OK_TRAILERS)
