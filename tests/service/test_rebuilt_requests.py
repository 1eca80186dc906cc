"""A request that a shop builds anew before it sends it again is still the same request, and gets its first answer."""

from dataclasses import replace

from builders.calls import calling
from builders.orders import line_of

from redemption.domain.campaign.benefit import FreeShipping, amount_off
from redemption.domain.campaign.campaign import Offer, Stacking, Stage
from redemption.domain.campaign.conditions import Conditions, Scope
from redemption.domain.order import Customer, Shipping
from redemption.domain.outcome import Outcome
from redemption.domain.signed.digest import DigestKind
from redemption.ledger.wire.orders import pack_answer, unpack_request
from redemption.service.earlier_content import earlier_checkout_content, earlier_claim_content
from redemption.service.idempotency import request_digest

LINES = (
    line_of(120_00, line_id="soap", sku="s", categories=("care", "bath", "home")),
    line_of(80_00, line_id="mask", sku="m", categories=("care", "face")),
    line_of(60_01, line_id="comb", sku="c"),
)
FEES = (Shipping("van", 9_00), Shipping("bike", 6_00))
CARE = Conditions(include=Scope(categories=("care",)))


async def attempt_of(house):
    """An attempt with three coupons, whose discounts fall on some lines and on the fees."""
    off = await house.campaign(offers=(Offer(amount_off(100_00, 33_33), conditions=CARE),))
    free = await house.campaign(offers=(Offer(FreeShipping()),), stacking=Stacking(stage=Stage.PAYMENT))
    all_off = await house.campaign(offers=(Offer(amount_off(100_00, 20_00), merchant_basis_points=5_000),))
    tokens = [token for campaign in (off, free, all_off) for token in await house.mint(campaign)]
    attempt = house.attempt(*tokens, customer="ann", lines=LINES)
    checkout = attempt.checkout
    buyer = replace(checkout.customer, segments=("student", "staff", "early"))
    return replace(attempt, checkout=replace(checkout, order=replace(checkout.order, shipping=FEES), customer=buyer))


def with_order(checkout, **changes):
    return replace(checkout, order=replace(checkout.order, **changes))


def with_segments(checkout, *segments):
    return replace(checkout, customer=replace(checkout.customer, segments=segments))


def with_first_line(checkout, **changes):
    first, *others = checkout.order.lines
    return with_order(checkout, lines=(replace(first, **changes), *others))


def by_token(attempt, decision):
    """The verdict on each token, its allocations by line."""
    return {
        token: (replace(verdict, allocations=()), {each.line_id: each for each in verdict.allocations})
        for token, verdict in zip(attempt.checkout.tokens, decision.verdicts, strict=True)
    }


REBUILT = {
    "tokens in another order": lambda was: replace(was, tokens=was.tokens[::-1]),
    "lines in another order": lambda was: with_order(was, lines=was.order.lines[::-1]),
    "fees in another order": lambda was: with_order(was, shipping=was.order.shipping[::-1]),
    "segments in another order": lambda was: with_segments(was, "early", "staff", "student"),
    "a segment twice": lambda was: with_segments(was, "student", "staff", "early", "staff"),
    "categories in another order": lambda was: with_first_line(was, categories=("bath", "home", "care")),
    "a category twice": lambda was: with_first_line(was, categories=("care", "bath", "care", "home")),
    "all of it": lambda was: with_segments(
        with_order(
            replace(was, tokens=was.tokens[1:] + was.tokens[:1]),
            lines=was.order.lines[1:] + was.order.lines[:1],
            shipping=was.order.shipping[::-1],
        ),
        *("staff", "early", "student"),
    ),
}


async def test_a_rebuilt_request_gets_its_first_answer_in_the_order_of_the_retry(house):
    attempt = await attempt_of(house)
    first = await house.send(attempt)
    assert first.outcome is Outcome.APPROVED
    assert {line for _, lines in by_token(attempt, first).values() for line in lines} == {
        *("soap", "mask", "comb"),
        *("van", "bike"),
    }
    for name, rebuild in REBUILT.items():
        rebuilt = replace(attempt, checkout=rebuild(attempt.checkout))
        again = await house.send(rebuilt)
        assert by_token(rebuilt, again) == by_token(attempt, first), name
        assert (again.settlement, again.discount_minor) == (first.settlement, first.discount_minor), name


OTHER = {
    "a line cut in two": lambda was: with_order(
        was,
        lines=(replace(LINES[0], amount_minor=60_00), replace(LINES[0], amount_minor=60_00, line_id="2"), *LINES[1:]),
    ),
    "two amounts exchanged": lambda was: with_order(
        was,
        lines=(
            replace(LINES[0], amount_minor=LINES[1].amount_minor),
            replace(LINES[1], amount_minor=LINES[0].amount_minor),
            LINES[2],
        ),
    ),
    "a segment less": lambda was: with_segments(was, "student", "staff"),
    "a category more": lambda was: with_first_line(was, categories=("care", "bath", "home", "x")),
    "a token less": lambda was: replace(was, tokens=was.tokens[:2]),
    "a fee as a line": lambda was: with_order(was, lines=(*LINES, line_of(6_00, line_id="bike")), shipping=FEES[:1]),
}


async def test_what_is_not_only_rebuilt_is_a_mismatch(house):
    attempt = await attempt_of(house)
    assert (await house.send(attempt)).outcome is Outcome.APPROVED
    for name, change in OTHER.items():
        decision = await house.send(replace(attempt, checkout=change(attempt.checkout)))
        assert decision.outcome is Outcome.IDEMPOTENCY_MISMATCH, name


async def remembered(house, request_id):
    """The key, the field and the record of a request."""
    digest = request_digest(house.claimer._digests.for_program(house.program), calling(), request_id)
    for key in await house.keys("r:*"):
        record = await house.redis.hget(key, digest[1:])
        if record:
            return key, digest[1:], record
    raise AssertionError(request_id)


async def replace_content(house, request_id, content, change_answer=None):
    """Give what the ledger remembers of a request the digest of other content, and another answer."""
    key, field, record = await remembered(house, request_id)
    at = {3: 1, 4: 5}[record[0]]  # by the form of the record, see lua/records.lua
    digest = house.claimer._digests.for_program(house.program).digest(DigestKind.CONTENT, content)
    answer = change_answer(record) if change_answer else record[at + len(digest) :]
    await house.redis.hset(key, field, record[:at] + digest + answer)


async def test_what_an_earlier_version_remembers_is_still_answered(house):
    """It remembers content and positions in the order of the request."""
    attempt = await attempt_of(house)
    first = await house.send(attempt)
    order = attempt.checkout.order
    lines, fees = ([each.line_id for each in all_of] for all_of in (order.lines, order.shipping))

    def as_sent(record):
        now = [name for names in (lines, fees) for name in sorted(names, key=lambda name: (len(name), name))]
        tokens = [
            replace(token, parts=tuple(((lines + fees).index(now[at]), amount) for at, amount in token.parts))
            for token in unpack_request(record).answer
        ]
        return pack_answer(tokens)

    content = earlier_checkout_content("redeem", attempt.checkout)
    await replace_content(house, attempt.request_id, content, as_sent)
    assert await house.send(attempt) == first
    for name, change in OTHER.items():
        decision = await house.send(replace(attempt, checkout=change(attempt.checkout)))
        assert decision.outcome is Outcome.IDEMPOTENCY_MISMATCH, name


async def test_a_rebuilt_claim_gets_its_coupon_again(house):
    campaign = await house.campaign()
    claimed = await house.claim(campaign, request_id="claim", segments=("b", "a"))
    for segments in (("b", "a"), ("a", "b"), ("a", "b", "a")):
        assert await house.claim(campaign, request_id="claim", segments=segments) == claimed
    other = await house.claim(campaign, request_id="claim", segments=("a",))
    assert other.outcome is Outcome.IDEMPOTENCY_MISMATCH


async def test_a_claim_that_an_earlier_version_remembers_is_still_answered(house):
    campaign = await house.campaign()
    claimed = await house.claim(campaign, request_id="claim", segments=("b", "a"))
    earlier = earlier_claim_content(("offer", campaign.number, 0), Customer("ann", segments=("b", "a")))
    await replace_content(house, "claim", earlier)
    assert await house.claim(campaign, request_id="claim", segments=("b", "a")) == claimed
    other = await house.claim(campaign, request_id="claim", segments=("c", "a"))
    assert other.outcome is Outcome.IDEMPOTENCY_MISMATCH
