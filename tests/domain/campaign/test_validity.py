"""From when to when a coupon is valid: days by the clock of the zone, rounded in the shopper's favour."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from builders.campaigns import ENDS_AT_MS, campaign_of
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.campaign.campaign import AbsoluteValidity, ClaimValidity
from redemption.domain.campaign.validity import valid_time

HOUR_MS = 3_600_000
DAY_SECONDS = 86_400


def ms(text, zone="UTC"):
    """Unix milliseconds of a local time."""
    moment = datetime.fromisoformat(text)
    return (moment.replace(tzinfo=ZoneInfo(zone)) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def campaign(zone, validity, starts_at_ms=0, ends_at_ms=ENDS_AT_MS):
    return campaign_of(time_zone=zone, validity=validity, starts_at_ms=starts_at_ms, ends_at_ms=ends_at_ms)


def test_without_a_validity_of_its_own_a_coupon_is_valid_as_long_as_its_campaign():
    exact = campaign("UTC", None, 10_000, 20_000)
    odd = campaign("UTC", None, 10_999, 20_001)
    assert [valid_time(promise, 15_000) for promise in (exact, odd)] == [(10, 20), (10, 21)]


def test_an_absolute_validity_is_taken_as_it_is():
    promise = campaign("UTC", AbsoluteValidity(5_000, 90_000), 10_000, 20_000)
    assert valid_time(promise, 15_500) == (5, 90)


def claimed(zone, claim, days, *, wait=0, end_of_day=False):
    """What a claim at a local time gives, as local times."""
    promise = campaign(zone, ClaimValidity(days, wait, end_of_day))
    here = ZoneInfo(zone)
    instants = valid_time(promise, ms(claim, zone))
    return tuple(
        f"{moment:%Y-%m-%d %H:%M:%S}" + (" again" if moment.fold else "")
        for moment in (datetime.fromtimestamp(instant, here) for instant in instants)
    )


@pytest.mark.parametrize(
    ("zone", "claim", "days", "begins", "expires"),
    [
        ("Asia/Shanghai", "2026-11-01 08:30:15", 7, "2026-11-01 08:30:15", "2026-11-08 08:30:15"),
        ("Asia/Kathmandu", "2028-02-28 23:59:59", 1, "2028-02-28 23:59:59", "2028-02-29 23:59:59"),
        # of parts of a second none is lost at either end
        ("Asia/Shanghai", "2026-11-01 08:30:15.001", 7, "2026-11-01 08:30:15", "2026-11-08 08:30:16"),
        ("Asia/Shanghai", "2026-11-01 08:30:15.999", 7, "2026-11-01 08:30:15", "2026-11-08 08:30:16"),
        # over a day of 23 hours, and one of 25
        ("Europe/Berlin", "2026-03-28 12:00:00", 1, "2026-03-28 12:00:00", "2026-03-29 12:00:00"),
        ("Europe/Berlin", "2026-10-24 12:00:00", 1, "2026-10-24 12:00:00", "2026-10-25 12:00:00"),
        # into the hour that is left out: until it is over
        ("Europe/Berlin", "2026-03-28 02:00:00", 1, "2026-03-28 02:00:00", "2026-03-29 03:00:00"),
        ("Europe/Berlin", "2026-03-27 02:30:00", 2, "2026-03-27 02:30:00", "2026-03-29 03:00:00"),
        ("Australia/Lord_Howe", "2026-10-03 02:15:00", 1, "2026-10-03 02:15:00", "2026-10-04 02:30:00"),
        # into the hour that comes twice: until the second time
        ("Europe/Berlin", "2026-10-24 02:30:00", 1, "2026-10-24 02:30:00", "2026-10-25 02:30:00 again"),
        # into the day that is left out
        ("Pacific/Apia", "2011-12-29 15:00:00", 1, "2011-12-29 15:00:00", "2011-12-31 00:00:00"),
        ("Pacific/Apia", "2011-12-29 15:00:00", 2, "2011-12-29 15:00:00", "2011-12-31 15:00:00"),
    ],
)
def test_days_from_the_claim_last_until_the_same_time_of_day(zone, claim, days, begins, expires):
    assert claimed(zone, claim, days) == (begins, expires)


def test_both_claims_of_a_repeated_hour_last_until_the_same_time():
    promise = campaign("Europe/Berlin", ClaimValidity(1))
    first, second = ms("2026-10-25 00:30"), ms("2026-10-25 01:30")
    expires_at = ms("2026-10-26 01:30") // 1000
    assert [valid_time(promise, now) for now in (first, second)] == [
        (first // 1000, expires_at),
        (second // 1000, expires_at),
    ]


@pytest.mark.parametrize(
    ("zone", "claim", "days", "expires"),
    [
        ("Asia/Shanghai", "2026-11-11 00:00:00", 1, "2026-11-12 00:00:00"),  # today only
        ("Asia/Shanghai", "2026-11-11 15:30:00", 1, "2026-11-12 00:00:00"),
        ("Asia/Shanghai", "2026-11-11 23:59:59.999", 1, "2026-11-12 00:00:00"),
        ("Asia/Shanghai", "2026-11-11 15:30:00", 7, "2026-11-18 00:00:00"),
        ("Europe/Berlin", "2026-03-29 01:00:00", 1, "2026-03-30 00:00:00"),
        ("Europe/Berlin", "2026-10-25 02:30:00", 1, "2026-10-26 00:00:00"),
        ("America/Sao_Paulo", "2018-11-03 12:00:00", 1, "2018-11-04 01:00:00"),  # midnight is left out
        ("America/Havana", "2024-11-02 12:00:00", 1, "2024-11-03 00:00:00"),  # midnight comes twice: the first
        ("Pacific/Apia", "2011-12-29 12:00:00", 1, "2011-12-31 00:00:00"),
    ],
)
def test_to_the_end_of_the_day_means_the_day_of_the_claim_is_the_first(zone, claim, days, expires):
    assert claimed(zone, claim, days, end_of_day=True)[1] == expires


@pytest.mark.parametrize(
    ("claim", "wait", "end_of_day", "expected"),
    [
        ("2026-11-11 20:00:00", 3600, False, ("2026-11-11 21:00:00", "2026-11-12 21:00:00")),
        ("2026-11-11 20:00:00.001", 3600, False, ("2026-11-11 21:00:01", "2026-11-12 21:00:01")),
        ("2026-11-11 20:00:00", 3600, True, ("2026-11-11 21:00:00", "2026-11-12 00:00:00")),
        ("2026-11-11 23:30:00", 3600, True, ("2026-11-12 00:30:00", "2026-11-13 00:00:00")),
        # what becomes valid at midnight has the whole day
        ("2026-11-11 22:59:59.001", 3600, True, ("2026-11-12 00:00:00", "2026-11-13 00:00:00")),
    ],
)
def test_days_are_counted_from_the_end_of_the_wait(claim, wait, end_of_day, expected):
    assert claimed("Asia/Shanghai", claim, 1, wait=wait, end_of_day=end_of_day) == expected


def test_a_wait_is_counted_in_hours_that_pass():
    assert claimed("Europe/Berlin", "2026-03-28 20:00:00", 1, wait=DAY_SECONDS)[0] == "2026-03-29 21:00:00"


@pytest.mark.parametrize("end_of_day", [False, True])
def test_no_claim_lasts_beyond_the_campaign(end_of_day):
    promise = campaign("UTC", ClaimValidity(7, 0, end_of_day), 0, ms("2026-11-12 00:00:00") + 1)
    now_ms = ms("2026-11-11 12:00:00")
    assert valid_time(promise, now_ms) == (now_ms // 1000, ms("2026-11-12 00:00:01") // 1000)


def test_a_wait_beyond_the_campaign_leaves_nothing():
    promise = campaign("UTC", ClaimValidity(7, 7200), 0, ms("2026-11-12 00:00:00"))
    not_before, expires_at = valid_time(promise, ms("2026-11-11 23:00:00"))
    assert expires_at < not_before


ZONES = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]


@given(
    zone=st.sampled_from(ZONES),
    now_ms=st.integers(ms("2015-01-01"), ms("2040-01-01")),
    days=st.integers(1, 400),
    wait=st.integers(0, 400) | st.integers(0, 400 * DAY_SECONDS),
    end_of_day=st.booleans(),
)
def test_a_claim_lasts_as_long_as_promised_in_every_zone(zone, now_ms, days, wait, end_of_day):
    not_before, expires_at = valid_time(campaign(zone, ClaimValidity(days, wait, end_of_day)), now_ms)
    begins_ms, here = now_ms + wait * 1000, ZoneInfo(zone)
    if wait:
        assert 0 <= not_before * 1000 - begins_ms < 1000, "never before the wait is over, and at once when it is"
    else:
        assert 0 <= now_ms - not_before * 1000 < 1000, "valid at the very moment of the claim"
    first_day = datetime.fromtimestamp(not_before, here).date()
    if end_of_day:
        last_moment = datetime.fromtimestamp(expires_at - 1, here)
        assert last_moment.date() == first_day + timedelta(days=days - 1)
        assert datetime.fromtimestamp(expires_at, here).date() == first_day + timedelta(days=days)
    else:
        lasts_ms = expires_at * 1000 - begins_ms
        assert abs(lasts_ms - days * DAY_SECONDS * 1000) < HOUR_MS + 1000
        assert expires_at - not_before >= days * DAY_SECONDS - 3600
