"""A fence that cannot be written: for some seconds that is bearable, then nothing is approved until it can be."""

import asyncio
import fcntl
import re
import threading
from contextlib import contextmanager

import pytest
import structlog
from waiting import comes, settled

from redemption.domain.errors import LedgerRefused
from redemption.domain.outcome import Outcome
from redemption.ledger import ledger
from redemption.ledger.trust import fence, fence_saving
from redemption.ledger.trust.fence import Fence, Mark
from redemption.ledger.trust.fence_saving import UNSAVED_SECONDS_MAX, FenceSaving, FenceUnsaved


@contextmanager
def without_a_new_file(tmp_path):
    """Nothing can be written there, also by root: a directory stands in the way, as a full disk would."""
    (tmp_path / "fence.new").mkdir()
    yield
    (tmp_path / "fence.new").rmdir()


@contextmanager
def with_a_held_lock(tmp_path):
    """Another process holds the lock and never lets it go."""
    with (tmp_path / "fence.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


CAUSES = [(without_a_new_file, "fence.new"), (with_a_held_lock, "another process holds this lock: '.*fence.lock'")]


@pytest.mark.parametrize(("hindered", "cause"), CAUSES, ids=["no new file", "a held lock"])
def test_the_ledger_is_refused_after_some_seconds_until_the_fence_is_written(tmp_path, monkeypatch, hindered, cause):
    monkeypatch.setattr(fence, "_TRIES", 1)
    now = 0.0
    mine = Fence(tmp_path / "fence", "keyset", {})
    saving = FenceSaving(mine, now=lambda: now)
    mine.observe("shop", "a" * 16, 5)
    with hindered(tmp_path), structlog.testing.capture_logs() as logs:
        for seconds in (0.0, UNSAVED_SECONDS_MAX - 0.1):
            now = seconds
            saving.save()
            assert saving.failure is None
        now = UNSAVED_SECONDS_MAX
        assert isinstance(saving.failure, FenceUnsaved)
        assert saving.failure.reason == "LEDGER_REFUSES"
        assert str(tmp_path) not in saving.failure.message, "callers learn no path"
        assert re.search(cause, saving.failure.for_operator)
        assert str(tmp_path / "fence") in saving.failure.for_operator
    assert [line["event"] for line in logs] == ["what was seen of the ledger cannot be written down"]
    saving.save()
    assert saving.failure is None
    assert Fence(tmp_path / "fence", "keyset", {}).mark("shop") == Mark("a" * 16, 5)
    with hindered(tmp_path):
        mine.observe("shop", "a" * 16, 6)
        saving.save()
        assert saving.failure is None, "the seconds are counted anew"


async def test_a_disk_that_does_not_answer_stops_no_check_and_is_noticed(house, monkeypatch):
    """A save waits for it in a thread, perhaps for ever."""
    answers = threading.Event()
    monkeypatch.setattr(ledger, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(fence_saving, "UNSAVED_SECONDS_MAX", 0.1)
    with monkeypatch.context() as hanging:
        hanging.setattr(house.fence, "save", answers.wait)
        watching = asyncio.create_task(house.ledger._watch())
        try:
            failure = await comes(lambda: house.ledger.health.failure)
            assert isinstance(failure, FenceUnsaved)
            assert "its disk does not answer" in failure.for_operator
        finally:
            answers.set()
    await comes(lambda: house.ledger.health.failure is None)
    watching.cancel()


async def test_a_stop_writes_down_what_was_learned_during_a_save(house, monkeypatch):
    save, begun, answers = house.fence.save, asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow():
        loop.call_soon_threadsafe(begun.set)
        answers.wait()
        save()

    with monkeypatch.context() as slowly:
        slowly.setattr(house.fence, "save", slow)
        saving = asyncio.create_task(house.ledger._save_fence())
        await begun.wait()
    monkeypatch.setattr(house.fence, "save", lambda: (save(), saved.append(house.fence.mark("shop"))))
    saved = []
    house.fence.observe("shop", "a" * 16, 5)
    stopping = asyncio.create_task(house.stop())
    await settled()
    answers.set()
    await asyncio.gather(saving, stopping)
    assert saved == [Mark("a" * 16, 5)]


def test_a_fence_that_is_not_believed_is_told_with_its_own_cure(tmp_path):
    mine = Fence(tmp_path / "fence", "keyset", {})
    mine.observe("shop", "a" * 16, 5)
    mine.save()
    (tmp_path / "fence").chmod(0o666)
    mine.observe("shop", "a" * 16, 6)
    now = 0.0
    saving = FenceSaving(mine, now=lambda: now)
    with structlog.testing.capture_logs() as logs:
        saving.save()
    now = UNSAVED_SECONDS_MAX
    for text in (saving.failure.for_operator, logs[0]["error"]):
        assert "chmod 600" in text
        assert "cannot be written" not in text


async def test_a_server_that_cannot_write_its_fence_approves_nothing(house, tmp_path, monkeypatch):
    """After a crash nobody would remember these approvals, and an older ledger would not be noticed."""
    tokens = await house.mint(await house.campaign(), 2)
    monkeypatch.setattr(fence_saving, "UNSAVED_SECONDS_MAX", 0.0)
    with without_a_new_file(tmp_path):
        await house.redeem(tokens[0])
        house.ledger._saving.save()
        await house.ledger.check()
        assert isinstance(house.ledger.health.failure, FenceUnsaved)
        with pytest.raises(LedgerRefused, match="cannot write down what it knows"):
            await house.redeem(tokens[1])
    house.ledger._saving.save()
    await house.ledger.check()
    assert (await house.redeem(tokens[1])).outcome is Outcome.APPROVED


@pytest.mark.parametrize("hindered", [without_a_new_file, with_a_held_lock])
def test_a_try_leaves_the_fence_as_it_is_or_says_why_not(tmp_path, monkeypatch, hindered):
    monkeypatch.setattr(fence, "_TRIES", 1)
    mine = Fence(tmp_path / "fence", "keyset", {"privacy_root": "11"})
    mine.adopt("shop", "a" * 16, 5)
    written = (tmp_path / "fence").read_text()
    mine.rewrite()
    with hindered(tmp_path), pytest.raises(OSError, match="fence"):
        mine.rewrite()
    assert (tmp_path / "fence").read_text() == written
