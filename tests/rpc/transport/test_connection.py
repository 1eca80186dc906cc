"""What one connection may take, in bytes and in time, without affecting other connections."""

import asyncio
import os
import socket
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hpack import Encoder
from rpc.transport.frames import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    SECONDS_MAX,
    block,
    call,
    data,
    greeting,
    head,
    headers,
    message,
    prefix,
)
from rpc.transport.listening import MIB, SERVICE, failure_of, resident_bytes
from rpc.transport.wire import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    PREFACE,
    STREAM_WINDOW,
    frame,
    ping,
    reset,
    settings,
    window_update,
)
from waiting import comes

from redemption.rpc.transport import turn
from redemption.rpc.transport.connection import (
    READ_BODY_BYTES_AT_ONCE,
    READ_BYTES_AT_ONCE,
    SETTINGS_BURST,
    WRITE_BUFFER_BYTES,
    WRITE_BYTES_AT_ONCE,
)
from redemption.rpc.transport.http2 import ConnectionBroken, Http2Connection, StreamClosed
from redemption.rpc.transport.streams import READ_BYTES_MIN, REQUEST_BYTES_SMALL, UNREAD_SECONDS_CROWDED
from redemption.rpc.transport.work_queue import UNITS_AT_ONCE

OK, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED = 0, 4, 8
LAST_STREAM_ID = 2**31 - 1
ECHO, HELD, LARGE, SLOW, WATCH = (SERVICE + name for name in ("Echo", "Held", "Large", "Slow", "Watch"))


async def sending(client, *frames):
    """Send much, while others act; a server that ends the connection ends it."""
    with suppress(ConnectionError):
        await client.send(*frames)


# Time


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE, b"GET / HTTP/1.1\r\n"])
async def test_a_connection_that_does_not_say_who_it_is_is_ended(listen, said):
    stage = await listen(preface_seconds_max=10)
    silent, neighbour = await stage.client(greet=False), await stage.client()
    await silent.send(said)
    await neighbour.round_trip()
    await comes(lambda: stage.connections == 2 or said.startswith(b"GET"))
    stage.tick(9)
    stage.tick(11)
    await comes(lambda: stage.connections == 1)
    await silent.until_end()
    assert (await neighbour.ask(1)).status == OK


async def test_a_connection_that_said_who_it_is_is_kept(listen):
    stage = await listen(preface_seconds_max=10)
    client = await stage.client()
    await client.round_trip()
    stage.tick(11)
    assert (await client.ask(1)).status == OK


async def test_a_connection_that_says_nothing_is_asked_for_a_sign_of_life(listen):
    stage = await listen(keepalive_seconds=60, keepalive_seconds_max=20)
    client, dead = await stage.client(), await stage.client()
    await client.round_trip()
    await dead.round_trip()
    stage.tick(59)
    await client.round_trip()
    assert client.pings == []
    stage.tick(61)
    while not client.pings:
        await client.read()
    await client.round_trip()
    stage.tick(82)
    await comes(lambda: stage.connections == 1)
    await dead.until_end()
    assert len(dead.pings) == 1
    assert (await client.ask(1)).status == OK


async def leave(client):
    """Read what a connection that is asked to go elsewhere is told, and acknowledge it; returns how it ended."""
    while not client.goaways:
        await client.read()
    return await client.until_end()


@pytest.mark.parametrize("reason", ["idle", "age"])
async def test_an_old_or_idle_connection_is_asked_to_go_in_two_steps(listen, reason):
    """A notice first, so that calls on their way are still answered; then the last stream that is."""
    stage = await listen(
        idle_seconds_max=100, age_seconds_max=100 if reason == "age" else 1_000, keepalive_seconds=1_000
    )
    client = await stage.client()
    await client.ask(1)
    stage.tick(0)
    client.polite = False
    stage.tick(111)
    while not client.goaways:
        await client.read()
    assert client.goaways == [(LAST_STREAM_ID, NO_ERROR, b"")]
    assert (await client.ask(3)).status == OK
    await client.send(call(5, b"last", HELD))
    await comes(lambda: stage.seen.held)
    await client.send(ping(client.pings[0], ack=True))
    while len(client.goaways) < 2:
        await client.read()
    assert client.goaways[1] == (5, NO_ERROR, b"")
    stage.seen.held.pop().answer(b"last")
    assert (await client.answer(5)).message == b"last"
    assert await client.until_end() == "eof"


async def test_a_connection_is_asked_to_go_once(listen):
    stage = await listen(idle_seconds_max=100, keepalive_seconds=1_000)
    client = await stage.client()
    await client.round_trip()
    client.polite = False
    stage.tick(101)
    stage.tick(101)
    stage.tick(103)
    assert await client.until_end() == "eof"
    assert [last for last, _, _ in client.goaways] == [LAST_STREAM_ID, 0]


async def test_a_client_that_does_not_acknowledge_the_notice_is_told_the_last_stream_all_the_same(listen):
    stage = await listen(age_seconds_max=100, keepalive_seconds=1_000)
    client = await stage.client()
    await client.send(call(1, b"x", HELD))
    await comes(lambda: stage.seen.held)
    client.polite = False
    stage.tick(111)
    stage.tick(112.1)
    while len(client.goaways) < 2:
        await client.read()
    assert client.goaways[1] == (1, NO_ERROR, b"")
    stage.seen.held.pop().answer(b"x")
    assert (await client.answer(1)).message == b"x"


async def test_a_call_above_the_last_stream_is_never_handed_on(listen):
    """Its caller was told so, and sends it again elsewhere by itself."""
    stage = await listen(age_seconds_max=100, keepalive_seconds=1_000)
    client = await stage.client()
    await client.send(call(1, b"x", HELD))
    await comes(lambda: stage.seen.held)
    stage.tick(111)
    while len(client.goaways) < 2:
        await client.read()
    await client.send(call(3, b"late"), call(5, b"late", HELD))
    await client.round_trip()
    stage.seen.held.pop().answer(b"x")
    await client.answer(1)
    assert await client.until_end() == "eof"
    assert (stage.seen.ran, list(client.answers)) == ({"Held": 1}, [1])


@pytest.mark.parametrize("more", [1, 400])
async def test_a_call_that_comes_with_the_acknowledgement_is_answered_or_refused_and_never_both(listen, more):
    """Those up to the last stream have an answer; those above were not handed on."""
    stage = await listen(age_seconds_max=100, keepalive_seconds=1_000)
    client = await stage.client()
    await client.ask(1)
    client.polite = False
    stage.tick(111)
    while not client.pings:
        await client.read()
    streams = range(3, 3 + 2 * more, 2)
    await client.send(
        call(streams[0], b"x"), ping(client.pings[0], ack=True), *(call(number, bytes(200)) for number in streams[1:])
    )
    await client.until_end()
    last = client.goaways[-1][0]
    assert last >= streams[0]
    assert [number for number in streams if number in client.answers] == [
        number for number in streams if number <= last
    ]
    assert {client.answers[number].status for number in streams if number <= last} == {OK}
    assert stage.seen.ran["Echo"] == 1 + len([number for number in streams if number <= last])


async def test_a_connection_with_calls_is_not_idle(listen):
    stage = await listen(idle_seconds_max=100, keepalive_seconds=1_000)
    client = await stage.client()
    await client.send(call(1, b"x", WATCH))
    await comes(lambda: stage.seen.infos)
    stage.tick(101)
    await client.round_trip()
    assert client.goaways == []


async def test_a_connection_whose_calls_are_short_is_not_idle(listen):
    """None of them is open when the deadlines are checked."""
    stage = await listen(idle_seconds_max=100, keepalive_seconds=1_000)
    client = await stage.client()
    for number, seconds in enumerate((60, 120, 180)):
        assert (await client.ask(2 * number + 1)).status == OK
        stage.tick(seconds)
    await client.round_trip()
    assert client.goaways == []


async def test_ages_are_spread(listen):
    """Else all connections of a start come back at once."""
    stage = await listen(age_seconds_max=1_000)
    clients = [await stage.client() for _ in range(40)]
    for client in clients:
        await client.round_trip()
    ages = sorted(connection._retires for connection in stage.listener._connections)
    assert 50 < ages[-1] - ages[0] < 250


async def test_a_request_that_does_not_arrive_in_time_is_ended(listen):
    stage = await listen(request_seconds_max=30)
    client = await stage.client()
    await client.send(headers(1, head()), data(1, prefix(100_000)), headers(3, head()))
    await client.round_trip()
    stage.tick(29)
    assert (await client.ask(5)).status == OK
    assert stage.usage.request_bytes == 5
    stage.tick(31)
    answers = [await client.answer(1), await client.answer(3)]
    assert [answer.status for answer in answers] == [DEADLINE_EXCEEDED] * 2
    assert stage.usage.request_bytes == 0
    stage.tick(32)
    stage.tick(33)
    await client.round_trip()
    assert [answer.reset for answer in answers] == [NO_ERROR] * 2
    assert (await client.ask(7)).status == OK


# Requests that are not finished


async def test_unfinished_messages_are_bounded_and_given_back(listen):
    stage = await listen(request_seconds_max=30, request_bytes_per_connection_max=2 * MIB)
    client, neighbour = await stage.client(), await stage.client()
    before = resident_bytes()
    streams = range(1, 257, 2)
    for number in streams:
        await client.send(headers(number, head()), data(number, prefix(100_000)), *[data(number, bytes(16_000))] * 4)
    await client.round_trip()
    assert MIB < stage.usage.request_bytes <= 2 * MIB
    refused = [number for number in streams if number in client.answers]
    assert {client.answers[number].status for number in refused} == {RESOURCE_EXHAUSTED}
    assert 64 < len(refused) < 128
    accepted = next(number for number in streams if number not in client.answers)
    assert (await client.ask(301, bytes(1_000))).status == OK
    assert (await neighbour.ask(1, bytes(1_000))).status == OK
    stage.tick(31)
    assert (await client.answer(accepted)).status == DEADLINE_EXCEEDED
    assert stage.usage.request_bytes == 0
    assert resident_bytes() - before < 64 * MIB


@pytest.mark.parametrize("size", [4 * MIB - 10, 65_000])
async def test_messages_that_are_announced_and_never_sent_leave_room_for_others(stage, size):
    """A few bytes announce 128 MiB: an announcement alone must not cause refusals for others."""
    neighbour = await stage.client()
    clients = [await stage.client() for _ in range(6)]
    for client in clients:
        for number in range(1, 2_000, 2):
            await client.send(headers(number, head()) + data(number, prefix(size)))
        await client.round_trip()
    assert stage.usage.request_bytes <= 128 * MIB
    for client in (neighbour, *clients):
        assert (await client.ask(2_001, bytes(16_000))).status == OK
        await client.send(headers(2_003, head()))
        await client.upload(2_003, message(bytes(3 * MIB)))
        assert (await client.answer(2_003)).status == OK
    for client in clients:
        client.close()
    await comes(lambda: stage.connections == 1)
    assert stage.usage.request_bytes == 0


async def test_unfinished_messages_of_all_connections_are_bounded_together(listen):
    stage = await listen(request_bytes_max=200_000, request_bytes_per_connection_max=150_000)
    clients = [await stage.client() for _ in range(8)]
    for client in clients:
        await client.send(headers(1, head()), *[data(1, part) for part in (prefix(100_000), *[bytes(16_000)] * 3)])
        await client.round_trip()
    assert 90_000 < stage.usage.request_bytes <= 200_000
    assert [1 in client.answers for client in clients] == sorted(1 in client.answers for client in clients)
    assert clients[-1].answers[1].status == RESOURCE_EXHAUSTED
    assert (await clients[-1].ask(3, bytes(1_000))).status == OK


async def test_nobody_can_keep_the_small_requests_of_others_out(listen):
    """Every connection has some room of its own."""
    stage = await listen(request_bytes_max=100_000, request_bytes_per_connection_max=100_000)
    for _ in range(3):
        client = await stage.client()
        await client.send(
            *[headers(number, head()) + data(number, prefix(9_000) + bytes(8_000)) for number in range(1, 41, 2)]
        )
        await client.round_trip()
    neighbour = await stage.client()
    assert stage.usage.request_bytes > 90_000
    assert (await neighbour.ask(1, bytes(REQUEST_BYTES_SMALL // 2))).status == OK
    assert (await neighbour.ask(3, bytes(2 * REQUEST_BYTES_SMALL))).status == RESOURCE_EXHAUSTED


async def test_unfinished_messages_of_dialogs_are_bounded_as_others_are(listen):
    stage = await listen(request_bytes_max=40_000)
    client = await stage.client()
    streams = range(1, 121, 2)
    for number in streams:
        await client.send(headers(number, head(SERVICE + "Dialog")), data(number, prefix(900) + bytes(890)))
    await client.round_trip()
    refused = [number for number in streams if number in client.answers]
    assert {client.answers[number].status for number in refused} == {RESOURCE_EXHAUSTED}
    assert REQUEST_BYTES_SMALL < stage.usage.request_bytes <= 40_000
    client.close()
    await comes(lambda: stage.usage.request_bytes == 0)


async def test_messages_of_a_dialog_count_until_they_are_answered(stage):
    client = await stage.client()
    await client.send(headers(1, head(SERVICE + "Dialog")), data(1, message(bytes(400)) + message(bytes(400))[:-1]))
    await client.round_trip()
    assert stage.usage.request_bytes == 404
    await client.send(data(1, bytes(1)))
    await client.round_trip()
    assert stage.usage.request_bytes == 0


async def test_requests_count_until_they_are_answered(listen):
    stage = await listen(request_bytes_max=100_000)
    client = await stage.client()
    await client.send(*(call(number, bytes(10_000), HELD) for number in range(1, 41, 2)))
    await client.round_trip()
    await comes(lambda: len(stage.seen.held) == 10)
    assert stage.usage.request_bytes == 100_000
    refused = [number for number in range(1, 41, 2) if number in client.answers]
    assert {client.answers[number].status for number in refused} == {RESOURCE_EXHAUSTED}
    for held in stage.seen.held:
        held.answer(b"")
    assert stage.usage.request_bytes == 0
    assert (await client.ask(41, bytes(10_000))).status == OK


async def test_a_half_sent_message_does_not_stall_its_connection(stage):
    """Nor do many: what was received is acknowledged at once."""
    client = await stage.client()
    body = message(bytes(60_000))[:-1]
    streams = range(1, 401, 2)
    for number in streams:
        await client.send(headers(number, head()), data(number, body))
        client.spent += len(body)
        while 65_535 + client.widened.get(0, 0) - client.spent < len(body):
            assert await client.read()
    assert (await client.ask(1_001, bytes(10_000))).status == OK
    for number in streams:
        await client.send(data(number, b"\0", end=True))
    assert {(await client.answer(number)).status for number in streams} == {OK}


# Answers that are not read


async def test_unread_answers_are_bounded_and_the_rest_is_refused(stage):
    """500 answers of 3 MB behind a closed window: those for which there is no room are told so instead."""
    client, neighbour = await stage.client({STREAM_WINDOW: 0}), await stage.client()
    before = resident_bytes()
    streams = range(1, 1_001, 2)
    await client.send(*(call(number, b"3000000", LARGE) for number in streams))
    while len([number for number in streams if number in client.answers]) < 500:
        await client.read()
    refused = [number for number in streams if client.answers[number].ended]
    assert {client.answers[number].status for number in refused} == {RESOURCE_EXHAUSTED}
    assert len(refused) == 495
    assert stage.usage.answer_bytes <= 16 * MIB
    assert resident_bytes() - before < 100 * MIB
    assert len((await neighbour.ask(1, b"3000000", LARGE)).message) == 3_000_000
    assert (await client.ask(1_001, b"", SERVICE + "Nothing")).status == 12
    for number in streams:
        await client.send(window_update(number, 2**22))
    for number in streams:
        answer = await client.answer(number)
        assert (answer.status == OK) == (len(answer.body) == 3_000_005)
    await stage.idle()


async def test_small_answers_are_sent_though_much_is_unread(stage):
    """Every connection has 64 KiB of its own."""
    client = await stage.client({STREAM_WINDOW: 0})
    await client.send(*(call(number, b"3000000", LARGE) for number in range(1, 41, 2)))
    await comes(lambda: stage.usage.answer_bytes > 10 * MIB)
    other = await stage.client({STREAM_WINDOW: 0})
    await other.send(call(1, b"1000", LARGE))
    await comes(lambda: stage.seen.ran["Large"] == 21)
    await other.send(window_update(1, 2_000))
    assert (await other.answer(1)).status == OK


async def test_unread_answers_of_all_connections_are_bounded_together(listen):
    """One large answer on each of many connections is as much as many on one."""
    stage = await listen(answer_bytes_max=10 * MIB)
    clients = []
    for _ in range(20):
        client = await stage.client({STREAM_WINDOW: 0})
        clients.append(client)
        await client.send(call(1, b"3000000", LARGE))
        while 1 not in client.answers:
            await client.read()
    assert stage.usage.answer_bytes <= 10 * MIB
    assert [client.answers[1].status for client in clients] == [None] * 3 + [RESOURCE_EXHAUSTED] * 17
    clients[0].close()
    await comes(lambda: stage.usage.answer_bytes < 7 * MIB)
    client = await stage.client()
    assert (await client.ask(1, b"3000000", LARGE)).status == OK


async def test_unread_answers_of_one_turn_are_bounded_together(listen):
    """Though nothing of them was written when the next was made."""
    stage = await listen(answer_bytes_max=10 * MIB)
    clients = [await stage.client({STREAM_WINDOW: 0}) for _ in range(20)]
    for client in clients:
        await client.send(call(1, b"x", HELD))
    await comes(lambda: len(stage.seen.held) == 20)
    for held in stage.seen.held:
        held.answer(bytes(3_000_000))
    for client in clients:
        while 1 not in client.answers:
            await client.read()
    assert [client.answers[1].status for client in clients].count(None) == 3
    assert stage.usage.answer_bytes <= 10 * MIB


async def test_unread_answers_of_a_dialog_are_bounded(stage):
    """A question of a few bytes may have an answer of many."""
    client = await stage.client({STREAM_WINDOW: 0})
    streams = range(1, 41, 2)
    for number in streams:
        await client.send(
            headers(number, head(SERVICE + "Dialog")), *(data(number, message(b"999999")) for _ in range(9))
        )
    await client.round_trip()
    assert MIB < stage.usage.answer_bytes <= 16 * MIB
    for number in streams:
        await client.send(window_update(number, 2**30))
    statuses = set()
    for number in streams[3:]:
        statuses.add((await client.answer(number)).status)
    assert statuses == {RESOURCE_EXHAUSTED}
    assert stage.seen.ran["Dialog"] < 60


@pytest.mark.parametrize("told", [None, {STREAM_WINDOW: 0}], ids=["reads nothing", "window of 0"])
async def test_a_client_that_does_not_read_at_all_is_ended(listen, told):
    stage = await listen(unread_seconds_max=30)
    client, neighbour = await stage.client(told, receive_bytes=4_096), await stage.client()
    await client.send(*(call(number, b"3000000", LARGE) for number in range(1, 41, 2)))
    await comes(lambda: stage.seen.ran.get("Large") == 20)
    await neighbour.round_trip()
    assert stage.usage.answer_bytes <= 16 * MIB
    stage.tick(29)
    assert stage.connections == 2
    stage.tick(31)
    await comes(lambda: stage.connections == 1)
    assert (stage.usage.answer_bytes, stage.usage.calls) == (0, 0)
    assert (await neighbour.ask(1)).status == OK


async def test_a_client_that_reads_slowly_is_not_ended(listen):
    stage = await listen(unread_seconds_max=30)
    client = await stage.client({STREAM_WINDOW: 0})
    await client.send(call(1, b"1000000", LARGE))
    await comes(lambda: stage.usage.answer_bytes)
    (connection,) = stage.listener._connections
    began = asyncio.get_running_loop().time()
    for seconds in (20, 40, 60):
        connection._now = lambda seconds=seconds: began + seconds
        await client.send(window_update(1, READ_BYTES_MIN))
        await client.round_trip()
        connection.tick(began + seconds + 15)
        assert stage.connections == 1
    await client.send(window_update(1, 2**20))
    assert (await client.answer(1)).status == OK


async def with_an_unread_answer(listen):
    """A caller who reads nothing of a megabyte yet, its connection, and since when."""
    stage = await listen(unread_seconds_max=30, keepalive_seconds=1_000)
    client = await stage.client({STREAM_WINDOW: 0})
    await client.send(call(1, b"1000000", LARGE))
    await comes(lambda: stage.usage.answer_bytes)
    (connection,) = stage.listener._connections
    return stage, client, connection, asyncio.get_running_loop().time()


async def test_an_answer_of_which_a_byte_is_read_now_and_then_is_reset(listen):
    """Its caller would hold megabytes for ever, at almost no cost."""
    stage, client, connection, began = await with_an_unread_answer(listen)
    for seconds in (10, 20):
        connection._now = lambda seconds=seconds: began + seconds
        await client.send(window_update(1, 40))
        await client.round_trip()
        connection.tick(began + seconds)
    await client.send(window_update(1, 40))
    await client.round_trip()
    assert not client.answers[1].ended
    connection.tick(began + 45)
    assert (await client.answer(1)).reset == CANCEL
    await comes(lambda: not stage.usage.answer_bytes)


async def test_an_unread_answer_does_not_end_a_connection_whose_other_answers_are_read(listen):
    """They may be as small as they like."""
    _, client, connection, began = await with_an_unread_answer(listen)
    for number, seconds in ((3, 10), (5, 20), (7, 29), (9, 40)):
        connection._now = lambda seconds=seconds: began + seconds
        await client.send(call(number, b"x"), window_update(number, 100))
        assert (await client.answer(number)).status == OK
        connection.tick(began + seconds)
    assert (await client.answer(1)).reset == CANCEL
    assert (await client.ask(11, b"", SERVICE + "Nothing")).status == 12


async def test_a_caller_whose_system_takes_nothing_has_all_its_time_though_much_is_unread(listen):
    """What it reads there is not seen from here."""
    stage = await listen(unread_seconds_max=30, answer_bytes_max=1_000_000, keepalive_seconds=1_000)
    client = await stage.client({STREAM_WINDOW: 0})
    await client.send(call(1, b"900000", LARGE))
    await comes(lambda: stage.usage.answer_bytes)
    (connection,) = stage.listener._connections
    connection.pause_writing()
    stage.tick(UNREAD_SECONDS_CROWDED + 1)
    await client.send(ping())
    assert stage.connections == 1
    stage.tick(31)
    await comes(lambda: not stage.connections)


async def test_a_connection_that_cannot_be_read_is_ended(stage, monkeypatch):
    """It would stay paused for ever, and its callers would wait."""
    client, neighbour = await stage.client(), await stage.client()
    await neighbour.round_trip()
    await client.round_trip()
    (connection,) = [
        other for other in stage.listener._connections if other._streams.peer.endswith(str(port_of(client)))
    ]

    def fail(_):
        raise MemoryError

    monkeypatch.setattr(connection, "_read", fail)
    await client.send(call(1))
    await client.until_end()
    assert (await neighbour.ask(1)).status == OK


async def test_slices_grow_one_by_one_while_a_body_comes_and_are_short_after_it(stage, reads):
    client = await stage.client()
    await client.round_trip()
    reads.clear()
    await client.send(headers(1, head(ECHO)))
    await client.upload(1, message(bytes(300_000)))
    await client.answer(1)
    lengths = [length for _, length in reads]
    for before, after in pairwise(lengths):
        assert after <= max(2 * before, READ_BYTES_AT_ONCE)
    assert max(lengths) == READ_BODY_BYTES_AT_ONCE
    reads.clear()
    await client.send(*(call(number, bytes(1_000)) for number in range(3, 43, 2)))
    await client.answer(41)
    assert max(length for _, length in reads) <= READ_BYTES_AT_ONCE


async def test_unread_answers_are_borne_for_less_time_when_there_are_many(listen):
    """Else a few callers could keep the large answers of all others away."""
    stage = await listen(unread_seconds_max=30, answer_bytes_max=2_500_000, keepalive_seconds=1_000)
    client = await stage.client({STREAM_WINDOW: 0})
    await client.send(call(1, b"1000000", LARGE))
    await comes(lambda: stage.usage.answer_bytes)
    stage.tick(UNREAD_SECONDS_CROWDED + 1)
    assert stage.connections == 1
    await client.send(call(3, b"1000000", LARGE))
    await comes(lambda: stage.usage.answer_bytes > 1_500_000)
    stage.tick(UNREAD_SECONDS_CROWDED + 1)
    await comes(lambda: not stage.connections)
    assert stage.usage.answer_bytes == 0


async def test_an_answer_that_is_not_read_is_reset_though_another_is_read_slowly(listen):
    stage = await listen(unread_seconds_max=30, keepalive_seconds=1_000)
    client = await stage.client({STREAM_WINDOW: 0})
    await client.send(call(1, b"1000000", LARGE))
    await comes(lambda: stage.usage.answer_bytes)
    await client.send(call(3, b"3000000", LARGE))
    await comes(lambda: stage.usage.answer_bytes > 3_500_000)
    (connection,) = stage.listener._connections
    began = asyncio.get_running_loop().time()
    for seconds in (0, 20, 40):
        connection._now = lambda seconds=seconds: began + seconds
        await client.send(window_update(1, READ_BYTES_MIN))
        await client.round_trip()
        connection.tick(began + seconds)
    assert (await client.answer(3)).reset == CANCEL
    assert stage.usage.answer_bytes < 1_000_000
    await client.send(window_update(1, 2**20))
    assert (await client.answer(1)).status == OK
    assert (await client.ask(5, b"", SERVICE + "Nothing")).status == 12


async def test_an_answer_that_waits_for_its_turn_is_not_reset(listen):
    """Answers are written one after the other to one who takes all of them, but not fast."""
    stage = await listen(unread_seconds_max=30, keepalive_seconds=1_000)
    client = await stage.client(connection_window=0)
    await client.send(*(call(number, b"1000000", LARGE) for number in (1, 3)))
    await comes(lambda: stage.usage.answer_bytes > 1_500_000)
    (connection,) = stage.listener._connections
    began = asyncio.get_running_loop().time()
    for seconds in (0, 20, 40, 60, 80):
        connection._now = lambda seconds=seconds: began + seconds
        await client.send(window_update(0, 50_000))
        await client.round_trip()
        connection.tick(began + seconds)
    await client.send(window_update(0, 2**21))
    assert [(await client.answer(number)).status for number in (1, 3)] == [OK, OK]


async def test_a_stream_that_ends_unread_leaves_nothing(listen):
    stage = await listen(unread_seconds_max=0.05)
    client = await stage.client({STREAM_WINDOW: 0})
    await client.send(call(1, b"1000*16384", SERVICE + "Stream"), call(3, b"1000", LARGE))
    await comes(lambda: stage.seen.closed and stage.seen.ran.get("Large"))
    (connection,) = stage.listener._connections
    began = asyncio.get_running_loop().time()
    for seconds in (0, 0.04, 0.08):
        connection._taken = began + seconds
        connection.tick(began + seconds)
    await client.answer(1)
    assert client.answers[1].reset == CANCEL
    await stage.idle()


async def farewell_to_a_slow_reader(stage):
    """Ask for 200 kB, read nothing of it, and be asked to go; returns the client when all is written."""
    client = await stage.client(receive_bytes=4_096)
    await client.round_trip()
    (connection,) = stage.listener._connections
    connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    await client.send(call(1, b"200000", LARGE))
    await comes(lambda: not connection._streams and connection._transport.get_write_buffer_size())
    connection.retire()
    await comes(lambda: not connection._queued)
    stage.tick(1.1)
    await comes(lambda: connection._ending)
    return client, connection


async def test_a_farewell_waits_until_what_was_written_has_left(listen):
    """It may be the answer to one who reads slowly."""
    stage = await listen(unread_seconds_max=30)
    client, connection = await farewell_to_a_slow_reader(stage)
    stage.tick(1.1)
    stage.tick(29)
    assert (await client.answer(1)).status == OK
    assert await client.until_end() == "eof"
    assert [code for _, code, _ in client.goaways] == [NO_ERROR] * 2
    assert connection._closing is not None
    stage.tick(1.1)
    await comes(lambda: not stage.connections)


async def test_a_farewell_waits_no_longer_than_answers_may_be_unread(listen):
    stage = await listen(unread_seconds_max=30)
    _, connection = await farewell_to_a_slow_reader(stage)
    stage.tick(29)
    assert not connection._transport.is_closing()
    stage.tick(31)
    await comes(lambda: not stage.connections)


async def test_an_answer_after_a_long_silence_has_all_of_its_time(listen):
    stage = await listen(unread_seconds_max=30)
    client = await stage.client({STREAM_WINDOW: 0})
    await client.send(call(1, b"x", HELD))
    await comes(lambda: stage.seen.held)
    (connection,) = stage.listener._connections
    began = asyncio.get_running_loop().time()
    connection._now = lambda: began + 1_000
    stage.seen.held.pop().answer(bytes(3_000_000))
    await client.round_trip()
    connection.tick(began + 1_029)
    await client.send(window_update(1, 2**22))
    assert (await client.answer(1)).status == OK


async def test_nothing_is_written_for_a_client_that_does_not_read(stage):
    """What the system does not take stays small, however much is asked."""
    client = await stage.client(receive_bytes=4_096)
    await client.send(*(call(number, b"3000000", LARGE) for number in range(1, 11, 2)))
    await comes(lambda: stage.seen.ran.get("Large") == 5)
    (connection,) = stage.listener._connections
    await comes(lambda: connection._is_buffer_full)
    assert connection._transport.get_write_buffer_size() <= WRITE_BUFFER_BYTES + WRITE_BYTES_AT_ONCE + 20_000
    for number in range(1, 11, 2):
        assert (await client.answer(number)).status == OK


# Floods


async def flood(client, *frames):
    """Send much, and read until the server closes."""
    task = asyncio.ensure_future(sending(client, *frames))
    client.polite = False
    ended = await client.until_end()
    await task
    return ended


async def test_rapid_resets_end_their_connection_and_harm_no_other(listen):
    """The queue, the memory and the answers to others stay what they are."""
    stage = await listen()
    client, neighbour = await stage.client(), await stage.client()
    await neighbour.round_trip()
    before = resident_bytes()
    frames = [call(number, b"%d" % number, HELD) + reset(number) for number in range(1, 40_001, 2)]
    flooding = asyncio.ensure_future(flood(client, *frames))
    for number in range(1, 101, 2):
        assert (await neighbour.ask(number)).status == OK
    await flooding
    assert client.goaways[-1][1:] == (ENHANCE_YOUR_CALM, b"too_many_resets")
    assert stage.seen.ran.get("Held", 0) < 2_000
    assert all(held.info.gone for held in stage.seen.held)
    assert resident_bytes() - before < 50 * MIB
    assert max((int(held.request) for held in stage.seen.held if held.request), default=0) <= client.goaways[-1][0]
    for held in stage.seen.held:
        held.answer(b"")
    await stage.idle()


async def test_nothing_is_handed_on_after_a_connection_was_ended(listen):
    """Its GOAWAY names the last call that may have been: what came behind it is sent again elsewhere."""
    stage = await listen(resets_per_second_max=1)
    client = await stage.client()
    resets = [call(number, b"", HELD) + reset(number) for number in range(1, 21, 2)]
    calls = [call(number, b"%d" % number + bytes(1_000), HELD) for number in range(21, 401, 2)]
    await flood(client, *resets, *calls)
    last = client.goaways[-1][0]
    handed = [int(held.request[: held.request.index(0)]) for held in stage.seen.held if held.request]
    assert max(handed, default=0) <= last < 399


@pytest.mark.parametrize(
    ("told", "seconds", "counted"),
    [
        ("5S", 0.11, False),
        ("5S", 0.05, True),
        ("90m", 0.095, False),
        ("90m", 0.085, False),
        ("90m", 0.05, True),
        ("9m", 0.006, False),
        ("9m", 0.003, True),
        ("9m", 0, True),
    ],
    ids=[
        "old",
        "young",
        "deadline passed",
        "deadline all but passed",
        "before its deadline",
        "short deadline all but passed",
        "before a short deadline",
        "at once, with a short deadline",
    ],
)
async def test_calls_that_are_taken_back_at_their_deadline_are_not_held_against_anybody(listen, told, seconds, counted):
    """5,000 deadlines that pass at once kill no connection, however short they are."""
    stage = await listen(resets_per_second_max=1)
    client = await stage.client()
    await client.round_trip()
    stage.listener._clock.cancel()
    (connection,) = stage.listener._connections
    began = asyncio.get_running_loop().time()
    connection._streams._now = lambda: began
    streams = range(1, 201, 2)
    await client.send(*(headers(number, head(HELD, grpc_timeout=told)) for number in streams))
    await comes(lambda: len(connection._streams) == 100)
    connection._streams._now = lambda: began + seconds
    await client.send(*(reset(number) for number in streams))
    if counted:
        await client.until_end()
        assert client.goaways[0][1:] == (ENHANCE_YOUR_CALM, b"too_many_resets")
    else:
        await client.round_trip()
        assert client.goaways == []


async def test_resets_of_refused_calls_are_not_held_against_anybody(listen):
    stage = await listen(resets_per_second_max=1)
    client = await stage.client()
    streams = range(1, 401, 2)
    await client.send(*(headers(number, head(SERVICE + "Nothing")) + data(number, b"x") for number in streams))
    await client.round_trip()
    await client.send(*(reset(number) for number in streams))
    await client.round_trip()
    assert (client.goaways, (await client.ask(401)).status) == ([], OK)


async def test_calls_that_are_taken_back_before_they_were_refused_count_as_any(listen):
    stage = await listen(resets_per_second_max=1)
    client = await stage.client()
    await flood(client, *(headers(number, head(SERVICE + "Nothing")) + reset(number) for number in range(1, 401, 2)))
    assert [code for _, code, _ in client.goaways] == [ENHANCE_YOUR_CALM]


async def test_settings_without_end_end_their_connection(stage):
    """Each may touch every open stream."""
    client, neighbour = await stage.client(), await stage.client()
    await flood(client, *[settings({4: 1_000 + number}) for number in range(20_000)])
    assert client.goaways == [(0, ENHANCE_YOUR_CALM, b"too_many_settings")]
    assert client.acknowledged <= SETTINGS_BURST + READ_BYTES_AT_ONCE / len(settings({4: 1}))
    assert (await neighbour.ask(1)).status == OK


async def test_headers_that_stand_for_much_more_end_their_connection(listen):
    """HPACK keeps a long value and names it by a byte: 60 KB of headers in some bytes, again and again."""
    stage = await listen(resets_per_second_max=10)
    client, neighbour = await stage.client(), await stage.client()
    await neighbour.round_trip()
    before = resident_bytes()
    first = [*head("/test.Service/Echo"), ("x-long", "v" * 3_500)]
    encoder = Encoder()
    bombs = [frame(HEADERS, END_HEADERS, 1, encoder.encode(first))]
    bombs += [
        frame(HEADERS, END_HEADERS, number, encoder.encode([*first, *[first[-1]] * 15]))
        for number in range(3, 6_001, 2)
    ]
    assert len(bombs[-1]) < 60
    await flood(client, *bombs)
    assert client.goaways[-1][1:] == (ENHANCE_YOUR_CALM, b"too_many_large_headers")
    assert (await neighbour.ask(1)).status == OK
    assert resident_bytes() - before < 32 * MIB


async def test_pings_without_end_end_their_connection(stage):
    client, neighbour = await stage.client(), await stage.client()
    await flood(client, *[ping()] * 20_000)
    assert client.goaways == [(0, ENHANCE_YOUR_CALM, b"too_many_pings")]
    assert client.pongs <= READ_BYTES_AT_ONCE / len(ping()) + 1
    assert (await neighbour.ask(1)).status == OK


async def test_pings_after_answers_are_forgiven(stage):
    """Some clients measure the round trip with a PING after each answer."""
    client = await stage.client()
    for number in range(1, 201, 2):
        await client.ask(number)
        await client.round_trip()
    assert client.goaways == []


async def test_pings_while_a_large_answer_is_read_are_forgiven(stage):
    """As grpc-go sends them: one for each DATA frame, to measure the bandwidth."""
    client = await stage.client({STREAM_WINDOW: 0})
    await client.send(call(1, b"300000", LARGE))
    for _ in range(60):
        await client.send(window_update(1, 5_000))
        await client.round_trip()
    await client.send(window_update(1, 100_000))
    assert (await client.answer(1)).status == OK
    assert client.goaways == []


@pytest.mark.parametrize(
    "frames",
    [
        [settings({STREAM_WINDOW: 65_535})] * 5_000,
        [window_update(0, 1)] * 5_000,
        [frame(2, 0, 1, bytes(5))] * 5_000,
        [headers(1, head()), *[data(1, b"")] * 5_000],
        [headers(1, head()), *[window_update(1, 1)] * 5_000],
        [headers(1, head(SERVICE + "Dialog")), *[data(1, b"")] * 5_000],
        [frame(0xAA, 0, 0, b"unknown")] * 5_000,
    ],
    ids=["settings", "window", "priority", "empty data", "stream window", "empty data of a dialog", "unknown"],
)
async def test_frames_that_say_nothing_cost_no_memory_and_harm_no_neighbour(stage, frames):
    client, neighbour = await stage.client(), await stage.client()
    await neighbour.round_trip()
    before = resident_bytes()
    flooding = asyncio.ensure_future(sending(client, *frames))
    for number in range(1, 21, 2):
        assert (await neighbour.ask(number)).status == OK
    await flooding
    assert resident_bytes() - before < 20 * MIB
    assert stage.usage.request_bytes < 1_000


async def test_a_header_block_without_end_ends_its_connection(stage):
    client, neighbour = await stage.client(), await stage.client()
    frames = [frame(HEADERS, 0, 1, block(head())), *[frame(CONTINUATION, 0, 1, block([("x", "y" * 10_000)]))] * 100]
    await flood(client, *frames)
    assert client.end
    assert stage.seen.ran == {}
    assert (await neighbour.ask(1)).status == OK


@pytest.mark.parametrize(
    "broken",
    [
        frame(DATA, 0, 1, b"on a stream that nobody opened"),
        frame(HEADERS, 4, 2, block(head())),
        frame(HEADERS, 4, 1, b"\xff\xff\xff\xff\xff\xff"),
        ping()[:-1] + frame(9, 0, 0, bytes(30_000)),
        b"\xff\xff\xff\0\0\0\0\0\1",
        window_update(0, 0),
    ],
    ids=["idle stream", "even stream", "broken hpack", "cut frame", "oversized frame", "zero window"],
)
async def test_a_client_that_breaks_the_protocol_is_told_and_harms_no_other(stage, broken):
    client, neighbour = await stage.client(), await stage.client()
    await client.round_trip()
    await client.send(broken, bytes(100))
    assert await client.until_end() == "eof"
    assert len(client.goaways) == 1
    assert client.goaways[0][1] != NO_ERROR
    assert (await neighbour.ask(1)).status == OK


async def test_a_client_that_breaks_the_protocol_before_its_last_word_is_written_is_closed_too(stage, monkeypatch):
    """The engine then has nothing to write, not even a GOAWAY."""

    def break_(*_):
        raise ConnectionBroken("nobody foresaw this", b"")

    client = await stage.client()
    await client.round_trip()
    (connection,) = stage.listener._connections
    neighbour = await stage.client()
    monkeypatch.setattr(connection, "_http2", SimpleNamespace(bytes_to_send=break_, send_goaway=lambda *_: None))
    connection._end(ENHANCE_YOUR_CALM, b"")
    assert await client.until_end() == "eof"
    assert (await neighbour.ask(1)).status == OK


async def test_an_end_that_comes_without_anything_to_write_is_noticed(stage, monkeypatch):
    """The engine tells of streams and of the connection when it is asked what to write, also when that is nothing."""
    client = await stage.client()
    await client.send(call(1, b"x", HELD))
    await comes(lambda: stage.seen.held)
    (connection,) = stage.listener._connections
    monkeypatch.setattr(Http2Connection, "bytes_to_send", lambda *_: (b"", [StreamClosed(1, NO_ERROR, None)]))
    connection.write_soon()
    await comes(lambda: not connection._queued)
    assert (len(connection._streams), stage.seen.infos[0].gone) == (0, True)


async def test_the_reason_is_read_though_the_caller_goes_on_sending(stage):
    """Closing a socket with unread input makes the system reset it, and destroys what was written."""
    client = await stage.client()
    await client.round_trip()
    frames = [headers(1, head(HELD)), *[ping()] * 1_000, *[data(1, bytes(16_000))] * 500]
    sent = asyncio.ensure_future(sending(client, *frames))
    assert await client.until_end() == "eof"
    await sent
    assert client.goaways[-1][1:] == (ENHANCE_YOUR_CALM, b"too_many_pings")


async def test_a_client_that_does_not_close_after_the_last_word_is_cut_off(stage):
    client = await stage.client()
    await flood(client, *[ping()] * 1_000)
    assert stage.connections == 1
    stage.tick(1.1)
    await comes(lambda: stage.connections == 0)


# Fairness


@pytest.fixture
def reads(monkeypatch):
    """What is read from each connection, in order: the connection and how many bytes."""
    read = []
    receive = Http2Connection.receive

    def noted(self, received):
        read.append((self, len(received)))
        return receive(self, received)

    monkeypatch.setattr(Http2Connection, "receive", noted)
    return read


@pytest.mark.parametrize("size", [1, 100, 16_000])
async def test_a_large_message_does_not_hold_up_the_calls_of_others(stage, reads, monkeypatch, size):
    """Between a neighbour's call and its answer only so much of the message is read, however it is cut."""
    monkeypatch.setattr(turn, "READ_SECONDS", 0)  # one slice in each turn, however fast the machine is
    client, neighbour = await stage.client(), await stage.client()
    await neighbour.round_trip()
    await client.round_trip()
    (connection,) = [
        other for other in stage.listener._connections if other._streams.peer.endswith(str(port_of(client)))
    ]
    body = message(bytes(4 * MIB))[: MIB if size > 1 else 256 * 1024]
    frames = b"".join(frame(DATA, 0, 1, body[at : at + size]) for at in range(0, len(body), size))
    sent = asyncio.ensure_future(sending(client, headers(1, head(HELD)), frames))
    await comes(lambda: any(read is connection._http2 for read, _ in reads))
    most = 0
    for number in range(1, 41, 2):
        reads.clear()
        assert (await neighbour.ask(number)).status == OK
        asked = next(at for at, (read, _) in enumerate(reads) if read is not connection._http2)
        most = max(most, sum(length for read, length in reads[asked:] if read is connection._http2))
        assert max(length for _, length in reads) <= READ_BODY_BYTES_AT_ONCE
    await sent
    assert most <= 8 * (READ_BODY_BYTES_AT_ONCE if size > 100 else READ_BYTES_AT_ONCE)


def port_of(client):
    return client._socket.getsockname()[1]


async def test_a_message_in_frames_that_are_too_small_is_refused(stage):
    """They cost far more than the message."""
    client = await stage.client()
    await client.send(headers(1, head(HELD)), data(1, prefix(MIB)), *[data(1, b"x")] * 400)
    assert (await client.answer(1)).status == 13
    assert stage.seen.ran == {}


async def test_a_large_answer_does_not_hold_up_the_answers_of_others(stage):
    """It is written in parts, and others have their turn in between."""
    client, neighbour = await stage.client(), await stage.client()
    await neighbour.round_trip()
    await client.send(call(1, b"16000000", LARGE))
    await comes(lambda: stage.seen.ran.get("Large"))
    answer = asyncio.ensure_future(client.answer(1))
    assert (await neighbour.ask(1)).status == OK
    assert not answer.done()
    assert len((await answer).message) == 16_000_000


async def test_calls_of_one_turn_are_gathered_over_all_connections(stage, monkeypatch):
    monkeypatch.setattr(turn, "READ_SECONDS", SECONDS_MAX)  # all are read in one turn, however slow the machine is
    clients = [await stage.client() for _ in range(20)]
    for client in clients:
        await client.round_trip()
    for client in clients:
        client._socket.send(call(1, b"a", SERVICE + "Gathered") + call(3, b"b", SERVICE + "Gathered"))
    for client in clients:
        assert [(await client.answer(number)).message for number in (1, 3)] == [b"a", b"b"]
    assert stage.seen.gathered == [UNITS_AT_ONCE, 40 - UNITS_AT_ONCE]


# Streams at once


async def test_one_stream_too_many_is_refused_on_its_own(listen):
    stage = await listen(streams_per_connection_max=10)
    client = await stage.client()
    await client.send(*(call(number, b"x", HELD) for number in range(1, 25, 2)))  # before SETTINGS were acknowledged
    await comes(lambda: len(stage.seen.held) == 10)
    assert [(await client.answer(number)).reset for number in (21, 23)] == [7, 7]
    for held in stage.seen.held:
        held.answer(b"x")
    assert {(await client.answer(number)).status for number in range(1, 21, 2)} == {OK}
    assert (await client.ask(25)).status == OK


async def test_grpcio_waits_when_a_connection_has_as_many_calls_as_it_may(listen):
    stage = await listen(streams_per_connection_max=10)
    async with stage.channel() as channel:
        echo = channel.unary_unary(ECHO)
        assert await asyncio.gather(*(echo(b"%d" % number, timeout=SECONDS_MAX) for number in range(100))) == [
            b"%d" % number for number in range(100)
        ]


async def test_a_call_that_was_refused_while_it_uploads_reaches_its_caller(stage):
    async with stage.channel() as channel:
        for _ in range(20):
            error = await failure_of(channel.unary_unary(SERVICE + "Small")(os.urandom(3 * MIB), timeout=SECONDS_MAX))
            assert error.code().name == "RESOURCE_EXHAUSTED"
            assert "at most 1000 bytes" in error.details()
        assert await channel.unary_unary(ECHO)(b"x", timeout=SECONDS_MAX) == b"x"
    assert stage.usage.request_bytes == 0


async def test_a_greeting_may_come_byte_by_byte(stage):
    client = await stage.client(greet=False)
    for byte in greeting() + call(1, b"hello"):
        await client.send(bytes([byte]))
    assert (await client.answer(1)).message == b"hello"


async def test_a_connection_ends_though_calls_above_its_last_stream_were_sent(listen):
    """They are not waited for, even if they were read before the GOAWAY was written."""
    stage = await listen(age_seconds_max=100, keepalive_seconds=1_000)
    client = await stage.client()
    await client.ask(1)
    client.polite = False
    stage.tick(111)
    while not client.pings:
        await client.read()
    (connection,) = stage.listener._connections
    connection.pause_writing()
    await client.send(ping(client.pings[0], ack=True))
    await comes(lambda: connection.parting)
    await client.send(call(3), call(5))
    await comes(lambda: connection._http2.last_stream_id == 5)
    connection.resume_writing()
    await client.until_end()
    assert client.goaways[-1][0] == 1
    assert (stage.seen.ran, stage.connections) == ({"Echo": 1}, 1)


async def test_what_was_taken_and_not_read_is_bounded_over_all_connections(stage, monkeypatch):
    """Thousands of connections that send at once would hold a quarter of a megabyte each."""
    monkeypatch.setattr(turn, "READ_SECONDS", 0)
    monkeypatch.setattr(turn, "UNREAD_BYTES_MAX", 100_000)
    shared = stage.listener._shared.turn
    seen = []
    take = type(shared).taken

    def noted(self, size):
        seen.append(self.unread_bytes + size)
        return take(self, size)

    monkeypatch.setattr(type(shared), "taken", noted)
    clients = [await stage.client() for _ in range(20)]
    body = message(bytes(400_000))[:-1]
    sent = [asyncio.ensure_future(sending(client, headers(1, head(HELD)), data(1, body))) for client in clients]
    await asyncio.gather(*sent)
    for client in clients:
        await client.round_trip()
    assert 100_000 < max(seen) <= 100_000 + turn.BUFFER_BYTES + len(clients) * 2 * turn.BUFFER_BYTES_SMALL
    assert shared.unread_bytes == 0


async def test_what_was_not_read_of_a_connection_that_is_lost_is_not_counted_any_more(stage, monkeypatch):
    shared = stage.listener._shared.turn
    client = await stage.client()
    await client.round_trip()
    (connection,) = stage.listener._connections
    monkeypatch.setattr(type(connection), "read_slice", lambda self: bool(self._unread))  # it does not come to it
    await sending(client, headers(1, head(HELD)), data(1, message(bytes(200_000))[:-1]))
    await comes(lambda: shared.unread_bytes)
    connection.abort()
    await comes(lambda: not stage.connections)
    assert shared.unread_bytes == 0
