"""What a server remembers of its ledger: an emptied, restored or unknown ledger is not served until it is adopted."""

import os
import re
import shutil
from pathlib import Path

import pytest
from builders.calls import calling
from refused import refused

from redemption.domain.outcome import Outcome
from redemption.domain.request_identity import RequestIdentity
from redemption.ledger import ledger
from redemption.ledger.trust.fence import Fence, Mark
from redemption.ledger.trust.header import Header
from redemption.ledger.trust.reply_errors import LedgerNotTrusted, LedgerUnknown

EPOCH, OTHER_EPOCH = "a" * 16, "b" * 16
VALUES = {"privacy_root": "11" * 16, "00000001": "22" * 16}


def fence(tmp_path, name="fence", values=None):
    """A fence as another process would read it."""
    return Fence(tmp_path / name, "keyset", VALUES if values is None else values)


def test_a_missing_file_remembers_nothing(tmp_path):
    assert (fence(tmp_path).programs(), fence(tmp_path).mark("shop"), fence(tmp_path).known("shop")) == ([], None, b"")


def test_the_highest_call_is_remembered_and_written_down(tmp_path):
    mine = fence(tmp_path)
    for seq in (5, 9, 7):
        mine.observe("shop", EPOCH, seq)
    assert mine.known("shop") == EPOCH.encode() + b"9"
    assert fence(tmp_path).programs() == [], "nothing is written before it is saved"
    mine.save()
    assert fence(tmp_path).mark("shop") == Mark(EPOCH, 9)


@pytest.mark.parametrize(("theirs", "mine", "kept"), [(9, 5, 9), (5, 9, 9)])
def test_of_two_processes_the_one_that_saw_more_is_written(tmp_path, theirs, mine, kept):
    other, own = fence(tmp_path), fence(tmp_path)
    other.observe("shop", EPOCH, theirs)
    own.observe("shop", EPOCH, mine)
    other.save()
    own.save()
    assert fence(tmp_path).mark("shop") == Mark(EPOCH, kept)


def test_what_an_operator_adopted_is_learned_and_never_written_over(tmp_path):
    """An adoption gives the ledger another epoch, so it counts although its number is smaller."""
    server = fence(tmp_path)
    server.observe("shop", EPOCH, 1000)
    server.save()
    fence(tmp_path).adopt("shop", OTHER_EPOCH, 3)
    server.observe("shop", EPOCH, 1001)
    server.save()
    assert fence(tmp_path).mark("shop") == Mark(OTHER_EPOCH, 3)
    server.learn_adoptions()
    assert server.mark("shop") == Mark(OTHER_EPOCH, 3)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"programs": {}, "keysets": []}',
        '{"programs": {}, "keysets": {"shop": []}}',
        '{"programs": {}, "keysets": {"shop": {"privacy_root": 1}}}',
        '{"programs": {"shop": {"epoch": 1, "seq": 2}}}',
        '{"programs": {"shop": {"epoch": "a"}}}',
        "{}",
        "[" * 200_000,
        '{"programs": {"shop": {"epoch": "\\ud800", "seq": 2}}}',
    ],
    ids=lambda content: content[:60],
)
def test_a_file_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path, content):
    (tmp_path / "fence").write_text(content)
    with refused(LedgerNotTrusted, "cannot be read as a fence"):
        fence(tmp_path)


MODES = [(0o600, None), (0o644, None), (0o664, None), (0o666, "everybody may write"), (0o602, "everybody may write")]


@pytest.mark.parametrize(("mode", "refused"), MODES, ids=[oct(mode) for mode, _ in MODES])
def test_a_fence_that_everybody_may_write_is_not_believed(tmp_path, mode, refused):
    """Earlier versions wrote it with 644 or, by the user's mask, 664; the next time that it is written it gets 600."""
    mine = fence(tmp_path)
    mine.adopt("shop", EPOCH, 5)
    (tmp_path / "fence").chmod(mode)
    if refused:
        with pytest.raises(LedgerNotTrusted) as raised:
            fence(tmp_path)
        assert re.search(f"{refused}.*chmod 600 {tmp_path}/fence$", raised.value.for_operator)
        with pytest.raises(LedgerNotTrusted):
            mine.learn_adoptions()
        return
    fence(tmp_path).rewrite()
    assert fence(tmp_path).mark("shop") == Mark(EPOCH, 5)
    assert (tmp_path / "fence").stat().st_mode & 0o777 == 0o600


def test_a_fence_of_another_user_is_not_believed(tmp_path, monkeypatch):
    fence(tmp_path).adopt("shop", EPOCH, 5)
    if os.geteuid() == 0:
        os.chown(tmp_path / "fence", 12_345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(LedgerNotTrusted) as raised:
        fence(tmp_path)
    told = raised.value.for_operator
    assert re.search(r"belongs to another user \(\d+\).*chown it to the server's user", told)
    assert str(tmp_path) not in raised.value.message, "callers learn no path"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a directory", "a FIFO"])
def test_what_is_no_file_is_no_fence(tmp_path, make):
    """It is told at once: nobody waits for somebody to write into a FIFO."""
    make(tmp_path / "fence")
    with pytest.raises(LedgerNotTrusted) as raised:
        fence(tmp_path)
    assert "is not a regular file" in raised.value.for_operator


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    """Else whoever lays it could have the server make a file, or hold a lock, somewhere else."""
    (tmp_path / "fence.lock").symlink_to(tmp_path / "elsewhere")
    mine = fence(tmp_path)
    mine.observe("shop", EPOCH, 5)
    with pytest.raises(OSError, match=r"fence\.lock"):
        mine.save()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("is_left", ["link", "hard link", "dangling link", "link to itself", "file"])
def test_what_stands_where_the_new_file_is_written_is_not_followed(tmp_path, is_left):
    """Somebody laid a link there, or a crash left a half-written file."""
    victim, left = tmp_path / "victim", tmp_path / "fence.new"
    victim.write_text("precious")
    match is_left:
        case "link":
            left.symlink_to(victim)
        case "hard link":
            left.hardlink_to(victim)
        case "dangling link":
            left.symlink_to(tmp_path / "nowhere")
        case "link to itself":
            left.symlink_to(left)
        case "file":
            left.write_text("{")
    mine = fence(tmp_path)
    mine.observe("shop", EPOCH, 5)
    mine.save()
    assert (victim.read_text(), (tmp_path / "nowhere").exists()) == ("precious", False)
    assert fence(tmp_path).mark("shop") == Mark(EPOCH, 5)
    assert (tmp_path / "fence").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "fence").is_symlink()


def test_check_values_are_remembered_and_those_of_new_keys_are_added(tmp_path):
    """Of two processes the first one counts: a value that differs is never written over, but by an adoption."""
    mine = fence(tmp_path)
    mine.remember_keyset("shop")
    mine.save()
    more = fence(tmp_path, values=VALUES | {"00000002": "33" * 16})
    assert more.keyset_problem("shop", {}) is None
    more.remember_keyset("shop")
    edited = fence(tmp_path, values=VALUES | {"00000002": "44" * 16})
    edited.remember_keyset("shop")
    more.save()
    edited.save()
    assert "material or times of key 00000002" in fence(tmp_path, values=edited.check_values).keyset_problem("shop", {})
    assert fence(tmp_path, values=more.check_values).keyset_problem("shop", {}) is None
    edited.adopt("shop", EPOCH, 1)
    assert "material or times of key 00000002" in fence(tmp_path, values=more.check_values).keyset_problem("shop", {})


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (Header(EPOCH, 5, "keyset", 0), None),
        (Header(EPOCH, 6, "keyset", 0), None),
        (Header(EPOCH, 4, "keyset", 0), "stands at call 4, but this server remembers call 5: it was rolled back"),
        (Header(OTHER_EPOCH, 6, "keyset", 0), "is another one than this server remembers"),
        (Header(EPOCH, 6, "other", 0), "belongs to keyset other, not to keyset"),
        (None, "is empty, but this server remembers it at call 5"),
    ],
)
def test_a_ledger_is_compared_with_what_is_remembered_of_it(tmp_path, header, problem):
    mine = fence(tmp_path)
    mark = Mark(EPOCH, 5)
    assert mine.problem(mark, header) == problem
    if problem is None:
        mine.check("shop", mark, header)
        assert mine.mark("shop") == Mark(EPOCH, header.seq)
    else:
        with refused(LedgerNotTrusted, "redemption ledger adopt --program shop"):
            mine.check("shop", mark, header)
        assert mine.mark("shop") is None


def test_of_a_ledger_that_nobody_remembers_the_keyset_alone_is_compared(tmp_path):
    mine = fence(tmp_path)
    assert mine.problem(None, None) is None
    assert mine.problem(None, Header(EPOCH, 5, "keyset", 0)) is None
    assert mine.problem(None, Header(EPOCH, 5, "other", 0)) == "belongs to keyset other, not to keyset"


def test_a_fence_that_trails_remembers_only_what_was_proved(tmp_path):
    """With ``fast`` durability a reply says nothing of the disk: what it says is not compared, and not written."""
    mine = Fence(tmp_path / "fence", "keyset", VALUES, trails=True)
    mine.observe("shop", EPOCH, 9)
    mine.remember_keyset("shop")
    header = Header(EPOCH, 8, "keyset", 0)
    assert mine.is_behind({"shop": header})
    assert mine.problem(mine.mark("shop"), header) is None
    mine.save()
    edited = {**VALUES, "privacy_root": "33" * 16}
    assert fence(tmp_path).programs() == []
    assert fence(tmp_path, values=edited).keyset_problem("shop", {}) is None, "no mark, so no keyset either"
    mine.remember("shop", header.epoch, header.seq)
    mine.observe("shop", EPOCH, 12)
    mine.save()
    assert fence(tmp_path).mark("shop") == mine.mark("shop") == Mark(EPOCH, 8)
    assert "privacy_root" in fence(tmp_path, values=edited).keyset_problem("shop", {})
    assert not mine.is_behind({"shop": header})


async def test_with_fast_a_check_is_remembered_only_some_seconds_later(house, tmp_path, monkeypatch, clock):
    """While Valkey begins another file, its proof may be of the file before, so a proof at once is not enough."""
    monkeypatch.setattr(ledger, "TRAIL_SECONDS", 600.0)
    await house.campaign()
    async with house.another(tmp_path / "fast", durability="fast") as fast:
        fast.ledger._watching.cancel()  # the test alone checks
        await fast.campaigns.list(calling(), fast.program, first=1, page_size=1)
        for _ in range(3):
            await fast.ledger.check()
            assert fast.fence.mark(fast.program).seq == 0, "nothing is remembered yet"
        clock.forward(600.0)
        await fast.ledger.check()
        assert fast.fence.mark(fast.program).seq == int(await house.redis.hget(house.key("ledger"), "seq"))


async def test_a_server_without_its_fence_serves_no_ledger_until_it_is_adopted(house, tmp_path):
    """A pod whose file is lost cannot tell a stale copy from the ledger: outside development it does not guess."""
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    async with house.another(tmp_path / "lost", may_create_ledger=False, learns=False) as pod:
        assert isinstance(pod.ledger.health.failure, LedgerUnknown)
        for ask in (
            lambda: pod.redeem(token),
            lambda: pod.quote(token),
            lambda: pod.inspect(token),
            lambda: pod.mint(campaign),
            lambda: pod.claim(campaign),
            lambda: pod.campaigns.get(calling(), house.program, 1),
            lambda: pod.stats(campaign),
        ):
            with refused(LedgerNotTrusted, "redemption ledger adopt"):
                await ask()
        assert pod.fence.programs() == []
        (row,) = await pod.ledger.operations.status(house.program)
        assert "not known to this machine" in row["trusted"]
        operator = house.another(tmp_path / "lost", learns=False)
        await operator.ledger.operations.adopt(house.program)
        await operator.stop()
        await pod.ledger.check()
        assert pod.ledger.health.failure is None
        assert (await pod.redeem(token)).outcome is Outcome.APPROVED


async def test_a_program_that_is_adopted_later_is_served_beside_the_others(house, tmp_path):
    await house.campaign()
    async with house.another(tmp_path / "shared", may_create_ledger=False, learns=False) as server:
        await server.ledger.operations.adopt(house.program)
        await server.ledger.check()
        later = f"{house.program}-later"
        operator = house.another(tmp_path / "shared", program=later, learns=False)
        await operator.ledger.operations.adopt(later)
        await operator.stop()
        await server.ledger.check()
        assert server.ledger.health.failure is None
        assert server.fence.programs() == [house.program, later]


async def test_an_emptied_ledger_is_not_served(house):
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 2)
    await house.redeem(tokens[0])
    await house.delete("*")
    with refused(LedgerNotTrusted, "redemption ledger adopt --program"):
        await house.redeem(tokens[0])
    with pytest.raises(LedgerNotTrusted):
        await house.campaign()
    await house.ledger.check()
    assert isinstance(house.ledger.health.failure, LedgerNotTrusted)


async def test_a_rolled_back_ledger_is_not_served_until_adopted(house, tmp_path):
    (token, other) = await house.mint(await house.campaign(), 2)
    await house.redeem(token)
    seq = int(await house.redis.hget(house.key("ledger"), "seq"))
    await house.redis.hset(house.key("ledger"), "seq", seq - 2)
    await house.ledger.check()
    assert isinstance(house.ledger.health.failure, LedgerNotTrusted)
    assert "rolled back" in house.ledger.health.failure.for_operator
    with pytest.raises(LedgerNotTrusted):
        await house.redeem(other)
    operator = house.another(tmp_path / "fence")
    await operator.ledger.operations.adopt(house.program)
    await operator.stop()
    await house.ledger.check()  # learns of the adoption
    await house.ledger.check()
    assert house.ledger.health.failure is None
    assert (await house.redeem(other)).outcome is Outcome.APPROVED


async def test_nothing_heals_a_rolled_back_ledger_but_an_operator(house):
    """No redeem, mint or read: the ledger's functions compare, before they decide anything."""
    campaign = await house.campaign()
    spent, other = await house.mint(campaign, 2)
    attempt = house.attempt(spent)
    await house.send(attempt)
    seq = int(await house.redis.hget(house.key("ledger"), "seq"))
    await house.redis.hset(house.key("ledger"), "seq", seq - 1)
    await house.redis.delete(house.key("u:1:0"))
    house.ledger._watching.cancel()  # the calls themselves have to find out
    identity = RequestIdentity("x", bytes(10), bytes(8))
    for ask in (
        lambda: house.redeem(spent),
        lambda: house.redeem(other),
        lambda: house.mint(campaign),
        house.campaign,
        lambda: house.campaigns.get(calling(), house.program, 1),
        lambda: house.stats(campaign),
        lambda: house.inspect(spent),
        lambda: house.finder.by_request(calling(), house.program, attempt.request_id),
        lambda: house.ledger.orders.quote_snapshot(
            house.program, [(1, 1, 0, False)], customer=None, order=b"", rules_version=0
        ),
        lambda: house.ledger.revocation.revoke_serials(house.program, 1, 0, 1, identity=identity),
        lambda: house.ledger.revocation.revoke_customer(house.program, 1, bytes(8), identity=identity),
    ):
        house.ledger.health.on_check(None)  # as if the watch had seen nothing
        with pytest.raises(LedgerNotTrusted):
            await ask()
    assert int(await house.redis.hget(house.key("ledger"), "seq")) == seq - 1
    assert not await house.redis.exists(house.key("u:1:0"))


async def test_a_machine_with_a_copy_of_the_fence_serves_without_an_adoption(house, tmp_path):
    """As docs/operating.md says; so the other machines go on."""
    (token,) = await house.mint(await house.campaign())
    await house.ledger.check()
    house.fence.save()
    shutil.copy(tmp_path / "fence", tmp_path / "copy")
    async with house.another(tmp_path / "copy", may_create_ledger=False, learns=False) as new:
        assert new.ledger.health.failure is None
        await new.redeem(token)
    await house.ledger.check()
    assert house.ledger.health.failure is None
    assert fence(tmp_path, "copy").mark(house.program).seq > 0


async def test_two_machines_adopt_one_ledger(house, tmp_path):
    """What one machine's operator adopted, the other machine's operator accepts: the first machine keeps it."""
    await house.campaign()
    machines = [house.another(tmp_path / name) for name in "ab"]
    for machine in machines:
        await machine.campaigns.list(calling(), house.program, first=1, page_size=1)
    await house.redis.hset(house.key("ledger"), "seq", 1)
    for machine in (*machines, *machines):
        await machine.ledger.operations.adopt(house.program)
    for machine in machines:
        await machine.ledger.check()
        assert machine.ledger.health.failure is None
        await machine.stop()


async def test_a_foreign_keyset_is_not_served(house, tmp_path):
    await house.campaign()
    stranger = house.another(tmp_path / "stranger", keyset=None)
    with refused(LedgerNotTrusted, "belongs to keyset"):
        await stranger.campaigns.list(calling(), house.program, first=1, page_size=1)
    await stranger.stop()
