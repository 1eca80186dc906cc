"""A failure whose cause is for the operator: callers learn no commands, no settings and no paths."""

import re
from contextlib import contextmanager

import pytest

FOR_OPERATORS = re.compile(
    r"redemption ledger|CONFIG|INFO|REDEMPTION_|--|/|seq|append|replica|Sentinel|keyset|format '"
)


@contextmanager
def refused(kind, cause):
    """The block raises a failure of a kind; a regular expression is in what the operator is told."""
    with pytest.raises(kind) as raised:
        yield raised
    assert re.search(cause, raised.value.for_operator)
    require_silence(raised.value)


def require_silence(failure):
    """The caller is told nothing that is for the operator."""
    assert not FOR_OPERATORS.search(failure.message)
