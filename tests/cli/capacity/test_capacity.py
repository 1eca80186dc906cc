"""The calculator: each figure by hand from the costs, and what is printed."""

import json
from dataclasses import replace

import pytest

from redemption.cli import root
from redemption.cli.capacity import command
from redemption.cli.capacity.plan import PLANNED_PART, Costs, Sale, needs

COSTS = Costs(
    worker_us=100,
    batch_us=80,
    line_us=10,
    ledger_us=20,
    growth=1.5,
    quote_worker=3,
    quote_ledger=2,
    claim_worker=1,
    claim_ledger=1,
    used_bytes=100,
    claim_bytes=50,
    log_bytes=200,
    wire_bytes=600,
    line_wire_bytes=50,
    event_bytes=50,
    stream_bytes=1_000_000,
)
SMALL = Sale(peak=5_000, orders=10_000)


def test_a_small_sale_is_worked_out_from_the_costs():
    found = needs(SMALL, COSTS)
    assert (found.worker_cores, found.ledger_cores) == (pytest.approx(0.5), pytest.approx(0.1))
    assert (found.workers, found.ledgers, found.fits) == (1, 1, True)
    assert found.memory_bytes == 10_000 * (100 + 50)
    assert found.disk_bytes == 2 * 10_000 * 200
    assert found.disk_bytes_per_second == 5_000 * 200
    assert found.wire_bytes_per_second == 5_000 * 600
    assert found.program_max == pytest.approx(PLANNED_PART * 1e6 / 20)


@pytest.mark.parametrize(
    ("changed", "worker_us", "ledger_us"),
    [
        ({}, 100, 20),
        ({"lines": 3}, 120, 20),
        ({"batch": 15}, 100, 20),
        ({"batch": 16}, 80, 20),
        ({"batch": 16, "quotes": 1}, 80 + 300, 60),
        ({"quotes": 1}, 400, 60),
        ({"claims": 0.5}, 150, 30),
        ({"lines": 2, "quotes": 1, "claims": 1}, 110 * 5, 80),
        ({"orders": 100_000}, 100, 20),
        ({"orders": 1_000_000}, 100, 30),
        ({"orders": 10_000_000}, 100, 40),
        ({"orders": 10_000_000, "programs": 10}, 100, 40),
    ],
    ids=str,
)
def test_what_an_order_costs(changed, worker_us, ledger_us):
    found = needs(replace(SMALL, **changed), COSTS)
    assert found.worker_cores == pytest.approx(5_000 * worker_us / 1e6)
    assert found.ledger_cores == pytest.approx(5_000 * ledger_us / 1e6)


@pytest.mark.parametrize(("peak", "workers"), [(1, 1), (6_000, 1), (6_001, 2), (60_000, 10), (60_001, 11)])
def test_no_worker_has_more_to_do_than_planned(peak, workers):
    assert needs(Sale(peak, 1), COSTS).workers == workers


@pytest.mark.parametrize(
    ("peak", "programs", "ledgers", "fits"),
    [
        (30_000, 1, 1, True),
        (30_001, 1, 1, False),
        (30_001, 2, 2, True),
        (60_000, 4, 2, True),
        (60_001, 4, 4, True),
        (90_000, 9, 3, True),
        (100_000, 9, 5, True),
        (300_000, 9, 9, False),
    ],
)
def test_a_ledger_takes_whole_programs(peak, programs, ledgers, fits):
    """Each order takes 20 µs of a ledger; a program is not divided."""
    found = needs(Sale(peak, 1_000, programs=programs), COSTS)
    assert (found.ledgers, found.fits) == (ledgers, fits)


def test_what_all_programs_of_a_ledger_keep_makes_it_slower():
    """A thousand programs have room in one ledger, by what each of them asks; together they keep too much for it."""
    alone = needs(Sale(15_000, 100_000_000), COSTS)
    assert alone.program_part == pytest.approx(15_000 * 50 / 1e6)
    found = needs(Sale(15_000, 100_000_000, programs=1_000), COSTS)
    assert (found.ledgers, found.fits) == (2, True)
    assert found.ledger_cores / 2 <= PLANNED_PART


def test_lines_are_on_the_wire_too():
    assert needs(replace(SMALL, lines=3, quotes=1), COSTS).wire_bytes_per_second == 5_000 * 2 * (600 + 2 * 50)


@pytest.mark.parametrize(
    ("number", "told"),
    [(0.4, "0.4 B"), (999.4, "999 B"), (999.6, "1 kB"), (488e6, "488 MB"), (999_600, "1 MB"), (2e15, "2e+03 TB")],
)
def test_bytes_have_three_digits_and_the_unit_that_fits(number, told):
    assert command._bytes(number) == told


def test_the_fullest_ledger_has_room_for_all_its_programs():
    """Nine programs, two to a ledger: it keeps two ninths of the orders, and of the stream of each."""
    found = needs(Sale(100_000, 900_000, programs=9), COSTS)
    assert found.memory_bytes == pytest.approx(2 * (100_000 * 100 + 1_000_000))
    assert found.disk_bytes == pytest.approx(2 * 200_000 * 200)
    assert found.disk_bytes_per_second == pytest.approx(100_000 * 2 / 9 * 200)


def run(capsys, *options):
    code = root.run(["capacity", *options])
    return code, capsys.readouterr()


def test_people_read_a_line_for_each_thing_and_the_next_wall(capsys):
    code, told = run(capsys, "--peak", "10000", "--orders", "1000000")
    assert code == 0
    assert [line.split("  ")[0] for line in told.out.splitlines()] == [
        "sale",
        "workers",
        "ledgers",
        "memory",
        "disk",
        "network",
        "next wall 15,756 redemptions a second of one program: 60% of what a ledger decides",
    ]
    assert "10,000 redemptions a second at the peak, 1,000,000 in all" in told.out
    assert "workers   2 processes, each with a core" in told.out


def test_too_much_for_a_ledger_is_said_and_is_the_exit_code(capsys):
    code, told = run(capsys, "--peak", "50000", "--orders", "1000000")
    assert code == 1
    assert "TOO MUCH  one program's peak is 190% of what a ledger decides at most" in told.out


def test_programs_read_json(capsys):
    code, told = run(capsys, "--peak", "100", "--orders", "1000", "--worker-us", "50", "--ledger-us", "10", "--json")
    found = json.loads(told.out)
    assert (code, found["needs"]["fits"]) == (0, True)
    assert found["needs"]["worker_cores"] == pytest.approx(100 * 50 / 1e6)
    assert found["needs"]["ledger_cores"] == pytest.approx(100 * 10 / 1e6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--peak", "0", "--orders", "1"), "invalid value for '--peak': must be at least 1"),
        (("--peak", "fast", "--orders", "1"), "invalid value for '--peak': must be a whole number"),
        (("--peak", "1"), "missing option '--orders'"),
        (("--peak", "1", "--orders", "1", "--batch", "257"), "invalid value for '--batch': "),
        (("--peak", "1", "--orders", "1", "--quotes", "nan"), "invalid value for '--quotes': "),
        (("--peak", "1", "--orders", "1", "--claims", "-1"), "invalid value for '--claims': "),
        (("--peak", "1", "--orders", "1", "--worker-us", "nan"), "invalid value for '--worker-us': "),
    ],
)
def test_bad_input_is_told_in_one_line(capsys, options, told):
    code, printed = run(capsys, *options)
    assert (code, printed.out) == (2, "")
    assert printed.err.startswith(f"redemption capacity: {told}")
    assert printed.err.count("\n") == 1
