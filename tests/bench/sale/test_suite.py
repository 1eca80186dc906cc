"""The suite as people run it: locust against a real server, its verdict, and that the verdict can be red."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from redis import Redis
from tool_loader import BENCH, load_bench
from waiting import SECONDS_MAX, until

from redemption.server.embedded_valkey import EmbeddedValkey

faults, under_test = load_bench("sale.faults"), load_bench("under_test")

SALE = """\
description: A small sale with everything in it.
seed: 5
phases:
  - {name: calm, lasts: 300ms, buyers_per_second: 20}
  - {name: wall, lasts: LASTS, buyers_per_second: 60 to 100, prebuilt_redeems_per_second: PREBUILT}
think: {median: 20ms}
habits: {double_click: 15%, lost_answer: 15%, short_of_money: 30%}
goods: {campaigns: 2, hot: 80%, stock: 40%}
buyers: {shopper: 55%, claimer: 5%, till: 5%, replayer: 25%, guesser: 10%}
"""
SHORT, ENOUGH, LONG = "1500ms", "6s", "60s"
"""How long the wall lasts. A run in which something is killed has enough; one that is ended early has the long one, so
that it cannot end by itself before.
"""
LEVELS = "{}"
FAST = "sale:\n  Redeem: {p50: 15ms}\n"
CHECKS = 10
CALIBRATE = "without --scale"
PREBUILT = 200


def sale(*, prebuilt=0, lasts=SHORT):
    """The scenario file."""
    return SALE.replace("PREBUILT", str(prebuilt)).replace("LASTS", lasts)


class Played:
    """A run that has ended."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.wrong = re.findall(r"^WRONG +(.*) \(", self.out, re.MULTILINE)
        self.right = re.findall(r"^right +(.*) \(", self.out, re.MULTILINE)
        self.missed = re.findall(r"^MISSED +(.*?):", self.out, re.MULTILINE)
        self.verdict = "".join(re.findall(r"^verdict +(.*)$", self.out, re.MULTILINE))


@pytest.fixture
def play(tmp_path):
    """Play the small sale, with more options."""

    def run(*options, levels=LEVELS, late_seconds_max=60, prebuilt=0, lasts=SHORT, while_it_runs=None):
        (tmp_path / "sale.yaml").write_text(sale(prebuilt=prebuilt, lasts=lasts))
        (tmp_path / "slo.yaml").write_text(levels)
        files = ["--scenario", tmp_path / "sale.yaml", "--slo", tmp_path / "slo.yaml", "--results", tmp_path]
        files += ["--late-seconds-max", late_seconds_max]
        files += [] if CALIBRATE in options else ["--scale", "1"]
        options = [option for option in options if option != CALIBRATE]
        command = [sys.executable, str(BENCH / "flash_sale.py"), *map(str, files), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if while_it_runs:
                while_it_runs(process)
            out, err = process.communicate(timeout=SECONDS_MAX)
        finally:
            process.kill()
        return Played(subprocess.CompletedProcess(command, process.returncode, out, err))

    return run


@pytest.fixture(scope="module")
def server():
    with under_test.redemption_server(workers=2) as started:
        yield started


def test_a_sale_passes_and_everything_was_looked_at(play, server, tmp_path):
    levels = "sale:\n  Redeem: {p50: 1000x}\n  Redeem (prebuilt): {p50: 1000x}\n  errors: 0.1%\n"
    ledger = EmbeddedValkey(server.directory / "ledger").url
    played = play("--host", server.authority, "--ledger", ledger, CALIBRATE, levels=levels, prebuilt=PREBUILT)
    assert (played.code, played.verdict, played.wrong, len(played.right)) == (0, "PASS", [], CHECKS), played.err
    assert re.search(r"^kept +Redeem p50: [0-9.]+x \(", played.out, re.MULTILINE)
    assert re.search(r"^kept +Redeem \(prebuilt\) p50: [0-9.]+x \(", played.out, re.MULTILINE)
    ceilings = re.findall(r"^generator +(.*): [0-9,]+ calls a second at most", played.out, re.MULTILINE)
    assert ceilings == ["one process of locust", "the prebuilt-frame generator"]
    for answer in ("CAMPAIGN_LIMIT", "ISSUE_LIMIT", "ALREADY_REDEEMED", "MIN_SPEND_NOT_MET", "CODE_INVALID"):
        assert answer in played.out
    (journal,) = tmp_path.glob("*.jsonl")
    assert {file.suffix for file in tmp_path.glob(f"{journal.stem}*")} == {".jsonl", ".json", ".md", ".html"}
    entries = load_bench("sale.journal").read_journal(journal).entries
    prebuilt = [entry for entry in entries if entry.sender == "prebuilt"]
    assert 200 < len(prebuilt) < 400 < len(entries)
    assert {entry.answer for entry in prebuilt} == {"APPROVED", "CAMPAIGN_LIMIT"}


def sold(ledger, process, count=40):
    """Wait until a run has sold something, or has ended."""
    with Redis.from_url(ledger) as redis:
        before = redis.xlen("{bench}:events")
        until(lambda: redis.xlen("{bench}:events") > before + count or process.poll() is not None)


@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=["one process", "two"])
def test_a_run_that_is_interrupted_is_judged_by_what_was_played(play, server, more):
    """Also the prebuilt-frame generator ends, and leaves nothing behind."""
    ledger = EmbeddedValkey(server.directory / "ledger").url
    left = []

    def interrupt(process):
        sold(ledger, process)
        left.extend(psutil.Process(process.pid).children(recursive=True))
        process.send_signal(signal.SIGINT)

    options = ("--host", server.authority, "--ledger", ledger, *more)
    played = play(*options, prebuilt=PREBUILT, lasts=LONG, while_it_runs=interrupt)
    assert (played.code, played.verdict, played.wrong, len(played.right)) == (4, "INVALID", [], CHECKS), played.err
    assert "INVALID    the run was interrupted" in played.out
    assert len(left) > 1
    assert not psutil.wait_procs(left, timeout=SECONDS_MAX)[1]


def test_when_locust_dies_its_generator_ends_by_itself(play, server):
    ledger = EmbeddedValkey(server.directory / "ledger").url
    left = []

    def kill(process):
        sold(ledger, process)
        (locust,) = psutil.Process(process.pid).children()
        left.extend(locust.children())
        locust.kill()

    played = play("--host", server.authority, prebuilt=PREBUILT, lasts=LONG, while_it_runs=kill)
    assert (played.code, played.verdict) == (130, "")
    assert left
    assert not psutil.wait_procs(left, timeout=SECONDS_MAX)[1]


@pytest.fixture
def page(server, tmp_path):
    """Locust with its web page; returns the page's address and the process."""
    (tmp_path / "sale.yaml").write_text(sale(prebuilt=PREBUILT, lasts=LONG))
    port = str(load_bench("flash_sale").free_port())
    command = [Path(sys.executable).with_name("locust"), "-f", BENCH / "locustfile.py", "--loglevel", "ERROR"]
    command += ["--host", server.authority, "--scenario", tmp_path / "sale.yaml", "--results", tmp_path]
    command += [
        "--late-seconds-max",
        "60",
        "--web-host",
        "127.0.0.1",
        "--web-port",
        port,
        "--slo",
        tmp_path / "slo.yaml",
    ]
    (tmp_path / "slo.yaml").write_text(LEVELS)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.communicate()


def test_from_the_web_page_one_run_after_the_other_is_played_and_judged(page, server, tmp_path):
    """The first is stopped from the page, and the second one by Ctrl-C, which ends locust as well."""
    address, process = page

    def ask(path, data=None):
        try:
            with urllib.request.urlopen(f"{address}{path}", data=data) as answer:
                return json.load(answer)
        except OSError:
            return {}

    until(lambda: ask("/stats/requests"))
    ledger = EmbeddedValkey(server.directory / "ledger").url
    for end in (lambda: ask("/stop", b""), lambda: process.send_signal(signal.SIGINT)):
        assert ask("/swarm", b"user_count=1&spawn_rate=1")["success"]
        sold(ledger, process)
        end()
        until(lambda: process.poll() is not None or ask("/stats/requests").get("state") == "stopped")
    out, err = process.communicate(timeout=SECONDS_MAX)
    assert re.findall(r"^verdict +(.*)$", out, re.MULTILINE) == ["INVALID"] * 2, (out, err)
    assert not re.findall(r"^WRONG", out, re.MULTILINE)
    assert len(list(tmp_path.glob("*.html"))) == 2
    assert process.returncode == 4


def test_a_master_and_a_worker_that_wait_for_others_can_be_interrupted():
    port = str(load_bench("flash_sale").free_port())
    command = [Path(sys.executable).with_name("locust"), "-f", BENCH / "locustfile.py", "--scenario", "smoke"]
    both = [
        subprocess.Popen([*command, *more, port], stderr=subprocess.PIPE, text=True)
        for more in (
            ("--headless", "--master", "--expect-workers", "2", "--master-bind-port"),
            ("--worker", "--master-port"),
        )
    ]
    try:
        for line in both[0].stderr:
            if "1 of 2 connected" in line:
                break
        for process in reversed(both):
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=SECONDS_MAX) == 130
    finally:
        for process in both:
            process.kill()
            process.communicate()


def test_several_processes_play_one_sale_and_without_the_ledger_the_verdict_says_so(play, server):
    played = play("--host", server.authority, "--processes", "2")
    assert (played.code, played.verdict, played.wrong) == (0, "PASS (API only)", []), played.out
    assert "not looked the ledger's own records" in played.out
    came, planned = re.search(r"visits +([0-9,]+) of ([0-9,]+);", played.out).groups()
    assert came == planned


def test_a_process_of_locust_that_dies_makes_the_run_invalid_and_not_the_service_wrong(play, server):
    ledger = EmbeddedValkey(server.directory / "ledger").url

    def kill(process):
        sold(ledger, process)
        (locust,) = psutil.Process(process.pid).children()
        locust.children()[0].kill()

    options = ("--host", server.authority, "--ledger", ledger, "--processes", "2")
    played = play(*options, prebuilt=PREBUILT, lasts=ENOUGH, while_it_runs=kill)
    assert (played.code, played.verdict, played.wrong) == (4, "INVALID", []), played.out
    assert "INVALID    only 1 of 2 processes of locust have told all that they played" in played.out
    assert "not looked what was done and nobody was told" in played.out


def test_coupons_can_be_brought_and_when_they_are_used_up_the_run_is_invalid(play, server, tmp_path):
    shop = load_bench("shop").Shop(server.authority, campaigns=1)
    (tmp_path / "tokens.txt").write_text("\n".join(shop.mint(shop.campaigns[0], 5)) + "\n")
    shop.close()
    ledger = EmbeddedValkey(server.directory / "ledger").url
    played = play("--host", server.authority, "--ledger", ledger, "--tokens", tmp_path / "tokens.txt")
    assert (played.code, played.verdict, played.wrong) == (4, "INVALID", []), played.out
    assert "not looked limits, budgets and records of the campaigns whose coupons were brought" in played.out
    assert "INVALID    coupons were used up before the last buyer came" in played.out


def test_locust_itself_plays_it_and_its_tags_choose_the_kinds_of_buyers(play, server, tmp_path):
    """As a locust user runs it: with a file of options, and locust's own tables as CSV."""
    (tmp_path / "sale.yaml").write_text(sale())
    (tmp_path / "locust.conf").write_text(f"headless = true\nscenario = {tmp_path}/sale.yaml\nresults = {tmp_path}\n")
    command = [
        Path(sys.executable).with_name("locust"),
        "-f",
        BENCH / "locustfile.py",
        "--config",
        tmp_path / "locust.conf",
    ]
    command += ["--host", server.authority, "--tags", "replayer", "--csv", tmp_path / "run", "--loglevel", "ERROR"]
    command += ["--late-seconds-max", "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    played = Played(done)
    assert (played.code, played.verdict) == (0, "PASS (API only)"), done
    names = {row["Name"] for row in csv.DictReader((tmp_path / "run_stats.csv").read_text().splitlines())}
    assert names == {"Redeem APPROVED", "Redeem ALREADY_REDEEMED", "Aggregated"}


def test_a_ledger_and_a_worker_that_are_killed_in_mid_run_lose_nothing(play, server, tmp_path):
    ledger = EmbeddedValkey(server.directory / "ledger").url

    killed_at = []

    def kill(process):
        sold(ledger, process)
        killed_at.append(time.time())
        os.kill(server.ledger.pid, signal.SIGKILL)
        os.kill(server.workers[0].pid, signal.SIGKILL)

    played = play("--host", server.authority, "--ledger", ledger, prebuilt=PREBUILT, lasts=ENOUGH, while_it_runs=kill)
    assert (played.verdict, played.wrong, len(played.right)) == ("PASS", [], CHECKS), played.err
    (journal,) = tmp_path.glob("*.jsonl")
    moments = [entry.sent_at for entry in load_bench("sale.journal").read_journal(journal).entries]
    assert min(moments) < killed_at[0] < max(moments)


@pytest.mark.parametrize("name", faults.FAULTS)
def test_each_fault_is_found(play, name):
    played = play("--fault", name, levels=FAST if name == "slow" else LEVELS)
    found = faults.FAULTS[name].found
    if name == "slow":
        assert (played.code, played.verdict, played.missed) == (3, "MISSED", [found]), played.out
    else:
        assert (played.code, played.verdict) == (1, "FAIL"), played.out
        assert found in played.wrong


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--host", "127.0.0.1:1"), "bench: the run cannot begin: 127.0.0.1:1 answers UNAVAILABLE"),
        (
            ("--host", "127.0.0.1:1", "--ledger", "redis://127.0.0.1:1"),
            "bench: the run cannot begin: the ledger cannot be read: ",
        ),
        (("--host", "127.0.0.1:1", "--scale", "0"), "redemption: --scale must be more than 0"),
        (
            ("--host", "127.0.0.1:1", "--fault", "slow"),
            "flash_sale.py: error: --fault starts a server of its own: leave out --host",
        ),
        (("--ledger", "redis://127.0.0.1"), "flash_sale.py: error: --ledger is that of your own server"),
        (("--workers", "0"), "flash_sale.py: error: --workers and --processes are 1 or more"),
        (("--processes", "0"), "flash_sale.py: error: --workers and --processes are 1 or more"),
    ],
    ids=["nobody there", "no ledger", "no buyers", "fault of another", "ledger of ours", "no workers", "no processes"],
)
def test_what_cannot_be_played_is_told_in_one_line(play, options, told):
    played = play(*options)
    assert (played.code, played.verdict) == (2, "")
    assert [line for line in played.err.splitlines() if line.startswith(told)], played.err
    assert "Traceback" not in played.err
