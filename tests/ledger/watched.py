"""A campaign that is watched: a test sets its counters and its clock, and has the ledger look at it."""

from redemption.domain.outcome import Outcome
from redemption.domain.risk.rules import RefusalShare, Rules, WarningThresholds
from redemption.domain.risk.warnings import RiskWarningReason
from redemption.ledger.stores.warnings import Looked

BUDGET = 1_000_000
LOOK_SECONDS = 5


async def thresholds_of(house, **thresholds):
    """Put thresholds in force; returns the rules."""
    active = await house.ledger.rules.load(house.program)
    rules = Rules(warnings=WarningThresholds(**thresholds)).numbered()
    return await house.ledger.rules.define(
        house.program, rules, expected=active.changed, what="applied", principal="test"
    )


class Watched:
    """One campaign of a program with thresholds."""

    def __init__(self, house, campaign, active):
        self.house, self.campaign, self.active = house, campaign, active
        self.now_ms = house.ledger.now_ms() // 1000 * 1000 + 1000
        self.reasons = {}

    @classmethod
    async def of(cls, house, *, budget=BUDGET, campaign=None, **thresholds):
        """A campaign with a budget, and thresholds."""
        campaign = campaign or await house.campaign(budget_minor=budget)
        return cls(house, campaign, await thresholds_of(house, **thresholds))

    @property
    def now(self):
        """The ledger's clock, Unix seconds."""
        return self.now_ms // 1000

    async def count(self, *, refused=None, **counters):
        """Set counters: redeemed, discount and claimed, and how often outcomes refused."""
        if counters:
            await self.house.redis.hset(self.house.key(f"campaign:{self.campaign.number}"), mapping=counters)
        if refused:
            fields = {str(int(outcome)): count for outcome, count in refused.items()}
            await self.house.redis.hset(self.house.key(f"refused:{self.campaign.number}"), mapping=fields)

    async def look(self, seconds=LOOK_SECONDS, *, house=None):
        """Let seconds go by, and have the ledger look; returns what changed: {reason: whether it is raised}."""
        self.now_ms += seconds * 1000
        await self.house.set_clock(self.now_ms)
        found = await ask(house or self.house, self.active)
        assert isinstance(found, Looked)
        return {warning.reason.name: True for warning in found.raised} | {
            warning.reason.name: False for warning in found.cleared
        }

    async def look_for(self, seconds):
        """Look every few seconds; returns all changes, one after the other."""
        return [change for _ in range(0, seconds, LOOK_SECONDS) for change in (await self.look()).items()]

    async def raised(self):
        """What the campaign is warned of, by reason."""
        found = await self.house.ledger.warnings.warnings(self.house.program, self.campaign.number)
        return {warning.reason.name: warning for warning in found}

    async def events(self):
        """The warnings in the event stream: (whether it is raised, campaign, reason, outcome)."""
        return [
            (event[0] == b"warning_raised", event[2], RiskWarningReason[event[3].decode()].name, event[4])
            for event in await self.house.events()
            if event[0] in (b"warning_raised", b"warning_cleared")
        ]


async def ask(house, active):
    """Have the ledger look at campaigns by the thresholds in force."""
    return await house.ledger.warnings.watch(house.program, active.version, active.rules.warnings)


def shares(**of):
    """Thresholds on outcomes, basis points, of at least ten answers."""
    return tuple(RefusalShare(int(Outcome[name]), basis_points, 10) for name, basis_points in of.items())
