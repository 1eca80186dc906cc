"""Every operation in every state of a coupon, as the tables of ``docs/lifecycle.md`` say it, on a real ledger."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from builders.orders import line_of

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import Offer, ReturnPolicy
from redemption.service.revoker import TokenGiven

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"
LINES = (line_of(150_00, line_id="coat"), line_of(50_00, line_id="hat"))
NOTHING = "\u2013"


def cells():
    """State, operation and what the page says of it, of all its tables of operations."""
    for table in re.findall(r"(?m)^\| state \|(.*)\|\n\|[-|]+\|\n((?:\|.*\|\n)+)", PAGE.read_text()):
        operations = [name.strip() for name in table[0].split("|")]
        if "what it means" in operations:
            continue
        for row in table[1].strip().split("\n"):
            state, *said = [cell.strip() for cell in row.strip("|").split("|")]
            assert len(said) == len(operations), row
            yield from ((state, operation, cell) for operation, cell in zip(operations, said, strict=True))


CELLS = list(cells())


class Coupon:
    """One coupon, its order, and what its order was told of it."""

    def __init__(self, house, campaign, token):
        self.house, self.campaign, self.token = house, campaign, token
        self.attempt = house.attempt(token, lines=LINES)
        self.held = self.redeemed = None

    def order(self, *, mine):
        """A new attempt of the coupon's order, or of another one."""
        other = self.house.attempt(self.token, lines=LINES)
        return replace(self.attempt, request_id=other.request_id) if mine else other

    async def reserve(self, *, mine=True):
        attempt = self.order(mine=mine)
        order_id = attempt.checkout.order.order_id
        return await self.house.reserve(self.token, order_id=order_id, lines=LINES, seconds=900)

    async def reverse(self, *, restores=False, **changes):
        policy = ReturnPolicy.ON_FULL_RETURN if restores else ReturnPolicy.NEVER
        if self.campaign.return_policy is not policy:
            self.campaign = await self.house.update(self.campaign, return_policy=policy)
        return await self.house.reverse(self.house.reversal(self.attempt, self.redeemed, **changes))

    async def revoke(self):
        return await self.house.revoke(TokenGiven(self.token))

    async def state(self):
        """Its state, by what the ledger knows of it."""
        seen = await self.house.ledger.orders.coupon(self.house.program, self.campaign.number, 0)
        if seen.now.held_until:
            name = "held"
        elif seen.now.use is None:
            name = "restored" if seen.generation else "issued"
        elif not seen.reversed_minor:
            name = "redeemed"
        else:
            name = "reversed" if seen.reversed_minor == seen.now.use.discount_minor else "partly reversed"
        return name + ", revoked" * seen.now.revoked


async def bring_to(house, state):
    """A coupon that came into a state on the longest way: reserved, confirmed, given back."""
    campaign = await house.campaign(offers=(Offer(amount_off(200_00, 50_00)),))
    (token,) = await house.mint(campaign)
    coupon, name = Coupon(house, campaign, token), state.removesuffix(", revoked")
    if name != "issued":
        coupon.held = await coupon.reserve()
    if name == "hold over":
        await house.later(901)
    if name == "released":
        await house.release(coupon.held.reservation_id)
    if name in ("redeemed", "partly reversed", "reversed", "restored"):
        confirmed = await house.confirm(coupon.held.reservation_id)
        coupon.redeemed = replace(confirmed, settlement=coupon.held.settlement)
    if name == "partly reversed":
        await coupon.reverse(lines=(("hat", 10_00),))
    if name in ("reversed", "restored"):
        await coupon.reverse(restores=name == "restored")
    if state.endswith("revoked"):
        await coupon.revoke()
    return coupon


async def do(coupon, operation):
    """The outcome of an operation; None when there is nothing that it could name."""
    match operation:
        case "Redeem, its order" | "Redeem, another order":
            attempt = coupon.order(mine=operation.endswith("its order"))
            return (await coupon.house.send(attempt)).verdicts[0].outcome
        case "Reserve, its order" | "Reserve, another order":
            return (await coupon.reserve(mine=operation.endswith("its order"))).verdicts[0].outcome
        case "Revoke":
            return await coupon.revoke()
    if operation.startswith("Reverse"):
        if coupon.redeemed is None:
            return None
        lines = (("hat", 1_00),) if operation == "Reverse a part" else ()
        return (await coupon.reverse(restores=operation.endswith("comes back"), lines=lines)).outcome
    if coupon.held is None:
        return None
    if operation == "Release":
        return await coupon.house.release(coupon.held.reservation_id)
    reacquire = {"Confirm": False, "Confirm, reacquire": True}[operation]
    return (await coupon.house.confirm(coupon.held.reservation_id, reacquire=reacquire)).verdicts[0].outcome


@pytest.mark.parametrize(("state", "operation", "said"), CELLS)
async def test_what_the_page_says_happens(house, state, operation, said):
    coupon = await bring_to(house, state)
    before = await coupon.state()
    assert before == {"hold over": "issued", "released": "issued"}.get(state, state)
    outcome, _, after = said.partition(" → ")
    happened = await do(coupon, operation)
    assert (happened.name if happened else NOTHING) == outcome
    assert await coupon.state() == (after or before)


def test_the_tables_have_a_cell_for_every_state_and_operation():
    states, operations = {state for state, _, _ in CELLS}, {operation for _, operation, _ in CELLS}
    assert len(CELLS) == len(states) * len(operations) == 11 * 11
