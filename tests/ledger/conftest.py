"""The ledger alone, asked with orders made by hand."""

import pytest
import pytest_asyncio
from house import House
from ledger.desk import Desk


@pytest.fixture
def desk(house):
    """A desk of the one server."""
    return Desk(house)


@pytest_asyncio.fixture
async def other_desk(house, tmp_path):
    """A desk of another server of the same program."""
    other = House(house.url, tmp_path / "other", program=house.program, keyset=house.keyset)
    await other.start()
    yield Desk(other)
    await other.stop()
