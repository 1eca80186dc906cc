"""Checks from the outbox whether each approval was judged by the definition in force.

The outbox has one entry for each call, in the ledger's order. It has each definition of at most 4 KiB, and each change
of state, at the place where it came into force. So each approval can be checked against the last definition before it.
The coupon's own record has its discount and its request.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack
from redis.asyncio import Redis

from redemption.domain.campaign.campaign import Campaign, CampaignState
from redemption.ledger import keys
from redemption.ledger.stores.catalog import pack_campaign, unpack_campaign

READ_AT_ONCE = 1_000
Expect = Callable[[Campaign, int, int], int]
"""Returns the discount that a coupon must have, from the definition in force, its serial, and its order's coupons."""

_PLAIN, _FLAGGED = 9, 10
"""Formats of the records of coupons, see ``lua/records.lua``."""


@dataclass(slots=True)
class Audit:
    """Reads the outbox of a program and checks the approvals of one campaign; each read goes on after the last one.

    Attributes:
        expected: Returns the discount that an approved coupon must have.
        large: Definitions that are too large for the outbox, by the digest (``digest_of``) that is there instead.
        definitions: How many definitions came into force.
        approvals: How many approvals were checked.
        wrong: The errors that were found, as text.
    """

    redis: Redis
    program: str
    campaign: int
    expected: Expect
    large: Mapping[str, Campaign]
    definitions: int = 0
    approvals: int = 0
    wrong: list[str] = field(default_factory=list)
    _last_id: bytes = b"-"
    _seq: int = 0
    _in_force: Campaign | None = None
    _redeemed: int = 0
    _discount_minor: int = 0
    _widths: dict[int, int] = field(default_factory=dict)

    async def read(self) -> None:
        """Check the decisions since the last call."""
        async for seq, events in self._entries():
            if seq <= self._seq:
                self.wrong.append(f"call {seq} stands behind call {self._seq}")
            self._seq = seq
            for kind, _, *rest in events:
                if kind == b"redeemed":
                    await self._judge_all(seq, rest[0])
                elif rest[0] != self.campaign:
                    continue
                elif kind == b"defined":
                    self._define(rest[1], self._read(*rest[1:]))
                elif kind == b"state_changed":
                    assert self._in_force is not None, "a campaign begins with its definition"
                    self._define(rest[1], replace(self._in_force, state=CampaignState[rest[3].decode()]))

    async def _judge_all(self, seq: int, numbers: Sequence[int]) -> None:
        """Check the redemptions of one call; each has campaign, serial and generation."""
        coupons = list(zip(*[iter(numbers)] * 3, strict=True))
        asking = self.redis.pipeline(transaction=False)
        for campaign, serial, _ in coupons:
            key, place = keys.used(self.program, campaign, await self._width(campaign), serial)
            asking.hget(key.decode(), str(place))
        uses = [_use(record) for record in await asking.execute()]
        orders = Counter(request for request, _ in uses)
        for (campaign, serial, _), (request, discount) in zip(coupons, uses, strict=True):
            if campaign == self.campaign:
                self._judge(seq, serial, discount, orders[request])

    async def _width(self, campaign: int) -> int:
        if campaign not in self._widths:
            key = keys.campaign(self.program, campaign).decode()
            self._widths[campaign] = int(await self.redis.hget(key, "width") or 0)
        return self._widths[campaign]

    async def _entries(self) -> AsyncIterator[tuple[int, list[list[Any]]]]:
        while True:
            found = await self.redis.xrange(keys.events(self.program), self._last_id, "+", count=READ_AT_ONCE)
            for entry_id, entry in found:
                self._last_id = b"(" + entry_id
                seq, _, events = msgpack.unpackb(entry[b"e"], raw=True)
                yield seq, events
            if len(found) < READ_AT_ONCE:
                return

    def _read(self, version: int, definition: bytes, digest: bytes) -> Campaign:
        if definition:
            return unpack_campaign(definition, number=self.campaign, version=version)
        return self.large[digest.decode()]

    def _define(self, version: int, campaign: Campaign) -> None:
        before = self._in_force.version if self._in_force else 0
        if version != before + 1:
            self.wrong.append(f"version {version} follows version {before}")
        self._in_force = replace(campaign, version=version)
        self.definitions += 1

    def _judge(self, seq: int, serial: int, discount: int, coupons: int) -> None:
        campaign = self._in_force
        if campaign is None:
            self.wrong.append(f"call {seq}: serial {serial} was approved before there was a campaign")
            return
        self.approvals += 1
        self._redeemed += 1
        self._discount_minor += discount
        limits = campaign.limits
        problems = {
            f"while {campaign.state.name}": campaign.state is not CampaignState.ACTIVE,
            f"as number {self._redeemed}": limits.redemptions is not None and self._redeemed > limits.redemptions,
            f"beyond the budget, at {self._discount_minor}": (
                limits.budget_minor is not None and self._discount_minor > limits.budget_minor
            ),
        }
        expected = self.expected(campaign, serial, coupons)
        problems[f"with {discount} off instead of {expected}"] = discount != expected
        self.wrong += [
            f"call {seq}, version {campaign.version}: serial {serial} was approved {problem}"
            for problem, holds in problems.items()
            if holds
        ]


def _use(record: bytes) -> tuple[bytes, int]:
    """Return request digest and discount in the record of a used coupon, see ``lua/records.lua``."""
    form, at = record[0] >> 4, 29
    is_wide = form < _PLAIN and (form - 1) & 1
    if form == _FLAGGED:
        is_wide, at = record[29] & 1, 32
    return record[5:15], int.from_bytes(record[at : at + (8 if is_wide else 3)])


def digest_of(campaign: Campaign) -> str:
    """Return the digest that the outbox has for a large definition: that of its bytes without number and version."""
    return hashlib.sha256(pack_campaign(replace(campaign, version=campaign.version - 1))).hexdigest()
