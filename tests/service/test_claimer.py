"""Claiming on the real ledger: exact under a rush, bound to the customer, and the same answer for the same request."""

import asyncio
import struct
from collections import Counter
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.keysets import rotated
from builders.times import DAY_MS

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.calendar import local_day
from redemption.domain.campaign.campaign import AbsoluteValidity, CampaignState, ClaimValidity, Offer, RiskSignal
from redemption.domain.campaign.conditions import Conditions
from redemption.domain.errors import InvalidRequest, ItemFailed, LedgerUnavailable, NotFound, WrongState
from redemption.domain.judging.claiming import CLOCK_TOLERANCE_MS, CodeGiven, OfferWanted
from redemption.domain.order import RiskContext
from redemption.domain.outcome import Disposition, Outcome
from redemption.domain.ports.orders import Outdated
from redemption.domain.signed.keyset import KeyState
from redemption.domain.signed.token import TOKEN_LIFE_SECONDS_MAX
from redemption.service.judging_rounds import ROUNDS_MAX

FIFTY = amount_off(0, 50_00)


def now(house):
    return house.ledger.now_ms() // 1000


async def token_of(house, claimed):
    """What the token of an approved claim says."""
    return (await house.inspect(claimed.token)).token


async def claim_records(house, campaign):
    """How many claims are counted, by kind of person: c and p."""
    counted = Counter()
    for key in await house.keys(f"claims:{campaign.number}:*"):
        for field, value in (await house.redis.hgetall(key)).items():
            counted[field[:1].decode()] += struct.unpack(">BI", value)[1]
    return counted


async def numbers(house, campaign):
    """The campaign's counters of issuing as they are stored."""
    fields = ("issued", "claimed", "issued_day", "issued:0")
    return [int(value or 0) for value in await house.redis.hmget(house.key(f"campaign:{campaign.number}"), fields)]


async def test_a_claim_is_one_coupon_bound_to_the_customer(house):
    campaign = await house.campaign(offers=(Offer(FIFTY), Offer(amount_off(0, 30_00))))
    claimed = await house.claim(OfferWanted(campaign.number, 1), "ann")
    token = await token_of(house, claimed)
    assert (claimed.outcome, claimed.disposition) == (Outcome.APPROVED, Disposition.APPROVED)
    assert (token.serial, token.offer_index, token.holder_bound) == (0, 1, True)
    assert (token.not_before, token.expires_at) == (claimed.not_before, claimed.expires_at)
    assert (await house.redeem(claimed.token, customer="bob")).outcome is Outcome.HOLDER_MISMATCH
    assert (await house.redeem(claimed.token)).outcome is Outcome.CUSTOMER_REQUIRED
    assert (await house.redeem(claimed.token, customer="ann")).discount_minor == 30_00


async def test_a_rush_hands_out_exactly_what_there_is(house):
    """4,000 claims by 1,000 customers, one each, for 600 coupons: exactly 600, and nobody has two."""
    campaign = await house.campaign(issued=600, claims_per_customer=1)
    claims = [house.claim(campaign, f"customer-{number % 1000}") for number in range(4000)]
    answers = await asyncio.gather(*claims)
    counted = Counter(answer.outcome for answer in answers)
    assert counted[Outcome.APPROVED] == 600
    assert set(counted) == {Outcome.APPROVED, Outcome.CLAIM_LIMIT, Outcome.ISSUE_LIMIT}
    winners = [number % 1000 for number, answer in enumerate(answers) if answer.outcome is Outcome.APPROVED]
    assert len(set(winners)) == 600
    tokens = [await token_of(house, answer) for answer in answers if answer.outcome is Outcome.APPROVED]
    assert sorted(token.serial for token in tokens) == list(range(600))
    assert await numbers(house, campaign) == [600, 600, 600, 600]
    stats = await house.stats(campaign)
    assert (stats.issued, stats.claimed, stats.redeemed) == (600, 600, 0)
    assert await claim_records(house, campaign) == {"c": 600}
    assert house.ledger.batcher.orders / house.ledger.batcher.calls > 4, "claims travel together"


async def test_claims_travel_with_redeems_and_mints_and_share_their_counters(house):
    campaign = await house.campaign(issued=300, redemptions=40)
    tokens = await house.mint(campaign, 100)
    results = await asyncio.gather(
        *(house.claim(campaign, f"c{number}") for number in range(250)),
        *(house.redeem(token) for token in tokens),
        house.mint(campaign, 20),
    )
    claimed = [result for result in results[:250] if result.outcome is Outcome.APPROVED]
    assert len(claimed) == 180
    serials = [(await token_of(house, result)).serial for result in claimed]
    assert len(set(serials)) == 180
    assert await numbers(house, campaign) == [300, 180, 300, 300]
    used = await asyncio.gather(*(house.redeem(result.token, customer="nobody") for result in claimed[:3]))
    assert {decision.outcome for decision in used} == {Outcome.HOLDER_MISMATCH}
    assert (await house.stats(campaign)).redeemed == 40


async def test_a_claimed_coupon_is_known_within_the_same_call(house):
    """A claim and a redeem of a serial that it issues, in one batch: the redeem sees it, whichever comes first."""
    campaign = await house.campaign()
    await house.claim(campaign)
    early = house.sign(campaign.number, serial=1)
    claimed, decision = await asyncio.gather(house.claim(campaign), house.redeem(early))
    assert (claimed.outcome, decision.outcome) == (Outcome.APPROVED, Outcome.APPROVED)


async def test_the_same_request_gets_the_same_coupon_field_for_field(house):
    campaign = await house.campaign(issued=1, claims_per_customer=1, validity=ClaimValidity(days=3))
    first = await house.claim(campaign, request_id="r")
    await house.set_state(campaign, CampaignState.ENDED)
    house.use(rotated(house.keyset))
    assert await house.claim(campaign, request_id="r") == first
    assert (await house.claim(campaign, request_id="r", risk=RiskContext("d", "192.0.2.7", "p"))) == first
    assert await numbers(house, campaign) == [1, 1, 1, 1]


async def test_a_coupon_of_a_disabled_key_is_signed_again_by_the_primary_one(house):
    """What was claimed is the customer's; only the signature is no longer good."""
    campaign = await house.campaign()
    first = await house.claim(campaign, request_id="r")
    old = house.keyset.primary.id
    house.use(rotated(house.keyset))
    assert await house.claim(campaign, request_id="r") == first
    house.use(house.services_keyset.with_state(old, KeyState.DISABLED))
    again = await house.claim(campaign, request_id="r")
    assert again.token != first.token
    assert (await house.redeem(first.token, customer="ann")).outcome is Outcome.TOKEN_INVALID
    assert (await house.redeem(again.token, customer="ann")).outcome is Outcome.APPROVED
    assert (await token_of(house, again)).serial == 0


@pytest.mark.parametrize(
    "other",
    [
        {"customer": "bob"},
        {"source": OfferWanted(1, 1)},
        {"source": CodeGiven("0" * 16)},
        {"tier": "gold"},
        {"segments": ("s",)},
        {"is_new": True},
        {"person_id": "p"},
        {"customer": ""},
    ],
    ids=repr,
)
async def test_the_same_request_id_with_other_content_is_a_mismatch(house, other):
    campaign = await house.campaign(offers=(Offer(FIFTY), Offer(FIFTY)))
    await house.claim(campaign, request_id="r")
    answer = await house.claim(other.pop("source", campaign), request_id="r", **other)
    assert (answer.outcome, answer.token) == (Outcome.IDEMPOTENCY_MISMATCH, "")
    assert await numbers(house, campaign) == [1, 1, 1, 1]


async def test_one_request_a_hundred_times_at_once_is_one_coupon(house):
    campaign = await house.campaign()
    answers = await asyncio.gather(*(house.claim(campaign, request_id="r") for _ in range(100)))
    assert len(set(answers)) == 1
    assert await numbers(house, campaign) == [1, 1, 1, 1]


async def test_an_id_of_a_claim_is_no_id_for_anything_else(house):
    campaign = await house.campaign()
    claimed = await house.claim(campaign, request_id="r")
    decision = await house.redeem(claimed.token, customer="ann", request_id="r")
    assert decision.outcome is Outcome.IDEMPOTENCY_MISMATCH
    with pytest.raises(NotFound):
        await house.finder.by_request(calling(), house.program, "r")


async def test_a_refusal_is_not_remembered(house):
    campaign = await house.campaign(issued=1)
    await house.claim(campaign, "bob")
    assert (await house.claim(campaign, request_id="r")).outcome is Outcome.ISSUE_LIMIT
    await house.update(campaign, limits=replace(campaign.limits, issued=2))
    assert (await house.claim(campaign, request_id="r")).outcome is Outcome.APPROVED


CONDITIONS = Conditions(tiers=("gold",), segments=("vip",), new_customer_only=True)
WHOLE = {"tier": "gold", "segments": ("vip", "x"), "is_new": True, "person_id": "p"}


@pytest.mark.parametrize(
    ("changes", "state", "who", "outcome"),
    [
        ({}, None, {"customer": ""}, Outcome.CUSTOMER_REQUIRED),
        ({}, None, {"person_id": ""}, Outcome.RISK_CONTEXT_REQUIRED),
        ({"required_risk_signals": (RiskSignal.DEVICE,)}, None, {}, Outcome.RISK_CONTEXT_REQUIRED),
        ({"starts_at_ms": 1}, None, {}, Outcome.CAMPAIGN_NOT_STARTED),
        ({}, CampaignState.PAUSED, {}, Outcome.CAMPAIGN_PAUSED),
        ({}, CampaignState.ENDED, {}, Outcome.CAMPAIGN_ENDED),
        ({"ends_at_ms": -1}, None, {}, Outcome.CAMPAIGN_ENDED),
        ({"validity": None}, None, {}, Outcome.TOKEN_EXPIRED),
        ({}, None, {"tier": "silver"}, Outcome.TIER_REQUIRED),
        ({}, None, {"segments": ("x",)}, Outcome.SEGMENT_REQUIRED),
        ({}, None, {"is_new": None}, Outcome.NEW_CUSTOMER_ONLY),
        ({}, None, {}, Outcome.CLAIM_LIMIT),
    ],
    ids=lambda value: value.name if isinstance(value, Outcome) else "",
)
async def test_the_first_reason_by_precedence_is_told(house, changes, state, who, outcome):
    """In each case, all later reasons of the list hold for the claim as well."""
    present = house.ledger.now_ms()
    if "starts_at_ms" in changes:
        changes = {"starts_at_ms": present + DAY_MS}
    if "ends_at_ms" in changes:
        changes = {"ends_at_ms": present - 1}
    if "validity" in changes:
        hour_ago = present // 1000 * 1000 - 3_600_000
        changes = {"validity": AbsoluteValidity(hour_ago - 1000, hour_ago)}
    campaign = await house.campaign(
        offers=(Offer(FIFTY, conditions=CONDITIONS),), issued=1, claims_per_customer=1, claims_per_person=1
    )
    assert (await house.claim(campaign, **WHOLE)).outcome is Outcome.APPROVED
    if changes:
        campaign = await house.update(campaign, **changes)
    if state is not None:
        await house.set_state(campaign, state)
    answer = await house.claim(campaign, **(WHOLE | who))
    assert answer.outcome is outcome
    if outcome is Outcome.CAMPAIGN_NOT_STARTED:
        assert answer.detail.try_after_ms == present + DAY_MS
    assert await numbers(house, campaign) == [1, 1, 1, 1]


async def test_a_limit_per_person_counts_over_all_accounts(house):
    campaign = await house.campaign(claims_per_person=2)
    claims = [house.claim(campaign, f"account-{number}", person_id="ann") for number in range(50)]
    counted = Counter(answer.outcome for answer in await asyncio.gather(*claims))
    assert counted == {Outcome.APPROVED: 2, Outcome.CLAIM_LIMIT: 48}
    assert (await house.claim(campaign, "account-1", person_id="bob")).outcome is Outcome.APPROVED
    assert await claim_records(house, campaign) == {"c": 3, "p": 3}


async def test_claims_are_counted_before_there_is_a_limit(house):
    campaign = await house.campaign()
    for _ in range(3):
        await house.claim(campaign)
    await house.update(campaign, limits=replace(campaign.limits, claims_per_customer=3))
    assert (await house.claim(campaign)).outcome is Outcome.CLAIM_LIMIT


async def test_a_days_share_comes_again_the_next_day(house):
    campaign = await house.campaign(issued=3, issued_per_day=1)
    first = local_day(campaign.time_zone, house.ledger.now_ms())
    assert (await house.claim(campaign)).outcome is Outcome.APPROVED
    used_up = await house.claim(campaign)
    assert (used_up.outcome, used_up.disposition) == (Outcome.ISSUE_LIMIT, Disposition.TRY_LATER)
    assert used_up.detail.try_after_ms == first.ends_at_ms
    for _ in range(2):
        clock = int(await house.redis.hget(house.key("ledger"), "clock_ms"))
        await house.set_clock(local_day(campaign.time_zone, clock).ends_at_ms)
        assert (await house.claim(campaign)).outcome is Outcome.APPROVED
    sold_out = await house.claim(campaign)
    assert (sold_out.outcome, sold_out.disposition, sold_out.detail) == (Outcome.ISSUE_LIMIT, Disposition.FINAL, None)


async def test_each_offer_has_its_own_quota(house):
    offers = (Offer(FIFTY, issue_quota=2), Offer(FIFTY, issue_quota=1), Offer(FIFTY))
    campaign = await house.campaign(offers=offers, issued=5)
    outcomes = [
        [(await house.claim(OfferWanted(campaign.number, index))).outcome for _ in range(3)] for index in range(3)
    ]
    yes, no = Outcome.APPROVED, Outcome.ISSUE_LIMIT
    assert outcomes == [[yes, yes, no], [yes, no, no], [yes, yes, no]]
    fields = await house.redis.hmget(house.key("campaign:1"), "issued", "issued:0", "issued:1", "issued:2")
    assert fields == [b"5", b"2", b"1", b"2"]


async def test_validity_counts_from_the_claim(house):
    campaign = await house.campaign(validity=ClaimValidity(days=2, wait_seconds=3_600))
    before = now(house)
    claimed = await house.claim(campaign)
    assert before + 3_600 <= claimed.not_before <= now(house) + 3_601
    assert claimed.expires_at - claimed.not_before == 2 * 86_400
    assert (await house.redeem(claimed.token, customer="ann")).outcome is Outcome.TOKEN_NOT_YET_VALID


@pytest.mark.parametrize("wrong_ms", [2 * DAY_MS, 60_000, -60_000])
async def test_validity_counts_by_the_ledgers_clock_and_not_by_the_servers(house, wrong_ms):
    campaign = await house.campaign(validity=ClaimValidity(days=1))
    real = now(house)
    house.ledger._clock.set(house.ledger.now_ms() + wrong_ms)
    claimed = await house.claim(campaign)
    assert abs(claimed.not_before - real) <= CLOCK_TOLERANCE_MS / 1000


async def test_a_coupon_never_outlives_its_key(house):
    long = await house.campaign(ends_at_ms=house.ledger.now_ms() + 900 * DAY_MS)
    claimed = await house.claim(long)
    assert now(house) + TOKEN_LIFE_SECONDS_MAX - 120 < claimed.expires_at <= house.keyset.primary.max_expires_at
    assert (await house.redeem(claimed.token, customer="ann")).outcome is Outcome.APPROVED


def aged(keyset, days):
    """The keyset as it is when its primary key is so many days old."""
    key, *others = keyset.keys
    seconds = round(days * 86_400)
    old = replace(key, created_at=key.created_at - seconds, max_expires_at=key.max_expires_at - seconds)
    return replace(keyset, keys=(old, *others))


def far(house):
    """An end of a campaign that no key reaches."""
    return house.ledger.now_ms() + 900 * DAY_MS


@pytest.mark.parametrize("key_days", [0, 28])
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("promised", [ClaimValidity(400), ClaimValidity(100, wait_seconds=300 * 86_400)])
async def test_the_longest_promise_is_kept_whole(house, promised, zone, key_days):
    """A key signs it for the first weeks of its life, wherever and whenever clocks are set back meanwhile."""
    house.use(aged(house.keyset, key_days))
    campaign = await house.campaign(validity=promised, time_zone=zone, ends_at_ms=far(house))
    (code,) = await house.mint_codes(campaign)
    (minted,) = await house.mint(campaign)
    texts = [minted, (await house.claim(campaign)).token, (await house.claim(code)).token]
    for text in texts:
        token = (await house.inspect(text)).token
        days = (token.expires_at - token.not_before) / 86_400
        assert promised.days - 1 / 24 <= days <= promised.days + 1 / 24 + 2 / 86_400


async def test_a_validity_that_outlives_the_key_is_refused_and_nothing_is_issued(house):
    """With a key that ends before; a newer one mends it."""
    campaign = await house.campaign(validity=ClaimValidity(days=60), ends_at_ms=far(house))
    (code,) = await house.mint_codes(campaign)
    house.use(aged(house.keyset, 380))
    for source in (campaign, code):
        with pytest.raises(WrongState, match="its operator has to create and promote a newer key"):
            await house.claim(source)
    with pytest.raises(WrongState, match="its operator has to create and promote a newer key"):
        await house.mint(campaign)
    assert await numbers(house, campaign) == [1, 0, 1, 1]
    house.use(rotated(house.services_keyset, now=now(house)))
    for claimed in (await house.claim(campaign), await house.claim(code)):
        assert claimed.expires_at - claimed.not_before in (60 * 86_400, 60 * 86_400 + 1)


async def test_a_refusal_is_told_before_the_end_of_the_key(house):
    campaign = await house.campaign(validity=ClaimValidity(days=60), ends_at_ms=far(house))
    house.use(aged(house.keyset, 380))
    assert (await house.claim(campaign, "")).outcome is Outcome.CUSTOMER_REQUIRED


async def test_a_validity_that_the_campaigns_end_cuts_needs_no_newer_key(house):
    ends_at_ms = house.ledger.now_ms() // 1000 * 1000 + 30 * DAY_MS
    campaign = await house.campaign(validity=ClaimValidity(days=60), ends_at_ms=ends_at_ms)
    house.use(aged(house.keyset, 380))
    assert (await house.claim(campaign)).expires_at == ends_at_ms // 1000
    assert len(await house.mint(campaign)) == 1


async def test_a_claim_is_told_again_when_its_key_would_sign_no_new_one(house):
    house.use(aged(house.keyset, 29.5))
    campaign = await house.campaign(validity=ClaimValidity(days=400), ends_at_ms=far(house))
    first = await house.claim(campaign, request_id="r")
    await house.set_clock(house.ledger.now_ms() + DAY_MS)
    await house.claim(campaign, "")  # the server learns of the hour
    with pytest.raises(WrongState, match="newer key"):
        await house.claim(campaign)
    assert await house.claim(campaign, request_id="r") == first
    assert (await house.claim(campaign, "bob", request_id="r")).outcome is Outcome.IDEMPOTENCY_MISMATCH


@pytest.mark.parametrize(
    ("source", "changes", "field"),
    [
        (OfferWanted(0, 0), {}, "offer.campaign"),
        (OfferWanted(1, 1), {}, "offer.offer_index"),
        (OfferWanted(1, 0), {"request_id": "x" * 129}, "request_id"),
        (OfferWanted(1, 0), {"customer": "x" * 129}, "customer.customer_id"),
        (OfferWanted(1, 0), {"tier": "x" * 129}, "customer.tier"),
        (OfferWanted(1, 0), {"person_id": "x" * 129}, "customer.person_id"),
        (OfferWanted(1, 0), {"segments": ("",) * 65}, "customer.segments"),
        (OfferWanted(1, 0), {"segments": ("", "x" * 129)}, "customer.segments[1]"),
        (OfferWanted(1, 0), {"risk": RiskContext(device_id="x" * 129)}, "risk.device_id"),
        (OfferWanted(1, 0), {"risk": RiskContext(network_address="x" * 129)}, "risk.network_address"),
        (OfferWanted(1, 0), {"risk": RiskContext(payment_fingerprint="x" * 129)}, "risk.payment_fingerprint"),
    ],
)
async def test_a_malformed_claim_names_its_field(house, source, changes, field):
    campaign = await house.campaign()
    with pytest.raises(InvalidRequest) as raised:
        await house.claim(source, **changes)
    assert [violation.field for violation in raised.value.violations] == [field]
    assert await numbers(house, campaign) == [0, 0, 0, 0]


async def test_a_campaign_that_is_not_there_is_not_found(house):
    await house.campaign()
    with pytest.raises(NotFound, match="there is no campaign 9"):
        await house.claim(OfferWanted(9, 0))


async def test_a_change_takes_effect_for_every_server_at_once(house, other):
    """Another server's cached definition is outdated: the ledger says so, and it judges again."""
    campaign = await house.campaign()
    assert (await other.claim(campaign)).outcome is Outcome.APPROVED
    await house.set_state(campaign, CampaignState.PAUSED)
    assert other.ledger.campaigns.cached(house.program, campaign.number).state is CampaignState.ACTIVE
    assert (await other.claim(campaign)).outcome is Outcome.CAMPAIGN_PAUSED


@pytest.mark.parametrize("record", [b"", b"\xff" * 5, b"\x01"])
async def test_an_unreadable_record_fails_alone_and_leaves_no_trace(house, record):
    campaign = await house.campaign()
    await house.claim(campaign, "ann")
    (key,) = await house.keys("claims:1:*")
    (field,) = await house.redis.hkeys(key)
    await house.redis.hset(key, field, record)
    results = await asyncio.gather(
        *(house.claim(campaign, name) for name in ("bob", "ann", "eve")), return_exceptions=True
    )
    assert isinstance(results[1], ItemFailed)
    assert [results[0].outcome, results[2].outcome] == [Outcome.APPROVED] * 2
    assert await numbers(house, campaign) == [3, 3, 3, 3]


@pytest.mark.parametrize("field", ["limit_issued", "limit_issued_day", "limit_claims_customer"])
async def test_a_limit_that_cannot_be_read_is_not_taken_for_none(house, field):
    campaign = await house.campaign()
    await house.redis.hset(house.key("campaign:1"), field, "many")
    with pytest.raises(ItemFailed):
        await house.claim(campaign)
    assert await numbers(house, campaign) == [0, 0, 0, 0]


async def test_a_lost_answer_and_a_retry_give_the_same_coupon(house, monkeypatch):
    """The ledger decided, and its reply never arrived: the batcher sends the identical bytes again."""
    campaign = await house.campaign()
    lanes = house.ledger.batcher._lanes
    lost = []
    for lane in lanes:
        real = lane.exchange

        async def losing(packed, seconds_max, lane=lane, real=real):
            replies = await real(packed, seconds_max)
            if not lost:
                lost.append(replies)
                await lane.close()
                raise ConnectionError("lost on the way back")
            return replies

        monkeypatch.setattr(lane, "exchange", losing)
    answer = await house.claim(campaign, request_id="r")
    assert lost
    assert answer == await house.claim(campaign, request_id="r")
    assert (await token_of(house, answer)).serial == 0
    assert await numbers(house, campaign) == [1, 1, 1, 1]


async def test_people_are_not_in_the_ledger(house):
    campaign = await house.campaign(claims_per_person=1)
    await house.claim(campaign, "customer-secret", person_id="person-secret", request_id="request-secret")
    for key in await house.keys():
        kind = await house.redis.type(key)
        dumped = repr(await house.redis.hgetall(key) if kind == b"hash" else await house.redis.xrange(key))
        assert "secret" not in dumped, key


async def test_a_campaign_that_changes_all_the_time_is_unavailable_and_nothing_is_issued(house, monkeypatch):
    campaign = await house.campaign()
    real = house.ledger.issuing.claim

    async def changed(caller, program, item, **rest):
        await house.redis.hincrby(house.key("campaign:1"), "version", 1)
        return await real(caller, program, item, **rest)

    monkeypatch.setattr(house.ledger.issuing, "claim", changed)
    with pytest.raises(LedgerUnavailable, match="change faster"):
        await house.claim(campaign)
    assert await numbers(house, campaign) == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["offer", "code"])
async def test_a_claim_is_judged_as_often_whether_a_code_was_given_or_an_offer(house, monkeypatch, kind):
    """The round that finds out what a code stands for judges nothing, so it comes on top."""
    campaign = await house.campaign()
    source = campaign if kind == "offer" else (await house.mint_codes(campaign))[0]
    ask, asked = house.ledger.issuing.claim, []

    async def outdated(caller, program, item, **rest):
        asked.append(item)
        finding = kind == "code" and len(asked) == 1
        return await ask(caller, program, item, **rest) if finding else (Outdated(house.ledger.now_ms()), ())

    monkeypatch.setattr(house.ledger.issuing, "claim", outdated)
    with pytest.raises(LedgerUnavailable, match="change faster"):
        await house.claim(source)
    assert len(asked) == ROUNDS_MAX + (kind == "code")
