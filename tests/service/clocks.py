"""The two clocks of a decision: the ledger's, which decides, and the server's estimate of it, by which it judges."""

from builders.times import DAY_MS

from redemption.domain.campaign.calendar import local_day

MINUTE_MS = 60_000


class Clocks:
    """Sets both to moments of two days that are still to come, where the ledger's stands still: it never runs back.

    The server's estimate stands still, too: what a test judges at a moment is judged at that moment, on any machine.
    The days, 1 and 2, are those of the campaigns' zone, where clocks are not changed.
    """

    def __init__(self, house, zone="Asia/Shanghai"):
        self.house = house
        estimate = house.ledger._clock
        self._shown_ms = estimate.now_ms()
        estimate.now_ms, estimate.set = lambda: self._shown_ms, self._show
        self.first_day = local_day(zone, house.ledger.now_ms() + 3 * DAY_MS)
        self.midnight_ms = self.first_day.ends_at_ms

    def at(self, day, time):
        """A moment of one of the days, by its hours and minutes."""
        hours, minutes = time.split(":")
        midnight_ms = self.first_day.starts_at_ms + (int(day) - 1) * DAY_MS
        return midnight_ms + (int(hours) * 60 + int(minutes)) * MINUTE_MS

    def _show(self, now_ms):
        self._shown_ms = now_ms

    async def set(self, now_ms):
        """Let both clocks show a moment."""
        await self.set_ledger(now_ms)
        self.house.ledger._clock.set(now_ms)

    async def set_ledger(self, now_ms):
        """Let the ledger's clock show a moment, of which the server learns with the next answer."""
        await self.house.set_clock(now_ms)
