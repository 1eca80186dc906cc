"""What only the interpreted build can show."""

import pytest

from redemption.domain import stacking

COUNTS_CALLS = pytest.mark.skipif(
    not stacking.__file__.endswith(".py"),
    reason="it counts calls of Python functions, and compiled ones call each other directly",
)
