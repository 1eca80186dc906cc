"""What a run is held against: a server that does nothing, as its generators see it."""

from dataclasses import dataclass, field

from latency import Histogram

from sale.journal import PREBUILT

LOCUST = "empty handler"
OF_PREBUILT = f"empty handler ({PREBUILT})"
LOCUST_PROCESS, PREBUILT_GENERATOR = "one process of locust", "the prebuilt-frame generator"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a generator can do at most.

    Attributes:
        calls_per_second: How many calls, when nobody disturbs it.
        cpu_us: Microseconds of its CPU for each.
    """

    calls_per_second: float
    cpu_us: float

    def __str__(self) -> str:
        return f"{self.calls_per_second:,.0f} calls a second at most, {self.cpu_us:,.0f} µs of CPU for each"


@dataclass(slots=True)
class Empty:
    """The empty handler, as the generators see it.

    Attributes:
        latencies: By generator; a generator that was not measured is not there.
        ceilings: By generator: ``LOCUST_PROCESS`` and ``PREBUILT_GENERATOR``.
    """

    latencies: dict[str, Histogram] = field(default_factory=dict)
    ceilings: dict[str, Ceiling] = field(default_factory=dict)

    def beside(self, row: str) -> Histogram | None:
        """Return what a row of latencies is held against."""
        return self.latencies.get(OF_PREBUILT if PREBUILT in row else LOCUST)
