"""Managing campaigns on the real ledger: names, versions, repeated requests, and concurrent changes."""

import asyncio
import secrets
from dataclasses import field, fields, make_dataclass, replace

import pytest
from builders.calls import calling
from builders.campaigns import offer_of
from builders.times import DAY_MS

from redemption.domain.campaign.benefit import CashVoucher, FreeShipping, PercentOff, amount_off
from redemption.domain.campaign.campaign import Campaign, CampaignState, Limits, Offer, Sizing, Stacking, Stage
from redemption.domain.errors import (
    AlreadyExists,
    Conflict,
    InvalidRequest,
    LedgerRefused,
    NotFound,
    RequestIdReused,
    WrongState,
)
from redemption.domain.judging.claiming import OfferWanted
from redemption.domain.outcome import Outcome
from redemption.domain.request_identity import RequestIdentity
from redemption.scheduling.fair_slots import NoSlot
from redemption.service.campaigns import etag


async def test_a_campaign_is_read_as_it_was_created(house):
    definition = house.definition(
        offers=(
            Offer(amount_off(200_00, 50_00), name="a"),
            offer_of(PercentOff(2000, 30_00), min_spend_minor=1),
        ),
        redemptions=10,
        budget_minor=2**53 - 1,
        sizing=Sizing(expected_redemptions=5),
    )
    created = await house.campaigns.create(calling(), "r1", definition)
    assert (created.number, created.version, created.state) == (1, 1, CampaignState.ACTIVE)
    assert await house.campaigns.get(calling(), house.program, 1) == created
    changed_by_creating = {"number": 0, "version": 0, "created_at_ms": 0, "updated_at_ms": 0}
    assert replace(created, **changed_by_creating) == definition


class CountingSlot(NoSlot):
    """Counts the steps of work."""

    steps = 0

    async def drive_small_steps(self, steps):
        while True:
            try:
                next(steps)
            except StopIteration as done:
                return done.value
            self.steps += 1


async def test_definitions_are_checked_in_steps(house):
    """Nothing else runs in a process during a step."""
    definition = house.definition(offers=(Offer(amount_off(200_00, 50_00)),) * 100)
    creating, changing = CountingSlot(), CountingSlot()
    campaign = await house.campaigns.create(calling(), "r1", definition, creating)
    await house.campaigns.update(calling(), campaign, etag(campaign), changing)
    checking = CountingSlot()
    await house.campaigns.check_create(calling(), "r2", replace(definition, name="another"), checking)
    await house.campaigns.check_update(calling(), campaign, "v2", checking)
    assert creating.steps > 100
    assert changing.steps == creating.steps + 1  # what is stored is looked at first
    assert checking.steps == creating.steps + changing.steps


async def test_the_same_creation_gives_the_same_campaign(house):
    definition = house.definition()
    first = await house.campaigns.create(calling(), "r1", definition)
    assert await house.campaigns.create(calling(), "r1", definition) == first
    with pytest.raises(RequestIdReused):
        await house.campaigns.create(calling(), "r1", replace(definition, name="another"))
    assert len((await house.campaigns.list(calling(), house.program, first=1, page_size=10)).campaigns) == 1


async def test_a_field_that_a_later_version_adds_makes_no_other_creation(house):
    """A creation that is repeated across a deployment is still the same, unless it uses the new field."""

    def later(cls):
        """The same class as a later version might have it."""
        fields = [("later_flag", bool, field(default=False)), ("later_limit", int | None, field(default=None))]
        return make_dataclass(cls.__name__, fields, bases=(cls,), frozen=True)

    definition = house.definition(redemptions=10)
    first = await house.campaigns.create(calling(), "r1", definition)
    offers = tuple(later(Offer)(**fields_of(offer)) for offer in definition.offers)
    limits = later(Limits)(**fields_of(definition.limits))
    repeated = later(Campaign)(**fields_of(definition) | {"offers": offers, "limits": limits})
    assert await house.campaigns.create(calling(), "r1", repeated) == first
    other = replace(repeated, limits=replace(limits, later_limit=3))
    with pytest.raises(RequestIdReused):
        await house.campaigns.create(calling(), "r1", other)


def fields_of(value):
    return {each.name: getattr(value, each.name) for each in fields(value)}


@pytest.mark.parametrize(
    "change",
    [
        {"offers": (Offer(FreeShipping(regions=("CN-31",))),)},
        {"offers": (Offer(CashVoucher(50_00)),)},
        {"offers": (Offer(amount_off(200_00, 50_00)), Offer(amount_off(200_00, 50_00)))},
        {"offers": (Offer(amount_off(200_00, 50_00), name="offer"),)},
        {"limits": Limits(issued=10)},
        {"stacking": Stacking(stage=Stage.ITEM)},
        {"return_window_seconds": 0},
    ],
)
async def test_another_definition_is_another_creation(house, change):
    definition = house.definition(redemptions=10)
    await house.campaigns.create(calling(), "r1", definition)
    with pytest.raises(RequestIdReused):
        await house.campaigns.create(calling(), "r1", replace(definition, **change))


async def test_answers_that_change_nothing_leave_the_ledger_trusted(house):
    """Repetitions and refusals must not make the server believe that it saw more than the ledger knows."""
    definition = house.definition()
    campaign = await house.campaigns.create(calling(), "r1", definition)
    await house.campaigns.create(calling(), "r1", definition)
    with pytest.raises(AlreadyExists):
        await house.campaigns.create(calling(), "r2", definition)
    with pytest.raises(Conflict):
        await house.ledger.campaigns.update(replace(campaign, version=7), principal="shop", offers_kept=True)
    (token,) = await house.mint(campaign, 1, request_id="m1")
    await house.mint(campaign, 1, request_id="m1")
    with pytest.raises(RequestIdReused):
        await house.mint(campaign, 2, request_id="m1")
    await house.ledger.check()
    assert house.ledger.health.failure is None
    assert (await house.redeem(token)).outcome == 400


async def test_a_name_belongs_to_one_campaign(house):
    first = await house.campaign(name="double 11")
    with pytest.raises(AlreadyExists, match="campaign 1 has the name"):
        await house.campaign(name="double 11")
    renamed = await house.update(first, name="618")
    second = await house.campaign(name="double 11")
    assert (renamed.number, second.number) == (1, 2)
    with pytest.raises(AlreadyExists):
        await house.update(second, name="618")


ALIKE = ["满200 减50", "满\uff12\uff10\uff10减50", "满200\u00a0减50"]


@pytest.mark.parametrize("alike", ALIKE)
async def test_a_campaign_cannot_have_a_name_that_looks_like_that_of_another(house, alike):
    await house.campaign(name="满200减50")
    other = await house.campaign(name="another")
    definition = house.definition(name=alike)
    for create in (house.campaigns.check_create, house.campaigns.create):
        with pytest.raises(AlreadyExists, match=r"looks the same as '满200减50', the name of campaign 1"):
            await create(calling(), "r", definition)
    for update in (house.campaigns.check_update, house.campaigns.update):
        with pytest.raises(AlreadyExists, match="looks the same"):
            await update(calling(), replace(other, name=alike), etag(other))


async def test_a_renamed_campaign_takes_its_look_along(house):
    """The old name is free for others, whatever its form; the new one is not."""
    first = await house.campaign(name="double 11")
    renamed = await house.update(first, name="Double11")
    renamed = await house.update(renamed, name="618")
    assert (await house.campaign(name="DOUBLE 11")).number == 2
    with pytest.raises(AlreadyExists, match="looks the same as '618'"):
        await house.campaign(name="6 18")
    assert await house.redis.hlen(house.key("names")) == 2 * 2
    assert (await house.update(renamed, limits=Limits(redemptions=1))).name == "618"


async def test_of_many_names_that_look_the_same_one_is_created(house):
    names = ["six18", "SIX18", "Six18", "six 18", "s i x 18"]
    results = await asyncio.gather(*(house.campaign(name=name) for name in names), return_exceptions=True)
    assert sum(isinstance(result, AlreadyExists) for result in results) == len(names) - 1


async def test_what_a_server_of_an_earlier_version_left_of_a_name_is_no_obstacle(house):
    """It renames a campaign, and does not know that what the old name looks like is stored as well."""
    first = await house.campaign(name="double 11")
    await house.redis.hset(house.key("names"), "618", "1")
    await house.redis.hset(house.key("campaign:1"), "name", "618")
    await house.redis.hdel(house.key("names"), "double 11")
    assert (await house.campaign(name="Double 11")).number == 2
    assert (await house.update(first, name="six")).name == "six"
    with pytest.raises(AlreadyExists, match="the name of campaign 2"):
        await house.campaign(name="DOUBLE 11")


async def stored_before(house, **changes):
    """A campaign that was stored before its texts were checked."""
    identity = RequestIdentity("shop", secrets.token_bytes(10), bytes(8))
    return await house.ledger.campaigns.create(house.definition(**changes), identity)


async def test_a_campaign_that_was_stored_with_a_code_that_is_no_currency_is_read_and_changed(house):
    old = await stored_before(house, currency_code="RMB", offers=(offer_of(amount_off(0, 1), channels=("app ",)),))
    assert await house.campaigns.get(calling(), house.program, old.number) == old
    changed = await house.update(old, limits=Limits(redemptions=5))
    (token,) = await house.mint(changed)
    assert (await house.redeem(token)).verdicts[0].outcome is Outcome.CHANNEL_MISMATCH
    assert (await house.set_state(changed, CampaignState.ENDED)).currency_code == "RMB"


async def test_what_is_new_in_a_campaign_that_was_stored_before_is_checked(house):
    old = await stored_before(house, name=" old ", offers=(offer_of(amount_off(0, 1), channels=("app ",)),))
    for change, where in (
        ({"name": "new "}, "campaign.name"),
        ({"offers": (*old.offers, offer_of(amount_off(0, 1), channels=("b ",)))}, "campaign.offers[1].conditions"),
    ):
        with pytest.raises(InvalidRequest, match="has a blank at an end") as raised:
            await house.update(old, **change)
        assert raised.value.violations[0].field.startswith(where)
    assert (await house.update(old, name="new")).name == "new"


async def test_campaigns_that_were_stored_with_names_that_look_the_same_can_be_changed(house):
    one, other = [await stored_before(house, name=name) for name in ("618", "other")]
    await house.redis.hset(house.key("names"), "6 18", other.number)  # as if it had been created so
    await house.redis.hset(house.key(f"campaign:{other.number}"), "name", "6 18")
    other = replace(other, name="6 18")
    changed = await house.update(other, limits=Limits(redemptions=5))
    assert (await house.update(changed, name="six")).name == "six"
    with pytest.raises(AlreadyExists, match=f"the name of campaign {one.number}"):
        await house.campaign(name="6  18")


async def test_an_update_needs_the_current_etag(house):
    campaign = await house.campaign()
    changed = await house.update(campaign, limits=Limits(redemptions=5))
    assert (changed.version, changed.limits.redemptions) == (2, 5)
    with pytest.raises(Conflict):
        await house.update(campaign, limits=Limits(redemptions=6))
    with pytest.raises(InvalidRequest, match=r"campaign\.etag"):
        await house.campaigns.update(calling(), campaign, "")
    lifted = await house.update(changed, limits=Limits())
    assert lifted.limits.redemptions is None


async def test_of_many_updates_at_once_one_wins(house):
    campaign = await house.campaign()
    changes = [replace(campaign, limits=Limits(redemptions=limit)) for limit in range(1, 21)]
    results = await asyncio.gather(
        *(house.campaigns.update(calling(), change, etag(campaign)) for change in changes), return_exceptions=True
    )
    assert sum(isinstance(result, Conflict) for result in results) == 19
    (winner,) = [result for result in results if not isinstance(result, Conflict)]
    assert await house.campaigns.get(calling(), house.program, 1) == winner.campaign


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"currency_code": "USD"}, "campaign.currency_code"),
        ({"time_zone": "UTC"}, "campaign.time_zone"),
        ({"sizing": Sizing(expected_redemptions=7)}, "campaign.sizing"),
    ],
)
async def test_some_things_never_change(house, change, field):
    campaign = await house.campaign()
    with pytest.raises(InvalidRequest) as raised:
        await house.update(campaign, **change)
    assert raised.value.violations[0].field == field


async def test_offers_are_append_only_once_coupons_were_minted(house):
    campaign = await house.campaign()
    dearer = replace(campaign, offers=(Offer(amount_off(200_00, 60_00)),))
    campaign = await house.update(campaign, offers=dearer.offers)
    await house.mint(campaign)
    with pytest.raises(InvalidRequest, match=r"campaign\.offers\[0\]"):
        await house.campaigns.update(calling(), replace(campaign, offers=(Offer(amount_off(1, 1)),)), etag(campaign))
    with pytest.raises(InvalidRequest, match=r"campaign\.offers"):
        await house.update(campaign, offers=())
    other_offers = replace(campaign, offers=(Offer(amount_off(1, 1)),))
    with pytest.raises(Conflict):  # the ledger holds to it by itself, when minting comes in between
        await house.ledger.campaigns.update(other_offers, principal="shop", offers_kept=False)
    more = replace(campaign, offers=(*campaign.offers, Offer(amount_off(1, 1))))
    assert len((await house.update(campaign, offers=more.offers)).offers) == 2


async def test_pause_resume_and_end(house):
    campaign = await house.campaign()
    states = [
        CampaignState.PAUSED,
        CampaignState.PAUSED,
        CampaignState.ACTIVE,
        CampaignState.ENDED,
        CampaignState.ENDED,
    ]
    versions = [(await house.set_state(campaign, state)).version for state in states]
    assert versions == [2, 2, 3, 4, 4]
    with pytest.raises(WrongState):
        await house.set_state(campaign, CampaignState.ACTIVE)
    ended = await house.campaigns.get(calling(), house.program, 1)
    with pytest.raises(WrongState):
        await house.update(ended, name="new")


async def test_lists_come_in_pages(house):
    for _ in range(5):
        await house.campaign()
    first = await house.campaigns.list(calling(), house.program, first=1, page_size=2)
    assert ([campaign.number for campaign in first.campaigns], first.next_number) == ([1, 2], 3)
    last = await house.campaigns.list(calling(), house.program, first=5, page_size=2)
    assert ([campaign.number for campaign in last.campaigns], last.next_number) == ([5], None)
    with pytest.raises(InvalidRequest, match="page_size"):
        await house.campaigns.list(calling(), house.program, first=1, page_size=101)


@pytest.mark.parametrize("page_size", [9, 10, 11, 19, 20, 25, 26, 100])
async def test_a_long_page_is_read_in_parts(house, page_size):
    """Orders wait behind each part, and definitions may be large."""
    count = 25
    for _ in range(count):
        await house.campaign()
    seen, first = [], 1
    while first is not None:
        page = await house.campaigns.list(calling(), house.program, first=first, page_size=page_size)
        assert len(page.campaigns) == min(page_size, count + 1 - first)
        seen += [campaign.number for campaign in page.campaigns]
        first = page.next_number
    assert seen == list(range(1, count + 1))


async def test_what_does_not_exist_is_not_found(house):
    with pytest.raises(NotFound):
        await house.campaigns.get(calling(), house.program, 99)
    with pytest.raises(NotFound):
        await house.campaigns.stats(calling(), house.program, 99)
    with pytest.raises(NotFound):
        await house.campaigns.get(calling(), "another-program", 1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": " "}, "campaign.name"),
        ({"name": "汉" * 43}, "campaign.name"),
        ({"program": "{demo}"}, "campaign.program"),
        ({"currency_code": "yuan"}, "campaign.currency_code"),
        ({"time_zone": "Mars/Olympus"}, "campaign.time_zone"),
        ({"time_zone": "localtime"}, "campaign.time_zone"),
        ({"time_zone": "../../etc/passwd"}, "campaign.time_zone"),
        ({"ends_at_ms": 0}, "campaign.end_time"),
        ({"starts_at_ms": -1}, "campaign.start_time"),
        ({"ends_at_ms": 2**63}, "campaign.end_time"),
        ({"offers": ()}, "campaign.offers"),
        ({"offers": (Offer(amount_off(0, 0)),)}, "campaign.offers[0].tiers.tiers[0].amount_off_minor"),
        ({"offers": (Offer(PercentOff(2000, 0)),)}, "campaign.offers[0].percent_off.cap_minor"),
        ({"offers": (Offer(PercentOff(10_001, 1)),)}, "campaign.offers[0].percent_off.basis_points"),
        ({"redemptions": 0}, "campaign.limits.redemptions"),
        ({"redemptions_per_customer": 65_536}, "campaign.limits.redemptions_per_customer"),
        ({"budget_minor": 2**53}, "campaign.limits.budget_minor"),
    ],
)
async def test_a_bad_definition_names_its_field(house, change, field):
    with pytest.raises(InvalidRequest) as raised:
        await house.campaign(**change)
    assert raised.value.violations[0].field == field
    assert not await house.redis.exists(house.key("campaign:1"))


async def test_a_campaign_key_that_is_there_is_never_overwritten(house):
    """Whatever left a record there: the next free number is taken."""
    await house.campaign()
    await house.redis.hset(house.key("ledger"), "campaigns", 0)
    assert (await house.campaign()).number == 2


async def test_a_budget_that_was_lowered_below_what_is_spent_shows_by_how_much(house):
    campaign = await house.campaign(budget_minor=300_00)
    for token in await house.mint(campaign, 2):
        await house.redeem(token)
    assert (await house.stats(campaign)).budget_left_minor == 200_00
    await house.update(campaign, limits=replace(campaign.limits, budget_minor=70_00))
    stats = await house.stats(campaign)
    assert (stats.discount_minor, stats.budget_left_minor) == (100_00, -30_00)


async def test_stats_of_yesterday_are_not_todays(house):
    campaign = await house.campaign(redemptions=5)
    (token,) = await house.mint(campaign)
    await house.redeem(token)
    assert (await house.stats(campaign)).redeemed_today == 1
    await house.set_clock(house.ledger.now_ms() + DAY_MS)
    stats = await house.stats(campaign)
    assert (stats.redeemed, stats.redeemed_today) == (1, 0)


# Changes, as other servers see them


async def test_a_new_offer_is_there_at_every_server_as_soon_as_the_update_is_answered(house, other):
    """Also at a server that has an older definition cached."""
    campaign = await house.campaign()
    (token,) = await other.mint(campaign)
    assert (await other.redeem(token)).discount_minor == 50_00
    more = (*campaign.offers, Offer(amount_off(100_00, 7_00)), Offer(amount_off(100_00, 8_00)))
    changed = await house.update(campaign, offers=more)
    (second,) = await house.mint(changed, offer_index=1)
    assert len(other.ledger.campaigns.cached(house.program, 1).offers) == 1
    assert (await other.redeem(second)).discount_minor == 7_00


@pytest.mark.parametrize("how", ["mint", "codes", "claim"])
async def test_a_new_offer_is_issued_at_every_server_as_soon_as_the_update_is_answered(house, other, how):
    campaign = await house.campaign()
    await other.campaigns.get(calling(), house.program, 1)
    more = (*campaign.offers, Offer(amount_off(100_00, 7_00)))
    await house.update(campaign, offers=more)
    assert len(other.ledger.campaigns.cached(house.program, 1).offers) == 1
    match how:
        case "mint":
            assert len(await other.mint(campaign, offer_index=1)) == 1
        case "codes":
            assert len(await other.mint_codes(campaign, offer_index=1)) == 1
        case "claim":
            assert (await other.claim(OfferWanted(1, 1))).outcome is Outcome.APPROVED


async def test_an_offer_that_is_nowhere_is_refused(house):
    campaign = await house.campaign()
    with pytest.raises(InvalidRequest, match="offers 0 to 0"):
        await house.mint(campaign, offer_index=1)
    with pytest.raises(InvalidRequest, match="offers 0 to 0"):
        await house.claim(OfferWanted(1, 1))


async def test_a_checked_creation_is_told_as_it_would_be_and_changes_nothing(house):
    """Not even a ledger begins by it; and what is remembered of a request plays no part."""
    definition = house.definition()
    checked = await house.campaigns.check_create(calling(), "r1", definition)
    assert (checked.number, etag(checked)) == (0, "")
    assert replace(checked, created_at_ms=0, updated_at_ms=0) == definition
    assert await house.dump() == {}
    created = await house.campaigns.create(calling(), "r1", definition)
    before = await house.dump()
    another = replace(definition, name="another")
    assert (await house.campaigns.check_create(calling(), "r1", another)).name == "another"
    with pytest.raises(AlreadyExists, match=f"campaign {created.number} has the name"):
        await house.campaigns.check_create(calling(), "r1", definition)
    assert await house.dump() == before
    assert house.ledger.health.failure is None


@pytest.mark.parametrize(
    ("request_id", "changes", "field"),
    [("", {}, "request_id"), ("r", {"currency_code": "yuan"}, "campaign.currency_code")],
)
async def test_a_checked_creation_is_refused_like_a_real_one(house, request_id, changes, field):
    definition = house.definition(**changes)
    campaigns = house.campaigns
    for create in (
        campaigns.check_create(calling(), request_id, definition),
        campaigns.create(calling(), request_id, definition),
    ):
        with pytest.raises(InvalidRequest) as raised:
            await create
        assert [violation.field for violation in raised.value.violations] == [field]
    assert await house.dump() == {}


async def test_a_checked_creation_is_refused_where_no_ledger_may_begin(house, tmp_path):
    async with house.another(tmp_path / "careful", program=f"{house.program}-b", may_create_ledger=False) as careful:
        with pytest.raises(LedgerRefused) as checked:
            await careful.campaigns.check_create(calling(), "r1", careful.definition())
        with pytest.raises(LedgerRefused) as real:
            await careful.campaigns.create(calling(), "r1", careful.definition())
    assert checked.value.message == real.value.message


async def test_a_checked_change_is_told_as_it_would_be_and_changes_nothing(house):
    campaign = await house.campaign()
    await house.set_state(campaign, CampaignState.PAUSED)
    campaign = await house.campaigns.get(calling(), house.program, campaign.number)
    before = await house.dump()
    wanted = replace(campaign, name="renamed", state=CampaignState.ACTIVE)
    checked = (await house.campaigns.check_update(calling(), wanted, etag(campaign))).campaign
    assert (checked.name, checked.state, etag(checked)) == ("renamed", CampaignState.PAUSED, etag(campaign))
    assert (await house.campaigns.check_update(calling(), campaign, etag(campaign))).campaign.name == campaign.name
    assert await house.campaigns.get(calling(), house.program, campaign.number) == campaign
    assert await house.dump() == before
    assert (await house.campaigns.update(calling(), wanted, etag(checked))).campaign.name == "renamed"


@pytest.mark.parametrize(
    ("changes", "presented", "state", "refusal"),
    [
        ({}, "", None, InvalidRequest),
        ({}, "v9", None, Conflict),
        ({"number": 9}, "v1", None, NotFound),
        ({}, None, CampaignState.ENDED, WrongState),
        ({"currency_code": "USD"}, None, None, InvalidRequest),
        ({"offers": (Offer(amount_off(0, 1)),)}, None, None, InvalidRequest),
        ({"name": "taken"}, None, None, AlreadyExists),
    ],
)
async def test_a_checked_change_is_refused_like_a_real_one(house, changes, presented, state, refusal):
    await house.campaign(name="taken")
    campaign = await house.campaign()
    await house.mint(campaign)
    if state is not None:
        campaign = await house.set_state(campaign, state)
    presented = etag(campaign) if presented is None else presented
    before = await house.dump()
    for update in (house.campaigns.check_update, house.campaigns.update):
        with pytest.raises(refusal):
            await update(calling(), replace(campaign, **changes), presented)
    assert await house.dump() == before
