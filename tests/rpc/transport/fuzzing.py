"""How long to search, and how much was tried.

The ordinary run tries the same few examples each time; `make fuzz` tries other ones, and many.
"""

import faulthandler
import os
from collections import Counter
from contextlib import contextmanager

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
SECONDS_MAX = 30
"""No example takes a tenth of a second; one that takes so long hangs, and ends the run with a traceback."""

tried: Counter[str] = Counter()


def searching(ordinarily):
    """Hypothesis' settings for a test that tries so many examples in the ordinary run."""
    return settings(
        max_examples=EXAMPLES or ordinarily,
        derandomize=not EXAMPLES,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


@contextmanager
def example(name, size=0):
    """Count an example and its bytes, and see to it that it ends."""
    tried[name] += 1
    if size:
        tried[f"{name}, bytes"] += size
    faulthandler.dump_traceback_later(SECONDS_MAX, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
