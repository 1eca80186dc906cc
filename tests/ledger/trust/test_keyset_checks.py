"""An edited keyset with the same id is not served until it is adopted; keys may come, change their state and go."""

import json
import re
import secrets
from dataclasses import replace

import pytest
import pytest_asyncio
from builders.calls import calling
from builders.keysets import rotated
from refused import refused

from redemption.domain.errors import LedgerRefused, ServiceError
from redemption.domain.outcome import Outcome
from redemption.domain.signed.check_values import check_values
from redemption.domain.signed.keyset import DAY_SECONDS, KeyState
from redemption.domain.signed.signing import Secret
from redemption.ledger.trust.reply_errors import LedgerFull, LedgerNotTrusted

DISABLED, SCHEDULED, DESTROYED = KeyState.DISABLED, KeyState.DESTROY_SCHEDULED, KeyState.DESTROYED


def a_secret():
    return Secret(secrets.token_bytes(32))


def other_root(keyset):
    return replace(keyset, privacy_root=a_secret())


def other_material(keyset):
    return replace(keyset, keys=tuple(replace(key, material=key.material and a_secret()) for key in keyset.keys))


def later_key(keyset):
    """Its tokens would be valid for longer than was ever allowed."""
    later = {"created_at": 300 * DAY_SECONDS, "max_expires_at": 300 * DAY_SECONDS}
    moved = [replace(key, **{name: getattr(key, name) + more for name, more in later.items()}) for key in keyset.keys]
    return replace(keyset, keys=tuple(moved))


def other_environment(keyset):
    return replace(keyset, environment="elsewhere")


def five_others(keyset):
    return other_material(other_root(keyset))


def with_keys(keyset, count):
    for _ in range(count):
        keyset = keyset.with_new_key(now=keyset.primary.created_at, random=secrets.token_bytes)
    return keyset


async def begun(house):
    """A campaign, one coupon that was used, and one that was not; what was seen is written down.

    From here on this server checks when a test says so, not once a second.
    """
    house.ledger._watching.cancel()
    used, unused = await house.mint(await house.campaign(), 2)
    await house.redeem(used, customer="ann")
    await house.ledger.check()
    house.fence.save()
    return used, unused


@pytest_asyncio.fixture
async def machines(house):
    """Starts servers on fences and keysets, and stops them at the end; an operator's machine starts none."""
    started = []

    async def start(fence, keyset=house.keyset, *, operator=False):
        server = house.another(fence, keyset=keyset)
        if not operator:
            await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop()


async def stored(house):
    found = await house.redis.hgetall(house.key("keyset"))
    return {name.decode(): value.decode() for name, value in found.items()}


def in_fence(path, program):
    return json.loads(path.read_text())["keysets"].get(program)


EDITED = [
    (other_root, ["privacy_root (or environment)"]),
    (other_environment, ["privacy_root (or environment)"]),
    (other_material, ["material or times of key {primary:08x}"]),
    (later_key, ["material or times of key {primary:08x}"]),
    (five_others, ["privacy_root (or environment)", "material or times of key {primary:08x}"]),
]


@pytest.mark.parametrize("memory", ["both", "ledger", "fence", "a new machine"])
@pytest.mark.parametrize(("edit", "named"), EDITED, ids=[edit.__name__ for edit, _ in EDITED])
async def test_an_edited_keyset_is_refused_with_what_differs_and_the_way_out(
    house, machines, tmp_path, edit, named, memory
):
    """Whether fence and ledger remember the keyset, or one of them was written by a version that did not."""
    await begun(house)
    path = tmp_path / "fence"
    if memory == "ledger":
        path.write_text(json.dumps({"programs": json.loads(path.read_text())["programs"]}))
    elif memory == "fence":
        await house.redis.delete(house.key("keyset"))
    elif memory == "a new machine":
        path = tmp_path / "new"
    before = await house.dump()
    server = await machines(path, edit(house.keyset))
    names = ", ".join(named).format(primary=house.keyset.primary.id)
    told = (
        f"keyset {house.keyset.id} is another one than the ledger of program '{house.program}' was used with, though "
        f"its id is the same. It differs in: {names}. With it, limits would begin anew or coupons would be invalid. "
        f"Put the right keyset file back, or accept this one: redemption ledger adopt --program {house.program}"
    )
    if memory == "a new machine":  # which learns of the program when it is asked
        with refused(LedgerNotTrusted, re.escape(told)):
            await server.campaigns.list(calling(), house.program, first=1, page_size=1)
        assert server.fence.mark(house.program) is None
    else:
        assert server.ledger.health.failure.for_operator == told
        operator = await machines(path, edit(house.keyset), operator=True)
        (status,) = await operator.ledger.operations.status(house.program)
        assert status["trusted"] == told
    with refused(LedgerNotTrusted, ""):
        await server.campaigns.list(calling(), house.program, first=1, page_size=1)
    assert await house.dump() == before


async def test_of_many_secrets_that_differ_three_are_named(house, machines, tmp_path):
    keyset = with_keys(house.keyset, 5)
    await begun(house)
    server = await machines(tmp_path / "fence", keyset)
    await server.ledger.check()
    server.fence.save()
    edited = await machines(tmp_path / "fence", five_others(keyset))
    message = edited.ledger.health.failure.for_operator
    assert message.count("material or times of key") == 2
    assert " and 4 more. " in message


ALLOWED = {
    "as it was": lambda keyset: keyset,
    "a key more": lambda keyset: with_keys(keyset, 1),
    "a new primary key": rotated,
    "the old key disabled": lambda keyset: rotated(keyset, DISABLED),
    "its end scheduled": lambda keyset: rotated(keyset, DISABLED, SCHEDULED),
    "destroyed": lambda keyset: rotated(keyset, DISABLED, SCHEDULED, DESTROYED),
    "a hundred keys": lambda keyset: with_keys(keyset, 99),
}


@pytest.mark.parametrize("change", ALLOWED.values(), ids=ALLOWED.keys())
async def test_keys_come_and_go_without_an_adoption(house, machines, tmp_path, change):
    """What is new is stored when it is first seen; what was stored stays, also of a key that was destroyed."""
    await begun(house)
    before = check_values(house.keyset)
    assert await stored(house) == before
    keyset = change(house.keyset)
    server = await machines(tmp_path / "fence", keyset)
    assert server.ledger.health.failure is None
    await server.ledger.check()
    server.fence.save()
    expected = check_values(keyset) | before
    assert await stored(house) == expected
    assert in_fence(tmp_path / "fence", house.program) == expected
    (status,) = await server.ledger.operations.status(house.program)
    assert status["trusted"] == "yes"
    seq = await house.redis.hget(house.key("ledger"), "seq")
    await server.ledger.check()
    assert await house.redis.hget(house.key("ledger"), "seq") == seq, "nothing more is written"


async def test_two_machines_learn_of_a_key_one_after_the_other(house, machines, tmp_path):
    """Keys are distributed before they are promoted; both serve all the time."""
    await begun(house)
    keyset = with_keys(house.keyset, 1)
    ahead = await machines(tmp_path / "ahead", keyset)
    behind = await machines(tmp_path / "fence")
    for server in (ahead, behind, ahead):
        used, _ = await server.mint(await server.campaign(), 2)
        assert (await server.redeem(used)).outcome is Outcome.APPROVED
        await server.ledger.check()
        assert server.ledger.health.failure is None


async def test_an_id_of_a_destroyed_key_is_not_used_again(house, machines, tmp_path):
    await begun(house)
    gone = await machines(tmp_path / "fence", rotated(house.keyset, DISABLED, SCHEDULED, DESTROYED))
    await gone.ledger.check()
    gone.fence.save()
    reused = await machines(tmp_path / "fence", rotated(other_material(house.keyset)))
    assert f"material or times of key {house.keyset.primary.id:08x}" in reused.ledger.health.failure.for_operator


async def test_a_ledger_and_a_fence_of_the_version_before_get_the_values_at_the_first_start(house, machines, tmp_path):
    await begun(house)
    await house.redis.delete(house.key("keyset"))
    path = tmp_path / "older"
    path.write_text(json.dumps({"programs": json.loads((tmp_path / "fence").read_text())["programs"]}))
    server = await machines(path)
    assert server.ledger.health.failure is None
    server.fence.save()
    assert await stored(house) == in_fence(path, house.program) == check_values(house.keyset)
    marks = json.loads(path.read_text())["programs"][house.program]
    assert marks.keys() == {"epoch", "seq"}, "as the version before reads them"


async def test_an_edited_keyset_that_was_adopted_is_served(house, machines, tmp_path):
    """And the machine that has the former one must be told, as of every adoption; it learns of it while it runs."""
    _, unused = await begun(house)
    elsewhere = await machines(tmp_path / "elsewhere")
    await elsewhere.campaigns.list(calling(), house.program, first=1, page_size=1)
    edited = other_root(house.keyset)
    server = await machines(tmp_path / "fence", edited)
    epoch = await house.redis.hget(house.key("ledger"), "epoch")
    operator = await machines(tmp_path / "fence", edited, operator=True)
    await operator.ledger.operations.adopt(house.program)
    assert await house.redis.hget(house.key("ledger"), "epoch") != epoch
    for _ in range(2):  # the first check learns of the adoption
        await server.ledger.check()
    assert server.ledger.health.failure is None
    assert (await server.redeem(unused)).outcome is Outcome.APPROVED
    assert await stored(house) == in_fence(tmp_path / "fence", house.program) == check_values(edited)
    for running in (house, elsewhere):  # the first one shares the fence with the machine that adopted
        await running.ledger.check()
        await running.ledger.check()
        assert isinstance(running.ledger.health.failure, LedgerNotTrusted)
        with pytest.raises(LedgerNotTrusted):
            await running.redeem(unused)
    assert "privacy_root" in house.ledger.health.failure.for_operator


async def test_the_right_keyset_put_back_needs_no_adoption(house, machines, tmp_path):
    _, unused = await begun(house)
    wrong = await machines(tmp_path / "fence", other_root(house.keyset))
    assert wrong.ledger.health.failure is not None
    wrong.fence.save()
    right = await machines(tmp_path / "fence")
    assert right.ledger.health.failure is None
    assert (await right.redeem(unused)).outcome is Outcome.APPROVED


async def test_adopting_with_the_same_keyset_changes_nothing(house, machines, tmp_path):
    await begun(house)
    server = await machines(tmp_path / "fence")
    before = await house.dump()
    await server.ledger.operations.adopt(house.program)
    assert await house.dump() == before


async def test_an_edited_keyset_upgrades_and_resets_nothing(house, machines, tmp_path):
    await begun(house)
    server = await machines(tmp_path / "fence", other_root(house.keyset), operator=True)
    before = await house.dump()
    with refused(LedgerNotTrusted, "privacy_root"):
        await server.ledger.operations.reset_clock(house.program)
    (row,) = await server.ledger.operations.upgrade(None, house.program)
    assert "privacy_root" in row["trusted"]
    assert await house.dump() == before


async def test_the_ledger_itself_stores_no_value_beside_one_that_differs(house, machines, tmp_path):
    """Two servers may look at the same moment: the function compares again before it writes."""
    await begun(house)
    server = await machines(tmp_path / "new", with_keys(other_root(house.keyset), 1))
    before = await stored(house)
    with refused(LedgerNotTrusted, "privacy_root"):
        await server.ledger._functions.open(house.program, create=False)
    assert await stored(house) == before


async def test_no_value_is_stored_in_a_ledger_that_is_another_one(house, machines, tmp_path):
    await begun(house)
    server = await machines(tmp_path / "fence", with_keys(house.keyset, 1))
    await server.ledger.check()
    before = await stored(house)
    ahead = await machines(tmp_path / "new", with_keys(house.keyset, 1))
    ahead.fence.observe(house.program, "e" * 16, 1)
    with pytest.raises(ServiceError):
        await ahead.ledger._functions.open(house.program, create=False)
    assert await stored(house) == before


async def test_a_ledger_that_takes_no_write_is_served_all_the_same(house, machines, tmp_path, monkeypatch):
    """A new key is noted when it takes writes again; until then nothing is wrong."""
    await begun(house)
    server = await machines(tmp_path / "new")
    await server.campaigns.list(calling(), house.program, first=1, page_size=1)
    server.fence.check_values = check_values(with_keys(house.keyset, 1))

    async def full(*_, **__):
        raise LedgerFull("the ledger takes no writes now")

    with monkeypatch.context() as patch:
        patch.setattr(server.ledger._functions, "open", full)
        await server.ledger.check()
    assert server.ledger.health.failure is None
    assert not isinstance(server.ledger.health.failure, LedgerRefused)
    await server.ledger.check()
    assert await stored(house) == server.fence.check_values
