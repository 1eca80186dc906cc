"""Reads definitions: the server sends the versions that it has cached, and the ledger replies only with what differs.

So reading a definition that has not changed is one small call, however large the definition is. The cached object also
stays the same, and so do the caches that have it as their key.
"""

import asyncio

from redemption.domain.campaign.campaign import Campaign
from redemption.ledger.functions import FunctionClient
from redemption.ledger.stores.catalog import Catalog
from redemption.scheduling.single_flight import SingleFlight


class Definitions:
    """Reads definitions into the catalog."""

    def __init__(self, functions: FunctionClient, catalog: Catalog) -> None:
        self._functions = functions
        self._catalog = catalog
        self._flights: SingleFlight[tuple[str, int, int], list[Campaign]] = SingleFlight()

    async def load(self, program: str, number: int) -> Campaign | None:
        """Return a campaign as it is now, or None when there is none."""
        found = await self.load_range(program, number, number)
        return found[0] if found else None

    async def load_range(self, program: str, first: int, last: int) -> list[Campaign]:
        """Return the campaigns with numbers from first to last that exist, as they are now."""
        return list(await self._flights.share((program, first, last), lambda: self._read(program, first, last)))

    async def stop(self) -> None:
        """Cancel the reads in flight."""
        await self._flights.stop()

    async def _read(self, program: str, first: int, last: int) -> list[Campaign]:
        if not await self._functions.begun(program):
            return []
        cached = {number: self._catalog.get(program, number) for number in range(first, last + 1)}
        versions = [(campaign and campaign.version) or b"" for campaign in cached.values()]
        flat = await self._functions.call("campaigns", program, first, *versions)
        found = []
        for position in range(0, len(flat), 3):
            number, version, definition = flat[position : position + 3]
            campaign = cached.pop(number)
            if campaign is None or campaign.version != version or not version:
                if position:  # unpacking a large one takes milliseconds: let other tasks run between two of them
                    await asyncio.sleep(0)
                campaign = self._catalog.read(program, number, version, definition)
            found.append(campaign)
        for number in cached:
            self._catalog.drop(program, number)
        return found
