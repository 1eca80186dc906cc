"""What all tests of use cases have."""

import pytest

from redemption.ledger.stores import refusal_counts


@pytest.fixture(autouse=True)
def counts_wait(monkeypatch):
    """Counts of refusals and of rules wait until a test reads or sends them."""
    monkeypatch.setattr(refusal_counts, "SEND_SECONDS", 3600.0)
