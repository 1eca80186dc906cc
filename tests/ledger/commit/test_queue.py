"""The queue of one program: which orders are first, how many are sent together, and which ones nobody waits for."""

import pytest
from builders.calls import calling

from redemption.domain.errors import LedgerUnavailable
from redemption.ledger.commit.queue import PROGRAM_BYTES_MAX, Queue, QueuedItem


def items(names, *, weight=1, payload=b"x", gone=False):
    return [QueuedItem(payload, weight, calling(gone=gone), name, None) for name in names]


def queue_of(*, rejudged="", single="", bulk="", weight=1):
    """A queue with orders named by letters."""
    queue = Queue()
    for line, names in ((queue.rejudged, rejudged), (queue.single, single), (queue.bulk, bulk)):
        line.extend(items(names, weight=weight))
    return queue


def take(queue, weight_max, *, at_least_one=True):
    """The names of the orders to send, and of those that nobody waits for."""
    taken, abandoned = queue.take(weight_max, at_least_one=at_least_one)
    return "".join(item.context for item in taken), "".join(item.context for item in abandoned)


@pytest.mark.parametrize(
    ("waiting", "weight_max", "taken"),
    [
        ({"rejudged": "ab", "single": "cd", "bulk": "ef"}, 100, "abcdef"),
        ({"single": "abcdef"}, 4, "abcd"),
        ({"rejudged": "abcdef", "single": "g"}, 4, "abcd"),
        # Of four places one is kept for the remainders of big batches, if there are any.
        ({"single": "abcdef", "bulk": "uvwxyz"}, 4, "abcu"),
        ({"single": "ab", "bulk": "uvwxyz"}, 4, "abuv"),
        ({"single": "abcdef", "bulk": "u"}, 8, "abcdefu"),
        ({"single": "abcdefgh", "bulk": "u"}, 8, "abcdefug"),
    ],
)
def test_rejudged_orders_go_first_and_big_batches_keep_a_share(waiting, weight_max, taken):
    queue = queue_of(**waiting)
    assert take(queue, weight_max) == (taken, "")
    assert len(queue) == sum(map(len, waiting.values())) - len(taken)


def test_orders_count_by_their_tokens():
    assert take(queue_of(single="abc", weight=3), 8) == ("ab", "")


@pytest.mark.parametrize(("at_least_one", "taken"), [(True, "a"), (False, "")])
def test_an_order_that_is_too_large_goes_alone_or_not_at_all(at_least_one, taken):
    assert take(queue_of(single="ab", weight=9), 8, at_least_one=at_least_one) == (taken, "")


def test_a_call_is_bounded_in_bytes():
    queue = Queue()
    queue.single.extend(items("abc", payload=bytes(PROGRAM_BYTES_MAX // 2)))
    assert take(queue, 100) == ("ab", "")
    assert take(queue, 100) == ("c", "")


def test_orders_whose_caller_left_are_returned_apart():
    queue = queue_of(single="ab")
    queue.single.extendleft(items("x", gone=True))
    queue.bulk.extend(items("y", gone=True))
    assert take(queue, 100) == ("ab", "xy")
    assert len(queue) == 0


def test_orders_that_were_answered_meanwhile_are_returned_apart():
    queue = queue_of(single="ab")
    queue.single[0].outcome = LedgerUnavailable("its deadline passed")
    assert take(queue, 100) == ("b", "a")


def test_orders_for_whom_nobody_waits_are_removed_from_every_line():
    queue = queue_of(rejudged="a", single="b", bulk="c")
    for line, name in ((queue.rejudged, "x"), (queue.single, "y"), (queue.bulk, "z")):
        line.extendleft(items(name, gone=True))
    assert queue.drop_abandoned() == 3
    assert "".join(item.context for item in queue.all()) == "abc"
