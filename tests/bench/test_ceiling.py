"""The checks of bench-ceiling and the profile: a run counts only if as many were approved as the ledger counted."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
from tool_loader import load_bench

from redemption.cli.exits import Stop
from redemption.v1.redemption_service_pb2 import RedeemRequest

ceiling, http2, profile, results, shops = (
    load_bench(name) for name in ("ceiling", "http2", "profile_redeem", "results", "shop")
)

SECONDS = 0.25


@pytest.fixture(scope="module")
def bench():
    with ExitStack() as stack:
        yield ceiling.Bench(stack, SECONDS)


@pytest.fixture
def shop(bench):
    """The shop in the real server, with nothing uncounted in it."""
    shop = bench.strict.shop
    yield shop
    shop._counted = shop.counted()


def redeem(bench, requests, **arguments):
    """Send all of these on one connection."""
    messages = [request.SerializeToString() for request in requests]
    return ceiling.measure(
        replace(bench.strict, connections=1), messages, shops.REDEEM, under_way=8, seconds=20, **arguments
    )


@pytest.mark.parametrize("shape", [shops.SIMPLE, *ceiling.SHAPES], ids=str)
def test_what_is_measured_are_approvals_of_every_token(bench, shop, shape):
    requests = shop.requests(40, shape)
    found = redeem(bench, requests, tokens=shape.tokens)
    assert found.approved == found.expected == 40 * shape.tokens
    assert not found.wrong
    assert found.server_us > 10
    assert found.ledger_us > 1


def test_a_redemption_behind_the_clients_back_fails_the_run(bench, shop):
    requests = shop.requests(41)
    shop._client.redeem(requests.pop())
    with pytest.raises(shops.GateError, match=r"^40 redemptions were approved, the ledger counted 41$"):
        redeem(bench, requests)


def test_an_approval_that_the_ledger_did_not_count_fails_the_run(bench, shop):
    """The same requests again get the same answers, and nothing is redeemed."""
    requests = shop.requests(40)
    assert redeem(bench, requests).approved == 40
    with pytest.raises(shops.GateError, match=r"^40 redemptions were approved, the ledger counted 0$"):
        redeem(bench, requests)


def test_refusals_are_no_measurement(bench, shop):
    requests = shop.requests(40)
    for request in requests[:10]:
        request.checkout.order.lines[0].amount_minor = 1_00
    found = redeem(bench, requests)
    assert (found.approved, found.expected, found.wrong) == (30, 40, True)
    assert found.invalid == "30 of 40 redemptions were approved: a refusal costs less"


def test_calls_that_fail_are_no_measurement_and_are_named(bench, shop):
    requests = [*shop.requests(40), *[RedeemRequest(request_id=f"without-an-order-{number}") for number in range(5)]]
    found = redeem(bench, requests)
    assert (found.approved, found.wrong) == (40, True)
    assert found.invalid.startswith("5 of 45 calls failed: INVALID_ARGUMENT: ")


def test_no_two_orders_have_lines_of_the_same_ids():
    """A run of five rounds makes more than a million orders."""
    names = ["000001-ab", "100000-ab", "1000000-ab", "1000001-ab"]
    ids = [line.line_id for name in names for line in shops.order_request(name, [], 2).checkout.order.lines]
    assert len(set(ids)) == 2 * len(names)


@pytest.mark.parametrize("batched", [False, True])
def test_an_answer_to_another_order_fails_the_run(bench, shop, monkeypatch, batched):
    """As many are approved as are counted, but they went to each other's callers."""
    driven = ceiling.closed_loop

    def swapped(*given, **arguments):
        run = driven(*given, **arguments)
        run.answers[3], run.answers[4] = run.answers[4], run.answers[3]
        return run

    requests = shop.requests(96)
    size = 4 if batched else 1
    messages = list(shops.batches(requests, 4)) if batched else [each.SerializeToString() for each in requests]
    method = shops.BATCH_REDEEM if batched else shops.REDEEM
    monkeypatch.setattr(ceiling, "closed_loop", swapped)
    with pytest.raises(shops.GateError, match="was answered with another order's lines"):
        ceiling.measure(bench.strict, messages, method, under_way=16, seconds=20, redeems_per_call=size)


def test_batches_are_whole_and_every_order_in_them_is_approved(bench, shop):
    messages = list(shops.batches(shop.requests(70), 8))
    assert len(messages) == 8
    place = replace(bench.strict, connections=1)
    found = ceiling.measure(place, messages, shops.BATCH_REDEEM, under_way=8, seconds=20, redeems_per_call=8)
    assert (found.approved, found.expected, found.wrong) == (64, 64, False)


def test_each_kind_of_case_measures_approvals(bench, shop, monkeypatch):
    monkeypatch.setattr(ceiling, "REDEEMS_PER_SECOND_MAX", 4_000)  # to mint for more takes longer than to measure
    bench._peak = 400
    kinds = {
        "empty": lambda: bench.unary(bench.empty),
        "plain": bench.plain_unary,
        "claim": bench.claims,
        "quote": bench.quotes,
        "batch 8": lambda: bench.batch(bench.strict, 8),
        "ledger 8": lambda: bench.ledger(8),
        "unary at 50%": lambda: bench.paced(bench.strict, 0.5),
        "empty at 50%": lambda: bench.paced(bench.empty, 0.5),
    }
    found = {name: kind() for name, kind in kinds.items()}
    assert {name: sample.invalid for name, sample in found.items() if sample.wrong} == {}
    assert all(sample.approved > 0 for sample in found.values())
    assert found["unary at 50%"].approved == pytest.approx(400 * 0.5 * SECONDS, abs=25)


def test_the_plain_version_is_held_against_its_own_count(bench, shop):
    bench._plain_redis.hincrby(f"plain:{shops.PROGRAM}:campaign:{shop.campaigns[0]}", "redeemed", 1)
    with pytest.raises(shops.GateError, match=r"^(\d+) redemptions were approved, the ledger counted \d+$") as raised:
        bench.plain_unary()
    approved, counted = (int(word) for word in str(raised.value).split() if word.isdigit())
    assert counted == approved + 1


def sample(*, invalid="", approved=1):
    figures = dict.fromkeys(results.Sample.__slots__, 1.0)
    empty = results.Histogram().encode()
    return results.Sample(
        **{**figures, "approved": approved, "expected": 1, "failures": {}, "histogram": empty, "invalid": invalid}
    )


@pytest.mark.parametrize(
    ("first", "measured_again"),
    [(sample(), False), (sample(invalid="too late"), True), (sample(invalid="refused", approved=0), False)],
    ids=["good", "late", "wrong"],
)
def test_only_what_the_generator_spoiled_is_measured_again(first, measured_again):
    second = sample()
    waiting = iter([first, second])
    assert ceiling._again_if_late(lambda: next(waiting)) is (second if measured_again else first)


@pytest.mark.parametrize(("wrong", "aim", "code"), [(False, 1.0, 0), (False, 1.1, 3), (True, 1.0, 1)])
def test_main_prints_writes_and_ends_with_what_was_found(monkeypatch, tmp_path, capsys, wrong, aim, code):
    def found(rounds, seconds):
        aims = (results.Aim("as fast as itself", "unary", "unary", at_least=aim),)
        told = results.Results("ceiling", {"rounds": rounds, "seconds": seconds}, aims)
        told.add("unary", sample(approved=not wrong, invalid="refused" * wrong))
        return told

    monkeypatch.setattr(ceiling, "run_all", found)
    assert ceiling.main(["--rounds", "3", "--seconds", "0.5", "--results", str(tmp_path / "new")]) == code
    told = capsys.readouterr().out
    assert ("FAILED: unary, round 1: refused" in told) is wrong
    (path,) = (tmp_path / "new").glob("*.json")
    assert told.endswith(f"written to {path}\n")
    assert '"rounds": 3' in path.read_text()


@pytest.mark.parametrize("error", [shops.GateError("1 redemptions were"), Stop(4, "it did not start"), OSError("gone")])
def test_main_fails_in_one_line_when_nothing_can_be_trusted(monkeypatch, tmp_path, capsys, error):
    def found(*_):
        raise error

    monkeypatch.setattr(ceiling, "run_all", found)
    assert ceiling.main(["--results", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"FAIL: {error}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [["--rounds", "0"], ["--seconds", "0"], ["--seconds", "1000"], ["--rounds", "many"]])
def test_main_refuses_what_cannot_be_measured(given, capsys):
    with pytest.raises(SystemExit) as stopped:
        ceiling.main(given)
    assert stopped.value.code == 2
    assert ": error: " in capsys.readouterr().err


def test_aims_are_of_cases_that_there_are(bench):
    names = [name for group in bench.cases() for name in group]
    assert len(names) == len(set(names))
    assert {name for aim in ceiling.AIMS for name in (aim.case, aim.against)} <= set(names)


@pytest.mark.parametrize("size", [1, 64])
def test_a_profile_of_refusals_is_none(bench, shop, monkeypatch, size):
    """Refusals cost less, and with none approved and none counted the numbers would agree."""
    refused = [shops.order_request(f"refused-{index}", ["nonsense"], 1) for index in range(256)]
    monkeypatch.setattr(shop, "requests", lambda _: refused)
    with pytest.raises(shops.GateError, match=r"^0 of \d+ redemptions were approved"):
        profile.load(bench.strict, size, 20, profile.written_down(shop, size, 256))
