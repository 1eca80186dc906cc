"""Which build is tested, and what only the interpreted one can show."""

import pytest

from redemption.domain.judging import stacking

COMPILED = not stacking.__file__.endswith(".py")
COUNTS_CALLS = pytest.mark.skipif(
    COMPILED, reason="it counts calls of Python functions, and compiled ones call each other directly"
)
