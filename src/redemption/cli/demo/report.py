"""The report of the demo, as text for people and as JSON for programs."""

import os
from typing import Any

from redemption.cli.demo.sale import Result
from redemption.cli.output.screen import say

_MILLISECONDS = 1000
_LABEL_WIDTH, _NUMBER_WIDTH = 26, 9


def as_dict(result: Result) -> dict[str, Any]:
    """Return the report for programs."""
    return {
        "passed": result.passed,
        "buyers": result.buyers,
        "coupons": result.coupons,
        "seed": result.seed,
        "approved": result.approved,
        "refused": result.refused,
        "redeemed_by_ledger": result.redeemed,
        "answers_lost": result.lost,
        "repeated": result.repeated,
        "repeated_alike": result.alike,
        "used_twice": result.used_twice,
        "over_redeemed": result.over_redeemed,
        "unanswered": result.unanswered,
        "failed_tries": dict(result.failures),
        "seconds": round(result.seconds, 3),
        "latency_ms": {name: round(value, 2) for name, value in _latencies_ms(result).items()},
        "redeems_per_ledger_call": result.redeems_per_ledger_call,
        "cores": os.cpu_count(),
    }


def print_report(result: Result) -> None:
    """Print the report; the last lines say whether it passed."""
    _row("approved", f"{result.approved:,}", f"of {result.coupons:,} coupons, {result.buyers:,} buyers")
    for outcome, count in result.refused.items():
        _row(f"refused {outcome}", f"{count:,}")
    _row("counted by the ledger", f"{result.redeemed:,}", "redemptions")
    _row("retries answered alike", f"{result.alike:,}", f"of {result.repeated:,}; {result.lost:,} answers were lost")
    _row("coupons used twice", f"{result.used_twice:,}")
    _row("over-redeemed", f"{result.over_redeemed:,}")
    _row("never answered", f"{result.unanswered:,}")
    for status, count in result.failures.items():
        _row(f"failed tries {status}", f"{count:,}")
    for name, value in _latencies_ms(result).items():
        _row(f"latency {name}", f"{value:.1f}", "ms")
    answers = len(result.latencies_seconds)
    _row("answers a second", f"{answers / result.seconds:,.0f}", f"for {result.seconds:.1f} s")
    if result.redeems_per_ledger_call is not None:
        _row("redeems per ledger call", f"{result.redeems_per_ledger_call:.1f}")
    say("")
    say("PASS" if result.passed else "FAIL", "bold green" if result.passed else "bold red")
    say(f"Buyers, server and ledger shared the {os.cpu_count()} cores of this machine:")
    say("this shows that it is right, not how fast it can be.")


def _row(label: str, number: str, unit: str = "") -> None:
    say(f"{label:{_LABEL_WIDTH}}{number:>{_NUMBER_WIDTH}}   {unit}".rstrip())


def _latencies_ms(result: Result) -> dict[str, float]:
    ordered = sorted(result.latencies_seconds)
    if not ordered:
        return {}
    places = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        name: ordered[min(int(place * len(ordered)), len(ordered) - 1)] * _MILLISECONDS
        for name, place in places.items()
    }
