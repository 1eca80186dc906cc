"""What the server accepts and is surely a mistake is warned of, with its line; what may be meant is not."""
# ruff: noqa: E501 - each case is one line of the table.

from pathlib import Path

import pytest

from redemption.cli.campaign_file.reading import read_campaign
from redemption.cli.campaign_file.warnings import file_warnings

NOW = 1_793_500_000
"""2026-11-01 in Shanghai."""
HEAD = """\
name: {name}
currency_code: CNY
time_zone: Asia/Shanghai
start_time: {start}
end_time: {end}
"""
LIMITS = "limits: {budget: 100000.00}\n"
EXAMPLES = Path(__file__).parents[3] / "examples" / "programs"
FULL = "offers:\n  - tiers: [{spend: 200.00, amount_off: 50.00}]\n"
PERCENT = "offers:\n  - percent_off: {percent: 20%, cap: 30.00}\n"


def warned(tmp_path, text):
    file = tmp_path / "campaign.yaml"
    file.write_text(text)
    read = read_campaign(file)
    return [line.removeprefix(f"{file}:") for line in read.source.warnings(file_warnings(read, now=NOW))]


def campaign(body, *, name="plain", start="2026-11-02 00:00", end="2026-11-30 00:00", limits=LIMITS):
    return HEAD.format(name=name, start=start, end=end) + limits + body


WRONG = {
    "no limit at all": (
        campaign(FULL, limits=""),
        "1: warning: limits: there are none at all: neither coupons nor money nor uses end; give one, such as budget",
    ),
    "less money than one coupon takes": (
        campaign(FULL, limits="limits: {budget: 40.00}\n"),
        "6: warning: limits.budget: is less than the ¥50.00 that one coupon of offers[0] can take off; raise it, or lower the offer; it is ¥40.00",
    ),
    "less money a day than one coupon takes": (
        campaign(FULL, limits="limits:\n  budget: 4000.00\n  budget_per_day: 49.99\n"),
        "8: warning: limits.budget_per_day: is less than the ¥50.00",
    ),
    "a cap that is more than the budget": (
        campaign(PERCENT, limits="limits: {budget: 29.00}\n"),
        "6: warning: limits.budget: is less than the ¥30.00",
    ),
    "a face value that is more than the budget": (
        campaign("offers:\n  - tiers: [{spend: 9.00, amount_off: 1.00}]\n  - cash_voucher: {face: 50.00}\n", limits="limits: {budget: 49.00}\n"),
        "6: warning: limits.budget: is less than the ¥50.00 that one coupon of offers[1]",
    ),
    "an end in the past": (
        campaign(FULL, start="2025-11-02 00:00", end="2025-11-12 00:00"),
        "5: warning: end_time: has passed (2025-11-12 00:00 +08:00): no coupon can be claimed or used; give a later end",
    ),
    "a validity in the past": (
        campaign(FULL, start="2025-11-02 00:00") + "validity:\n  absolute:\n    not_before: 2025-11-02 00:00\n    expire_time: 2026-10-31 00:00\n",
        "12: warning: validity.absolute.expire_time: has passed (2026-10-31 00:00 +08:00)",
    ),
    "8折 that takes 80 % off": (
        campaign(PERCENT.replace("20%", "80%"), name="双11 8折券"),
        "8: warning: offers[0].percent_off.percent: contradicts the name: 8折 takes 20% off; it is 80%, which would be taken off; mend one of them",
    ),
    "85折 that takes 85 % off": (
        campaign(PERCENT.replace("20%", "85%"), name="85折"),
        "8: warning: offers[0].percent_off.percent: contradicts the name: 85折 takes 15% off; it is 85%",
    ),
    "an offer's own name": (
        campaign("offers:\n  - name: 9折\n    percent_off: {percent: 20%, cap: 30.00}\n", name="全场8折"),
        "9: warning: offers[0].percent_off.percent: contradicts the name: 9折 takes 10% off; it is 20%",
    ),
    "half a price": (
        campaign("offers:\n  - buy_get: {buy: 1, get: 1, percent: 5%}\n", name="第二件半价"),
        "8: warning: offers[0].buy_get.percent: contradicts the name: 半价 takes 50% off; it is 5%",
    ),
    "a tier of units": (
        campaign("offers:\n  - tiers: [{units: 3, percent: 80%, cap: 9.00}]\n", name="满3件8折"),
        "8: warning: offers[0].tiers[0].percent: contradicts the name: 8折",
    ),
    "another full reduction than the name says": (
        campaign(FULL, name="双11 满300减50"),
        "8: warning: offers[0].tiers[0].amount_off: contradicts the name, which says 满300减50: it is 50.00 off from 200.00 on; mend one of them",
    ),
    "another sum for every full sum": (
        campaign("offers:\n  - every_full: {spend: 300.00, amount_off: 4.00}\n", name="每满300减40"),
        "8: warning: offers[0].every_full.amount_off: contradicts the name, which says 满300减40: it is 4.00 off from 300.00 on",
    ),
    "spend 50, get 60 off": (
        campaign("offers:\n  - cash_voucher: {face: 60.00}\n    conditions: {min_spend: 50.00}\n"),
        "9: warning: offers[0].conditions.min_spend: is less than the ¥60.00 that is taken off, so the goods cost nothing; raise it, or lower that; it is ¥50.00",
    ),
    "spend 50, get 60 off for two pieces": (
        campaign("offers:\n  - tiers: [{units: 2, amount_off: 60.00}]\n    conditions: {min_spend: 50.00}\n"),
        "9: warning: offers[0].conditions.min_spend: is less than the ¥60.00",
    ),
    "a weekday that does not come": (
        campaign(FULL + "    conditions: {windows: [{weekdays: [sunday], from: '20:00', to: '22:00'}]}\n", end="2026-11-05 00:00"),
        "9: warning: offers[0].conditions.windows[0]: never comes between 2026-11-02 00:00 and 2026-11-05 00:00, while coupons can be used; give other hours, or another time",
    ),
    "hours that have passed when it begins": (
        campaign(FULL + "    conditions: {windows: [{from: '08:00', to: '10:00'}]}\n", end="2026-11-02 08:00"),
        "9: warning: offers[0].conditions.windows[0]: never comes",
    ),
    "hours that never come while coupons are valid": (
        campaign(FULL + "    conditions: {windows: [{from: '08:00', to: '10:00'}]}\nvalidity: {absolute: {not_before: 2026-11-03 10:00, expire_time: 2026-11-04 08:00}}\n"),
        "9: warning: offers[0].conditions.windows[0]: never comes between 2026-11-03 10:00 and 2026-11-04 08:00",
    ),
    "a slot that never comes": (
        campaign(FULL, end="2026-11-02 12:00", limits="limits:\n  slots:\n    - {from: '10:00', to: '11:00', redemptions: 5}\n    - {from: '20:00', to: '22:00', redemptions: 5}\n"),
        "9: warning: limits.slots[1]: never comes",
    ),
    "a full-width comma between two values": (
        campaign(FULL + "    conditions: {channels: [app\uff0cweb]}\n"),
        "9: warning: offers[0].conditions.channels[0]: is one value, because of its full-width '\uff0c' (U+FF0C); write ',' between two values; it is 'app\uff0cweb'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "warning"), WRONG.values(), ids=WRONG)
def test_a_sure_mistake_is_warned_of_with_its_line(tmp_path, text, warning):
    (told,) = warned(tmp_path, text)
    assert told.startswith(warning)


RIGHT = {
    "plain": campaign(FULL),
    "a limit for each customer": campaign(FULL, limits="limits: {redemptions_per_customer: 1}\n"),
    "a quota": campaign(FULL + "    issue_quota: 5\n", limits=""),
    "as much money as one coupon takes": campaign(FULL, limits="limits: {budget: 50.00}\n"),
    "8折": campaign(PERCENT, name="8折券"),
    "one of several parts": campaign(
        "offers:\n  - tiers: [{units: 2, percent: 10%, cap: 9.00}, {units: 3, percent: 20%, cap: 9.00}]\n",
        name="3件8折",
    ),
    "several offers, one of which the name speaks of": campaign(
        PERCENT + "  - buy_get: {buy: 1, get: 1, percent: 100%}\n", name="8折 买一送一"
    ),
    "a name that speaks of something else": campaign(FULL, name="8折"),
    "the threshold is a condition": campaign(
        "offers:\n  - cash_voucher: {face: 50.00}\n    conditions: {min_spend: 200.00}\n", name="满200减50"
    ),
    "a fixed price": campaign("offers:\n  - fixed_price: {price: 9.90}\n", name="满200减50 5折"),
    "goods for nothing, once": campaign(
        "offers:\n  - tiers: [{spend: 50.00, amount_off: 50.00}]\n    conditions: {min_spend: 50.00}\n"
    ),
    "any goods": campaign("offers:\n  - cash_voucher: {face: 50.00}\n"),
    "a weekday that comes once": campaign(
        FULL + "    conditions: {windows: [{weekdays: [wednesday], from: '20:00', to: '22:00'}]}\n",
        end="2026-11-05 00:00",
    ),
    "hours over midnight that began before": campaign(
        FULL + "    conditions: {windows: [{weekdays: [sunday], from: '22:00', to: '02:00'}]}\n", end="2026-11-02 01:00"
    ),
    "every weekday in a long time": campaign(
        FULL + "    conditions: {windows: [{weekdays: [sunday], from: '00:00', to: '00:01'}]}\n"
    ),
    "a comma in a name": campaign(FULL, name="满减\uff0c限新客"),
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_what_may_be_meant_is_not_warned_of(tmp_path, text):
    assert warned(tmp_path, text) == []


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda file: file.name)
def test_the_examples_have_no_mistake(file):
    read = read_campaign(file)
    assert file_warnings(read, now=0) == []
