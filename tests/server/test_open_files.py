"""How many files a server's processes may open, and what is said when they are too few."""

import resource

import pytest
import structlog

from redemption.rpc.transport import listener
from redemption.server import open_files
from redemption.server.open_files import FILES_RESERVED, prepare_open_files
from redemption.server.startup import StartRefused
from redemption.settings import BoundSettings, Settings

TEN = Settings(bounds=BoundSettings(connections_max=10))
ENOUGH = FILES_RESERVED + 10


@pytest.fixture
def limits(monkeypatch):
    """Stand-ins for the limits of this process, soft and hard; returns them."""

    class Limits:
        now = (1, 1)
        refuses = False

        def set(self, _, limits):
            if self.refuses:
                raise ValueError("not allowed to raise maximum limit")
            self.now = limits

    found = Limits()
    monkeypatch.setattr(open_files.resource, "getrlimit", lambda _: found.now)
    monkeypatch.setattr(open_files.resource, "setrlimit", found.set)
    return found


@pytest.fixture
def logged():
    with structlog.testing.capture_logs() as lines:
        yield lines


def test_the_listener_keeps_as_many_files_free_as_the_start_counts():
    assert listener.FILES_RESERVED == FILES_RESERVED


@pytest.mark.parametrize("hard", [ENOUGH, resource.RLIM_INFINITY], ids=["enough", "no limit"])
@pytest.mark.parametrize("soft", [1, ENOUGH])
def test_the_limit_is_raised_as_far_as_the_system_allows(limits, logged, soft, hard):
    limits.now = (soft, hard)
    prepare_open_files(TEN)
    assert (limits.now, logged) == ((hard, hard), [])


def test_too_few_files_are_told_with_the_numbers_and_the_remedy(limits, logged):
    limits.now = (1, ENOUGH - 1)
    prepare_open_files(TEN)
    (line,) = logged
    assert "raise ulimit -Hn" in line["event"]
    assert (line["connections"], line["connections_max"]) == (9, 10)
    assert (line["files_max"], line["files_wanted"]) == (ENOUGH - 1, ENOUGH)


def test_a_system_that_refuses_more_files_leaves_what_there_is(limits, logged):
    limits.now, limits.refuses = (ENOUGH - 2, ENOUGH), True
    prepare_open_files(TEN)
    assert logged[0]["connections"] == 8


@pytest.mark.parametrize("hard", [1, FILES_RESERVED])
def test_a_start_with_no_file_for_any_connection_is_refused(limits, logged, hard):
    limits.now = (hard, hard)
    with pytest.raises(StartRefused, match=f"may open {hard} files .* allow {ENOUGH} "):
        prepare_open_files(TEN)
    assert logged == []
