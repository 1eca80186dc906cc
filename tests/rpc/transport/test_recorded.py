"""What real clients send means the same, wherever the network splits it."""

from pathlib import Path

import pytest
from rpc.transport.answering import Answering
from rpc.transport.h2_engine import H2Engine
from rpc.transport.peers import begun, on_both_engines, shown
from rpc.transport.wire import ALL

RECORDED = {path.stem: bytes.fromhex(path.read_text()) for path in Path(__file__).parent.glob("recorded/*.hex")}
each_recording = pytest.mark.parametrize("sent", RECORDED.values(), ids=RECORDED)


def replayed(engine, parts):
    """What the parts mean, and what is written at their end."""
    connection = begun(engine, window=2**20)
    connection.bytes_to_send(ALL)
    events = [event for part in parts for event in connection.receive(part)]
    return shown(events), connection.bytes_to_send(ALL)[0]


def test_there_are_recordings():
    assert sorted(RECORDED) == ["cancelled", "compressed", "stream", "unary"]


@on_both_engines
@each_recording
def test_traffic_that_is_cut_in_two_at_any_byte_means_what_it_meant_whole(engine, sent):
    whole = replayed(engine, [sent])
    for cut in range(len(sent) + 1):
        assert replayed(engine, [sent[:cut], sent[cut:]]) == whole


@on_both_engines
@each_recording
@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 10, 100])
def test_traffic_in_small_parts_means_what_it_meant_whole(engine, sent, size):
    parts = [sent[start : start + size] for start in range(0, len(sent), size)]
    assert replayed(engine, parts) == replayed(engine, [sent])


def understood(sent):
    """What is understood of a recording's calls."""
    connection = begun(H2Engine)
    answering = Answering(connection)
    answering.take(connection.receive(sent))
    return list(answering.calls.values())


def test_recorded_calls_are_understood():
    first, second = understood(RECORDED["unary"])
    assert first["path"] == b"/redemption.v1.RedemptionService/Redeem"
    assert 9 < first["seconds"] <= 10
    assert (b"x-tenant", b"shop") in first["headers"]
    assert (b"baggage-bin", b"AAEC/w") in first["headers"]
    assert (first["messages"], second["messages"]) == ([b"\x0a\x05hello" * 40], [b""])
    assert [call["messages"] for call in understood(RECORDED["compressed"])] == [[bytes(2_000)]]
    assert [call["messages"] for call in understood(RECORDED["stream"])] == [[b"one", b"", b"three" * 30]]
    assert [call["messages"] for call in understood(RECORDED["cancelled"])] == [[b"hello"]]
