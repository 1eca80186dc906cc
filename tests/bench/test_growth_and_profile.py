"""What the benchmarks of growth and the profile read: append-only files, sampled stacks, a ledger's own figures."""

import importlib
import sys
from contextlib import AsyncExitStack

import pytest
from tool_loader import ROOT


@pytest.fixture
def bench(monkeypatch):
    """Imports a script of bench/."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "bench")])
    return importlib.import_module


HSET = b"*4\r\n$4\r\nHSET\r\n$12\r\n{demo}:u:1:0\r\n$1\r\n7\r\n$4\r\n\x11\r\n\x00\r\n"
MULTI = b"*1\r\n$5\r\nMULTI\r\n"
XADD = b"*3\r\n$4\r\nxadd\r\n$13\r\n{demo}:events\r\n$1\r\n*\r\n"
SELECT = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"


def test_bytes_of_a_file_are_told_by_command_and_kind_of_key(bench):
    """Values may hold line ends, names of commands any case, and timestamps are nobody's."""
    aof = bench("aof")
    found = aof.by_kind(SELECT + b"#TS:1700000000\r\n" + MULTI + HSET + HSET + XADD)
    sizes = {kind: (each.commands, each.size) for kind, each in found.items()}
    assert sizes == {
        ("SELECT", ""): (1, len(SELECT)),
        ("MULTI", ""): (1, len(MULTI)),
        ("HSET", "used"): (2, 2 * len(HSET)),
        ("XADD", "events"): (1, len(XADD)),
    }
    used = found["HSET", "used"]
    assert (used.keys, used.values) == (2 * len("{demo}:u:1:0"), 2 * (1 + 4))


@pytest.mark.parametrize(
    "data",
    [b"REDIS0011", HSET[:-1], HSET[:-8], b"*1\r\n:5\r\n", b"*x\r\n", b"*2\r\n$1\r\na\r\n"],
    ids=["snapshot", "torn end", "torn value", "no length", "no count", "one argument too few"],
)
def test_a_file_that_is_torn_is_no_measurement(bench, data):
    aof = bench("aof")
    with pytest.raises(aof.DamagedError):
        list(aof.commands(data))


def test_only_what_was_written_since_is_read(bench, tmp_path):
    aof = bench("aof")
    (tmp_path / "one.incr.aof").write_bytes(MULTI)
    before = aof.incremental_files(tmp_path)
    with (tmp_path / "one.incr.aof").open("ab") as file:
        file.write(HSET)
    (tmp_path / "two.incr.aof").write_bytes(XADD)
    assert aof.since(tmp_path, before) == HSET + XADD


BASE = "<module> (redemption/worker.py:106);run_until_complete (uvloop/loop.c:1);task_step (_asynciomodule.c:2)"
HANDLE = f"{BASE};Guard.unary.<locals>.handle (redemption/rpc/guard.py:87)"
REDEEM = f"{HANDLE};Redeemer.redeem_all (redemption/service/redeemer.py:120)"
STACKS = {
    "gRPC core and its Python layer": [
        f"{BASE};0x7f57 (grpc/_cython/cygrpc.cpython-311-x86_64-linux-gnu.so);sendmsg (libc.so.6)",
        HANDLE,
    ],
    "event loop": [BASE.replace(";task_step", ";uv_run (core.c:452);task_step"), f"{BASE};read (libc.so.6)"],
    "messages: protobuf, conversion": [
        f"{HANDLE};redeem_request_from (redemption/rpc/convert.py:56)",
        f"{HANDLE};x (redemption/domain/order.py:5);PyUpb_Get (google/_upb/_message.abi3.so)",
    ],
    "token, digests, signatures": [
        f"{REDEEM};Redeemer._digest (redemption/service/redeemer.py:200)",
        f"{REDEEM};verify (redemption/domain/token.py:9);update (cryptography/hazmat/bindings/_rust.abi3.so)",
    ],
    "checking, judging, pricing": [
        f"{REDEEM};Redeemer._item.<locals>.<listcomp> (redemption/service/redeemer.py:264)",
        f"{REDEEM};judge (redemption/domain/stacking.py:130);PyDict_New (libpython3.11.so.1.0);malloc (libc.so.6)",
    ],
    "packing": [f"{REDEEM};pack_item (redemption/ledger/codec.py:80)"],
    "batcher and connection": [
        f"{BASE};Lane.exchange (redemption/ledger/connection.py:108);UVStream_write (loop.c:3);write (libc.so.6)",
        f"{BASE};feed (redis/_parsers/hiredis.py:3)",
    ],
    "answer: receipt, settlement, decision": [f"{REDEEM};Answers.decision (redemption/service/answer.py:1)"],
    "garbage collector": [f"{REDEEM};gc_collect_main (libpython3.11.so.1.0);visit_decref (libpython3.11.so.1.0)"],
    "everything else": [REDEEM, "<module> (redemption/worker.py:106);work (redemption/worker.py:30)"],
}


@pytest.mark.parametrize("purpose", STACKS)
def test_time_is_told_by_what_it_is_for(bench, purpose):
    """The innermost function of the project decides, unless a library with a job of its own is further in."""
    stacks = bench("stacks")
    text = "\n".join(f"{stack} 3" for stack in STACKS[purpose])
    assert {purpose: 3 * len(STACKS[purpose])} == stacks.Profile.of(stacks.collapsed(text)).samples


def test_each_purpose_names_its_dearest_functions(bench):
    stacks = bench("stacks")
    text = f"{STACKS['packing'][0]} 3\n{STACKS['packing'][0].replace('pack_item', 'unpack_reply')} 4"
    functions = stacks.Profile.of(stacks.collapsed(text)).functions
    assert functions == {"packing": {"unpack_reply (ledger/wire/orders.py)": 4, "pack_item (ledger/wire/orders.py)": 3}}


def test_threads_that_wait_and_threads_beside_the_event_loop_do_not_count(bench):
    stacks = bench("stacks")
    text = "\n".join(
        [
            f"{BASE};uv__io_poll (uvloop/linux.c:7);epoll_pwait (libc.so.6) 50",
            f"{REDEEM};PyEval (libpython3.11.so.1.0);take_gil (libpython3.11.so.1.0);0x7fdc (libc.so.6) 50",
            "thread_run (libpython3.11.so.1.0);run (threading.py:9);Fence.save (redemption/ledger/fence.py:1) 50",
            f"{REDEEM} 2",
        ]
    )
    found = stacks.at_work(stacks.collapsed(text))
    assert sum(count for _, count in found) == 2
    (profile,) = stacks.speedscope(found, "unary")["profiles"]
    assert (profile["weights"], profile["endValue"]) == ([2], 2)


async def test_a_ledger_that_grows_is_filled_asked_weighed_and_held_against_its_counters(bench):
    grown = bench("grown")
    async with AsyncExitStack() as stack:
        place = await grown.Place.open(stack, 2_000, 2)
        await place.fill(scattered=2 * grown.PROBE, in_order=0)
        await place.probe("few", 16)
        await place.probe("many", 64)
        await place.weigh()
        assert place.approved == 2_000
        assert min(place.median(kind, "script_us") for kind in ("few", "many")) > 0
        assert 200 < place.median("many", "aof_bytes") < place.median("few", "aof_bytes")
        assert 0 < place.weight.by_kind["used"] < place.weight.together
        await place.require_counted()
        place.approved -= 1
        with pytest.raises(grown.GateError):
            await place.require_counted()


async def test_parts_of_the_function_are_timed_in_a_copy_that_decides_the_same(bench):
    phases, private = bench("lua_phases"), bench("private")
    async with private.private_services() as ledger:
        found = {name: calls for name, calls, _ in await phases.timed(ledger, phases.TOP, 64, "copy")}
        assert found["redeem.decide"] == 1.0
        assert found["frame.close"] == 1 / 64
        cases, _ = await phases.cases(ledger, 64)
        assert [phases.EMPTY, *phases.CASES] == [case.name for case in cases]


def test_why_a_server_cannot_be_sampled_is_one_clear_line(bench, tmp_path):
    sampler = bench("sampler")
    recorder = sampler.Recorder(2**22 + 1, 1.0, tmp_path / "stacks")  # no process has such an id
    recorder.start()
    assert recorder.stacks() == ""
    assert recorder.problem.startswith("py-spy ")
    assert "\n" not in recorder.problem
