"""Exchange codes on the real ledger: stored before they are shown, returned again, and claimed once."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.keysets import rotated
from builders.times import DAY_MS

from redemption.domain.campaign.campaign import CampaignState, ClaimValidity, RiskSignal
from redemption.domain.errors import InvalidRequest, ItemFailed, LimitReached, RequestIdReused, WrongState
from redemption.domain.outcome import Disposition, Outcome
from redemption.domain.signed.digest import DigestKind
from redemption.domain.signed.exchange_code import CampaignCodes, read_code
from redemption.domain.signed.keyset import KeyState
from redemption.ledger import keys
from redemption.service.claimer import Claimed
from redemption.service.issuer import MintRequest
from redemption.service.revoker import CustomerGiven, SerialsGiven


async def token_of(house, claimed):
    return (await house.inspect(claimed.token)).token


async def stored(house):
    """Every code record of the program, by key and field."""
    found = {}
    for key in await house.keys("code:*"):
        for field, value in (await house.redis.hgetall(key)).items():
            found[key, field] = value
    return found


async def test_a_code_becomes_a_token_of_its_own_serial_once(house):
    campaign = await house.campaign()
    codes = await house.mint_codes(campaign, 3)
    claimed = await house.claim(codes[1], "ann")
    token = await token_of(house, claimed)
    assert (claimed.outcome, token.serial, token.holder_bound) == (Outcome.APPROVED, 1, True)
    assert (await house.claim(codes[1], "bob")).outcome is Outcome.CODE_INVALID
    assert (await house.claim(codes[1], "ann")).outcome is Outcome.CODE_INVALID
    assert (await house.redeem(claimed.token, customer="ann")).outcome is Outcome.APPROVED
    assert (await house.stats(campaign)).issued == 3
    assert await house.redis.hget(house.key("campaign:1"), "claimed") == b"1"


async def test_one_code_is_claimed_by_exactly_one_of_many(house):
    (code,) = await house.mint_codes(await house.campaign())
    answers = await asyncio.gather(*(house.claim(code, f"customer-{number}") for number in range(200)))
    assert Counter(answer.outcome for answer in answers) == {Outcome.APPROVED: 1, Outcome.CODE_INVALID: 199}


async def test_many_codes_at_once_are_each_claimed_once(house):
    codes = await house.mint_codes(await house.campaign(), 300)
    answers = await asyncio.gather(*(house.claim(code, f"c{number}") for number, code in enumerate(codes * 2)))
    assert Counter(answer.outcome for answer in answers) == {Outcome.APPROVED: 300, Outcome.CODE_INVALID: 300}
    serials = [(await token_of(house, answer)).serial for answer in answers if answer.outcome is Outcome.APPROVED]
    assert sorted(serials) == list(range(300))


async def test_the_same_request_gets_the_same_token_also_when_the_request_is_forgotten(house):
    (code,) = await house.mint_codes(await house.campaign())
    first = await house.claim(code, request_id="r")
    assert await house.claim(code.lower().replace("-", " "), request_id="r") == first
    await house.delete("r:*")
    assert await house.claim(code, request_id="r") == first
    assert (await house.claim(code, "bob", request_id="r")).outcome is Outcome.IDEMPOTENCY_MISMATCH


async def test_codes_are_kept_as_digests_only_and_where_the_speller_says(house):
    codes = await house.mint_codes(await house.campaign(), 500)
    records = await stored(house)
    digest = house.claimer._digests.for_program(house.program).digest
    expected = [keys.code(house.program, digest(DigestKind.CODE, read_code(code))) for code in codes]
    assert sorted(records) == sorted(expected)
    assert max(map(len, records.values())) <= 64
    assert len(records) == 500
    for code in codes:
        assert not any(read_code(code) in key + field + value for (key, field), value in records.items())
    await house.claim(codes[0])
    assert max(map(len, (await stored(house)).values())) <= 64


async def test_codes_are_stored_before_they_are_shown(house):
    campaign = await house.campaign()
    order = MintRequest(house.program, "m", campaign.number, 0, 1_200)
    parts = await house.issuer.mint_codes(calling(), order)
    assert (await house.stats(campaign)).issued == 1_200
    assert await stored(house) == {}
    assert len(await anext(parts)) == 500
    assert len(await stored(house)) == 500
    await parts.aclose()


async def test_a_broken_mint_goes_on_with_the_same_codes(house):
    campaign = await house.campaign()
    whole = await house.mint_codes(campaign, 700, request_id="m")
    assert await house.mint_codes(campaign, 700, request_id="m") == whole
    assert await house.mint_codes(campaign, 700, request_id="m", skip=690) == whole[690:]
    assert len(set(whole)) == len(await stored(house)) == 700
    await house.set_state(campaign, CampaignState.ENDED)
    assert await house.mint_codes(campaign, 700, request_id="m") == whole
    with pytest.raises(RequestIdReused):
        await house.mint_codes(campaign, 701, request_id="m")
    with pytest.raises(RequestIdReused):
        await house.mint(campaign, 700, request_id="m")


async def test_storing_again_does_not_give_a_claimed_code_back(house):
    campaign = await house.campaign()
    (code,) = await house.mint_codes(campaign, request_id="m")
    await house.claim(code)
    assert await house.mint_codes(campaign, request_id="m") == [code]
    assert (await house.claim(code, "bob")).outcome is Outcome.CODE_INVALID


async def test_codes_last_over_a_rotation_and_end_with_their_key(house):
    campaign = await house.campaign()
    codes = await house.mint_codes(campaign, 3, request_id="m")
    old = house.keyset.primary.id
    newer = rotated(house.keyset)
    house.use(newer)
    assert await house.mint_codes(campaign, 3, request_id="m") == codes
    claimed = await house.claim(codes[0], request_id="r")
    assert (await token_of(house, claimed)).key_id == newer.primary.id
    house.use(newer.with_state(old, KeyState.DISABLED))
    assert await house.claim(codes[0], request_id="r") == claimed
    assert (await house.claim(codes[1])).outcome is Outcome.CODE_INVALID
    gone = newer.with_state(old, KeyState.DISABLED).with_state(old, KeyState.DESTROY_SCHEDULED)
    house.use(gone.with_state(old, KeyState.DESTROYED))
    with pytest.raises(WrongState, match="destroyed"):
        await house.mint_codes(campaign, 3, request_id="m")


MALFORMED = [
    "",
    "0",
    "0" * 14,
    "0" * 19,
    "code",
    "0" * 14 + "\n",
    "\0" * 17,
    "\u0410" * 17,
    "A" * 64,
    "-" * 1_000_000,
]


async def test_a_malformed_code_is_refused_without_asking_the_ledger(house):
    (code,) = await house.mint_codes(await house.campaign())
    house.ledger._watching.cancel()  # it looks once a second
    before = await house.commands()
    for text in [*MALFORMED, code + "00", code[:-4], code.replace("-", "_")]:
        for customer in ("ann", ""):
            answer = await house.claim(text, customer)
            assert (answer.outcome, answer.detail, answer.token) == (Outcome.CODE_INVALID, None, ""), text
    assert await house.commands() == before


async def test_a_mistyped_code_is_told_as_that_without_asking_the_ledger(house):
    """So it is no guess, and the right code is still good."""
    (code,) = await house.mint_codes(await house.campaign())
    house.ledger._watching.cancel()  # it looks once a second
    before = await house.commands()
    other = "1" if code[-1] == "0" else "0"
    for text in ["0" * 15, "U" * 16, "0" * 16 + "1", code[:-1] + other, code[:1] + code, "U" + code[1:]]:
        for customer in ("ann", ""):
            answer = await house.claim(text, customer)
            assert answer == Claimed(Outcome.CODE_MISTYPED), text
            assert answer.disposition is Disposition.CHANGE_ORDER
    assert await house.commands() == before
    assert (await house.claim(code)).outcome is Outcome.APPROVED


async def test_a_guest_does_not_find_out_which_codes_there_are(house):
    """Unused, used and never minted: the answer is the same, and the ledger is not asked."""
    used, unused = await house.mint_codes(await house.campaign(), 2)
    await house.claim(used)
    house.ledger._watching.cancel()  # it looks once a second
    before = await house.commands()
    for text in (used, unused, unused[:-1], "0000-0000-0000-0000"):
        assert await house.claim(text, "", person_id="p") == Claimed(Outcome.CUSTOMER_REQUIRED), text
    assert await house.commands() == before


async def test_a_code_without_its_check_character_is_good(house):
    """As codes were written before there was one; it is the same request, too."""
    (code,) = await house.mint_codes(await house.campaign())
    answer = await house.claim(code[:-1], request_id="r")
    assert answer.outcome is Outcome.APPROVED
    assert await house.claim(code, request_id="r") == answer


PASTED = [
    lambda code: f"\ufeff{code}\r\n",
    lambda code: f"\u3000{code}\t",
    lambda code: "".join(chr(ord(character) + 0xFEE0) for character in code),
    lambda code: code.replace("-", "\u2013"),
    lambda code: code.replace("-", "\u00a0"),
    "\u200b".join,
]


@pytest.mark.parametrize("paste", PASTED)
async def test_a_code_is_claimed_however_it_was_pasted(house, paste):
    """And it is the same request however it is written."""
    (code,) = await house.mint_codes(await house.campaign())
    answer = await house.claim(paste(code), request_id="r")
    assert answer.outcome is Outcome.APPROVED
    assert await house.claim(code, request_id="r") == answer


async def test_every_code_that_is_not_good_has_one_answer(house, tmp_path):
    """Unknown, used, of another program, of another keyset: nothing tells one from the other."""
    codes = await house.mint_codes(await house.campaign(), 2)
    await house.claim(codes[0])
    async with house.another(tmp_path / "other", program=f"{house.program}-b") as other:
        (foreign,) = await other.mint_codes(await other.campaign())
    answers = [
        await house.claim(code, customer)
        for code in ("0000-0000-0000-0000", "ZZZZ-ZZZZ-ZZZZ-ZZZZ", codes[0], foreign)
        for customer in ("ann", "eve")
    ]
    assert len(set(answers)) == 1
    assert answers[0].outcome is Outcome.CODE_INVALID
    assert (await house.claim(codes[1])).outcome is Outcome.APPROVED


async def test_another_campaign_or_program_makes_other_codes(house, tmp_path):
    """The same serials of another campaign or program."""
    first, second = await house.campaign(), await house.campaign()
    made = [*await house.mint_codes(first, 50), *await house.mint_codes(second, 50)]
    async with house.another(tmp_path / "other", program=f"{house.program}-b") as other:
        made += await other.mint_codes(await other.campaign(), 50)
    assert len(set(made)) == 150


async def test_a_code_is_claimed_by_the_definition_at_hand(house):
    """The definition is neither sent nor read again, however many claim; it is read when it is not cached."""
    campaign = await house.campaign()
    codes = await house.mint_codes(campaign, 3)
    at_hand = house.ledger.campaigns.cached(house.program, campaign.number)
    assert (await house.claim(codes[0])).outcome is Outcome.APPROVED
    assert house.ledger.campaigns.cached(house.program, campaign.number) is at_hand
    house.ledger.campaigns.forget(house.program, campaign.number)
    assert (await house.claim(codes[1])).outcome is Outcome.APPROVED
    assert house.ledger.campaigns.cached(house.program, campaign.number) == at_hand


async def test_a_code_is_judged_by_what_another_server_changed(house, other):
    """Also a code of an offer that was added there."""
    campaign = await house.campaign()
    (code,) = await house.mint_codes(campaign)
    more = await other.update(campaign, offers=campaign.offers * 2)
    (added,) = await other.mint_codes(more, offer_index=1)
    assert (await token_of(house, await house.claim(added))).offer_index == 1
    await other.set_state(campaign, CampaignState.PAUSED)
    assert house.ledger.campaigns.cached(house.program, campaign.number).state is CampaignState.ACTIVE
    assert (await house.claim(code)).outcome is Outcome.CAMPAIGN_PAUSED


async def test_a_code_is_judged_like_a_claim(house):
    campaign = await house.campaign(claims_per_customer=1, required_risk_signals=(RiskSignal.PERSON,))
    codes = await house.mint_codes(campaign, 3)
    who = {"person_id": "p"}
    assert (await house.claim(codes[0], "")).outcome is Outcome.CUSTOMER_REQUIRED
    assert (await house.claim(codes[0])).outcome is Outcome.RISK_CONTEXT_REQUIRED
    await house.set_state(campaign, CampaignState.PAUSED)
    assert (await house.claim(codes[0], **who)).outcome is Outcome.CAMPAIGN_PAUSED
    await house.set_state(campaign, CampaignState.ACTIVE)
    assert (await house.claim(codes[0], **who)).outcome is Outcome.APPROVED
    assert (await house.claim(codes[1], **who)).outcome is Outcome.CLAIM_LIMIT
    assert (await house.claim(campaign, **who)).outcome is Outcome.CLAIM_LIMIT
    assert (await house.claim(codes[1], "bob", **who)).outcome is Outcome.APPROVED


async def test_the_limits_of_issuing_were_counted_when_codes_were_minted(house):
    campaign = await house.campaign(issued=2, issued_per_day=2)
    codes = await house.mint_codes(campaign, 2)
    with pytest.raises(LimitReached, match="can issue 0 more, not 1"):
        await house.mint_codes(campaign)
    assert (await house.claim(campaign)).outcome is Outcome.ISSUE_LIMIT
    assert {(await house.claim(code)).outcome for code in codes} == {Outcome.APPROVED}


async def test_a_revoked_serials_code_says_so(house):
    campaign = await house.campaign()
    codes = await house.mint_codes(campaign, 3)
    await house.revoke(SerialsGiven(1, 1), campaign=campaign.number)
    assert (await house.claim(codes[1])).outcome is Outcome.REVOKED
    await house.revoke(CustomerGiven("eve"), campaign=campaign.number)
    # It would be bound to her and so revoked at once.
    assert (await house.claim(codes[2], "eve")).outcome is Outcome.REVOKED
    assert (await house.claim(codes[2], "ann")).outcome is Outcome.APPROVED
    assert (await house.claim(campaign, "eve")).outcome is Outcome.APPROVED


async def test_validity_of_a_code_counts_from_the_claim(house):
    campaign = await house.campaign(validity=ClaimValidity(days=2))
    (code,) = await house.mint_codes(campaign)
    clock = house.ledger.now_ms() + 5 * DAY_MS
    await house.set_clock(clock)
    claimed = await house.claim(code)
    assert clock // 1000 <= claimed.not_before < clock // 1000 + 60
    assert claimed.expires_at - claimed.not_before in (2 * 86_400, 2 * 86_400 + 1)


async def test_times_that_are_ordered_win_over_the_campaigns(house):
    campaign = await house.campaign(validity=ClaimValidity(days=2))
    until = house.ledger.now_ms() // 1000 + 999
    codes = await house.mint_codes(campaign, 2, expires_at_ms=until * 1000)
    assert (await house.claim(codes[0])).expires_at == until
    await house.set_clock(until * 1000)
    assert (await house.claim(codes[1])).outcome is Outcome.TOKEN_EXPIRED


@pytest.mark.parametrize("given", ["not_before_ms", "expires_at_ms"])
async def test_with_one_time_ordered_the_other_one_counts_from_the_minting(house, given):
    """Of a campaign whose validity counts from the claim: for codes as for tokens."""
    campaign = await house.campaign(validity=ClaimValidity(days=20, wait_seconds=86_400))
    minted_at = house.ledger.now_ms() // 1000
    ordered = minted_at + 10 * 86_400
    (code,) = await house.mint_codes(campaign, **{given: ordered * 1000})
    (text,) = await house.mint(campaign, **{given: ordered * 1000})
    await house.set_clock((minted_at + 5 * 86_400) * 1000)
    token = (await house.inspect(text)).token
    for valid in (token, await house.claim(code)):
        if given == "not_before_ms":
            assert (valid.not_before, abs(valid.expires_at - minted_at - 21 * 86_400) < 60) == (ordered, True)
        else:
            assert (abs(valid.not_before - minted_at - 86_400) < 60, valid.expires_at) == (True, ordered)


async def test_a_collision_is_told_and_overwrites_nothing(house, monkeypatch):
    """Two serials with one code: the first one keeps it, the second one has none, and minting goes on behind it."""
    campaign = await house.campaign()
    (code,) = await house.mint_codes(campaign)
    before = await stored(house)
    real = CampaignCodes.code
    twin = {151: 0}
    monkeypatch.setattr(CampaignCodes, "code", lambda self, serial: real(self, twin.get(serial, serial)))
    order = MintRequest(house.program, "m", campaign.number, 0, 300)
    shown = []

    async def show(order):
        async for part in await house.issuer.mint_codes(calling(), order):
            shown.extend(minted.serial for minted in part)

    with pytest.raises(WrongState, match=r"serial 151 .* skip 151$"):
        await show(order)
    assert shown == list(range(1, 151))
    await show(replace(order, skip=151))
    assert shown == [*range(1, 151), *range(152, 301)]
    records = await stored(house)
    assert len(records) == 300
    assert records.items() >= before.items()
    assert (await token_of(house, await house.claim(code))).serial == 0


@pytest.mark.parametrize("record", [b"", b"\x01", b"\x02" + bytes(48), b"\x03" + bytes(26)])
async def test_an_unreadable_record_fails_alone(house, record):
    codes = await house.mint_codes(await house.campaign(), 2)
    ((key, field), _) = min(
        (item for item in (await stored(house)).items()), key=lambda item: item[1]
    )  # of serial 0: records end alike and begin alike
    await house.redis.hset(key, field, record)
    answers = await asyncio.gather(*(house.claim(code) for code in codes), return_exceptions=True)
    if record[:1] == b"\x02":  # a claim of nobody whom we know: not ours to give again
        assert answers[0].outcome is Outcome.CODE_INVALID
    else:
        assert isinstance(answers[0], ItemFailed)
    assert answers[1].outcome is Outcome.APPROVED


@pytest.mark.parametrize(
    ("change", "field"),
    [({"customer_id": "ann"}, "customer_id"), ({"count": 0}, "count"), ({"expires_at_ms": 1_000}, "expire_time")],
)
async def test_a_bad_order_names_its_field_and_takes_no_serial(house, change, field):
    campaign = await house.campaign()
    with pytest.raises(InvalidRequest) as raised:
        await house.mint_codes(campaign, **change)
    assert raised.value.violations[0].field == field
    assert (await house.stats(campaign)).issued == 0


async def test_a_wait_that_ends_after_the_campaign_is_found_out_before_anything_is_issued(house):
    campaign = await house.campaign(validity=ClaimValidity(days=1, wait_seconds=29 * 86_400))
    (code,) = await house.mint_codes(campaign)
    late = house.ledger.now_ms() + 5 * DAY_MS
    await house.set_clock(late)
    await house.claim(campaign, "")  # the server learns of the hour
    for mint in (house.mint, house.mint_codes):
        with pytest.raises(InvalidRequest, match="never"):
            await mint(campaign)
    assert (await house.claim(campaign)).outcome is Outcome.TOKEN_EXPIRED
    assert (await house.claim(code)).outcome is Outcome.TOKEN_EXPIRED
    assert (await house.stats(campaign)).issued == 1
