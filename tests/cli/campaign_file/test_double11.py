"""The festival's campaigns on a real server: applied, applied again, changed; and mistakes in them are named."""
# ruff: noqa: E501 - each mistake is one line of the table.

import contextlib
import datetime as dt
import io
import json
import re
import shutil
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from redemption.cli.demo.server import private_server
from redemption.cli.input.order_file import read_checkout
from redemption.cli.root import run

EXAMPLES = Path(__file__).parents[3] / "examples"
DOUBLE11 = sorted((EXAMPLES / "programs" / "double11").glob("*.yaml"))
SHANGHAI = ZoneInfo("Asia/Shanghai")
ORDERS = sorted((EXAMPLES / "orders").glob("*.yaml"))
ANY_DAY, FRIDAY, SATURDAY = -1, 4, 5


@pytest.fixture(scope="module")
def server():
    with private_server() as running:
        yield running


@pytest.fixture
def on_server(command, server):
    """Type a command that asks the real server."""
    return lambda *arguments: command(*arguments, "--server", server.address)


@pytest.fixture(scope="module")
def festival(server, tmp_path_factory):
    """The festival as if it were held now, whenever that is, with one coupon of each campaign."""
    directory = tmp_path_factory.mktemp("festival")
    today = dt.datetime.now(SHANGHAI)
    for file in DOUBLE11:
        text = file.read_text().replace("name: 双11 ", "name: now ", 1)
        for date, days in (("2026-10-20 00:00", -30), ("2026-10-31 20:00", -20), ("2027-11-12 00:00", 300)):
            text = text.replace(date, f"{today + dt.timedelta(days):%Y-%m-%d} 00:00")
        (directory / file.name).write_text(text)
    assert typed("campaigns", "apply", *sorted(directory.iterdir()), "--server", server.address)
    tokens = {}
    for file in sorted(directory.iterdir()):
        name = re.search(r"^name: (.*)$", file.read_text(), re.MULTILINE)[1]
        minted = typed("mint", "--campaign", name, "--count", "1", "--format", "txt", "--server", server.address)
        tokens[file.stem] = minted.strip()
    return tokens


def typed(*arguments):
    """Type a command outside of a test, and return what it says."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert run([str(each) for each in arguments]) == 0
    return said.getvalue()


def quoted(on_server, order, at, *tokens):
    """The verdicts of all together, and the discounts of each alone, in minor units."""
    ended = on_server("quote", *tokens, "--order-file", EXAMPLES / "orders" / f"{order}.yaml", "--at", at, "--json")
    answer = json.loads(ended.out)
    return answer["together"], [int(each.get("discount_minor", 0)) for each in answer["alone"]]


def moment(weekday, time):
    """A time of day, at least two days from now: what is valid from the day after the claim is valid then."""
    day = dt.datetime.now(SHANGHAI) + dt.timedelta(2)
    while weekday not in (ANY_DAY, day.weekday()):
        day += dt.timedelta(1)
    return f"{day:%Y-%m-%d} {time}"


@pytest.mark.parametrize(
    ("coupon", "order", "at", "discount_minor"),
    [
        ("full-200-less-50", "fashion-cart", (ANY_DAY, "12:00"), 50_00),
        ("tiered-full-reduction", "fashion-cart", (ANY_DAY, "12:00"), 180_00),  # 2,039.80 is above 1,000.00
        ("every-300-less-40", "fashion-cart", (ANY_DAY, "12:00"), 200_00),  # six times 40.00, capped
        ("twenty-percent-off", "fashion-cart", (ANY_DAY, "12:00"), 100_00),  # of 2,039.80, capped
        ("three-pieces-20-percent", "fashion-cart", (ANY_DAY, "12:00"), 171_40),  # of 459.00 and 398.00
        ("second-at-half-price", "fashion-cart", (ANY_DAY, "12:00"), 19_95),  # half of 39.90
        ("buy-one-get-one", "fashion-cart", (ANY_DAY, "12:00"), 89_00),  # the masks
        ("any-3-for-99", "fashion-cart", (ANY_DAY, "12:00"), 48_00),  # 147.00 less 99.00
        ("free-shipping", "fashion-cart", (ANY_DAY, "12:00"), 15_00),  # of 30.00, capped
        ("members-5-percent", "fashion-cart", (ANY_DAY, "12:00"), 60_00),  # of 2,139.80, capped
        ("brand-coupon", "fashion-cart", (ANY_DAY, "12:00"), 38_55),  # 15 % of 168.00 and 89.00
        ("shop-coupon", "fashion-cart", (ANY_DAY, "12:00"), 30_00),
        ("cash-vouchers", "fashion-cart", (ANY_DAY, "12:00"), 50_00),
        ("bank-card", "fashion-cart", (ANY_DAY, "12:00"), 80_00),
        ("app-weekend", "fashion-cart", (SATURDAY, "12:00"), 40_00),
        ("app-weekend", "fashion-cart", (FRIDAY, "22:30"), 40_00),
        ("app-weekend", "fashion-cart", (FRIDAY, "21:59"), 0),
        ("flash-price", "small-cart", (ANY_DAY, "20:10"), 200_00),  # 299.00 less 99.00
        ("flash-price", "small-cart", (ANY_DAY, "22:00"), 0),
        ("new-customer", "small-cart", (ANY_DAY, "12:00"), 20_00),
        ("new-customer", "fashion-cart", (ANY_DAY, "12:00"), 0),
        ("free-shipping", "small-cart", (ANY_DAY, "12:00"), 0),  # it goes to Xinjiang
        ("second-at-half-price", "small-cart", (ANY_DAY, "12:00"), 0),  # one bottle alone
        ("group-purchase", "group-purchase", (ANY_DAY, "12:00"), 40_00),  # 20.00 each
    ],
)
def test_each_coupon_takes_off_what_its_file_says(on_server, festival, coupon, order, at, discount_minor):
    """The sums are computed by hand from docs/rules.md."""
    _, alone = quoted(on_server, order, moment(*at), festival[coupon])
    assert alone == [discount_minor]


def test_coupons_of_all_stages_go_together(on_server, festival):
    together, _ = quoted(
        on_server,
        "fashion-cart",
        moment(ANY_DAY, "12:00"),
        *(festival[each] for each in ("second-at-half-price", "buy-one-get-one", "any-3-for-99")),
        *(festival[each] for each in ("shop-coupon", "brand-coupon", "three-pieces-20-percent")),
        *(festival[each] for each in ("members-5-percent", "full-200-less-50", "free-shipping")),
        *(festival[each] for each in ("cash-vouchers", "bank-card")),
    )
    assert together["outcome"] == "OUTCOME_APPROVED"
    # Each on what those before it left: 15 % of the lipstick alone, 20 % of 830.11 for the coat and the jeans.
    expected = [19_95, 89_00, 48_00, 30_00, 25_20, 166_02, 60_00, 50_00, 15_00, 50_00, 80_00]
    assert [int(verdict["discount_minor"]) for verdict in together["verdicts"]] == expected


@pytest.mark.parametrize(
    ("first", "second", "order", "at"),
    [
        ("full-200-less-50", "tiered-full-reduction", "fashion-cart", (ANY_DAY, "12:00")),
        ("full-200-less-50", "every-300-less-40", "fashion-cart", (ANY_DAY, "12:00")),
        ("full-200-less-50", "twenty-percent-off", "fashion-cart", (ANY_DAY, "12:00")),
        ("full-200-less-50", "app-weekend", "fashion-cart", (SATURDAY, "12:00")),
        ("group-purchase", "free-shipping", "group-purchase", (ANY_DAY, "12:00")),
    ],
)
def test_coupons_that_exclude_each_other_say_so(on_server, festival, first, second, order, at):
    together, alone = quoted(on_server, order, moment(*at), festival[first], festival[second])
    assert all(alone)
    assert together["verdicts"][1]["outcome"] == "OUTCOME_EXCLUSIVE_CONFLICT"


@pytest.fixture
def every_field(tmp_path):
    """A file with every field but the number, which only a campaign has that exists already."""
    file = tmp_path / "every_field.yaml"
    file.write_text((Path(__file__).parent / "every_field.yaml").read_text().replace("number: 7 # number\n", ""))
    return file


def edit(file, before, after):
    text = file.read_text()
    assert text.count(before) == 1, before
    file.write_text(text.replace(before, after))
    return text[: text.index(before)].count("\n") + 1


def test_the_festival_is_applied_and_applying_it_again_changes_nothing(on_server):
    ended = on_server("campaigns", "apply", *DOUBLE11)
    assert (ended.code, ended.err) == (0, "")
    *lines, last = ended.out.splitlines()
    assert ([line.split()[0] for line in lines], last) == (["created"] * len(DOUBLE11), f"{len(DOUBLE11)} created")
    *lines, last = on_server("campaigns", "apply", *DOUBLE11).out.splitlines()
    assert ([line.split()[0] for line in lines], last) == (["unchanged"] * len(DOUBLE11), f"{len(DOUBLE11)} unchanged")


def test_an_edited_file_shows_the_difference_and_then_makes_it(on_server, tmp_path):
    file = tmp_path / "flash-price.yaml"
    shutil.copy(EXAMPLES / "programs" / "double11" / file.name, file)
    edit(file, "name: 双11 耳机秒杀价", "name: edited 秒杀价")
    new = ("campaigns", "apply", file, "--create")  # it is like the festival's, which may be live already
    assert on_server(*new, "--dry-run").out.startswith("would be created edited 秒杀价")
    assert on_server(*new).out.startswith("created")
    edit(file, '{from: "21:00", to: "22:00", redemptions: 200}', '{from: "21:00", to: "24:00", redemptions: 500}')
    edit(file, '- {from: "20:00", to: "22:00"}', '- {weekdays: [friday], from: "20:00", to: "24:00"}')
    edit(file, "funding: {merchant: 25%}", "funding: {merchant: 30%}")
    edit(file, "price: 99.00, max_units: 1", "price: 89.00")
    difference = [
        "  offers[0].fixed_price.price: ¥99.00 → ¥89.00",
        "  offers[0].conditions.windows[0].weekdays: not set → friday",
        "  offers[0].conditions.windows[0].to: 22:00 → 24:00",
        "  offers[0].funding.merchant: 25% → 30%",
        "  limits.slots[2].to: 22:00 → 24:00",
        "  limits.slots[2].redemptions: 200 → 500",
        "  offers[0].fixed_price.max_units: 1 → not set",
    ]
    dry = on_server("campaigns", "apply", file, "--dry-run").out.splitlines()
    assert (dry[0].startswith("would be updated"), dry[1:]) == (True, difference)
    done = on_server("campaigns", "apply", file).out.splitlines()
    assert (done[0].startswith("updated"), done[1:]) == (True, difference)
    assert on_server("campaigns", "apply", file).out.startswith("unchanged")


@pytest.mark.parametrize(
    ("before", "after", "field", "problem"),
    [
        ("        cap: 100.00 # offers[0].tiers.tiers[1].cap_minor", "        # without a cap", "offers[0].tiers[1].cap", "is compulsory"),
        ("  - percent_off:\n      percent: 12.5%", "  - percent_off:\n      percent: 120%", "offers[3].percent_off.percent", "must be 0.01% to 100%; it is 120%"),
        ("spend: 500.00", "spend: 300.00", "offers[0].tiers[1].spend", "must be more than the ¥300.00 of tiers[0].spend, because tiers rise; it is ¥300.00"),
        ("  - tiers: # offers[1].tiers.measure\n      - units: 3", "  - tiers: # offers[1].tiers.measure\n      - units: 0", "offers[1].tiers[0].units", "must be 1 to"),
        ("      amount_off: 40.00", "      amount_off: 400.00", "offers[2].every_full.amount_off", "must be at most the ¥300.00 of spend; it is ¥400.00"),
        ("merchant: 33.33%", "merchant: 120%", "offers[0].funding.merchant", "must be 0% to 100%; it is 120%"),
        ("end_time: 2027-11-12 00:00", "end_time: 2026-10-20 20:00", "end_time", "must be later than start_time"),
        ('to: "24:00"', 'to: "20:00"', "offers[0].conditions.windows[0].to", "is the same as from, so it would never be open"),
        ("weekdays: [friday, sunday]", "weekdays: [friday, friday]", "offers[0].conditions.windows[0].weekdays[1]", "is the same as weekdays[0]; name each only once"),
        ('from: "21:00"', 'from: "20:15"', "limits.slots[1].from", "must be at least 20:30, the end of the slot before"),
        ('to: "20:30"', 'to: "19:30"', "limits.slots[0].to", "must be after from, which is 20:00; it is 19:30"),
        ("redemptions: 4 #", "redemptions: 0 #", "limits.slots[1].redemptions", "must not be 0"),
        ("budget_per_day: 500.00", "budget_per_day: 50000.00", "limits.budget_per_day", "must be at most the ¥5,000.00 of budget; it is ¥50,000.00"),
        ("issue_quota: 1000", "issue_quota: 0", "offers[0].issue_quota", "must be 1 to"),
        ("min_group_size: 3", "min_group_size: 0", "offers[0].conditions.min_group_size", "must be"),
        ("days: 7", "days: 500", "validity.from_claim.days", "must be 1 to 400"),
        ("wait: 12 hours", "wait: 9999 days", "validity.from_claim.wait", "must be 0 days to 400 days; it is 9999 days"),
        ("return_window: 15 days", "return_window: 9999 days", "return_window", "must be 0 days to 3650 days; it is 9999 days"),
        ("[device, network, payment, person]", "[device, device]", "required_risk_signals[1]", "is the same as required_risk_signals[0]; name each only once"),
        ("  exclusivity_groups: [big, small]", "  # no groups", "stacking.exclusivity_reach", "can only be given with exclusivity_groups"),
        ("  exclusivity_groups: [big, small]", "  exclusivity_groups: [big, big]", "stacking.exclusivity_groups[1]", "is the same as exclusivity_groups[0]"),
        ("stop_after: true", "stop_after: true # and two tokens", "stacking.max_tokens_per_order", "must be 1, because a second coupon could never be applied"),
        ("base: list", "base: list # with a price", "stacking.base", "must not be list with offers[1]"),
        ("expected_redemption_rate: 50%", "expected_redemption_rate: 150%", "sizing.expected_redemption_rate", "must be 0.01% to 100%; it is 150%"),
        ("time_zone: Asia/Shanghai", "time_zone: Factory", "time_zone", "must be an IANA zone such as Asia/Shanghai"),
        ("currency_code: CNY", "currency_code: RMB", "currency_code", "must be an ISO 4217 code such as CNY; it is 'RMB': did you mean CNY?"),
        ("name: 每个字段 #", 'name: "每个字段 " #', "name", "has a blank at an end; write '每个字段'"),
        ("name: 阶梯 #", "name: 阶\u200b梯 #", "offers[0].name", "has a character that nobody sees, U+200B ZERO WIDTH SPACE, in place 2"),
        ("channels: [app]", 'channels: ["app "]', "offers[0].conditions.channels[0]", "has a blank at an end: no order has it like that, so it would never match; write 'app'"),
    ],
)  # fmt: skip
def test_a_rule_that_is_broken_is_named_with_file_line_and_field(on_server, every_field, before, after, field, problem):
    edit(every_field, before, after)
    ended = on_server("campaigns", "apply", every_field)
    assert (ended.code, ended.out) == (2, "")
    dry = on_server("campaigns", "apply", every_field, "--dry-run")
    assert (dry.code, dry.out, dry.err) == (2, "", ended.err)
    told = [line for line in ended.err.splitlines() if f": {field}: {problem}" in line]
    assert len(told) == 1, ended.err
    # The line that is named is the one on which the value stands, or where it would have to stand.
    number = int(told[0].removeprefix(f"{every_field}:").partition(":")[0])
    name = field.rpartition(".")[2].partition("[")[0]
    lines = every_field.read_text().splitlines()
    assert f"{name}:" in lines[number - 1] or "spend: 500.00" in lines[number - 1]


def test_a_campaign_with_every_field_can_be_applied_once_its_rules_hold(on_server, every_field):
    edit(every_field, "base: list", "base: remaining")
    edit(every_field, "issue_quota: 1000", "issue_quota: 50")
    edit(every_field, "stop_after: true", "stop_after: false")
    edit(every_field, "max_tokens_per_order: 2", "max_tokens_per_order: 1")
    ended = on_server("campaigns", "apply", every_field)
    assert (ended.code, ended.err) == (0, "")
    assert on_server("campaigns", "apply", every_field).out.startswith("unchanged")


def test_a_campaign_is_renamed_by_its_number_and_never_doubled_by_its_name(on_server, tmp_path):
    file = tmp_path / "free-shipping.yaml"
    shutil.copy(EXAMPLES / "programs" / "double11" / file.name, file)
    (name,) = [line.removeprefix("name: ") for line in file.read_text().splitlines() if line.startswith("name: ")]
    edit(file, f"name: {name}", "name: renamed 1")
    number = json.loads(on_server("campaigns", "apply", file, "--create", "--json").out)[0]["number"]
    edit(file, "name: renamed 1", "name: Renamed1")
    ended = on_server("campaigns", "apply", file, "--create")
    assert (ended.code, ended.out) == (2, "")
    assert f": name: 'Renamed1' looks the same as 'renamed 1', the name of campaign {number}; " in ended.err
    edit(file, "name: Renamed1", f"name: Renamed1\nnumber: {number}")
    ended = on_server("campaigns", "apply", file)
    assert (ended.code, ended.out) == (0, f"updated    {number} Renamed1, scheduled\n  name: renamed 1 → Renamed1\n")
    assert on_server("campaigns", "apply", file).out == f"unchanged  {number} Renamed1, scheduled\n"


@pytest.mark.parametrize("file", ORDERS, ids=lambda file: file.name)
def test_the_orders_can_be_read(file):
    assert read_checkout(file).order.lines
