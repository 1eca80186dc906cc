"""Two results side by side: what is told, what is marked, and one line for what cannot be compared."""

import json

import pytest
from tool_loader import load_bench

compare, results = load_bench("compare"), load_bench("results")


def histogram(calls):
    found = results.HdrHistogram(1, 10_000, 2)
    found.record_value(2500, calls)
    return found.encode().decode()


MANY, FEW = histogram(1000), histogram(100)


def sample(rate, *, invalid="", late=0.0, histogram=MANY):
    return results.Sample(
        redeems_per_second=rate,
        server_us=1e6 / rate,
        ledger_us=0.0,
        generator_us=1.0,
        p50_ms=1.0,
        p99_ms=2.5,
        p999_ms=3.0,
        late_ms=late,
        approved=1,
        expected=1,
        failures={},
        histogram=histogram,
        invalid=invalid,
    )


@pytest.fixture
def written(tmp_path, monkeypatch):
    def write(name, *, bench="ceiling", what=None, **rates):
        found = results.Results(bench, {"rounds": 3, "seconds": 1.5}, (), facts={"others": "4%"})
        for case, values in rates.items():
            for value in values:
                found.add(case, sample(abs(value), invalid="too late" if value < 0 else "", **(what or {})))
        path = tmp_path / f"{name}.json"
        monkeypatch.setattr(results, "_figures", lambda _: ("", "", "", "", "", "", "", "", ""))
        found.report().write(tmp_path).rename(path)
        return path

    return write


def rows(printed):
    return {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.startswith(" ") and line.split()}


def test_medians_and_their_ratio_stand_side_by_side_and_no_cell_is_cut(written, capsys):
    a = written("a", unary=[1000, 1200, 1100, 1100, 1100], a_case_of_22_letters_=[123_456.7] * 3)
    b = written("b", unary=[2000, 2200, 2400, 2200, 2200], a_case_of_22_letters_=[123_456.7] * 3)
    assert compare.main([str(a), str(b)]) == 0
    printed = capsys.readouterr().out
    assert rows(printed)["unary"] == ["1,100", "2,200", "2.00*", "909.1", "454.5", "0.50*", "2.50", "2.50", "1.00"]
    assert rows(printed)["a_case_of_22_letters_"][:3] == ["123,457", "123,457", "1.00"]
    assert printed.startswith("A: a.json: commit ")
    assert ", rounds 3, seconds 1.5, others 4%; processor " in printed
    assert "two machines" not in printed
    assert "…" not in printed


@pytest.mark.parametrize(
    ("a", "b", "ratio"),
    [
        ([100, 105, 110, 115, 120], [121, 125, 130, 135, 140], "1.18*"),
        ([121, 125, 130, 135, 140], [100, 105, 110, 115, 120], "0.85*"),
        ([100, 105, 110, 115, 120], [120, 125, 130, 135, 140], "1.18"),
        ([100, 105, 110, 115, 120], [90, 95, 115, 180, 200], "1.05"),
        ([100, 110, 110, 120], [200, 210, 210, 220], "1.91"),
        ([100, 105, 110, 115, 120], [200, 210, 220, 230, -1], "1.95"),
        ([100, 105, 110, 115, 120, -1000], [200, 205, 210, 215, 220, -1], "1.91*"),
    ],
    ids=["above", "below", "they touch", "within", "too few", "too few that count", "what does not count is left out"],
)
def test_a_ratio_is_marked_where_the_spreads_of_five_rounds_do_not_overlap(written, capsys, a, b, ratio):
    assert compare.main([str(written("a", case=a)), str(written("b", case=b))]) == 0
    assert rows(capsys.readouterr().out)["case"][2] == ratio


def test_a_case_that_was_not_measured_or_is_only_in_one_is_told(written, capsys):
    a = written("a", unary=[100] * 3, old=[1])
    b = written("b", unary=[-100, -100, 100], new=[1], newer=[1])
    assert compare.main([str(a), str(b)]) == 0
    printed = capsys.readouterr().out
    assert rows(printed)["unary"] == ["100", "INVALID", "10,000.0", "2.50"]
    assert "only in a.json: old\n" in printed
    assert "only in b.json: new, newer\n" in printed


@pytest.mark.parametrize(
    ("rate", "ratios"),
    [(104, ["9,615.4", "0.96", "2.50", "2.50", "1.00"]), (106, ["9,434.0", "2.50", "2.50"])],
    ids=["about the same rate", "another rate"],
)
def test_what_follows_a_schedule_has_no_ratio_of_rates_and_latencies_only_at_about_the_same(
    written, capsys, rate, ratios
):
    paced = {"late": 0.1}
    a, b = written("a", what=paced, paced=[100] * 3), written("b", what=paced, paced=[rate] * 3)
    assert compare.main([str(a), str(b)]) == 0
    assert rows(capsys.readouterr().out)["paced"] == ["100", str(rate), "10,000.0", *ratios]


def test_a_percentile_with_few_calls_beyond_it_is_not_told(written, capsys):
    a, b = written("a", unary=[100] * 3), written("b", what={"histogram": FEW}, unary=[100] * 3)
    assert compare.main([str(a), str(b)]) == 0
    assert rows(capsys.readouterr().out)["unary"][6:] == ["2.50"]


def test_results_of_two_machines_are_told_to_be(written, capsys):
    a, b = written("a", unary=[1]), written("b", unary=[1])
    content = json.loads(b.read_text())
    content["machine"]["cores"] = "64"
    b.write_text(json.dumps(content))
    assert compare.main([str(a), str(b)]) == 0
    assert "These are two machines: the ratios compare more than the code.\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "bad.json: No such file or directory"),
        ("# not JSON", "bad.json is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"\xff\xfe", "bad.json is not JSON: "),
        ("[" * 200_000, "bad.json is not JSON: "),
        ("[]", "bad.json is no result of a bench that can be compared"),
        ("{}", "bad.json is no result of a bench that can be compared"),
        ('{"bench": "x", "machine": {}, "arguments": {}, "cases": []}', "bad.json is no result of a bench"),
        ('{"bench": "x", "machine": {}, "arguments": {}, "cases": {"unary": [{"x": 1}]}}', "bad.json is no result of"),
    ],
    ids=[
        "missing",
        "text",
        "bytes",
        "a deep list",
        "a list",
        "empty",
        "cases of another kind",
        "samples of another kind",
    ],
)
@pytest.mark.parametrize("order", [1, -1], ids=["B", "A"])
def test_what_cannot_be_read_is_told_in_one_line(written, tmp_path, capsys, content, told, order):
    good, bad = written("good", unary=[1]), tmp_path / "bad.json"
    if content is not None:
        bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert compare.main([str(path) for path in (good, bad)[::order]]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"bench-compare: {tmp_path}/{told}")


@pytest.mark.parametrize(
    ("figure", "value"),
    [("p99_ms", "x"), ("redeems_per_second", None), ("late_ms", float("nan")), ("histogram", "x"), ("histogram", 1)],
)
def test_a_sample_that_no_bench_wrote_is_told_in_one_line(written, capsys, figure, value):
    path = written("bad", unary=[1])
    content = json.loads(path.read_text())
    content["cases"]["unary"][0][figure] = value
    path.write_text(json.dumps(content))
    assert compare.main([str(path), str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"bench-compare: {path} is no result of a bench that can be compared"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"bench": "growth", "unary": [1]}, "is of the bench ceiling, "),
        ({"bench": "ceiling", "plain": [1]}, "have no case in common"),
    ],
)
def test_what_has_nothing_to_compare_is_told_in_one_line(written, capsys, other, told):
    assert compare.main([str(written("a", unary=[1])), str(written("b", **other))]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert told in line
