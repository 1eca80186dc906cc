"""Results from samples: medians, ratios of each round, samples that do not count, and files with the same numbers."""

import json
import re

import pytest
from tool_loader import load_bench

generator, results, under_test = (load_bench(name) for name in ("generator", "results", "under_test"))

FASTER = results.Aim("faster", "new", "old", at_least=2)
SOONER = results.Aim("sooner", "new", "old", at_most=3)


def run(*, count=100, latency=0.002, failures=None, invalid="", seconds=0.5):
    found = generator.Run(seconds=seconds, sent=count, in_time=count, invalid=invalid, cpu_seconds=0.01)
    found.latencies.extend([latency] * (count - sum((failures or {}).values())))
    found.failures.update(failures or {})
    return found


def sample(rate=100.0, p99=2.0, *, invalid="", wrong=False):
    return results.Sample(
        redeems_per_second=rate,
        server_us=1e6 / rate,
        ledger_us=1.0,
        generator_us=2.0,
        p50_ms=p99 / 2,
        p99_ms=p99,
        p999_ms=p99 * 2,
        late_ms=0.0,
        approved=99 if wrong else 100,
        expected=100,
        failures={},
        histogram=run(count=2000).histogram().encode(),
        invalid=invalid,
    )


def collected(new, old, *aims):
    found = results.Results("some", {"rounds": len(new)}, aims or (FASTER,))
    for one, other in zip(new, old, strict=True):
        found.add("new", one)
        found.add("old", other)
    return found


def test_a_sample_is_told_for_each_redeem():
    cost = under_test.Cost(server=0.4, ledger=0.08)
    found = results.Sample.of(run(latency=0.002), cost, redeems_per_call=8, approved=800)
    assert found.redeems_per_second == 100 / 0.5 * 8
    assert (found.server_us, found.ledger_us, found.generator_us) == pytest.approx((500, 100, 12.5))
    assert (found.p50_ms, found.p99_ms, found.p999_ms) == pytest.approx((2, 2, 2), rel=0.01)
    assert (found.approved, found.expected, found.invalid, found.wrong) == (800, 800, "", False)


@pytest.mark.parametrize(
    ("found", "approved", "tokens", "invalid", "wrong"),
    [
        (run(), 100, 1, "", False),
        (run(), 300, 3, "", False),
        (run(), 99, 1, "99 of 100 redemptions were approved: a refusal costs less", True),
        (run(), 100, 3, "100 of 300 redemptions were approved: a refusal costs less", True),
        (run(), 0, 1, "0 of 100 redemptions were approved: a refusal costs less", True),
        (run(invalid="too late"), 100, 1, "too late", False),
        (run(invalid="too late"), 99, 1, "99 of 100 redemptions were approved: a refusal costs less", True),
        (
            run(failures={"UNAVAILABLE: no": 3, "INTERNAL": 1}),
            96,
            1,
            "4 of 100 calls failed: UNAVAILABLE: no (3); INTERNAL (1)",
            True,
        ),
        (
            run(failures={"connection lost": 100}, seconds=0.0),
            0,
            1,
            "100 of 100 calls failed: connection lost (100)",
            True,
        ),
    ],
)
def test_a_call_that_failed_or_was_refused_makes_a_sample_invalid_and_is_named(found, approved, tokens, invalid, wrong):
    cost = under_test.Cost(0.1, 0.1)
    judged = results.Sample.of(found, cost, redeems_per_call=1, approved=approved, tokens=tokens)
    assert (judged.invalid, judged.wrong) == (invalid, wrong)


@pytest.mark.parametrize(
    ("new", "old", "aim", "ratio", "least", "greatest", "word"),
    [
        # The median of the rounds' own ratios (2, 8, 3), not the ratio of the medians (300 / 100).
        ([200, 400, 300], [100, 50, 100], FASTER, 3, 2, 8, "reached"),
        ([200, 150, 100], [100, 100, 100], FASTER, 1.5, 1, 2, "missed"),
        ([200, 200], [100, 100], FASTER, 2, 2, 2, "reached"),
        ([199, 199], [100, 100], FASTER, 1.99, 1.99, 1.99, "missed"),
    ],
)
def test_a_ratio_is_the_median_of_the_rounds_own_ratios(new, old, aim, ratio, least, greatest, word):
    (verdict,) = collected([sample(rate) for rate in new], [sample(rate) for rate in old], aim).verdicts()
    assert (verdict.ratio, verdict.least, verdict.greatest, verdict.word) == (ratio, least, greatest, word)


def test_what_makes_a_verdict_doubtful_is_told_beside_it():
    found = collected([sample()] * 2, [sample()] * 2)
    found.notes.append("Others took 30%.")
    assert list(found.report().parts[1].notes) == ["A verdict of fewer than 3 rounds is chance.", "Others took 30%."]
    assert list(collected([sample()] * 3, [sample()] * 3).report().parts[1].notes) == []


@pytest.mark.parametrize(("p99", "word"), [(6.0, "reached"), (6.1, "missed")])
def test_an_aim_of_latency_is_of_p99_at_most(p99, word):
    (verdict,) = collected([sample(p99=p99)], [sample(p99=2.0)], SOONER).verdicts()
    assert (verdict.ratio, verdict.word) == (p99 / 2, word)


def test_a_round_counts_only_if_both_of_its_samples_do():
    late = sample(1000, invalid="too late")
    found = collected([sample(300), late, sample(300)], [sample(100), sample(1), sample(100)])
    (verdict,) = found.verdicts()
    assert (verdict.ratio, verdict.greatest, found.reached) == (3, 3, True)
    found = collected([sample(300), late, sample(300)], [late, sample(1), sample(100)])
    (verdict,) = found.verdicts()
    assert (verdict.ratio, verdict.word, found.reached) == (None, "INVALID", False)


@pytest.mark.parametrize(
    ("bad", "reached_and_wrong"),
    [
        ([], (True, False)),
        ([sample(invalid="too late")], (True, False)),
        ([sample(invalid="too late")] * 2, (False, False)),
        ([sample(invalid="one failed", wrong=True)], (True, True)),
    ],
    ids=["all good", "one late", "most late", "one wrong"],
)
def test_a_case_without_an_aim_has_to_be_measured_as_well_and_nothing_may_go_wrong(bad, reached_and_wrong):
    found = collected([sample(300)] * 3, [sample(100)] * 3)
    for each in [*bad, *[sample()] * (3 - len(bad))]:
        found.add("without an aim", each)
    assert (found.reached, found.wrong) == reached_and_wrong


def test_the_tables_are_printed_without_a_wrapped_or_cut_cell_in_a_pipe(capsys):
    found = collected([sample(123_456.7, 1234.56)] * 5, [sample(98_765.4, 987.65)] * 5)
    name = "a case, of 22 letters."
    aim = results.Aim("a ratio of 43 letters, as long as they come", name, "old", at_least=0.75)
    found.aims = (FASTER, aim)
    found.breaks = ("old",)
    found.facts["others"] = "12%"
    for _ in range(5):
        found.add(name, sample(123_456.7))
    found.report().print()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert not [line for line in lines if "…" in line]
    assert "others: 12%" in lines
    cells = {line.split("  ")[0].strip(): line.split() for line in lines}
    assert cells["new"] == ["new", "123,457", "0", "8.1", "1.0", "2.0", "617.28", "1,234.56", "2,469.12"]
    assert cells[name][-4:] == ["2.0", "1.00", "2.00", "4.00"]
    assert cells[aim.name][-7:] == ["1.25", "1.25", "to", "1.25", "0.75", "or", "more", "reached"][-7:]
    assert lines[next(i for i, line in enumerate(lines) if line.startswith(" old")) + 1].strip() == ""


def test_what_does_not_count_is_left_out_of_the_medians_and_told_with_its_reason(capsys):
    rounds = [sample(100), sample(10**6, invalid="[late] by far"), sample(300)]
    found = collected(rounds, [sample(1, invalid="too late")] * 2 + [sample(1)])
    found.report().print()
    told = capsys.readouterr().out
    assert re.search(r"new +200 +50 ", told)
    assert re.search(r"old +INVALID", told)
    assert "INVALID: new, round 2: [late] by far\n" in told
    assert "INVALID: old, round 1: too late\n" in told


def test_what_the_server_did_wrong_is_told_first_and_leaves_no_figures(capsys):
    wrong = sample(10**6, invalid="1 of 5 calls failed: [no] (1)", wrong=True)
    found = collected([sample(1, invalid="too late"), sample(1), sample(1)], [sample(100), wrong, sample(300)])
    found.report().print()
    told = capsys.readouterr().out
    assert re.search(r"old +FAILED", told)
    assert told.index("FAILED: old, round 2: 1 of 5 calls failed: [no] (1)\n") < told.index("INVALID: new, round 1")


@pytest.mark.parametrize(("calls", "p99", "p999"), [(999, "", ""), (1000, "2.00", ""), (10_000, "2.00", "4.00")])
def test_a_percentile_is_told_if_enough_calls_lie_beyond_it(calls, p99, p999):
    found = results.Sample(
        **{
            **{name: getattr(sample(), name) for name in results.Sample.__slots__},
            "histogram": run(count=calls).histogram().encode(),
        }
    )
    assert results._figures([found])[-3:-1] == (p99, p999)


def test_json_and_markdown_are_written_and_say_the_same(tmp_path):
    found = collected([sample(300)] * 3, [sample(100), sample(100), sample(100, invalid="too late")])
    found.facts["peak"] = "1,000/s"
    path = found.report().write(tmp_path / "new" / "folder")
    content = json.loads(path.read_text())
    assert re.fullmatch(r"some-\d{8}T\d{9}Z\.json", path.name)
    assert (content["bench"], content["arguments"], content["facts"]) == ("some", {"rounds": 3}, {"peak": "1,000/s"})
    assert content["machine"]["cores"].isdigit()
    assert [results.Sample(**each) for each in content["cases"]["new"]] == found.samples["new"]
    assert [(each["ratio"], each["word"]) for each in content["verdicts"]] == [(3, "reached")]
    text = path.with_suffix(".md").read_text()
    assert text.startswith("# some\n\n- processor: ")
    assert "| new | 300 | 0 |" in text
    assert "| faster | 3.00 | 3.00 to 3.00 | 2 or more | reached |" in text
    assert "- INVALID: old, round 3: too late\n" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {11, 6}
