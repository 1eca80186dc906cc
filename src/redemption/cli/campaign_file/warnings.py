"""Warns of what the server accepts, and what is surely a mistake: no limit at all, 80% in a campaign called 8折."""

import datetime as dt
from collections.abc import Iterator, Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

from redemption.cli.campaign_file.name_promises import FullReduction, promised_basis_points, promised_reductions
from redemption.cli.campaign_file.reading import CampaignFile
from redemption.cli.campaign_file.values import BASIS_POINTS_PER_PERCENT
from redemption.cli.input.instants import local_text
from redemption.cli.input.source_file import FieldPath, Group, Items, Node, Problem, Scalar
from redemption.client import format_money, money_decimal
from redemption.v1 import campaign_pb2 as v1

_DAYS_SEEN = 9
"""Of a longer time every weekday is seen, and a window over midnight that begins on the day before."""
_WIDE_COMMA = "\uff0c"


def file_warnings(read: CampaignFile, *, now: float) -> list[Problem]:
    """Return what is surely a mistake, though the server accepts it; each with its path in the file.

    Args:
        read: The file.
        now: The present, Unix seconds.
    """
    campaign = read.campaign
    return [
        *_time_warnings(campaign, now),
        *_limit_warnings(campaign),
        *_name_warnings(campaign),
        *_spend_warnings(campaign),
        *_hours_warnings(campaign),
        *_comma_warnings(read.source.root, ()),
    ]


def _time_warnings(campaign: v1.Campaign, now: float) -> Iterator[Problem]:
    zone = ZoneInfo(campaign.time_zone)
    absolute = campaign.validity.absolute
    if campaign.end_time.seconds <= now:
        ended = local_text(campaign.end_time, zone)
        yield Problem(("end_time",), f"has passed ({ended}): no coupon can be claimed or used; give a later end")
    elif campaign.validity.HasField("absolute") and absolute.expire_time.seconds <= now:
        ended = local_text(absolute.expire_time, zone)
        problem = f"has passed ({ended}): no coupon is valid any more; give a later time"
        yield Problem(("validity", "absolute", "expire_time"), problem)


# Limits


def _limit_warnings(campaign: v1.Campaign) -> Iterator[Problem]:
    limits, currency = campaign.limits, campaign.currency_code
    if not limits.ListFields() and not any(offer.HasField("issue_quota") for offer in campaign.offers):
        problem = "there are none at all: neither coupons nor money nor uses end; give one, such as budget"
        yield Problem(("limits",), problem)
    for name in ("budget", "budget_per_day"):
        if not limits.HasField(f"{name}_minor"):
            continue
        budget = getattr(limits, f"{name}_minor")
        most, index = max((_most_off(offer), -index) for index, offer in enumerate(campaign.offers))
        if most > budget:
            problem = (
                f"is less than the {format_money(most, currency)} that one coupon of offers[{-index}] can take off; "
                "raise it, or lower the offer"
            )
            yield Problem(("limits", name), f"{problem}; it is {format_money(budget, currency)}")


def _most_off(offer: v1.Offer) -> int:
    """Return the most that one coupon takes off as far as the offer says it, in minor units; 0 if it does not say."""
    match offer.WhichOneof("benefit"):
        case "tiers":
            return max((tier.amount_off_minor or tier.cap_minor for tier in offer.tiers.tiers), default=0)
        case "every_full":
            return offer.every_full.cap_minor or offer.every_full.amount_off_minor
        case "percent_off":
            return offer.percent_off.cap_minor
        case "free_shipping":
            return offer.free_shipping.cap_minor
        case "cash_voucher":
            return offer.cash_voucher.face_minor
    return 0


# Names


def _name_warnings(campaign: v1.Campaign) -> Iterator[Problem]:
    """Yield what contradicts the name of an offer; or, for offers whose names promise nothing, the campaign's name."""
    unnamed_parts: dict[int, FieldPath] = {}
    unnamed_reductions: dict[FullReduction, FieldPath] = {}
    for index, offer in enumerate(campaign.offers):
        parts, reductions = dict(_percents(offer, index)), dict(_reductions(offer, index, campaign.currency_code))
        if promised_basis_points(offer.name):
            yield from _percent_warnings(offer.name, parts)
        else:
            unnamed_parts |= parts
        if promised_reductions(offer.name):
            yield from _reduction_warnings(offer.name, reductions)
        else:
            unnamed_reductions |= reductions
    yield from _percent_warnings(campaign.name, unnamed_parts)
    yield from _reduction_warnings(campaign.name, unnamed_reductions)


def _percent_warnings(name: str, parts: dict[int, FieldPath]) -> Iterator[Problem]:
    promised = promised_basis_points(name)
    if promised and parts and promised.keys().isdisjoint(parts):
        given, path = next(iter(parts.items()))
        part, words = next(iter(promised.items()))
        problem = f"contradicts the name: {words} takes {_percent(part)} off; it is {_percent(given)}"
        yield Problem(path, f"{problem}, which would be taken off; mend one of them")


def _reduction_warnings(name: str, reductions: dict[FullReduction, FieldPath]) -> Iterator[Problem]:
    promised = promised_reductions(name)
    if promised and reductions and promised.keys().isdisjoint(reductions):
        given, path = next(iter(reductions.items()))
        words = next(iter(promised.values()))
        problem = f"contradicts the name, which says {words}: it is {given.off} off from {given.spend} on"
        yield Problem(path, f"{problem}; mend one of them")


def _percents(offer: v1.Offer, index: int) -> Iterator[tuple[int, FieldPath]]:
    path: FieldPath = ("offers", index)
    match offer.WhichOneof("benefit"):
        case "percent_off":
            yield offer.percent_off.basis_points, (*path, "percent_off", "percent")
        case "buy_get":
            yield offer.buy_get.percent_off_basis_points, (*path, "buy_get", "percent")
        case "tiers":
            for number, tier in enumerate(offer.tiers.tiers):
                if tier.HasField("percent_off_basis_points"):
                    yield tier.percent_off_basis_points, (*path, "tiers", number, "percent")


def _reductions(offer: v1.Offer, index: int, currency: str) -> Iterator[tuple[FullReduction, FieldPath]]:
    """Yield each "so much off from so much on" of an offer, with the path of what is taken off."""
    path: FieldPath = ("offers", index)
    least = offer.conditions.min_spend_minor

    def reduction(spend: int, off: int) -> FullReduction:
        return FullReduction(*(Decimal(money_decimal(minor, currency)) for minor in (max(spend, least), off)))

    match offer.WhichOneof("benefit"):
        case "every_full":
            full = offer.every_full
            yield reduction(full.threshold_minor, full.amount_off_minor), (*path, "every_full", "amount_off")
        case "cash_voucher" if least:
            yield reduction(0, offer.cash_voucher.face_minor), (*path, "cash_voucher", "face")
        case "tiers" if offer.tiers.measure != v1.MEASURE_UNITS:
            for number, tier in enumerate(offer.tiers.tiers):
                if tier.HasField("amount_off_minor"):
                    found = reduction(tier.threshold, tier.amount_off_minor)
                    yield found, (*path, "tiers", number, "amount_off")


def _percent(basis_points: int) -> str:
    return f"{basis_points / BASIS_POINTS_PER_PERCENT:g}%"


# Conditions


def _spend_warnings(campaign: v1.Campaign) -> Iterator[Problem]:
    """Yield where more is taken off than has to be spent; the server compares the thresholds of tiers only."""
    for index, offer in enumerate(campaign.offers):
        least, most = offer.conditions.min_spend_minor, 0
        match offer.WhichOneof("benefit"):
            case "cash_voucher":
                most = offer.cash_voucher.face_minor
            case "tiers" if offer.tiers.measure == v1.MEASURE_UNITS or not offer.tiers.tiers[0].threshold:
                most = offer.tiers.tiers[0].amount_off_minor
        if 0 < least < most:
            takes = format_money(most, campaign.currency_code)
            problem = f"is less than the {takes} that is taken off, so the goods cost nothing; raise it, or lower that"
            shown = format_money(least, campaign.currency_code)
            yield Problem(("offers", index, "conditions", "min_spend"), f"{problem}; it is {shown}")


def _hours_warnings(campaign: v1.Campaign) -> Iterator[Problem]:
    """Yield the hours that never come while coupons can be used."""
    zone = ZoneInfo(campaign.time_zone)
    since, until = campaign.start_time.seconds, campaign.end_time.seconds
    if campaign.validity.HasField("absolute"):
        since = max(since, campaign.validity.absolute.not_before.seconds)
        until = min(until, campaign.validity.absolute.expire_time.seconds)
    if since >= until:
        return
    never = "never comes between {} and {}, while coupons can be used; give other hours, or another time".format(
        *(dt.datetime.fromtimestamp(second, zone).strftime("%Y-%m-%d %H:%M") for second in (since, until))
    )
    for index, offer in enumerate(campaign.offers):
        for number, window in enumerate(offer.conditions.windows):
            if not _comes(window.weekdays, window.start_minute, window.end_minute, (since, until), zone):
                yield Problem(("offers", index, "conditions", "windows", number), never)
    for number, slot in enumerate(campaign.limits.slots.slots):
        if not _comes((), slot.start_minute, slot.end_minute, (since, until), zone):
            yield Problem(("limits", "slots", number), never)


def _comes(weekdays: Sequence[int], start_minute: int, end_minute: int, time: tuple[int, int], zone: ZoneInfo) -> bool:
    """Whether hours of the day come within a time, Unix seconds; no weekdays means every day."""
    since, until = time
    first = dt.datetime.fromtimestamp(since, zone).date() - dt.timedelta(days=1)
    length = (end_minute - start_minute) % (24 * 60) or 24 * 60
    for day in (first + dt.timedelta(days=number) for number in range(_DAYS_SEEN)):
        if weekdays and day.isoweekday() not in weekdays:
            continue
        begins = dt.datetime.combine(day, dt.time(), zone) + dt.timedelta(minutes=start_minute)
        ends = begins + dt.timedelta(minutes=length)
        if begins.timestamp() < until and ends.timestamp() > since:
            return True
    return False


def _comma_warnings(node: Node, path: FieldPath) -> Iterator[Problem]:
    """Yield the values of lists that have a full-width comma, which does not part two values."""
    if isinstance(node, Group):
        for name, each in node.fields.items():
            yield from _comma_warnings(each, (*path, name))
    elif isinstance(node, Items):
        for index, each in enumerate(node.nodes):
            if isinstance(each, Scalar) and _WIDE_COMMA in each.text:
                problem = f"is one value, because of its full-width {_WIDE_COMMA!r} (U+FF0C); write ',' between two"
                yield Problem((*path, index), f"{problem} values; it is {each.text[:40]!r}")
            yield from _comma_warnings(each, (*path, index))
