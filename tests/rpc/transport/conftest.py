"""Says how much was tried, when that was asked for."""

from rpc.transport import fuzzing


def pytest_terminal_summary(terminalreporter):
    if fuzzing.EXAMPLES:
        for name, number in fuzzing.tried.items():
            terminalreporter.write_line(f"{name}: {number:,}")
