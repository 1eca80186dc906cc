"""Names that callers invent are not kept in memory."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import pytest
from builders.calls import calling
from refused import refused
from thoroughness import tries
from waiting import SECONDS_MAX

from redemption.domain.errors import LedgerUnavailable, ServiceError
from redemption.domain.judging.claiming import Claim, CodeGiven, OfferWanted
from redemption.domain.order import NO_RISK_CONTEXT, Customer
from redemption.ledger.trust.reply_errors import LedgerNotTrusted
from redemption.service.issuer import MintRequest

PROGRAMS = tries(500)
"""One that left anything would be noticed: what is compared is counted exactly."""
AT_ONCE = 100
CODE = "0" * 16


def maps_of(thing, place="", seen=None):
    """Return the length of every map, list and set that can be reached, by its place; what is bounded is left out."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, asyncio.Future | type):
        return {}
    seen.add(id(thing))
    found = {place: len(thing)} if isinstance(thing, Mapping | list | set | deque) else {}
    if isinstance(thing, Mapping):
        parts = [(f"{place}[]", part) for part in thing.values()]
    elif isinstance(thing, list | set | deque | tuple):
        parts = [(f"{place}[]", part) for part in thing]
    elif type(thing).__module__.startswith("redemption"):
        named = getattr(thing, "__dict__", {}) | {
            name: getattr(thing, name)
            for kind in type(thing).__mro__
            for name in (*getattr(kind, "__slots__", ()), *getattr(kind, "__mypyc_attrs__", ()))
            if hasattr(thing, name)
        }
        parts = [(f"{place}.{name}", part) for name, part in named.items()]
    else:
        parts = []
    for where, part in parts:
        found |= maps_of(part, where, seen)
    return found


async def ask(house, program, token):
    """Ask everything that takes the name of a program."""
    attempt = house.attempt(token)
    attempt = replace(attempt, checkout=replace(attempt.checkout, program=program))
    for source in (CodeGiven(CODE), OfferWanted(1, 0)):
        claim = Claim(program, "request", source, Customer("eve"), NO_RISK_CONTEXT)
        with pytest.raises(ServiceError):
            await house.claimer.claim(calling(seconds=SECONDS_MAX), claim)
    await house.send(attempt)
    await house.issuer.inspect(calling(), program, token)
    await house.campaigns.list(calling(), program, first=1, page_size=1)
    for asked in (
        house.campaigns.get(calling(), program, 7),
        house.finder.by_request(calling(), program, "request"),
        house.issuer.mint(calling(), MintRequest(program, "request", 1, 0, 1)),
    ):
        with pytest.raises(ServiceError):
            await asked


async def test_programs_that_callers_invent_leave_nothing_behind(house):
    (token,) = await house.mint(await house.campaign())
    await house.redeem(token)
    await house.ledger.attempts.stop()  # else it may be looking for a name at the moment in which all is counted
    await ask(house, "warm", token)
    await house.ledger.attempts._look_for_programs()
    before, keys = maps_of((house.ledger, house.use_cases)), await house.redis.dbsize()
    assert before.keys() > {"[].batcher._queues", "[]._fence._marks", "[]._catalog._entries"}
    names = iter(range(PROGRAMS))

    async def invent():
        for name in names:
            await ask(house, f"invented-{name}", token)

    await asyncio.gather(*(invent() for _ in range(AT_ONCE)))
    await house.ledger.attempts._look_for_programs()  # as it does every second; a few names wait for it
    assert maps_of((house.ledger, house.use_cases)) == before
    assert await house.redis.dbsize() == keys


async def test_a_program_without_a_ledger_never_reaches_the_batcher(house):
    await house.campaign()
    house.ledger.batcher._stopping = LedgerUnavailable("it reached the batcher")
    claim = Claim("invented", "request", CodeGiven(CODE), Customer("eve"), NO_RISK_CONTEXT)
    with refused(LedgerNotTrusted, "redemption ledger adopt"):
        await house.claimer.claim(calling(seconds=SECONDS_MAX), claim)
