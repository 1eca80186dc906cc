"""Servers with a fault on purpose: each is a copy of the service with one line changed. The verdict has to find it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redemption


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the service, and what stands there instead.

    Attributes:
        file: The file, below ``src/redemption``.
        line: The text that is replaced; it is there once.
        wrong: The text in its place.
        found: What the verdict says: the check that fails, or the service level that is missed.
    """

    file: str
    line: str
    wrong: str
    found: str


FAULTS = {
    "double-approval": Fault(
        "ledger/lua/orders.lua",
        "and SAME_ORDER_RANK or ALREADY_REDEEMED)",
        "and SAME_ORDER_RANK or APPROVED)",
        "no coupon is used twice",
    ),
    "lost-approval": Fault(
        "ledger/lua/orders.lua",
        "  if confirms then\n    apply_confirmation(call)\n",
        "  if tokens[1].serial % 10 == 7 then return end\n  if confirms then\n    apply_confirmation(call)\n",
        "every approval is there, under its own request and receipt",
    ),
    "limit-passed-by-one": Fault(
        "ledger/lua/limits.lua",
        "if limit and redeemed >= limit then",
        "if limit and redeemed > limit then",
        "redemptions are counted exactly, and within their limit",
    ),
    "other-answer": Fault(
        "ledger/lua/orders.lua",
        "return is_same and 'P' .. remembered or 'M'",
        "return 'M'",
        "a repeated request gets the same answer",
    ),
    "slow": Fault(
        "service/redeemer.py",
        "        if caller.gone:\n            return CALLER_LEFT\n",
        "        __import__('time').sleep(0.02)\n",
        "Redeem p50",
    ),
}
"""The faults, by name."""


@contextmanager
def injected(name: str) -> Iterator[None]:
    """Let the servers that this process starts have a fault."""
    fault = FAULTS[name]
    source = Path(redemption.__file__).parent
    with tempfile.TemporaryDirectory(prefix="redemption-fault-") as folder:
        shutil.copytree(source, Path(folder) / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        changed = Path(folder) / source.name / fault.file
        text = changed.read_text(encoding="utf-8")
        if text.count(fault.line) != 1:
            raise RuntimeError(f"{fault.file} has changed: {fault.line!r} is not there once")
        changed.write_text(text.replace(fault.line, fault.wrong), encoding="utf-8")
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before
