"""What one Redeem costs in calls of Python stays below a bound: whatever is added to the way shows here."""

from interpreted import COUNTS_CALLS
from tool_loader import load_tool

CALLS_MAX, FILES_MAX, OBJECTS_MAX = 292, 50, 32


@COUNTS_CALLS
def test_a_redeem_stays_below_its_bounds(capsys):
    tool = load_tool("trace_redeem")
    found = tool.trace()
    assert 100 < found.total <= CALLS_MAX
    assert len(found.files) <= FILES_MAX
    assert sum(found.made.values()) <= OBJECTS_MAX
    assert found.made["Decision"] == 1
    assert found.calls["ledger/wire/orders.py", "pack_item"] == 1
