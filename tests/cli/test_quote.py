"""``quote``: a cart's result as a table, the request that is sent, and mistyped input."""
# ruff: noqa: E501, RUF001 - what is printed is compared in one piece; Chinese sentences have Chinese commas.

import io
import json

import grpc
import pytest
from cli.answers import NOW, TYPED, TYPED_CHECKOUT, approved, decision, no, off
from fake_server import failing
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.v1 import outcome_pb2 as v1
from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.campaign_service_pb2 import GetCampaignResponse
from redemption.v1.decision_pb2 import Allocation
from redemption.v1.redemption_service_pb2 import QuoteResponse

NAMES = {3: "满200减50", 7: "每满300减40", 12: "云裳店铺券"}
ORDER = """\
order:
  order_id: ord-1
  currency_code: CNY
  lines:
    - {line_id: 茶, quantity: 2, amount_minor: 50000}
    - {line_id: mug, quantity: 1, amount_minor: 3800}
  shipping:
    - {line_id: parcel, amount_minor: 1000}
"""
TEA = Allocation(line_id="茶", amount_minor=80_00, merchant_minor=48_00)
SHOP = (Allocation(line_id="茶", amount_minor=27_88, merchant_minor=27_88), Allocation(line_id="mug", amount_minor=2_12, merchant_minor=2_12))  # fmt: skip


@pytest.fixture
def cart(tmp_path):
    file = tmp_path / "cart.yaml"
    file.write_text(ORDER)
    return file


@pytest.fixture(autouse=True)
def zones(fake):
    """The campaigns' zones, by number; Shanghai by default."""
    told = {}

    def campaign(request, _context):
        number = request.number
        zone = told.get(number, "Asia/Shanghai")
        return GetCampaignResponse(campaign=Campaign(number=number, name=NAMES[number], time_zone=zone))

    fake.answers["GetCampaign"] = campaign
    return told


ALONE = (off(0, 3, 50_00), off(1, 7, 80_00, TEA), off(2, 12, 30_00, *SHOP), no(3, 0, v1.OUTCOME_TOKEN_INVALID, v1.DISPOSITION_FINAL))  # fmt: skip
BEST = QuoteResponse(
    alone=ALONE,
    together=approved(no(0, 3, v1.OUTCOME_EXCLUSIVE_CONFLICT, conflicts=[1]), *ALONE[1:]),
    chosen=[1, 2],
    exhaustive=True,
)


def test_the_best_choice_is_told_with_the_reason_for_every_coupon_left_out(ask, fake, cart):
    """A coupon refused alone has the same reason together, which is not said twice; the merchant's share is beside."""
    fake.answers["Quote"] = BEST
    ended = ask("quote", "A", "B", "C", "D", "--order-file", cart, "--best")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.replace("\N{MINUS SIGN}", "-") == (
        "WOULD BE APPROVED   -¥110.00   pay ¥438.00   2 of 4 coupons\n"
        "coupon   campaign        alone                                             together\n"
        "     1   3 满200减50     -¥50.00                                           does not go with coupon 2 of this order\n"
        "     2   7 每满300减40   -¥80.00                                           -¥80.00\n"
        "     3   12 云裳店铺券   -¥30.00                                           -¥30.00\n"
        "     4                   not a valid coupon; check it for a typing error   the same\n"
        "chosen: coupons 2 and 3; every combination was tried, none takes more off\n"
        "line      amount        off       pay   by merchant   by sponsor\n"
        "茶       ¥500.00   -¥107.88   ¥392.12        ¥75.88       ¥32.00\n"
        "mug       ¥38.00     -¥2.12    ¥35.88         ¥2.12        ¥0.00\n"
        "parcel    ¥10.00      ¥0.00    ¥10.00         ¥0.00        ¥0.00\n"
        "total    ¥548.00   -¥110.00   ¥438.00        ¥78.00       ¥32.00\n"
    )


def test_it_is_told_in_chinese(ask, fake, cart):
    fake.answers["Quote"] = BEST
    ended = ask("quote", "A", "B", "C", "D", "--order-file", cart, "--best", "--lang", "zh")
    lines = ended.out.replace("\N{MINUS SIGN}", "-").splitlines()
    assert lines[:3] == [
        "预计通过   -¥110.00   实付 ¥438.00   4 张券中用 2 张",
        "券   活动            单独使用                   同单使用",
        " 1   3 满200减50     -¥50.00                    不能与本单第 2 张券同用",
    ]
    assert lines[-6:-4] == [
        "已选第 2、3 张券；已比较所有组合，没有更优惠的",
        "行          金额       优惠      实付   商家承担   出资方承担",
    ]
    assert lines[-1].split() == ["合计", "¥548.00", "-¥110.00", "¥438.00", "¥78.00", "¥32.00"]


@pytest.mark.parametrize(
    ("lang", "told"),
    [
        ("en", "chosen: coupon 2; not every combination was tried, another one may take more off"),
        ("zh", "已选第 2 张券；未比较所有组合，可能有更优惠的"),
    ],
)
def test_a_choice_that_is_not_exhaustive_says_so(ask, fake, cart, lang, told):
    response = QuoteResponse(alone=ALONE, together=approved(*ALONE[:2]), chosen=[1])
    response.together.verdicts.extend(ALONE[2:])
    fake.answers["Quote"] = response
    assert told in ask("quote", "A", "B", "C", "D", "--order-file", cart, "--best", "--lang", lang).out.splitlines()


def test_one_coupon_on_one_line_is_one_line(ask, fake):
    """No merchant pays a share here, and no other coupon can be combined with it."""
    verdict = off(0, 3, 98_00, Allocation(line_id="1", amount_minor=98_00))
    fake.answers["Quote"] = QuoteResponse(alone=[verdict], together=approved(verdict))
    ended = ask("quote", "A", "--order", "1", "--spend", "510")
    assert ended.out == "WOULD BE APPROVED   \N{MINUS SIGN}¥98.00   pay ¥412.00\n"


def test_a_refusal_is_told_by_its_reason(ask, fake):
    short = no(0, 3, v1.OUTCOME_MIN_SPEND_NOT_MET, missing_minor=12_00)
    fine = off(1, 12, 30_00)
    together = (short, no(1, 12, v1.OUTCOME_STACK_REJECTED))
    fake.answers["Quote"] = QuoteResponse(
        alone=[short, fine],
        together=decision(v1.OUTCOME_MIN_SPEND_NOT_MET, v1.DISPOSITION_CHANGE_ORDER, *together),
    )
    ended = ask("quote", "A", "B", "--order", "1", "--spend", "188")
    assert ended.code == 1
    assert ended.out.replace("\N{MINUS SIGN}", "-") == (
        "MIN_SPEND_NOT_MET (change the order)   ¥12.00 more of eligible goods\n"
        "coupon   campaign        alone                           together\n"
        "     1   3 满200减50     ¥12.00 more of eligible goods   the same\n"
        "     2   12 云裳店铺券   -¥30.00                         fine by itself, not used: another coupon of the order was refused\n"
    )


LACKING = no(0, 3, v1.OUTCOME_RISK_CONTEXT_REQUIRED, v1.DISPOSITION_FIX_CALLER, missing_signals=[4, 2])


@pytest.mark.parametrize(
    ("verdicts", "lang", "line", "told"),
    [
        ([LACKING], "en", 0, "needs   missing: risk.network_address, customer.person_id"),
        ([LACKING], "zh", 0, "信息   缺少：risk.network_address, customer.person_id"),
        ([LACKING, no(1, 3, v1.OUTCOME_STACK_REJECTED)], "en", 2, "needs (missing: risk.network_address, customer.person_id)   the same"),
    ],
)  # fmt: skip
def test_a_risk_signal_that_is_missing_is_named(ask, fake, cart, verdicts, lang, line, told):
    together = decision(v1.OUTCOME_RISK_CONTEXT_REQUIRED, v1.DISPOSITION_FIX_CALLER, *verdicts)
    fake.answers["Quote"] = QuoteResponse(alone=verdicts, together=together)
    cart.write_text(ORDER + "risk: {device_id: d}\n")
    lines = ask("quote", "A", "--order-file", cart, "--lang", lang).out.splitlines()
    assert lines[0].startswith("RISK_CONTEXT_REQUIRED")
    assert lines[line].endswith(told)


def test_what_was_typed_is_what_is_asked(ask, fake):
    fake.answers["Quote"] = BEST
    ask("quote", *TYPED, "--best", "--at", "2026-11-11T20:30+08:00", "--json")
    (request,) = fake.asked["Quote"]
    assert json_format.MessageToDict(request, preserving_proto_field_name=True) == {
        "checkout": TYPED_CHECKOUT,
        "choose_best": True,
        "at": "2026-11-11T12:30:00Z",
        "with_allocations": True,
    }
    assert fake.asked["GetCampaign"] == []  # programs need no names


def test_json_is_the_answer_of_the_contract(ask, fake, cart):
    fake.answers["Quote"] = BEST
    ended = ask("quote", "A", "B", "C", "D", "--order-file", cart, "--best", "--json")
    assert json_format.Parse(ended.out, QuoteResponse()) == BEST
    assert json.loads(ended.out)["chosen"] == [1, 2]
    assert ended.code == 0


def early():
    """Not valid before 2026-11-21 07:16 in Shanghai."""
    return no(
        0, 3, v1.OUTCOME_TOKEN_NOT_YET_VALID, v1.DISPOSITION_TRY_LATER, try_after=Timestamp(seconds=1_795_216_560)
    )


@pytest.mark.parametrize("at", ["2026-11-11 20:30", "2026-11-11T12:30Z"])
def test_another_moment_is_meant_and_told_in_the_campaigns_zone(ask, fake, at):
    together = decision(v1.OUTCOME_TOKEN_NOT_YET_VALID, v1.DISPOSITION_TRY_LATER, early())
    fake.answers["Quote"] = QuoteResponse(alone=[early()], together=together)
    ended = ask("quote", "A", "--order", "1", "--spend", "1", "--at", at)
    assert fake.asked["Quote"][-1].at == Timestamp(seconds=NOW)
    assert ended.out == (
        "TOKEN_NOT_YET_VALID (try later)   becomes valid on 2026-11-21 at 07:16   at 2026-11-11 20:30 +08:00\n"
    )


def test_a_local_time_needs_an_offset_where_the_campaigns_are_in_several_zones(ask, fake, zones):
    zones[7] = "Europe/Berlin"
    fake.answers["Quote"] = BEST
    ended = ask("quote", "A", "--order", "1", "--spend", "1", "--at", "2026-11-11 20:30")
    told = "--at: the coupons' campaigns are in Asia/Shanghai and Europe/Berlin; add an offset, such as 2026-11-11 20:30+08:00"
    assert (ended.code, ended.out, ended.err) == (2, "", f"redemption: {told}\n")


def test_a_local_time_of_tokens_of_no_campaign_hides_nothing(ask, fake):
    invalid = no(0, 0, v1.OUTCOME_TOKEN_INVALID, v1.DISPOSITION_FINAL)
    fake.answers["Quote"] = QuoteResponse(
        alone=[invalid], together=decision(v1.OUTCOME_TOKEN_INVALID, v1.DISPOSITION_FINAL, invalid)
    )
    ended = ask("quote", "A", "--order", "1", "--spend", "1", "--at", "2026-11-11 20:30")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.startswith("TOKEN_INVALID (final)   not a valid coupon; check it for a typing error   at ")


@pytest.mark.parametrize(
    "text",
    ["A\nB\n\n  C \n", "token,serial\nA,1\nB,2\nC,3\n", "\ufeffA\r\nB\r\nC"],
    ids=["lines", "as minted", "from Windows"],
)
def test_a_wallet_is_a_file(ask, fake, tmp_path, text):
    fake.answers["Quote"] = BEST
    file = tmp_path / "coupons.txt"
    file.write_bytes(text.encode())
    ask("quote", "Z", "--tokens-file", file, "--order", "1", "--spend", "1", "--json")
    assert fake.asked["Quote"][0].checkout.tokens == ["Z", "A", "B", "C"]


def test_a_wallet_can_come_from_standard_input(ask, fake, monkeypatch):
    fake.answers["Quote"] = BEST
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"A\nB\n")))
    ask("quote", "--tokens-file", "-", "--order", "1", "--spend", "1", "--json")
    assert fake.asked["Quote"][0].checkout.tokens == ["A", "B"]


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"A\n\xff\n", "2: is not UTF-8 text; save the file as UTF-8"), (b"A\n" * 40_000, " is larger than 64 KiB")],
)
@pytest.mark.parametrize("piped", [False, True])
def test_a_file_that_is_no_wallet_is_one_line(command, tmp_path, monkeypatch, content, told, piped):
    file = tmp_path / "coupons.txt"
    file.write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    ended = command("quote", "--tokens-file", "-" if piped else file, "--order", "1", "--spend", "1")
    assert (ended.code, ended.out, ended.err) == (2, "", f"{'standard input' if piped else file}:{told}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--order", "1", "--spend", "1"), "there are no coupons: give TOKENs, or --tokens-file FILE"),
        (("A", "--spend", "1"), "--order is missing: give --order ID --spend SUM, or --order-file FILE"),
        (
            ("A", "--order", "1", "--order-file", "f"),
            "--order and --order-file exclude each other: the file has the whole order",
        ),
        (
            ("A", "--order", "1", "--spend", "1", "--at", "2027-13-01"),
            "--at: must be a date and a time such as 2026-06-18 20:00, or with an offset 2026-06-18T20:00+08:00; '2027-13-01' is not in the calendar",
        ),
        (
            ("A", "--order", "1", "--spend", "1", "--at", "20:30"),
            "--at: must be a date and a time such as 2026-06-18 20:00, or with an offset 2026-06-18T20:00+08:00; 20:30 is a time of day alone",
        ),
    ],
)
def test_a_mistake_is_one_line(command, arguments, told):
    ended = command("quote", *arguments)
    assert (ended.code, ended.out, ended.err) == (2, "", f"redemption: {told}\n")


def test_a_server_that_is_too_busy_is_one_line(ask, fake):
    fake.answers["Quote"] = failing(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "64 quotes are waiting already", reason="OVERLOADED"
    )
    ended = ask("quote", "A", "--order", "1", "--spend", "1")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "redemption: RESOURCE_EXHAUSTED: 64 quotes are waiting already\n"
