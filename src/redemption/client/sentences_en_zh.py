"""The one catalogue of sentences for people, in English and Chinese: what happened to a coupon, and what would help.

The server's answers have types and no sentences. Programs that talk to shoppers take their sentences from here, so that
a checkout, a quote and the command line all say the same.
"""
# ruff: noqa: RUF001 - Chinese sentences have Chinese commas.

import datetime as dt
import string
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from redemption.client.money import format_money
from redemption.v1 import outcome_pb2 as v1
from redemption.v1.decision_pb2 import Detail, TokenVerdict

Lang: TypeAlias = Literal["en", "zh"]

_SECOND, _MINUTE, _HOUR, _DAY = 1, 60, 3600, 86_400


class Text(NamedTuple):
    """One sentence in both languages. It can be used when all the facts that it names in braces are known."""

    en: str
    zh: str

    def in_(self, lang: Lang) -> str:
        """Return it in one language."""
        return self.zh if lang == "zh" else self.en


# Deny lists and velocity limits have the same sentence, so that nobody learns which of them refused the coupon. So it
# names no time: only velocity limits have one. It is said of coupons and of claims.
_NEUTRAL = (Text("not possible right now", "当前无法使用或领取"),)

# The sentences of each outcome: the one with the most facts first; the last one needs no facts.
CATALOGUE: Mapping[int, tuple[Text, ...]] = {
    v1.OUTCOME_TOKEN_INVALID: (Text("not a valid coupon; check it for a typing error", "券码无效，请检查是否输错"),),
    v1.OUTCOME_NOT_EVALUATED: (
        Text(
            "not looked at and not used: another coupon of the order is not valid",
            "同单另一张券无效，此券未判定、未使用",
        ),
    ),
    v1.OUTCOME_DENYLISTED: _NEUTRAL,
    v1.OUTCOME_VELOCITY_EXCEEDED: _NEUTRAL,
    v1.OUTCOME_TOKEN_NOT_YET_VALID: (
        Text("becomes valid {after}", "{after}生效"),
        Text("not valid yet", "尚未生效"),
    ),
    v1.OUTCOME_TOKEN_EXPIRED: (Text("has expired", "已过期"),),
    v1.OUTCOME_CUSTOMER_REQUIRED: (Text("log in to use this coupon", "请登录后使用"),),
    v1.OUTCOME_HOLDER_MISMATCH: (Text("belongs to another customer", "此券属于其他用户"),),
    v1.OUTCOME_RISK_CONTEXT_REQUIRED: (
        Text("the shop's checkout left out something that this coupon needs", "商家系统缺少此券所需的信息"),
    ),
    v1.OUTCOME_REVOKED: (Text("was withdrawn by the shop", "已被商家收回"),),
    v1.OUTCOME_CAMPAIGN_NOT_STARTED: (
        Text("starts {after}", "{after}开始"),
        Text("has not started yet", "活动尚未开始"),
    ),
    v1.OUTCOME_CAMPAIGN_PAUSED: (Text("paused for the moment; try again later", "活动暂停，请稍后再试"),),
    v1.OUTCOME_CAMPAIGN_ENDED: (Text("the campaign is over", "活动已结束"),),
    v1.OUTCOME_OUTSIDE_WINDOW: (
        Text("outside its hours; works again {after}", "不在可用时段，{after}可用"),
        Text("outside its hours", "不在可用时段"),
    ),
    v1.OUTCOME_ALREADY_REDEEMED: (
        Text("used {used} by {this_order}", "{used}已被{this_order}使用"),
        Text("already used by {this_order}", "已被{this_order}使用"),
        Text("used {used} by another order", "{used}已被其他订单使用"),
        Text("already used by another order", "已被其他订单使用"),
    ),
    v1.OUTCOME_RESERVED: (
        Text(
            "held by another order; free again {released} unless that order is paid",
            "其他订单占用中，未付款则{released}释放",
        ),
        Text("held by another order", "其他订单占用中"),
    ),
    v1.OUTCOME_TIER_REQUIRED: (Text("for another membership tier", "仅限指定会员等级"),),
    v1.OUTCOME_SEGMENT_REQUIRED: (Text("for selected customers only", "仅限指定人群"),),
    v1.OUTCOME_NEW_CUSTOMER_ONLY: (Text("for new customers only", "仅限新用户"),),
    v1.OUTCOME_CHANNEL_MISMATCH: (Text("not for orders from this channel", "当前下单渠道不适用"),),
    v1.OUTCOME_STORE_MISMATCH: (Text("not for this store", "当前门店不适用"),),
    v1.OUTCOME_REGION_MISMATCH: (Text("not for this delivery region", "当前收货地区不适用"),),
    v1.OUTCOME_PAYMENT_METHOD_MISMATCH: (Text("not with this payment method", "当前支付方式不适用"),),
    v1.OUTCOME_CURRENCY_MISMATCH: (
        Text("not for orders in {currency}", "不适用于 {currency} 订单"),
        Text("not for orders in this currency", "订单币种不适用"),
    ),
    v1.OUTCOME_SCOPE_MISMATCH: (Text("none of the goods take part", "所购商品均不参与"),),
    v1.OUTCOME_MIN_SPEND_NOT_MET: (
        Text("{missing} more of eligible goods", "再买 {missing} 可用"),
        Text("more of eligible goods is needed", "未达到使用门槛"),
    ),
    v1.OUTCOME_MIN_QUANTITY_NOT_MET: (
        Text("{quantity} more of eligible goods", "再买 {quantity} 件可用"),
        Text("more of eligible goods is needed", "未达到使用件数"),
    ),
    v1.OUTCOME_GROUP_TOO_SMALL: (
        Text("{quantity} more to join the group", "还差 {quantity} 人成团"),
        Text("the group is too small", "拼团人数不足"),
    ),
    v1.OUTCOME_EXCLUSIVE_CONFLICT: (
        Text("does not go with {conflicts} of this order", "不能与本单{conflicts}同用"),
        Text("does not go with another coupon of this order", "不能与本单其他券同用"),
    ),
    v1.OUTCOME_NO_EFFECT: (
        # For an order with nothing left to take off, and for a coupon that would not make a combination better.
        Text("would take nothing more off this order, so it is not used up", "用此券也不会更优惠，因此未使用"),
    ),
    v1.OUTCOME_CUSTOMER_LIMIT: (Text("you have used this offer as often as allowed", "您的使用次数已达上限"),),
    v1.OUTCOME_CUSTOMER_DAY_LIMIT: (
        Text("you have used this as often as allowed today; again {after}", "您今日使用次数已达上限，{after}可再用"),
        Text("you have used this as often as allowed today", "您今日使用次数已达上限"),
    ),
    v1.OUTCOME_DAY_LIMIT: (
        Text("used up for today; again {after}", "今日名额已用完，{after}可再用"),
        Text("used up for today", "今日名额已用完"),
    ),
    v1.OUTCOME_SLOT_LIMIT: (
        # Also used between two slots, when nothing was used up.
        Text("none left at this time of day; again {after}", "当前时段无名额，{after}可再用"),
        Text("none left at this time of day", "当前时段无名额"),
    ),
    v1.OUTCOME_CAMPAIGN_LIMIT: (
        Text("used up or held by unpaid orders; {later}", "名额已用完或被未付款订单占用，{later}"),
        Text("all used up", "名额已用完"),
    ),
    v1.OUTCOME_BUDGET_EXHAUSTED: (
        Text("today's share of the offer is used up; again {after}", "今日优惠已用完，{after}可再用"),
        Text("the rest of the offer is held by unpaid orders; {later}", "剩余优惠被未付款订单占用，{later}"),
        Text("the offer is used up", "活动优惠已用完"),
    ),
    v1.OUTCOME_STACK_REJECTED: (
        Text(
            "fine by itself, not used: another coupon of the order was refused",
            "此券可用；因同单另一张券不可用而未使用",
        ),
    ),
    v1.OUTCOME_APPROVED: (Text("coupon applied", "已享优惠"),),
    v1.OUTCOME_CLAIM_LIMIT: (Text("you have claimed as many as allowed", "您的领取次数已达上限"),),
    v1.OUTCOME_ISSUE_LIMIT: (
        Text("handed out for today; more {after}", "今日已领完，{after}可再领"),
        Text("all handed out", "已领完"),
    ),
    v1.OUTCOME_CODE_INVALID: (
        # Complete: of a code that lacks one character it is often not known that it does.
        Text(
            "not a valid code, or one that was used already; check that it is complete",
            "兑换码无效或已被使用，请检查是否输入完整",
        ),
    ),
    v1.OUTCOME_CODE_MISTYPED: (
        Text(
            "a typing mistake: a character of the code is wrong, missing or too many",
            "兑换码输入有误，请检查是否输错、漏输或多输",
        ),
    ),
    v1.OUTCOME_IDEMPOTENCY_MISMATCH: (
        Text("this request id was used for another request; nothing was done", "请求号已用于其他请求，未做任何操作"),
    ),
    v1.OUTCOME_RESERVATION_NOT_FOUND: (Text("there is no such reservation", "没有此占用记录"),),
    v1.OUTCOME_REDEMPTION_NOT_FOUND: (Text("this order has no such redemption", "该订单没有此核销记录"),),
    v1.OUTCOME_RESERVATION_EXPIRED: (Text("the reservation ran out; order again", "占用已过期，请重新下单"),),
    v1.OUTCOME_REVERSAL_EXCEEDS: (Text("more would be given back than was taken off", "退回金额超过已优惠金额"),),
    v1.OUTCOME_RETURN_WINDOW_CLOSED: (Text("the time for giving it back is over", "已过退回期限"),),
}

# For outcomes that a newer server may send.
_FALLBACKS: Mapping[int, Text] = {
    v1.DISPOSITION_APPROVED: Text("coupon applied", "已享优惠"),
    v1.DISPOSITION_CHANGE_ORDER: Text("does not fit the order as it is", "当前订单不满足使用条件"),
    v1.DISPOSITION_TRY_LATER: Text("cannot be used at the moment; try again later", "暂时无法使用，请稍后再试"),
    v1.DISPOSITION_FINAL: Text("cannot be used for this order", "此订单不可用"),
    v1.DISPOSITION_FIX_CALLER: Text("the shop's checkout sent something wrong", "商家系统请求有误"),
}

_DISPOSITIONS: Mapping[int, Text] = {
    v1.DISPOSITION_APPROVED: Text("approved", "通过"),
    v1.DISPOSITION_CHANGE_ORDER: Text("change the order", "调整订单"),
    v1.DISPOSITION_TRY_LATER: Text("try later", "稍后再试"),
    v1.DISPOSITION_FINAL: Text("final", "不可用"),
    v1.DISPOSITION_FIX_CALLER: Text("fix the caller", "调用有误"),
}


def sentence(
    verdict: TokenVerdict,
    *,
    currency_code: str,
    lang: Lang = "en",
    now: Timestamp | None = None,
    zone: dt.tzinfo | None = None,
) -> str:
    """Return the sentence about one coupon for a person.

    Args:
        verdict: The server's verdict. For an outcome that is not known here, the sentence follows the disposition.
        currency_code: The order's currency.
        lang: English or Chinese.
        now: The decision's ``decide_time``; with it, an instant less than a day away is "in 10 min" or "9 s ago".
        zone: The shopper's zone, for instants that are written as a date; None means the machine's.
    """
    texts = CATALOGUE.get(verdict.outcome)
    if texts is None:
        return _FALLBACKS.get(verdict.disposition, _FALLBACKS[v1.DISPOSITION_FINAL]).in_(lang)
    facts = _facts(verdict.detail, currency_code, lang, now, zone)
    if verdict.disposition == v1.DISPOSITION_TRY_LATER:
        facts["later"] = Text("try again later", "请稍后再试").in_(lang)
    for text in texts:
        template = text.in_(lang)
        if _names(template) <= facts.keys():
            return template.format_map(facts)
    raise AssertionError(f"the last sentence of outcome {verdict.outcome} needs facts")


def disposition_words(disposition: int, lang: Lang = "en") -> str:
    """Return a disposition in a few words; an unknown one counts as final, as the contract says."""
    return _DISPOSITIONS.get(disposition, _DISPOSITIONS[v1.DISPOSITION_FINAL]).in_(lang)


def coupons_words(indexes: Sequence[int], lang: Lang = "en") -> str:
    """Return the tokens at these indexes of a request as people count them, from 1: ``coupons 1, 2 and 5``."""
    numbers = [str(index + 1) for index in indexes]
    if lang == "zh":
        return f"第 {'、'.join(numbers)} 张券"
    before, last = numbers[:-1], numbers[-1]
    return f"coupons {', '.join(before)} and {last}" if before else f"coupon {last}"


def _names(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def _facts(
    detail: Detail, currency_code: str, lang: Lang, now: Timestamp | None, zone: dt.tzinfo | None
) -> dict[str, str]:
    facts = {"currency": currency_code} if currency_code else {}
    if detail.missing_minor:
        facts["missing"] = format_money(detail.missing_minor, currency_code)
    if detail.missing_quantity:
        facts["quantity"] = str(detail.missing_quantity)
    if detail.conflicts:
        facts["conflicts"] = coupons_words(detail.conflicts, lang)
    if detail.same_order:
        facts["this_order"] = Text("this order", "本订单").in_(lang)
    for fact, name in (("after", "try_after"), ("released", "hold_expire_time"), ("used", "redeem_time")):
        if detail.HasField(name):
            facts[fact] = _instant(getattr(detail, name), now, zone, lang)
    return facts


def _instant(instant: Timestamp, now: Timestamp | None, zone: dt.tzinfo | None, lang: Lang) -> str:
    """Return an instant for people: the time until or since it when that is less than a day, else date and time."""
    if now is not None:
        # Rounded up, so that nobody comes back too early.
        seconds = instant.seconds - now.seconds + (instant.nanos > now.nanos)
        if seconds == 0:
            return Text("just now", "刚刚").in_(lang)
        if abs(seconds) < _DAY:
            span = _span(abs(seconds), lang)
            if lang == "zh":
                return f"{span}后" if seconds > 0 else f"{span}前"
            return f"in {span}" if seconds > 0 else f"{span} ago"
    local = dt.datetime.fromtimestamp(instant.seconds, tz=dt.UTC).astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M} " if lang == "zh" else f"on {local:%Y-%m-%d} at {local:%H:%M}"


def _span(seconds: int, lang: Lang) -> str:
    units = {"en": ("h", "min", "s"), "zh": ("小时", "分钟", "秒")}[lang]
    hours, minutes, rest = seconds // _HOUR, seconds % _HOUR // _MINUTE, seconds % _MINUTE
    if hours:
        return f"{hours} {units[0]} {minutes} {units[1]}" if minutes else f"{hours} {units[0]}"
    if minutes:
        return f"{minutes} {units[1]}"
    return f"{rest} {units[2]}"
