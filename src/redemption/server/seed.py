"""Gives a new development server an example campaign, and mints a token to try."""

import secrets
from dataclasses import dataclass
from math import inf
from typing import Protocol

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import Campaign, CampaignState, Limits, Offer
from redemption.domain.errors import LimitReached
from redemption.service.campaigns import PAGE_SIZE, Campaigns
from redemption.service.issuer import Issuer, MintRequest

NAME = "满200减50"
_DAY_MS = 86_400_000
_PRINCIPAL = "operator"


class Seedable(Protocol):
    """The use cases that seeding needs."""

    @property
    def campaigns(self) -> Campaigns:
        """To create the campaign."""

    @property
    def issuer(self) -> Issuer:
        """To mint a token."""


@dataclass(frozen=True, slots=True)
class Seeded:
    """A campaign to try, and a fresh token of it."""

    campaign: int
    name: str
    token: str


async def seed(services: Seedable, program: str, now_ms: int) -> Seeded | None:
    """Create the example campaign if the program has no campaign; mint one token of a campaign that runs now."""
    caller = CallInfo(_PRINCIPAL, "seed", "", deadline=inf)
    page = await services.campaigns.list(caller, program, first=1, page_size=PAGE_SIZE)
    running = [
        campaign
        for campaign in page.campaigns
        if campaign.state is CampaignState.ACTIVE and campaign.starts_at_ms <= now_ms < campaign.ends_at_ms
    ]
    if running:
        campaign = running[0]
    elif page.campaigns:
        return None
    else:
        example = Campaign(
            program=program,
            name=NAME,
            currency_code="CNY",
            time_zone="Asia/Shanghai",
            starts_at_ms=now_ms - _DAY_MS,
            ends_at_ms=now_ms + 365 * _DAY_MS,
            offers=(Offer(amount_off(threshold_minor=200_00, amount_off_minor=50_00), name=NAME),),
            limits=Limits(budget_minor=1_000_000_00),
        )
        campaign = await services.campaigns.create(caller, secrets.token_hex(16), example)
    order = MintRequest(program, secrets.token_hex(16), campaign.number, offer_index=0, count=1)
    try:
        ((minted,),) = [part async for part in await services.issuer.mint(caller, order)]
    except LimitReached:
        return None
    return Seeded(campaign.number, campaign.name, minted.token)
