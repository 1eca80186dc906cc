"""Quotas: how much work each name may have done in a second. Pure: whoever asks says what time it is.

Each name has a bucket of ``burst`` units, which fills at a steady rate. Of a bucket only the moment is kept at which it
is full again. This is GCRA, in the form of virtual scheduling (ITU-T I.371, annex A.1).

- A call may begin when there is at least one unit in its bucket. It then takes as many units as it is work, and the
  bucket may go into debt. So a call that is larger than the burst is not refused for ever, and many small calls cannot
  keep out a large one. In any time, a name gets the units that its bucket fills with in that time, the burst, and what
  its largest call takes beyond one unit. It never gets more.
- A full bucket is the same as none. So full buckets are forgotten, and only those.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

NAMES_MAX = 10_000
"""The most buckets that are kept, besides those of names with a quota of their own: about 3 MB."""
LOOKED_AT = 2
"""How many buckets are looked at when one is added, whether they can be forgotten. With more than one, the full ones
are found sooner than new ones are added."""
_NANOSECONDS = 10**9


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota.

    Attributes:
        per_second: How many units may be done in a second, in the long run.
        burst: How many may be done at once after a rest; at least 1.
    """

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRules:
    """All quotas of a process; None means that there is none.

    Attributes:
        principal: The quota of each principal.
        program: The quota of each program.
        principals: The quotas of principals that have another one.
        programs: The quotas of programs that have another one.
    """

    principal: Quota | None = None
    program: Quota | None = None
    principals: Mapping[str, Quota | None] = field(default_factory=dict)
    programs: Mapping[str, Quota | None] = field(default_factory=dict)

    @property
    def of_principals(self) -> bool:
        """Whether any principal has a quota."""
        return self.principal is not None or any(self.principals.values())

    @property
    def of_programs(self) -> bool:
        """Whether any program has a quota."""
        return self.program is not None or any(self.programs.values())


class Bucket:
    """The bucket of a name.

    Attributes:
        quota: The quota of the name.
        full_at_ns: When it is full again, in nanoseconds; it is full if this has passed.
    """

    __slots__ = ("_burst_ns", "_unit_ns", "full_at_ns", "quota")

    def __init__(self, quota: Quota) -> None:
        """Begin with a full bucket."""
        self.quota = quota
        self.full_at_ns = 0
        # Rounded down to whole nanoseconds, so that nobody who keeps to the quota is refused.
        self._unit_ns = max(1, int(_NANOSECONDS / quota.per_second))
        self._burst_ns = (quota.burst - 1) * self._unit_ns

    def wait_ns(self, now_ns: int) -> int:
        """Return how long it takes until a call may begin; 0 if it may begin now."""
        return max(0, self.full_at_ns - self._burst_ns - now_ns)

    def take(self, units: int, now_ns: int) -> None:
        """Take units out, for a call that may begin now."""
        self.full_at_ns = max(self.full_at_ns, now_ns) + units * self._unit_ns


class Buckets:
    """The buckets of all names of one kind.

    Callers may invent names. So at most ``names_max`` buckets are kept. When they are that many and none of them is
    full, further names share one bucket. A bucket that is not full is never forgotten: else a caller could get out of
    a debt by calling under other names. Names with a quota of their own always have a bucket of their own.
    """

    def __init__(self, quota: Quota | None, others: Mapping[str, Quota | None], *, names_max: int = NAMES_MAX) -> None:
        """Begin with full buckets.

        Args:
            quota: The quota of each name; None means that there is none.
            others: Names that have another one.
            names_max: The most buckets that are kept, besides those of ``others``.
        """
        self._quota = quota
        self._fixed = {name: None if other is None else Bucket(other) for name, other in others.items()}
        self._names_max = names_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._shared = None if quota is None else Bucket(quota)

    def __len__(self) -> int:
        """How many buckets are kept, besides those of names with a quota of their own."""
        return len(self._buckets)

    def of(self, name: str, now_ns: int) -> Bucket | None:
        """Return the bucket of a name; None if the name has no quota."""
        bucket = self._buckets.get(name)
        if bucket is not None:
            return bucket
        if name in self._fixed:
            return self._fixed[name]
        if self._quota is None:
            return None
        self._forget(now_ns)
        if len(self._buckets) >= self._names_max:
            return self._shared
        bucket = self._buckets[name] = Bucket(self._quota)
        return bucket

    def _forget(self, now_ns: int) -> None:
        """Look at the buckets that were not looked at for longest; forget those that are full."""
        buckets = self._buckets
        for name in list(islice(buckets, LOOKED_AT)):
            if buckets[name].full_at_ns > now_ns:
                buckets.move_to_end(name)
            else:
                del buckets[name]
