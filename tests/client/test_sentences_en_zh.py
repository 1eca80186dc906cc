"""Sentences: every outcome of the contract has one in both languages, with what would help."""
# ruff: noqa: RUF001 - Chinese sentences have Chinese commas.

import datetime as dt

import pytest
from builders.times import NOW
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.client.sentences_en_zh import CATALOGUE, coupons_words, disposition_words, sentence
from redemption.v1 import outcome_pb2 as v1
from redemption.v1.decision_pb2 import Detail, TokenVerdict

OUTCOMES = [value for value in v1.Outcome.values() if value != v1.OUTCOME_UNSPECIFIED]
ALL_FACTS = Detail(
    missing_minor=30_00,
    missing_quantity=2,
    try_after=Timestamp(seconds=NOW + 600),
    conflicts=[0],
    hold_expire_time=Timestamp(seconds=NOW + 60),
    redeem_time=Timestamp(seconds=NOW - 9),
)


def tell(outcome, lang="en", *, disposition=v1.DISPOSITION_FINAL, now=NOW, **detail):
    verdict = TokenVerdict(outcome=outcome, disposition=disposition, detail=Detail(**detail))
    clock = None if now is None else Timestamp(seconds=now)
    return sentence(verdict, currency_code="CNY", lang=lang, now=clock, zone=dt.UTC)


def test_the_catalogue_has_every_outcome_of_the_contract_and_no_other():
    assert sorted(CATALOGUE) == sorted(OUTCOMES)


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("detail", [Detail(), ALL_FACTS])
def test_every_outcome_has_a_sentence_in_both_languages(outcome, detail):
    verdict = TokenVerdict(outcome=outcome, detail=detail)
    english = sentence(verdict, currency_code="CNY", lang="en", now=Timestamp(seconds=NOW))
    chinese = sentence(verdict, currency_code="CNY", lang="zh", now=Timestamp(seconds=NOW))
    assert english.isascii() or "¥" in english
    assert any("\u4e00" <= char <= "\u9fff" for char in chinese)
    assert "{" not in english + chinese


@pytest.mark.parametrize("texts", CATALOGUE.values())
def test_both_languages_name_the_same_facts_and_the_last_sentence_names_none(texts):
    def names(text):
        return {word.split("}")[0] for word in text.split("{")[1:]}

    assert [names(text.en) for text in texts] == [names(text.zh) for text in texts]
    assert names(texts[-1].en) == set()


@pytest.mark.parametrize(
    ("outcome", "detail", "english", "chinese"),
    [
        (v1.OUTCOME_MIN_SPEND_NOT_MET, {"missing_minor": 30_00}, "¥30.00 more of eligible goods", "再买 ¥30.00 可用"),
        (v1.OUTCOME_MIN_QUANTITY_NOT_MET, {"missing_quantity": 2}, "2 more of eligible goods", "再买 2 件可用"),
        (
            v1.OUTCOME_ALREADY_REDEEMED,
            {"redeem_time": Timestamp(seconds=NOW - 9)},
            "used 9 s ago by another order",
            "9 秒前已被其他订单使用",
        ),
        (
            v1.OUTCOME_ALREADY_REDEEMED,
            {"redeem_time": Timestamp(seconds=NOW - 3600), "same_order": True},
            "used 1 h ago by this order",
            "1 小时前已被本订单使用",
        ),
        (
            v1.OUTCOME_CAMPAIGN_NOT_STARTED,
            {"try_after": Timestamp(seconds=NOW + 7800)},
            "starts in 2 h 10 min",
            "2 小时 10 分钟后开始",
        ),
        (
            v1.OUTCOME_CAMPAIGN_NOT_STARTED,
            {"try_after": Timestamp(seconds=NOW + 10 * 86_400)},
            "starts on 2027-01-25 at 08:00",
            "2027-01-25 08:00 开始",
        ),
        (
            v1.OUTCOME_EXCLUSIVE_CONFLICT,
            {"conflicts": [0, 2]},
            "does not go with coupons 1 and 3 of this order",
            "不能与本单第 1、3 张券同用",
        ),
        (v1.OUTCOME_MIN_QUANTITY_NOT_MET, {"missing_quantity": 1}, "1 more of eligible goods", "再买 1 件可用"),
        (v1.OUTCOME_GROUP_TOO_SMALL, {"missing_quantity": 2}, "2 more to join the group", "还差 2 人成团"),
        (
            v1.OUTCOME_OUTSIDE_WINDOW,
            {"try_after": Timestamp(seconds=NOW + 5400)},
            "outside its hours; works again in 1 h 30 min",
            "不在可用时段，1 小时 30 分钟后可用",
        ),
        (
            v1.OUTCOME_SLOT_LIMIT,
            {"try_after": Timestamp(seconds=NOW + 600)},
            "none left at this time of day; again in 10 min",
            "当前时段无名额，10 分钟后可再用",
        ),
        (
            v1.OUTCOME_BUDGET_EXHAUSTED,
            {"try_after": Timestamp(seconds=NOW + 3600)},
            "today's share of the offer is used up; again in 1 h",
            "今日优惠已用完，1 小时后可再用",
        ),
        (
            v1.OUTCOME_ISSUE_LIMIT,
            {"try_after": Timestamp(seconds=NOW + 3 * 86_400)},
            "handed out for today; more on 2027-01-18 at 08:00",
            "今日已领完，2027-01-18 08:00 可再领",
        ),
        (v1.OUTCOME_ISSUE_LIMIT, {}, "all handed out", "已领完"),
        (v1.OUTCOME_DENYLISTED, {}, "not possible right now", "当前无法使用或领取"),
        (
            v1.OUTCOME_CODE_MISTYPED,
            {},
            "a typing mistake: a character of the code is wrong, missing or too many",
            "兑换码输入有误，请检查是否输错、漏输或多输",
        ),
    ],
)
def test_a_sentence_says_what_would_help(outcome, detail, english, chinese):
    assert (tell(outcome, "en", **detail), tell(outcome, "zh", **detail)) == (english, chinese)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_deny_lists_and_velocity_cannot_be_told_apart(lang):
    """As the server answers them: only velocity limits say when there is room again."""
    denied = tell(v1.OUTCOME_DENYLISTED, lang, disposition=v1.DISPOSITION_FINAL)
    later = {"try_after": Timestamp(seconds=NOW + 60), "disposition": v1.DISPOSITION_TRY_LATER}
    assert denied == tell(v1.OUTCOME_VELOCITY_EXCEEDED, lang, **later)


@pytest.mark.parametrize(
    ("disposition", "english", "chinese"),
    [
        (v1.DISPOSITION_CHANGE_ORDER, "does not fit the order as it is", "当前订单不满足使用条件"),
        (v1.DISPOSITION_UNSPECIFIED, "cannot be used for this order", "此订单不可用"),
        (99, "cannot be used for this order", "此订单不可用"),
    ],
)
def test_an_outcome_of_a_newer_server_is_told_by_its_disposition(disposition, english, chinese):
    assert tell(9999, "en", disposition=disposition) == english
    assert tell(9999, "zh", disposition=disposition) == chinese


@pytest.mark.parametrize(
    ("outcome", "final", "later"),
    [
        (v1.OUTCOME_CAMPAIGN_LIMIT, "all used up", "used up or held by unpaid orders; try again later"),
        (
            v1.OUTCOME_BUDGET_EXHAUSTED,
            "the offer is used up",
            "the rest of the offer is held by unpaid orders; try again later",
        ),
    ],
)
def test_what_is_used_up_says_whether_waiting_helps(outcome, final, later):
    assert tell(outcome) == final
    assert tell(outcome, disposition=v1.DISPOSITION_TRY_LATER) == later


@pytest.mark.parametrize(
    ("indexes", "english", "chinese"),
    [
        ([4], "coupon 5", "第 5 张券"),
        ([0, 1], "coupons 1 and 2", "第 1、2 张券"),
        ([0, 1, 99], "coupons 1, 2 and 100", "第 1、2、100 张券"),
    ],
)
def test_coupons_are_counted_from_one(indexes, english, chinese):
    assert (coupons_words(indexes, "en"), coupons_words(indexes, "zh")) == (english, chinese)


@pytest.mark.parametrize(
    ("currency", "minor", "told"),
    [
        ("CNY", 1, "¥0.01 more of eligible goods"),
        ("CNY", 1_234_567_89, "¥1,234,567.89 more of eligible goods"),
        ("JPY", 300, "¥300 more of eligible goods"),
        ("KWD", 1_250, "KWD 1.250 more of eligible goods"),
    ],
)
def test_what_is_missing_is_told_in_the_orders_currency(currency, minor, told):
    verdict = TokenVerdict(outcome=v1.OUTCOME_MIN_SPEND_NOT_MET, detail=Detail(missing_minor=minor))
    assert sentence(verdict, currency_code=currency) == told


def test_without_a_clock_an_instant_is_told_as_a_date():
    told = tell(v1.OUTCOME_TOKEN_NOT_YET_VALID, now=None, try_after=Timestamp(seconds=NOW + 60))
    assert told == "becomes valid on 2027-01-15 at 08:01"


def test_a_part_of_a_second_is_waited_for():
    told = tell(v1.OUTCOME_CAMPAIGN_NOT_STARTED, try_after=Timestamp(seconds=NOW, nanos=1))
    assert told == "starts in 1 s"


def test_a_disposition_that_is_not_known_is_final():
    assert [disposition_words(99, "en"), disposition_words(99, "zh")] == ["final", "不可用"]
