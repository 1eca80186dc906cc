"""The report's page: what stands on it, that it needs nothing beside it, and how it looks in a browser."""

import html
import re
import shutil
import subprocess
from array import array
from dataclasses import replace

import pytest
from tool_loader import load_bench
from waiting import SECONDS_MAX

check, journal, levels, page, scenario, series, summary, verdict = (
    load_bench(f"sale.{name}")
    for name in ("check", "journal", "levels", "page", "scenario", "series", "summary", "verdict")
)
EMPTY = load_bench("sale.yardstick").Empty()
SALE = scenario.read_scenario("flash-sale", ["shopper", "replayer", "guesser"])
BEGAN = 1_800_000_000.0
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RIGHT = check.Check("no coupon is used twice", "7 coupons")
PROBE = """<script>addEventListener("load", () => {
  const told = [document.documentElement.scrollWidth - innerWidth, performance.getEntriesByType("resource").length,
    [...document.querySelectorAll("svg")].filter((each) => each.getBoundingClientRect().width > 100).length];
  document.title = told.join(" ");
})</script>"""


def entries(count=400):
    """A run of redemptions, one each 50 ms, of which the second half is refused."""
    for number in range(count):
        answer = "APPROVED" if number < count / 2 else "CAMPAIGN_LIMIT"
        yield journal.Entry(
            ("Redeem", "Claim", "Quote")[number % 3],
            f"r-{number}",
            sent_at=BEGAN + number * 0.05,
            seconds=0.001 * (1 + number % 50),
            answer=answer,
            campaign=1,
            receipt=f"receipt {number}" if answer == "APPROVED" else "",
        )


def report(*, wrong=(), usage=(), asked=levels.NOTHING_ASKED):
    """The page of a run."""
    told = journal.Journal(entries())
    lags = summary.Lags()
    lags.add(array("d", [0.001] * 100), array("d", [number * 0.3 for number in range(100)]))
    found = verdict.Verdict((RIGHT, replace(RIGHT, name="limits hold", wrong=tuple(wrong))), (verdict.NO_LEDGER,))
    summed = summary.summary_of(
        SALE, told, lags, found, levels=asked, empty=EMPTY, planned=100, broken="", late_seconds_max=1.0
    )
    calls = [(BEGAN + 1, 1), (BEGAN + 1.1, 3)]
    drawn = series.series_of(SALE, told, lags.moments, began=BEGAN, hot=1, issued=150, redemptions=100, calls=calls)
    return page.page(summed, drawn, usage, {"server": "127.0.0.1:50051"})


def text_of(written):
    return html.unescape(re.sub(r"<[^>]+>", " ", written))


def test_the_verdict_stands_on_top_with_what_does_not_hold():
    assert "PASS (API only)" in text_of(report())
    wrong = text_of(report(wrong=["campaign 3 has 46 redemptions, its limit is 45"]))
    assert (
        wrong.index("FAIL") < wrong.index("Does not hold: limits hold.") < wrong.index("campaign 3 has 46 redemptions")
    )


def test_levels_answers_and_facts_are_tables():
    asked = levels.Levels({"Redeem": {"p50": levels.Bound(1.0, is_ratio=False)}}, errors=0.1)
    text = " ".join(text_of(report(asked=asked)).split())
    assert re.search(r"Redeem p50 2[0-9]\.[0-9]{2} ms at most 1 ms missed", text)
    assert "errors 0.0000% at most 10.0000% kept" in text
    assert "Redeem APPROVED 67" in text
    assert "server 127.0.0.1:50051" in text


def test_texts_of_others_are_no_markup():
    written = report(wrong=["<img src=x onerror=alert(1)>"])
    assert "<img" not in written
    assert "&lt;img src=x" in written


def test_the_page_needs_nothing_beside_it():
    usage = [series.Usage(number / 2, {"worker": 0.5, "ledger": 0.2, "locust": 0.4}) for number in range(60)]
    written = report(usage=usage)
    assert "<script" not in written
    assert re.findall(r"(?:src|href)=\"(?!#)[^\"]*\"", written) == []
    assert re.findall(r"url\((?!#)[^)]*\)|@import", written) == []


def test_names_within_pictures_are_unique_and_their_colours_are_those_of_the_page():
    written = report()
    names = re.findall(r'\bid="([^"]+)"', written)
    pictures = written.count("<svg ")
    assert pictures == 2 * 8
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", written))
    assert used <= set(names)
    assert all(names.count(name) == 1 for name in used), "a picture would take another one's parts"
    assert "#0a0b" not in written
    for colour in ("ink", "faint", "one", "two"):
        assert f"var(--{colour})" in written


def test_lines_follow_the_run():
    drawn = series.series_of(
        SALE, journal.Journal(entries()), [1.0, 1.1, 9.0], began=BEGAN, hot=1, issued=150, redemptions=100
    )
    assert sum(drawn.sent) * drawn.step == pytest.approx(400)
    assert sum(drawn.answered) * drawn.step == pytest.approx(400)
    assert sum(drawn.came) * drawn.step == pytest.approx(3)
    assert (drawn.to_claim[0], drawn.to_claim[-1]) == (pytest.approx(150, abs=13), 150 - 67)
    assert (drawn.to_redeem[0], drawn.to_redeem[-1]) == (pytest.approx(100, abs=13), 100 - 133)
    assert drawn.percentiles["p50"][-1] is None, "nothing was answered at the end"
    assert (
        len({len(values) for values in (drawn.moments, drawn.planned, drawn.to_redeem, drawn.percentiles["p99"])}) == 1
    )


def test_prebuilt_redeems_and_the_batches_of_the_ledger_have_lines_of_their_own():
    def redeem(sender, seconds):
        return journal.Entry("Redeem", sender, sent_at=BEGAN, seconds=seconds, answer="APPROVED", sender=sender)

    told = journal.Journal([redeem("shopper", 0.004), redeem("prebuilt", 0.002)])
    calls = [(BEGAN, 1), (BEGAN + 0.1, 4), (BEGAN + 30, 9)]
    drawn = series.series_of(SALE, told, [], began=BEGAN, hot=1, issued=0, redemptions=0, calls=calls)
    firsts = {name: values[0] for name, values in (drawn.percentiles | drawn.in_a_call).items()}
    assert firsts == pytest.approx(
        {"p50": 4, "p99": 4, "p50 prebuilt": 2, "p99 prebuilt": 2, "mean": 2.5, "most": 4}, rel=0.01
    )
    assert (sum(drawn.sent) * drawn.step, sum(drawn.sent_prebuilt) * drawn.step) == pytest.approx((2, 1))
    assert drawn.in_a_call["mean"][1] is None


def test_a_call_of_many_orders_is_one_call_and_one_without_an_answer_takes_as_long_as_its_deadline():
    batch = [
        journal.Entry("BatchRedeem", f"r{number}", BEGAN, 0.01, "APPROVED", counted=not number, position=number)
        for number in range(16)
    ]
    told = [
        *batch,
        journal.Entry("Redeem", "fast", BEGAN, 0.002, "CAMPAIGN_LIMIT"),
        journal.Entry("Redeem", "gone", BEGAN, 0.001, journal.UNKNOWN),
        journal.Entry("Redeem", "left", BEGAN, 0.001, journal.UNKNOWN, counted=False),
    ]
    found = verdict.Verdict((RIGHT,))
    summed = summary.summary_of(
        SALE,
        journal.Journal(told),
        summary.Lags(),
        found,
        levels=levels.NOTHING_ASKED,
        empty=EMPTY,
        planned=0,
        broken="",
        late_seconds_max=1.0,
    )
    assert summed.calls == 4
    assert {row: len(histogram) for row, histogram in summed.latencies.items()} == {"BatchRedeem": 1, "Redeem": 1}
    assert summed.latencies["Redeem"].ms(50) == pytest.approx(1000 * journal.DEADLINE_SECONDS, rel=0.01)


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine; the other tests look at the text")
@pytest.mark.parametrize("width", [360, 1400])
def test_in_a_browser_nothing_overflows_or_is_loaded(tmp_path, width):
    usage = [series.Usage(number / 2, {"worker": 0.5, "ledger": 0.2, "locust": 0.4}) for number in range(60)]
    file = tmp_path / "page.html"
    file.write_text(report(wrong=["x" * 300], usage=usage).replace("</head>", f"{PROBE}</head>"))
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    command += [f"--window-size={width},900", "--virtual-time-budget=5000", "--dump-dom", f"file://{file}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=True)
    overflow, loaded, shown = map(int, re.search(r"<title>([-0-9]+) (\d+) (\d+)</title>", done.stdout).groups())
    assert (overflow <= 0, loaded, shown) == (True, 0, 9)
