"""Velocity and accounts rules in the real Lua, against exact models; and what a call reads and writes for them."""

import random
import struct
from collections import OrderedDict
from types import SimpleNamespace

import pytest
from ledger.desk import changed, digest
from ledger.lua_source import texts
from thoroughness import tries

from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import Approved, Exceeded, Mismatch, Outdated, Remembered
from redemption.domain.risk.rules import AccountsRule, RuleCounts, RuleMode, Rules, VelocityRule
from redemption.domain.risk.subjects import SubjectKind
from redemption.ledger import keys
from redemption.ledger.library import assembled
from redemption.ledger.stores.rules import pack_checks
from redemption.ledger.wire.orders import split_exceeded

DEVICE, CUSTOMER, NETWORK = SubjectKind.DEVICE, SubjectKind.CUSTOMER, SubjectKind.NETWORK
EXCEEDED = Outcome.VELOCITY_EXCEEDED
MINUTE_MS = 60_000
ARRIVALS = tries(100_000)
AT_ONCE = 2_500

# Decides arrivals one after the other, each at a moment of its own: triples of a moment (Unix ms), the digest of a
# subject and that of a customer. Replies one byte for each: 1 it passed, 0 it exceeded the rule.
DRIVE = """
redis.register_function('drive_' .. SUFFIX, function(key_names, args)
  command = redis.call
  local tag, packed, passed = key_names[1], args[1], {}
  local places = { [82] = function() return 2 end }
  for at = 1, #packed, 24 do
    local now, subject, customer = struct.unpack('>I8c8c8', packed, at)
    local call = { tag = tag, epoch = tag, rules = 1, now = now, seconds = math.floor(now / 1000), velocity = false }
    local item = 'R\\1\\1' .. subject
    velocity.begin(call, { item }, 1, places)
    call.next = 2
    velocity.decide(call, 1, customer)
    passed[#passed + 1] = velocity.is_exceeded() and '0' or '1'
    velocity.apply(call, true)
    velocity.close(call)
  end
  return table.concat(passed)
end)
"""


# Decides arrivals in one call, at one moment (Unix ms): pairs of the digests of a subject and of a customer. Replies
# what each is told of rules, and then how many arguments each HSET has that the call sends.
TOGETHER = """
redis.register_function('together_' .. SUFFIX, function(key_names, args)
  local tag, now, packed, replies, written = key_names[1], tonumber(args[1]), args[2], {}, {}
  command = function(name, ...)
    if name == 'HSET' then written[#written + 1] = select('#', ...) end
    return redis.call(name, ...)
  end
  local call = { tag = tag, epoch = tag, rules = 1, now = now, seconds = math.floor(now / 1000), velocity = false }
  local items = {}
  for at = 1, #packed, 16 do items[#items + 1] = 'R\\1\\1' .. packed:sub(at, at + 7) end
  velocity.begin(call, items, 1, { [82] = function() return 2 end })
  for index = 1, #items do
    call.next = index + 1
    velocity.decide(call, 1, packed:sub(16 * index - 7, 16 * index))
    replies[index] = velocity.reply('')
    velocity.apply(call, not velocity.refuses(0))
  end
  velocity.close(call)
  return { replies, written }
end)
"""


# Replies the intervals of the rates that a program has, by the ledger's epoch and the version of the rules.
LIMITS = """
redis.register_function('limits_' .. SUFFIX, function(key_names, args)
  local intervals = {}
  for _, rule in ipairs(rules.checks({ tag = key_names[1], epoch = args[1], rules = tonumber(args[2]) })) do
    intervals[#intervals + 1] = rule.interval
  end
  return intervals
end)
"""


def rule(name="device", subject=DEVICE, limit=5, period_ms=MINUTE_MS, burst=None, **rest):
    """A velocity rule: five a minute for each device, with changes."""
    return VelocityRule(name, subject, limit, period_ms, limit if burst is None else burst, **rest)


def accounts(name="farm", subject=DEVICE, customers=2, window_seconds=60, **rest):
    """An accounts rule: two customers a minute for each device, with changes."""
    return AccountsRule(name, subject, customers, window_seconds, **rest)


class RateModel:
    """GCRA as ITU-T I.371 has it, in whole microseconds."""

    def __init__(self, of):
        self._interval, self._tolerance = of.interval_us, of.tolerance_us
        self._due = {}

    def passes(self, now_ms, subject, _customer):
        now = now_ms * 1000
        due = max(self._due.get(subject, 0), now)
        if due - now > self._tolerance:
            return False
        self._due[subject] = due + self._interval
        return True


class AccountsModel:
    """The customers of each subject, with when each was counted last."""

    def __init__(self, of):
        self._customers, self._window = of.customers, of.window_seconds
        self._last = {}

    def passes(self, now_ms, subject, customer):
        now = now_ms // 1000
        last = self._last.setdefault(subject, OrderedDict())
        for who in [who for who, when in last.items() if now - when >= self._window]:
            del last[who]
        if customer not in last and len(last) >= self._customers:
            return False
        last[customer] = now
        return True


RATES = [
    rule(limit=5),
    rule(limit=1, period_ms=1_000),
    rule(limit=7, period_ms=10_000, burst=3),
    rule(limit=1_000, period_ms=1_000, burst=1),
    rule(limit=3, period_ms=30 * MINUTE_MS, burst=10),
]
SHARED = [accounts(), accounts(customers=1, window_seconds=1), accounts(customers=9, window_seconds=300)]


@pytest.mark.parametrize("of", RATES + SHARED, ids=lambda of: f"{type(of).__name__} {of.life_ms}")
async def test_the_lua_lets_pass_exactly_what_the_model_does(desk, of):
    """Seeded arrivals of some subjects: dense, sparse, and after long silence, across many generations."""
    is_rate = isinstance(of, VelocityRule)
    model, kind = (RateModel(of), Rules(velocity=(of,))) if is_rate else (AccountsModel(of), Rules(accounts=(of,)))
    name = f"drive-{of.life_ms}-{is_rate:d}"
    library = assembled(texts() | {"drive": DRIVE})
    await desk.redis.function_load(library.text, replace=True)
    await desk.redis.hset(keys.rules(name), "checks", pack_checks(kind.numbered()))
    dice = random.Random(20_261_130)
    subjects = [digest(f"subject {number}", 8) for number in range(20)]
    customers = [digest(f"customer {number}", 8) for number in range(12)]
    moment, passed = float(desk.ledger.now_ms()), 0
    mean_ms = (of.interval_us / 1500 if is_rate else 1000 * of.window_seconds / of.customers / 2) / len(subjects)
    rounds = ARRIVALS // len(RATES + SHARED) // AT_ONCE
    for _ in range(rounds):
        arrivals = []
        for _ in range(AT_ONCE):
            moment += dice.expovariate(1 / mean_ms) if dice.random() > 0.0005 else 3 * of.life_ms
            arrivals.append((int(moment), dice.choice(subjects), dice.choice(customers)))
        packed = b"".join(struct.pack(">Q8s8s", *arrival) for arrival in arrivals)
        found = await desk.redis.fcall(library.name("drive").decode(), 1, keys.tag(name), packed)
        wanted = "".join("01"[model.passes(*arrival)] for arrival in arrivals)
        assert found.decode() == wanted
        passed += wanted.count("1")
    assert 0.05 < passed / (rounds * AT_ONCE) < 0.95, "both answers are tried"
    await desk.redis.function_delete(f"redemption_{library.suffix}")
    await desk.redis.unlink(*await desk.redis.keys(f"{{{name}}}:*"))


@pytest.fixture
async def together(desk):
    """Makes a function that decides arrivals in one call, and what it replies; every rule has a program of its own."""
    libraries = []

    async def make(of, subjects_max=2_000_000):
        sources = texts() | {"together": TOGETHER}
        bound = "SUBJECTS_MAX = 2000000"
        assert bound in sources["velocity"]
        sources["velocity"] = sources["velocity"].replace(bound, f"SUBJECTS_MAX = {subjects_max}")
        library, name = assembled(sources), f"together-{len(libraries)}-{subjects_max}-{of.life_ms}"
        libraries.append((library, name))
        await desk.redis.function_load(library.text, replace=True)
        rules = Rules(velocity=(of,)) if isinstance(of, VelocityRule) else Rules(accounts=(of,))
        await desk.redis.hset(keys.rules(name), "checks", pack_checks(rules.numbered()))

        async def send(now_ms, *arrivals):
            packed = b"".join(subject + customer for subject, customer in arrivals)
            function = library.name("together").decode()
            replies, written = await desk.redis.fcall(function, 1, keys.tag(name), now_ms, packed)
            return [list(split_exceeded(reply)[0]) if reply else [] for reply in replies], written

        return send

    yield make
    for library, name in libraries:
        await desk.redis.function_delete(f"redemption_{library.suffix}")
        await desk.redis.unlink(*await desk.redis.keys(f"{{{name}}}:*"))


def bytes_of(*names):
    return [digest(name, 8) for name in names]


async def test_of_an_accounts_rule_a_call_writes_each_subject_once_and_nothing_when_nothing_changed(desk, together):
    """However many customers of one device are in it; its state is long."""
    send = await together(accounts(customers=50))
    (phone, *people), now_ms = bytes_of("phone", *"abcdefghij"), desk.ledger.now_ms()
    arrivals = [(phone, who) for who in people + people]
    assert await send(now_ms, *arrivals) == ([[]] * 20, [3, 3]), "the first one makes the key"
    assert await send(now_ms, *arrivals) == ([[]] * 20, [])
    assert await send(now_ms + 1_000, *arrivals) == ([[]] * 20, [3])


async def test_a_customer_is_not_found_across_two_others(desk, together):
    """In the list, a digest is followed by a time; both may look like parts of a digest."""
    send = await together(accounts(customers=1))
    now_ms = 1_000 * (desk.ledger.now_ms() // 1_000)
    (phone,) = bytes_of("phone")
    odd = b"beef" + struct.pack(">I", now_ms // 1_000)
    replies, _ = await send(now_ms, (phone, b"deadbeef"), (phone, odd), (phone, b"deadbeef"))
    assert replies == [[], [Exceeded(1, now_ms + 60_000)], []]


@pytest.mark.parametrize("of", [rule(limit=1), accounts(customers=1)], ids=["rate", "accounts"])
async def test_a_rule_without_room_counts_no_new_subject_and_says_so(desk, together, of):
    """Whoever is there is counted as ever."""
    send = await together(of, subjects_max=3)
    (one, two, three, four, five, ann, bob), now_ms = bytes_of(*"1234567"), desk.ledger.now_ms()
    assert (await send(now_ms, (one, ann), (two, ann)))[0] == [[], []]
    assert (await send(now_ms, (three, ann)))[0] == [[]]
    uncounted = [Exceeded(1, 0)]
    for _ in range(2):
        replies, written = await send(now_ms, (four, ann), (five, ann), (four, bob), (two, bob))
        assert replies[:3] == [uncounted] * 3
        assert replies[3][0].try_after_ms > now_ms, "it is there, and exceeds the rule"
        assert written == []
    (key,) = await desk.redis.keys(f"{{together-0-3-{of.life_ms}}}:velocity:1:*")
    assert await desk.redis.hlen(key) == 4, "and the empty name"


@pytest.mark.parametrize("of", [rule(limit=2), accounts(customers=2)], ids=["rate", "accounts"])
async def test_what_was_counted_before_the_clock_was_set_back_refuses_nobody(desk, together, of):
    """An operator may set the ledger's clock back after it was wrong, by hours."""
    send = await together(of)
    (phone, *people), now_ms = bytes_of("phone", *"abcde"), 1_000 * (desk.ledger.now_ms() // 1_000)
    ahead_ms = now_ms + 3 * 60 * MINUTE_MS
    assert (await send(ahead_ms, *((phone, who) for who in people[:2])))[0] == [[], []]
    (key,) = await desk.redis.keys("{together-*}:velocity:1:*")
    moved = await desk.redis.hgetall(key)
    await desk.redis.unlink(key)
    await send(now_ms, (people[4], people[4]))  # makes the key of the present generation
    (key,) = await desk.redis.keys("{together-*}:velocity:1:*")
    await desk.redis.hset(key, mapping=moved)
    replies, _ = await send(now_ms, *((phone, who) for who in people[:4]))
    assert [bool(exceeded) for exceeded in replies] == [False, False, True, True]


class Shop:
    """Orders of a program with rules."""

    def __init__(self, desk, campaign, active):
        self.desk = desk
        self.campaign = campaign
        self.active = active
        self._serial = 0

    def order(self, *checks, outcome=Outcome.APPROVED, campaigns=None, **names):
        """One order for a coupon of its own, with checks: pairs of a rule's position and a subject's name."""
        tokens = []
        for campaign in campaigns or [self.campaign]:
            tokens.append(self.desk.token(campaign, self._serial, outcome=outcome))
            self._serial += 1
        packed = bytes((len(checks),)) + b"".join(bytes((at,)) + digest(who, 8) for at, who in checks)
        return changed(self.desk.order(*tokens, **names), rules_version=self.active.version, checks=packed)

    async def send(self, *orders):
        """Send orders in one call; returns the ranks of the tokens of each; of an approved one, of one token."""
        replies = await self.desk.send(*orders)
        return [
            [Outcome.APPROVED] if isinstance(reply, Approved) else [token.rank for token in reply.tokens]
            for reply in replies
        ]


@pytest.fixture
def shop_of(desk):
    """Makes a shop whose program has these rules."""

    async def make(*rules):
        campaign = await desk.campaign(issued=100_000)
        velocity = tuple(one for one in rules if isinstance(one, VelocityRule))
        shared = tuple(one for one in rules if isinstance(one, AccountsRule))
        wanted = Rules(velocity=velocity, accounts=shared).numbered()
        active = await desk.ledger.rules.define(desk.program, wanted, expected=0, what="applied", principal="test")
        return Shop(desk, campaign, active)

    return make


async def test_of_many_orders_at_once_exactly_the_limit_passes(shop_of):
    """Whether in one call or in several."""
    shop = await shop_of(rule(limit=5))
    found = await shop.send(*(shop.order((1, "phone")) for _ in range(64)))
    found += await shop.send(*(shop.order((1, "phone")) for _ in range(64)))
    assert found == 5 * [[Outcome.APPROVED]] + 123 * [[EXCEEDED]]
    assert await shop.send(shop.order((1, "another phone"))) == [[Outcome.APPROVED]]


async def test_what_exceeds_a_rule_says_when_there_is_room_again(shop_of):
    shop = await shop_of(rule(limit=2, period_ms=60_000))
    now_ms = shop.desk.ledger.now_ms()
    await shop.desk.house.set_clock(now_ms + 1_000)  # so that all of them are at one moment
    *_, (_, (exceeded,)) = await shop.desk.send_and_see(*(shop.order((1, "phone")) for _ in range(3)))
    assert exceeded == Exceeded(1, now_ms + 1_000 + 30_000)


async def test_a_shadow_rule_refuses_nobody_and_is_reported(shop_of):
    shop = await shop_of(rule(limit=2, mode=RuleMode.SHADOW))
    found = await shop.desk.send_and_see(*(shop.order((1, "phone")) for _ in range(5)))
    assert [(type(reply), len(exceeded)) for reply, exceeded in found] == 2 * [(Approved, 0)] + 3 * [(Approved, 1)]


@pytest.mark.parametrize(
    ("counts", "after_refusals"), [(RuleCounts.ATTEMPTS, EXCEEDED), (RuleCounts.APPROVALS, Outcome.APPROVED)]
)
async def test_a_refused_order_counts_only_where_attempts_do(shop_of, counts, after_refusals):
    shop = await shop_of(rule(limit=2, counts=counts))
    refused = [shop.order((1, "phone"), outcome=Outcome.MIN_SPEND_NOT_MET) for _ in range(2)]
    assert await shop.send(*refused) == [[Outcome.MIN_SPEND_NOT_MET]] * 2
    assert await shop.send(shop.order((1, "phone"))) == [[after_refusals]]


async def test_a_refused_order_counts_for_the_rules_of_attempts_alone(shop_of):
    attempts, approvals = (
        rule(limit=1, counts=RuleCounts.ATTEMPTS),
        rule("network", NETWORK, limit=1, counts=RuleCounts.APPROVALS),
    )
    shop = await shop_of(attempts, approvals)
    both = ((1, "phone"), (2, "192.0.2.7"))
    assert await shop.send(shop.order(*both, outcome=Outcome.MIN_SPEND_NOT_MET)) == [[Outcome.MIN_SPEND_NOT_MET]]
    found = await shop.send(shop.order((1, "phone")), shop.order((2, "192.0.2.7")), shop.order((2, "192.0.2.7")))
    assert found == [[EXCEEDED], [Outcome.APPROVED], [EXCEEDED]]


async def test_an_order_of_somebody_denied_is_denied_whatever_it_exceeds(shop_of):
    shop = await shop_of(rule(limit=1))
    await shop.send(shop.order((1, "phone")))
    assert await shop.send(shop.order((1, "phone"), outcome=Outcome.DENYLISTED)) == [[Outcome.DENYLISTED]]


async def test_the_limits_in_memory_are_those_of_the_version_and_of_the_ledger(desk):
    """The library keeps the limits of a program. A restored ledger may have other ones at the same version."""
    library, name = assembled(texts() | {"limits": LIMITS}), "limits"
    await desk.redis.function_load(library.text, replace=True)

    async def limits(epoch, version):
        return await desk.redis.fcall(library.name("limits").decode(), 1, keys.tag(name), epoch, version)

    async def define(*limits):
        velocity = tuple(rule(f"rule-{limit}", limit=limit) for limit in limits)
        await desk.redis.hset(keys.rules(name), "checks", pack_checks(Rules(velocity=velocity).numbered()))

    await define(1)
    assert await limits("a", 1) == [MINUTE_MS * 1000]
    await define(2, 3)
    assert await limits("a", 1) == [MINUTE_MS * 1000], "it did not read them again"
    assert await limits("a", 2) == [MINUTE_MS * 500, MINUTE_MS * 1000 // 3]
    await define(4)
    assert await limits("b", 2) == [MINUTE_MS * 250]
    await desk.redis.function_delete(f"redemption_{library.suffix}")
    await desk.redis.unlink(keys.rules(name))


async def test_what_was_approved_and_is_asked_again_is_answered_and_counts_nowhere(shop_of):
    shop = await shop_of(rule(limit=2))
    order = shop.order((1, "phone"), order="ord-1", request="try-1", content="cart")
    assert await shop.send(order) == [[Outcome.APPROVED]]
    for _ in range(3):
        (again,) = await shop.desk.send(order)
        assert isinstance(again, Remembered)
    other_content = changed(order, content=digest("another cart", 8))
    assert isinstance((await shop.desk.send(other_content))[0], Mismatch)
    same_order = changed(order, request=digest("try-2", 10))
    assert await shop.send(same_order) == [[15]]
    assert await shop.send(shop.order((1, "phone")), shop.order((1, "phone"))) == [[Outcome.APPROVED], [EXCEEDED]]
    assert isinstance((await shop.desk.send(order))[0], Remembered), "although the rule is exceeded now"


async def test_a_rule_of_one_campaign_refuses_its_tokens_alone(shop_of):
    shop = await shop_of(rule(campaign=1, limit=1))
    other = await shop.desk.campaign(issued=100_000)
    both = [shop.campaign, other]
    assert await shop.send(shop.order((1, "phone"), campaigns=both)) == [[Outcome.APPROVED]]
    assert await shop.send(shop.order((1, "phone"), campaigns=both)) == [[EXCEEDED, Outcome.APPROVED]]


async def test_each_rule_counts_for_itself(shop_of):
    """Attempts that another rule refuses are attempts."""
    shop = await shop_of(rule("device", limit=1), rule("customer", CUSTOMER, limit=3))
    found = await shop.send(*(shop.order((1, "phone"), (2, "ann")) for _ in range(3)), shop.order((2, "ann")))
    assert found == [[Outcome.APPROVED], [EXCEEDED], [EXCEEDED], [EXCEEDED]]


async def test_customers_who_exceed_a_device_learn_when_the_first_of_the_others_goes(shop_of):
    shop = await shop_of(accounts(customers=2))
    now_ms = 1_000 * (shop.desk.ledger.now_ms() // 1_000) + 10_000
    for late_ms, name in ((0, "ann"), (7_000, "ben")):
        await shop.desk.house.set_clock(now_ms + late_ms)
        await shop.send(shop.order((1, "phone"), customer=name))
    ((_, (exceeded,)),) = await shop.desk.send_and_see(shop.order((1, "phone"), customer="cat"))
    assert exceeded == Exceeded(1, now_ms + 60_000)


async def test_accounts_of_an_order_without_a_customer_fail_it_alone(shop_of):
    """A defect of the server."""
    shop = await shop_of(accounts())
    broken, sound = await shop.desk.send(shop.order((1, "phone")), shop.order((1, "phone"), customer="ann"))
    assert [type(reply).__name__ for reply in (broken, sound)] == ["Failed", "Approved"]


async def test_customers_of_a_device_are_counted_exactly(shop_of):
    shop = await shop_of(accounts(customers=2))
    orders = [shop.order((1, "phone"), customer=name) for name in ("ann", "ben", "cat", "ann", "ben", "dan")]
    yes, no = [Outcome.APPROVED], [EXCEEDED]
    assert await shop.send(*orders) == [yes, yes, no, yes, yes, no]
    assert await shop.send(shop.order((1, "tablet"), customer="cat")) == [yes]


async def test_an_order_judged_by_other_rules_is_outdated_and_counts_nothing(shop_of):
    shop = await shop_of(rule(limit=1))
    before = changed(shop.order((1, "phone")), rules_version=0)
    (reply,) = await shop.desk.send(before)
    assert isinstance(reply, Outdated)
    assert await shop.send(shop.order((1, "phone"))) == [[Outcome.APPROVED]]


async def test_a_refused_attempt_that_counts_nothing_writes_nothing(shop_of):
    shop = await shop_of(rule(limit=1))
    await shop.send(shop.order((1, "phone")))
    header = keys.ledger(shop.desk.program)
    before = await shop.desk.redis.hget(header, "seq")
    assert await shop.send(*(shop.order((1, "phone")) for _ in range(10))) == 10 * [[EXCEEDED]]
    assert await shop.desk.redis.hget(header, "seq") == before


async def test_a_state_that_cannot_be_read_fails_the_orders_that_need_it_alone(shop_of):
    shop = await shop_of(rule(limit=1), rule("network", NETWORK, limit=1))
    await shop.send(shop.order((1, "phone")))
    (key,) = await shop.desk.redis.keys(f"{{{shop.desk.program}}}:velocity:1:*")
    await shop.desk.redis.delete(key)
    await shop.desk.redis.set(key, "not a hash")
    (broken, sound) = await shop.desk.send(shop.order((1, "phone")), shop.order((2, "192.0.2.7")))
    assert type(broken).__name__ == "Failed"
    assert isinstance(sound, Approved)


async def test_what_was_counted_leaves_nothing_after_its_time(shop_of):
    """The key of a generation expires after its end, when no state in it can matter."""
    shop = await shop_of(rule(limit=1, period_ms=1_000))
    await shop.send(*(shop.order((1, f"phone {number}")) for number in range(64)))
    (key,) = await shop.desk.redis.keys(f"{{{shop.desk.program}}}:velocity:1:*")
    assert await shop.desk.redis.hlen(key) == 65
    assert 0 < await shop.desk.redis.pttl(key) <= 5 * MINUTE_MS + 1_000


async def test_what_was_counted_stays_as_long_as_it_matters(shop_of):
    """Also what was counted at the end of a generation."""
    hour = rule(limit=1, period_ms=60 * MINUTE_MS)
    shop = await shop_of(hour)
    now_ms = shop.desk.ledger.now_ms()
    await shop.send(shop.order((1, "phone")))
    (key,) = await shop.desk.redis.keys(f"{{{shop.desk.program}}}:velocity:1:*")
    ends_ms = now_ms - now_ms % hour.life_ms + hour.life_ms
    assert await shop.desk.redis.pexpiretime(key) >= ends_ms + hour.life_ms


async def test_a_key_of_a_generation_is_a_hash_table(shop_of):
    shop = await shop_of(rule(limit=1))
    await shop.send(shop.order((1, "phone")))
    (key,) = await shop.desk.redis.keys(f"{{{shop.desk.program}}}:velocity:1:*")
    assert await shop.desk.redis.object("encoding", key) == b"hashtable"


async def test_a_live_subject_takes_less_than_a_hundred_bytes(shop_of):
    shop = await shop_of(rule(limit=1))
    for first in range(0, 2_000, 100):
        await shop.send(*(shop.order((1, f"phone {number}")) for number in range(first, first + 100)))
    (key,) = await shop.desk.redis.keys(f"{{{shop.desk.program}}}:velocity:1:*")
    assert await shop.desk.redis.memory_usage(key, samples=0) / 2_000 < 100


@pytest.mark.parametrize("checks", [((2, "phone"),), ((1, "phone"), (3, "phone"))])
async def test_a_check_of_a_rule_that_is_not_there_fails_its_order_alone(shop_of, checks):
    """The server has a defect, or the rules of the ledger are damaged: nothing must be approved unseen."""
    shop = await shop_of(rule(limit=1))
    sound, broken, other = await shop.desk.send(
        shop.order((1, "phone")), shop.order(*checks), shop.order((1, "another phone"))
    )
    assert [type(reply).__name__ for reply in (sound, broken, other)] == ["Approved", "Failed", "Approved"]


async def test_checks_of_a_program_without_rules_fail_their_order_alone(shop_of):
    shop = await shop_of()
    sound, broken = await shop.desk.send(shop.order(), shop.order((1, "phone")))
    assert [type(reply).__name__ for reply in (sound, broken)] == ["Approved", "Failed"]


async def test_checks_that_cannot_be_read_fail_only_what_needs_them(desk):
    """What was answered before is answered again, and orders that no rule counts go on."""
    campaign = await desk.campaign(issued=100)
    before = desk.order(desk.token(campaign, 0), order="ord-1", request="try-1")
    await desk.send(before)
    wanted = Rules(velocity=(rule(),)).numbered()
    active = await desk.ledger.rules.define(desk.program, wanted, expected=0, what="applied", principal="test")
    key = keys.rules(desk.program)
    await desk.redis.hset(key, "checks", (await desk.redis.hget(key, "checks"))[:-1])
    shop = Shop(desk, campaign, active)
    shop.order()  # the first serial is used
    found = await desk.send(before, shop.order((1, "phone")), shop.order(), shop.order((1, "phone")))
    assert [type(reply).__name__ for reply in found] == ["Remembered", "Failed", "Approved", "Failed"]


@pytest.mark.parametrize(("tokens", "checks", "weight"), [(1, 0, 1), (1, 3, 1), (1, 4, 2), (1, 32, 9), (20, 32, 28)])
async def test_checks_of_rules_are_part_of_the_weight_of_an_order(desk, monkeypatch, tokens, checks, weight):
    """So a call of many orders and many rules does not hold up the ledger for longer than one without rules."""
    submitted = []
    campaign = await desk.campaign()
    order = desk.order(*(desk.token(campaign, serial) for serial in range(tokens)))
    batcher = SimpleNamespace(submit=lambda _, items, **__: submitted.extend(items))
    monkeypatch.setattr(desk.ledger.orders._queue, "_batcher", batcher)
    desk.ledger.orders.decide(
        desk.program, [changed(order, checks=bytes((checks,)) + bytes(9 * checks))], rejudged=False
    )
    assert [item.weight for item in submitted] == [weight]


def test_an_exceeded_rule_is_read_from_a_reply():
    packed = b"V\x02" + struct.pack(">BQBQ", 1, 5, 3, 7) + b"N..."
    assert split_exceeded(packed) == ((Exceeded(1, 5), Exceeded(3, 7)), b"N...")
