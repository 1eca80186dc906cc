"""Prints a quote: the result, what each coupon does alone and with the others, and who pays what."""
# ruff: noqa: RUF001 - Chinese sentences have Chinese commas.

import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from redemption.cli.input.instants import local_text
from redemption.cli.output.decision import print_lines, say_approval, say_refusal, shopper_text
from redemption.cli.output.missing_signals import missing_text
from redemption.cli.output.screen import say, show, table
from redemption.client import Lang, coupons_words, format_money
from redemption.printable import printable
from redemption.v1 import outcome_pb2 as v1
from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.decision_pb2 import TokenVerdict
from redemption.v1.order_pb2 import Order
from redemption.v1.redemption_service_pb2 import QuoteRequest, QuoteResponse

_WORDS = {
    "would_be": {"en": "WOULD BE APPROVED", "zh": "预计通过"},
    "at": {"en": "at {at}", "zh": "时间 {at}"},
    "of": {"en": "{chosen} of {all} coupons", "zh": "{all} 张券中用 {chosen} 张"},
    "coupon": {"en": "coupon", "zh": "券"},
    "campaign": {"en": "campaign", "zh": "活动"},
    "alone": {"en": "alone", "zh": "单独使用"},
    "together": {"en": "together", "zh": "同单使用"},
    "same": {"en": "the same", "zh": "同左"},
    "chosen": {"en": "chosen: {coupons}; ", "zh": "已选{coupons}；"},
    "best": {
        "en": "every combination was tried, none takes more off",
        "zh": "已比较所有组合，没有更优惠的",
    },
    "good": {
        "en": "not every combination was tried, another one may take more off",
        "zh": "未比较所有组合，可能有更优惠的",
    },
}


def print_quote(request: QuoteRequest, response: QuoteResponse, campaigns: Mapping[int, Campaign], lang: Lang) -> None:
    """Print the answer to a quote.

    Args:
        request: What was asked.
        response: The answer, with allocations.
        campaigns: The campaigns of its coupons, by number.
        lang: English or Chinese.
    """
    _QuoteReport(request, response, campaigns, lang).print()


class _QuoteReport:
    """One answer, with the data that is needed to print it."""

    def __init__(
        self, request: QuoteRequest, response: QuoteResponse, campaigns: Mapping[int, Campaign], lang: Lang
    ) -> None:
        self._request = request
        self._response = response
        self._campaigns = campaigns
        self._lang: Lang = lang

    @property
    def _order(self) -> Order:
        return self._request.checkout.order

    def print(self) -> None:
        together = self._response.together
        if together.outcome == v1.OUTCOME_APPROVED:
            count = {"chosen": len(self._response.chosen), "all": len(self._response.alone)}
            more = [_WORDS["of"][self._lang].format_map(count)] if self._request.choose_best else []
            say_approval(_WORDS["would_be"][self._lang], together, self._order, self._lang, *more, *self._moment())
        else:
            say_refusal(together, self._order, self._lang, *self._moment(), zone=self._zone())
        if len(self._response.alone) > 1:
            self._print_coupons()
        if self._response.chosen:
            self._print_choice()
        print_lines(together, self._order, self._lang)

    def _moment(self) -> list[str]:
        if not self._request.HasField("at"):
            return []
        at = local_text(self._request.at, self._zone())
        return [_WORDS["at"][self._lang].format(at=at)]

    def _zone(self) -> dt.tzinfo | None:
        """Return the zone of the campaigns, if they have one in common."""
        zones = {campaign.time_zone for campaign in self._campaigns.values()}
        return ZoneInfo(zones.pop()) if len(zones) == 1 else None

    def _print_coupons(self) -> None:
        headings = [_WORDS[word][self._lang] for word in ("coupon", "campaign", "alone", "together")]
        rows = table(*headings, right=tuple(headings[:1]))
        for alone, together in zip(self._response.alone, self._response.together.verdicts, strict=True):
            by_itself, with_others = self._verdict_text(alone), self._verdict_text(together)
            if with_others == by_itself and alone.outcome != v1.OUTCOME_APPROVED:
                with_others = _WORDS["same"][self._lang]
            # If another token is not valid, the verdict of the whole order has no campaign; the one alone has it.
            rows.add_row(str(alone.token_index + 1), self._named(alone.campaign), by_itself, with_others)
        show(rows)

    def _verdict_text(self, verdict: TokenVerdict) -> str:
        if verdict.outcome == v1.OUTCOME_APPROVED:
            return format_money(-verdict.discount_minor, self._order.currency_code)
        campaign = self._campaigns.get(verdict.campaign)
        zone = ZoneInfo(campaign.time_zone) if campaign else None
        text = shopper_text(verdict, self._response.together.decide_time, self._order, self._lang, zone=zone)
        lacking = missing_text(verdict.detail, self._lang)
        return f"{text} ({lacking})" if lacking else text

    def _named(self, number: int) -> str:
        if not number:
            return ""
        campaign = self._campaigns.get(number)
        return printable(f"{number} {campaign.name}") if campaign else str(number)

    def _print_choice(self) -> None:
        coupons = coupons_words(self._response.chosen, self._lang)
        how = _WORDS["best" if self._response.exhaustive else "good"][self._lang]
        say(_WORDS["chosen"][self._lang].format(coupons=coupons) + how)
