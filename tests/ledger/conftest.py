"""The ledger alone, with orders made by hand."""

import pytest
from ledger.desk import Desk


@pytest.fixture
def desk(house):
    """A desk of the one server."""
    return Desk(house)


@pytest.fixture
def other_desk(other):
    """A desk of another server of the same program."""
    return Desk(other)
