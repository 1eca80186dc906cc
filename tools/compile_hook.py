"""Compiles most of the modules that an order runs through, into a wheel that is built with ``REDEMPTION_COMPILE=1``.

``make compiled`` does it. mypyc makes C of the same source, by its type annotations, so a C compiler is needed; without
the variable the wheel holds Python alone and is good for every machine. The Python source is in both: a compiled module
goes before it, and tracebacks still show its lines.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "REDEMPTION_COMPILE"
SOURCE = "src"
PACKAGE = "redemption"
COMPILED = {
    "domain": ("call_info", "decision", "order"),
    "domain/campaign": ("calendar",),
    "domain/judging": ("eligibility", "offer_match", "pricing", "stacking"),
    "domain/ports": ("orders",),
    "domain/signed": ("base64url", "digest", "pae", "receipt", "settlement", "signing", "token"),
    "service": ("coupon_reader", "decisions", "idempotency", "order_rounds", "pending_order", "redeemer"),
    "ledger/commit": ("batcher", "queue"),
    "ledger/wire": ("orders",),
    "rpc": ("request_limits",),
    "rpc/convert": ("orders",),
    "rpc/transport": ("call", "grpc_call", "http2", "turn", "work_queue"),
}
"""Modules by room: what a Redeem runs through, but for what is left interpreted on purpose, see
``docs/decisions/0012-most-of-what-an-order-runs-through-can-be-compiled.md``."""


def wanted() -> bool:
    """Whether to compile."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


class CompileHook(BuildHookInterface[Any]):
    """What hatchling calls before it packs a wheel."""

    def dependencies(self) -> list[str]:
        """Return what building needs beside hatchling itself."""
        return ["mypy>=2.0", "setuptools>=77"] if wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add what came of it to the wheel; not to one that only points at the source."""
        if version == "editable" or not wanted():
            return
        self._built = tempfile.TemporaryDirectory(prefix="redemption-compiled-")
        for library in compiled(Path(self.root), Path(self._built.name)):
            build_data["force_include"][str(library)] = str(library.relative_to(Path(self._built.name) / "lib"))
        build_data["infer_tag"] = True
        build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - its interface
        """Clear away what is in the wheel by now."""
        if version != "editable" and wanted():
            self._built.cleanup()


def compiled(root: Path, target: Path) -> list[Path]:
    """Compile the modules of a source tree; returns the libraries, which lie in the target as they will be imported."""
    from mypyc.build import mypycify  # noqa: PLC0415 - not there unless it is needed
    from setuptools import Distribution  # type: ignore[import-untyped] # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # type: ignore[import-untyped] # noqa: PLC0415
    from setuptools.errors import CompileError  # type: ignore[import-untyped] # noqa: PLC0415

    modules = [f"{SOURCE}/{PACKAGE}/{room}/{name}.py" for room, names in COMPILED.items() for name in names]
    # Types of other packages are not needed, and not there: what is theirs stays an object like any other.
    options = ["--config-file=", "--ignore-missing-imports", "--explicit-package-bases"]
    before = Path.cwd()
    os.chdir(root)
    os.environ["MYPYPATH"] = SOURCE  # modules are named by where they lie below it
    try:
        extensions = mypycify(
            [*options, *modules],
            group_name=PACKAGE,
            opt_level="3",
            debug_level="0",
            target_dir=str(target / "c"),
        )
        command = build_ext(Distribution({"name": PACKAGE, "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(target / "lib"), str(target / "objects")
        command.ensure_finalized()
        command.run()
    except CompileError as error:
        # Without the traceback, which hides the cause between what pip says before and after it.
        sys.exit(f"\n{VARIABLE} needs a C compiler that works, and the headers of Python: {error}\n")
    finally:
        os.chdir(before)
    return sorted((target / "lib").rglob("*.so"))
