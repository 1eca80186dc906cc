"""A decision as people read it: one line that says it all, and a table where there is more to say."""

from google.protobuf.timestamp_pb2 import Timestamp

from redemption.cli.screen import printable, say, show, table
from redemption.client import Lang, disposition_words, format_money, sentence
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
}


def print_decision(decision: Decision, checkout: Checkout, lang: Lang, elapsed_seconds: float) -> None:
    """Print a decision on a checkout."""
    order = checkout.order
    style = _STYLES.get(decision.disposition, "red")
    if decision.outcome == v1.OUTCOME_APPROVED:
        say(_approval(decision, order, lang, elapsed_seconds), style)
    else:
        say(_refusal(decision, order, lang), style)
    if len(decision.verdicts) > 1:
        _print_verdicts(decision, order, lang)
    if decision.outcome == v1.OUTCOME_APPROVED and len(order.lines) + len(order.shipping) > 1:
        _print_lines(decision, order, lang)


def outcome_name(outcome: int) -> str:
    """Return the contract's name of an outcome, or its number when it is a newer one."""
    name = v1.Outcome.DESCRIPTOR.values_by_number.get(outcome)
    return name.name.removeprefix("OUTCOME_") if name else f"OUTCOME {outcome}"


def _approval(decision: Decision, order: Order, lang: Lang, elapsed_seconds: float) -> str:
    code = order.currency_code
    total = sum(line.amount_minor for line in order.lines) + sum(fee.amount_minor for fee in order.shipping)
    parts = (
        "APPROVED",
        format_money(-decision.discount_minor, code),
        f"{_WORDS['pay'][lang]} {format_money(total - decision.discount_minor, code)}",
        f"{elapsed_seconds * _MILLISECONDS:.1f} ms",
    )
    return _GAP.join(parts)


def _refusal(decision: Decision, order: Order, lang: Lang) -> str:
    parts = [f"{outcome_name(decision.outcome)} ({disposition_words(decision.disposition, lang)})"]
    decisive = [verdict for verdict in decision.verdicts if verdict.outcome == decision.outcome]
    # An outcome of the order as a whole, such as IDEMPOTENCY_MISMATCH, may stand beside no verdict at all.
    verdict = decisive[0] if decisive else TokenVerdict(outcome=decision.outcome, disposition=decision.disposition)
    parts.append(_sentence(verdict, decision.decide_time, order, lang))
    return _GAP.join(parts)


def _print_verdicts(decision: Decision, order: Order, lang: Lang) -> None:
    # All coupons are used or none is, so either each takes something off, or each has a reason why not.
    approved = decision.outcome == v1.OUTCOME_APPROVED
    headings = [_WORDS[word][lang] for word in ("coupon", "campaign", "outcome", "off" if approved else "why")]
    rows = table(*headings, right=(*headings[:2], *headings[3:]) if approved else tuple(headings[:2]))
    for verdict in decision.verdicts:
        off = format_money(-verdict.discount_minor, order.currency_code)
        last = off if approved else _sentence(verdict, decision.decide_time, order, lang)
        campaign = str(verdict.campaign) if verdict.campaign else ""
        rows.add_row(str(verdict.token_index + 1), campaign, outcome_name(verdict.outcome), last)
    show(rows)


def _print_lines(decision: Decision, order: Order, lang: Lang) -> None:
    off: dict[str, int] = {}
    for verdict in decision.verdicts:
        for part in verdict.allocations:
            off[part.line_id] = off.get(part.line_id, 0) + part.amount_minor
    headings = [_WORDS[word][lang] for word in ("line", "amount", "off", "pay")]
    rows = table(*headings, right=tuple(headings[1:]))
    amounts = [(line.line_id, line.amount_minor) for line in order.lines]
    amounts += [(fee.line_id, fee.amount_minor) for fee in order.shipping]
    for line_id, amount in amounts:
        less = off.get(line_id, 0)
        sums = (amount, -less, amount - less)
        rows.add_row(printable(line_id), *(format_money(each, order.currency_code) for each in sums))
    show(rows)


def _sentence(verdict: TokenVerdict, decide_time: Timestamp, order: Order, lang: Lang) -> str:
    now = decide_time if decide_time.seconds else None
    return sentence(verdict, currency_code=order.currency_code, lang=lang, now=now)
