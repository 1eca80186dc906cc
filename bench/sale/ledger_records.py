"""The ledger's own records of a run: each used coupon, and the event stream. They are read past the service."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgpack
from redis import Redis
from redis.exceptions import RedisError

from sale.check import Check, shown
from sale.goods import Plan

READ_AT_ONCE = 1_000
EXAMPLE = "redis://127.0.0.1:6379 or unix:///…/valkey.sock"
REQUEST = slice(5, 15)
"""The request's digest in the record of a used coupon, see ``lua/records.lua``."""


class UnreadableLedger(Exception):
    """The ledger cannot be audited; the message says why."""


class Records:
    """Reads them from a ledger.

    Attributes:
        not_checked: What could not be looked at, and why.
        calls: Of the ledger: when each was made, in Unix seconds, and how many redemptions it approved.
    """

    def __init__(self, url: str) -> None:
        """Connect.

        Raises:
            UnreadableLedger: There is none at this URL.
        """
        self.not_checked: list[str] = []
        self.calls: list[tuple[float, int]] = []
        try:
            self._redis: Any = Redis.from_url(url, protocol=2)
            self._redis.ping()
        except ValueError as error:
            raise UnreadableLedger(f"--ledger must be a URL, such as {EXAMPLE}: {error}") from error
        except (RedisError, OSError) as error:
            raise UnreadableLedger(f"the ledger cannot be read: {error}") from error

    def checks(
        self, plan: Plan, told: set[tuple[int, int]], counted: Mapping[int, int], *, whole: bool = True
    ) -> list[Check]:
        """Return what was looked at.

        Args:
            plan: What was sold.
            told: The coupons, as campaign and serial, that were approved as callers were told.
            counted: How many redemptions each campaign has counted.
            whole: Whether all callers could say what they were told; else there may be more records.

        Raises:
            UnreadableLedger: It cannot be read any more.
        """
        try:
            return [*self._checks(plan, told, counted, whole=whole)]
        except RedisError as error:
            raise UnreadableLedger(f"the ledger cannot be read: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _checks(
        self, plan: Plan, told: set[tuple[int, int]], counted: Mapping[int, int], *, whole: bool
    ) -> Iterator[Check]:
        used = {sold.number: dict(self._used(plan.program, sold.number)) for sold in plan.campaigns}
        told = {(number, serial) for number, serial in told if number in used}  # others were brought
        there = {(number, serial) for number, coupons in used.items() for serial in coupons}
        may_be_told = there if whole else there & told
        wrong = [*_difference(told, may_be_told, "has no record of a use", "was used, and nobody was told")]
        for number, coupons in used.items():
            if len(coupons) != counted[number]:
                wrong.append(f"campaign {number} has {len(coupons):,} used coupons, and counts {counted[number]:,}")
            requests = Counter(coupons.values())
            wrong += [
                f"campaign {number}: one request used {count} coupons" for count in requests.values() if count > 1
            ]
        yield Check("each approved coupon has its record, and no other one", f"{len(there):,} records", shown(wrong))
        yield from self._events(plan, there)

    def _events(self, plan: Plan, there: set[tuple[int, int]]) -> Iterator[Check]:
        key = f"{{{plan.program}}}:events"
        numbers = {sold.number for sold in plan.campaigns}
        redeemed: Counter[tuple[int, int]] = Counter()
        calls, is_whole = 0, False
        for moment, events in self._stream(key):
            calls += 1
            redemptions = 0
            for kind, _, *rest in events:
                if kind == b"defined" and rest[0] in numbers:
                    is_whole = True
                if kind == b"redeemed":
                    coupons = zip(*[iter(rest[0])] * 3, strict=True)
                    own = [(number, serial) for number, serial, _ in coupons if number in numbers]
                    redeemed.update(own)
                    redemptions += len(own)
            if redemptions:
                self.calls.append((moment, redemptions))
        if not is_whole:
            self.not_checked.append("the event stream: it no longer reaches back to the beginning of the run")
            return
        wrong = [*_difference(there, set(redeemed), "is in no event", "is in an event, and was not used")]
        wrong += [
            f"coupon {number}:{serial} is in {count} events"
            for (number, serial), count in redeemed.items()
            if count > 1
        ]
        yield Check("the event stream has each redemption once", f"{calls:,} entries", shown(wrong))

    def _used(self, program: str, number: int) -> Iterator[tuple[int, bytes]]:
        """Yield the serial of each used coupon, and the digest of its request."""
        width = int(self._redis.hget(f"{{{program}}}:campaign:{number}", "width") or 0)
        for key in self._redis.scan_iter(f"{{{program}}}:u:{number}:*", count=READ_AT_ONCE):
            block = int(key.rpartition(b":")[2])
            for place, record in self._redis.hgetall(key).items():
                if record[0] % 16 == 1:  # in use, and not given back
                    yield block * width + int(place), record[REQUEST]

    def _stream(self, key: str) -> Iterator[tuple[float, list[list[Any]]]]:
        """Yield the entries: when each was written, in Unix seconds, and its events."""
        last = b"-"
        while found := self._redis.xrange(key, last, "+", count=READ_AT_ONCE):
            for entry_id, entry in found:
                last = b"(" + entry_id
                _, _, events = msgpack.unpackb(entry[b"e"], raw=True)
                yield int(entry_id.partition(b"-")[0]) / 1000, events


def _difference(
    these: set[tuple[int, int]], those: set[tuple[int, int]], only_these: str, only_those: str
) -> Iterator[str]:
    yield from (f"coupon {number}:{serial} {only_these}" for number, serial in sorted(these - those))
    yield from (f"coupon {number}:{serial} {only_those}" for number, serial in sorted(those - these))
