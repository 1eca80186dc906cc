"""What the benchmarks of growth and the profile read: append-only files, py-spy's output, a ledger's own figures."""

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


def test_why_a_worker_cannot_be_sampled_is_one_clear_line(bench, tmp_path):
    profile = bench("profile_redeem")
    told = profile.problem(profile.sampler(profile.PY_SPY, 2**22 + 1, 1, tmp_path / "graph"))  # no process has that id
    assert told.startswith("py-spy failed: ")
    assert "\n" not in told


def test_a_missing_permission_of_py_spy_is_named(bench, tmp_path):
    profile = bench("profile_redeem")
    refused = [sys.executable, "-c", "import sys; sys.exit('Error: Permission Denied: Try running again with sudo')"]
    told = profile.problem(profile.sampler(refused, 1, 1, tmp_path / "graph"))
    assert told.startswith("py-spy may not look at the worker")
    assert "\n" not in told
