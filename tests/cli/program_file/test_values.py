"""The types of values in a program file."""

from redemption.cli.program_file import values
from redemption.domain.risk import rule_checks


def test_the_bounds_in_messages_are_those_of_the_server():
    """The command line does not import the server, which may be of another version."""
    for name in ("LIMIT_MAX", "FAILURES_MAX", "CUSTOMERS_MAX"):
        assert getattr(values, name) == getattr(rule_checks, name)
