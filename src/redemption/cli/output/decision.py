"""Prints a decision: one line with the result, and tables if there are more coupons or lines than one."""

import datetime as dt

from google.protobuf.timestamp_pb2 import Timestamp

from redemption.cli.output.missing_signals import missing_text
from redemption.cli.output.screen import say, show, table
from redemption.client import Lang, disposition_words, format_money, sentence
from redemption.printable import printable
from redemption.v1 import outcome_pb2 as v1
from redemption.v1.decision_pb2 import Decision, TokenVerdict
from redemption.v1.order_pb2 import Checkout, Order

_GAP = "   "
_STYLES = {
    v1.DISPOSITION_APPROVED: "green",
    v1.DISPOSITION_CHANGE_ORDER: "yellow",
    v1.DISPOSITION_TRY_LATER: "yellow",
}
_MILLISECONDS = 1000
_WORDS = {
    "pay": {"en": "pay", "zh": "实付"},
    "coupon": {"en": "coupon", "zh": "券"},
    "campaign": {"en": "campaign", "zh": "活动"},
    "outcome": {"en": "outcome", "zh": "结果"},
    "off": {"en": "off", "zh": "优惠"},
    "why": {"en": "why", "zh": "说明"},
    "line": {"en": "line", "zh": "行"},
    "amount": {"en": "amount", "zh": "金额"},
    "merchant": {"en": "by merchant", "zh": "商家承担"},
    "sponsor": {"en": "by sponsor", "zh": "出资方承担"},
    "total": {"en": "total", "zh": "合计"},
}


def print_decision(decision: Decision, checkout: Checkout, lang: Lang, elapsed_seconds: float) -> None:
    """Print a decision on a checkout."""
    order = checkout.order
    if decision.outcome == v1.OUTCOME_APPROVED:
        say_approval("APPROVED", decision, order, lang, f"{elapsed_seconds * _MILLISECONDS:.1f} ms")
    else:
        say_refusal(decision, order, lang)
    if len(decision.verdicts) > 1:
        _print_verdicts(decision, order, lang)
    print_lines(decision, order, lang)


def outcome_name(outcome: int) -> str:
    """Return the contract's name of an outcome; its number when this version does not know it."""
    name = v1.Outcome.DESCRIPTOR.values_by_number.get(outcome)
    return name.name.removeprefix("OUTCOME_") if name else f"OUTCOME {outcome}"


def say_approval(heading: str, decision: Decision, order: Order, lang: Lang, *more: str) -> None:
    """Print an approval in one line: a heading, the discount, what is left to pay, and the texts in ``more``."""
    code = order.currency_code
    off, pay = -decision.discount_minor, _total_minor(order) - decision.discount_minor
    parts = (heading, format_money(off, code), f"{_WORDS['pay'][lang]} {format_money(pay, code)}", *more)
    say(_GAP.join(parts), _STYLES[v1.DISPOSITION_APPROVED])


def say_refusal(decision: Decision, order: Order, lang: Lang, *more: str, zone: dt.tzinfo | None = None) -> None:
    """Print a refusal in one line: outcome, what to do about it, sentence for the shopper, what the request lacks.

    The texts in ``more`` follow.
    """
    outcome = f"{outcome_name(decision.outcome)} ({disposition_words(decision.disposition, lang)})"
    decisive = [verdict for verdict in decision.verdicts if verdict.outcome == decision.outcome]
    # For an outcome of the whole order, such as IDEMPOTENCY_MISMATCH, there may be no verdict.
    verdict = decisive[0] if decisive else TokenVerdict(outcome=decision.outcome, disposition=decision.disposition)
    text = shopper_text(verdict, decision.decide_time, order, lang, zone=zone)
    lacking = missing_text(verdict.detail, lang)
    say(_GAP.join(filter(None, (outcome, text, lacking, *more))), _STYLES.get(decision.disposition, "red"))


def say_outcome(outcome: v1.Outcome, disposition: v1.Disposition, lang: Lang, *more: str) -> None:
    """Print the outcome of a request that is about no single coupon, as ``say_refusal`` does."""
    say_refusal(Decision(outcome=outcome, disposition=disposition), Order(), lang, *more)


def shopper_text(
    verdict: TokenVerdict, decide_time: Timestamp, order: Order, lang: Lang, *, zone: dt.tzinfo | None = None
) -> str:
    """Return the sentence for a shopper on a coupon; its instants are in ``zone`` (None: this machine's zone)."""
    now = decide_time if decide_time.seconds else None
    return sentence(verdict, currency_code=order.currency_code, lang=lang, now=now, zone=zone)


def print_lines(decision: Decision, order: Order, lang: Lang) -> None:
    """Print what an approval takes off each line and who pays for it, if the order has more than one line."""
    amounts = [(line.line_id, line.amount_minor) for line in order.lines]
    amounts += [(fee.line_id, fee.amount_minor) for fee in order.shipping]
    if decision.outcome != v1.OUTCOME_APPROVED or len(amounts) == 1:
        return
    off = dict.fromkeys((line_id for line_id, _ in amounts), 0)
    merchant = dict(off)
    for verdict in decision.verdicts:
        for part in verdict.allocations:
            off[part.line_id] += part.amount_minor
            merchant[part.line_id] += part.merchant_minor
    # The parts of a discount are forgotten earlier than the discount: then there is nothing to print.
    if sum(off.values()) != decision.discount_minor:
        return
    shared = any(merchant.values())
    columns = ["line", "amount", "off", "pay", *(("merchant", "sponsor") if shared else ())]
    headings = [_WORDS[word][lang] for word in columns]
    rows = table(*headings, right=tuple(headings[1:]))
    lines = [(line_id, (amount, off[line_id], merchant[line_id])) for line_id, amount in amounts]
    totals = (_total_minor(order), sum(off.values()), sum(merchant.values()))
    for name, (amount, less, borne) in (*lines, (_WORDS["total"][lang], totals)):
        sums = (amount, -less, amount - less, *((borne, less - borne) if shared else ()))
        rows.add_row(printable(name), *(format_money(each, order.currency_code) for each in sums))
    show(rows)


def _print_verdicts(decision: Decision, order: Order, lang: Lang) -> None:
    # All coupons are used or none is: so the last column has all the discounts, or all the reasons.
    approved = decision.outcome == v1.OUTCOME_APPROVED
    headings = [_WORDS[word][lang] for word in ("coupon", "campaign", "outcome", "off" if approved else "why")]
    rows = table(*headings, right=(*headings[:2], *headings[3:]) if approved else tuple(headings[:2]))
    for verdict in decision.verdicts:
        off = format_money(-verdict.discount_minor, order.currency_code)
        last = off if approved else _why(verdict, decision.decide_time, order, lang)
        campaign = str(verdict.campaign) if verdict.campaign else ""
        rows.add_row(str(verdict.token_index + 1), campaign, outcome_name(verdict.outcome), last)
    show(rows)


def _why(verdict: TokenVerdict, decide_time: Timestamp, order: Order, lang: Lang) -> str:
    text, lacking = shopper_text(verdict, decide_time, order, lang), missing_text(verdict.detail, lang)
    return f"{text} ({lacking})" if lacking else text


def _total_minor(order: Order) -> int:
    return sum(line.amount_minor for line in order.lines) + sum(fee.amount_minor for fee in order.shipping)
