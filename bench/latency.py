"""Latencies of many calls, as every benchmark keeps and tells them: a histogram with three digits."""

from collections.abc import Iterable, Iterator

from hdrh.histogram import HdrHistogram

BEYOND_MIN = 10
"""A percentile is told if so many calls at least are above it; else it is the chance of a few."""
PERCENTILES = (50.0, 99.0, 99.9)
"""Those that tables have."""
_HIGHEST_US = 60_000_000
_DIGITS = 3


class Histogram:
    """How often each latency came."""

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        self._kept = HdrHistogram(1, _HIGHEST_US, _DIGITS)
        for each in seconds:
            self.add(each)

    @classmethod
    def decode(cls, text: str) -> "Histogram":
        """Read what ``encode`` returned."""
        found = cls()
        found._kept = HdrHistogram.decode(text)
        return found

    def encode(self) -> str:
        """Return it as text, in the format of HdrHistogram."""
        return str(self._kept.encode().decode())

    def add(self, seconds: float) -> None:
        """Add the latency of a call; above a minute it counts as a minute."""
        self._kept.record_value(min(max(1, round(seconds * 1e6)), _HIGHEST_US))

    def __len__(self) -> int:
        return int(self._kept.get_total_count())

    def ms(self, percent: float) -> float:
        """Return a percentile in milliseconds; 0 without calls."""
        return float(self._kept.get_value_at_percentile(percent)) / 1000

    def has(self, percent: float) -> bool:
        """Whether enough calls are above a percentile to tell it."""
        return enough(len(self), percent)

    def told(self, percent: float, digits: int = 2) -> str:
        """Return a percentile in milliseconds as text; nothing if too few calls are above it."""
        return f"{self.ms(percent):.{digits}f}" if self.has(percent) else ""

    def values(self) -> Iterator[tuple[float, int]]:
        """Yield each latency that came, in milliseconds, and how often."""
        for item in self._kept.get_recorded_iterator():
            yield item.value_iterated_to / 1000, item.count_added_in_this_iter_step


def enough(calls: int, percent: float) -> bool:
    """Whether enough of so many calls are above a percentile to tell it."""
    return calls >= needed(percent)


def needed(percent: float) -> int:
    """Return how many calls a percentile needs: 1,000 for the 99th."""
    return -(-1000 * BEYOND_MIN // round(1000 - 10 * percent))
