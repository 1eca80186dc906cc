"""Options of the suite that are wrong, each told in one line; and what is INVALID without being played."""

from types import SimpleNamespace

import pytest
from tool_loader import load_bench

from redemption.cli.exits import BAD_INPUT, Stop

given, records, scenario, summary, verdict = (
    load_bench(f"sale.{name}") for name in ("given", "ledger_records", "scenario", "summary", "verdict")
)
goods, journal, levels, runs, yardstick = (
    load_bench(f"sale.{name}") for name in ("goods", "journal", "levels", "run", "yardstick")
)
KINDS = ["shopper", "claimer", "till", "replayer", "guesser"]


def told(call, *arguments, **more):
    with pytest.raises(Stop) as caught:
        call(*arguments, **more)
    assert caught.value.code == BAD_INPUT
    (line,) = caught.value.told
    return line


@pytest.mark.parametrize(
    ("host", "address"),
    [
        (None, "127.0.0.1:50051"),
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("grpc://localhost:2/", "localhost:2"),
        ("[::1]:65535", "[::1]:65535"),
    ],
)
def test_a_server_of_this_machine_may_be_loaded(host, address):
    assert given.address_of(host, owned=False) == address


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("192.0.2.7:50051", "192.0.2.7:50051 is another machine: is it yours to load? then say so with --yes-i-own-it"),
        ("127.0.0.1", "--host must be HOST:PORT, such as 127.0.0.1:50051; it is '127.0.0.1'"),
        ("127.0.0.1:0", "--host must be HOST:PORT"),
        ("127.0.0.1:99999", "--host must be HOST:PORT"),
        ("127.0.0.1:\N{SUPERSCRIPT TWO}", "--host must be HOST:PORT"),
    ],
)
def test_other_servers_are_told(host, problem):
    assert problem in told(given.address_of, host, owned=False)


def test_another_machine_may_be_loaded_by_whoever_owns_it():
    assert given.address_of("192.0.2.7:50051", owned=True) == "192.0.2.7:50051"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read: No such file"), ("", "is empty"), ("\n \n", "is empty"), ("hello\n", "token 1 is none")],
)
def test_a_file_without_tokens_is_told(tmp_path, content, problem):
    file = tmp_path / "tokens.txt"
    if content is not None:
        file.write_text(content)
    assert f"--tokens: {file}: {problem}" in told(given.tokens_of, file)


def test_tokens_are_read_one_a_line(tmp_path):
    (tmp_path / "tokens.txt").write_text(f"{'a' * 64}\n{'-_' * 32}\n")
    assert given.tokens_of(tmp_path / "tokens.txt") == ["a" * 64, "-_" * 32]


def test_a_folder_for_results_is_made_or_told(tmp_path):
    assert given.folder_of(tmp_path / "new" / "one").is_dir()
    assert "--results: /dev/null/x: cannot be written to: " in told(given.folder_of, "/dev/null/x")


@pytest.mark.parametrize("url", ["here", "http://127.0.0.1"])
def test_a_ledger_that_is_no_url_is_told(url):
    with pytest.raises(records.UnreadableLedger, match=r"^--ledger must be a URL, such as redis://127.0.0.1:6379"):
        records.Records(url)


def test_a_scenario_that_there_is_not_is_told():
    assert "there is no scenario 'nosuch'; there are baseline" in told(scenario.read_scenario, "nosuch", ["shopper"])


@pytest.mark.parametrize(
    ("tags", "without", "kinds"),
    [([], [], ["shopper", "till"]), (["till"], [], ["till"]), ([], ["till"], ["shopper"])],
)
def test_tags_choose_the_kinds_of_buyers(tags, without, kinds):
    asked = SimpleNamespace(tags=tags, exclude_tags=without)
    assert given.kinds_of(asked, ["shopper", "till"], KINDS) == kinds


@pytest.mark.parametrize(
    ("tags", "problem"),
    [(["nobody"], "--tags are kinds of buyers: shopper"), (["replayer"], "leave no kind of buyers")],
)
def test_tags_that_choose_nobody_are_told(tags, problem):
    asked = SimpleNamespace(tags=tags, exclude_tags=[])
    assert problem in told(given.kinds_of, asked, ["shopper"], KINDS)


@pytest.mark.parametrize(
    ("lags", "planned", "broken", "invalid"),
    [
        ([0.1] * 100, 100, "", ""),
        ([0.1] * 98 + [0.2] * 2, 100, "", "visits began late, p99 200 ms: locust is too slow for this scenario"),
        ([0.1] * 99, 100, "", "99 of 100 buyers came"),
        ([], 0, "", "0 of 0 buyers came"),
        ([0.1] * 99, 100, "coupons were used up", "coupons were used up"),
    ],
    ids=["as planned", "late", "not all came", "nobody", "broken"],
)
def test_a_run_that_is_not_the_planned_one_is_invalid(lags, planned, broken, invalid):
    told = summary.Lags()
    told.add(lags, range(len(lags)))
    found = summary.summary_of(
        scenario.read_scenario("smoke", KINDS),
        journal.Journal(),
        told,
        verdict.Verdict(()),
        levels=levels.NOTHING_ASKED,
        empty=yardstick.Empty(),
        planned=planned,
        broken=broken,
        late_seconds_max=0.1,
    )
    assert found.invalid.startswith(invalid)
    assert (found.word, found.code) == (("INVALID", 4) if invalid else ("PASS", 0))


def test_who_plays_something_else_is_known_by_its_digest():
    smoke = scenario.read_scenario("smoke", KINDS)
    assert smoke.digest == smoke.scaled(1.0).digest
    assert smoke.digest != smoke.scaled(0.5).digest


def test_what_a_process_sends_of_an_earlier_run_is_not_taken():
    smoke = scenario.read_scenario("smoke", KINDS)
    run = runs.Run(smoke, plan=goods.Plan("this", "bench", ()))
    one = [("Redeem", "r1", 1.0, 0.1, "APPROVED")]
    for name, count in (("that", 0), ("this", 1)):
        run.take({"run": name, "journal": one, "lags": [0.1], "moments": [1.0], "broken": f"of {name}"})
        assert (len(run.journal.entries), len(run.lags.seconds)) == (count, count)
    assert run.broken == "of this"
