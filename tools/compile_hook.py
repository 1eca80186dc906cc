"""Compiles most of the modules that an order runs through, when a wheel is built with ``REDEMPTION_COMPILE=1``.

``make compiled`` does this. mypyc translates the same source to C, by its type annotations, so a C compiler is needed.
Without the variable the wheel has only Python and runs on every machine. Both wheels have the Python source: Python
imports the compiled module first, and tracebacks show the lines of the source.
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
    "domain/judging": ("buy_get", "eligibility", "offer_match", "pricing", "stacking", "units"),
    "domain/ports": ("orders",),
    "domain/signed": ("base64url", "digest", "pae", "receipt", "settlement", "signing", "token"),
    "service": ("coupon_reader", "decisions", "idempotency", "order_rounds", "pending_order", "redeemer"),
    "ledger/commit": ("batcher", "queue"),
    "ledger/wire": ("orders",),
    "rpc": ("request_limits",),
    "rpc/convert": ("orders",),
    "rpc/transport": ("call", "grpc_call", "http2", "turn", "work_queue"),
}
"""Modules by package: those that a Redeem runs through, except those that stay interpreted on purpose, see
``docs/decisions/0012-most-of-what-an-order-runs-through-can-be-compiled.md``."""


def wanted() -> bool:
    """Whether to compile."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


class CompileHook(BuildHookInterface[Any]):
    """The hook that hatchling calls before it packs a wheel."""

    def dependencies(self) -> list[str]:
        """Return the packages that the build needs beside hatchling."""
        return ["mypy>=2.0", "setuptools>=77"] if wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add the libraries to the wheel; an editable wheel gets none, it only points to the source."""
        if version == "editable" or not wanted():
            return
        self._built = tempfile.TemporaryDirectory(prefix="redemption-compiled-")
        for library in compiled(Path(self.root), Path(self._built.name)):
            build_data["force_include"][str(library)] = str(library.relative_to(Path(self._built.name) / "lib"))
        build_data["infer_tag"] = True
        build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - its interface
        """Remove the temporary files, which are in the wheel now."""
        if version != "editable" and wanted():
            self._built.cleanup()


def compiled(root: Path, target: Path) -> list[Path]:
    """Compile the modules of a source tree; returns the libraries, which are in the target under their import paths."""
    from mypyc.build import mypycify  # noqa: PLC0415 - only installed when it is needed
    from setuptools import Distribution  # type: ignore[import-untyped] # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # type: ignore[import-untyped] # noqa: PLC0415
    from setuptools.errors import CompileError  # type: ignore[import-untyped] # noqa: PLC0415

    modules = [f"{SOURCE}/{PACKAGE}/{room}/{name}.py" for room, names in COMPILED.items() for name in names]
    # Other packages are not installed here, so their types are unknown: their values are plain objects.
    options = ["--config-file=", "--ignore-missing-imports", "--explicit-package-bases"]
    before = Path.cwd()
    os.chdir(root)
    os.environ["MYPYPATH"] = SOURCE  # a module's name follows from its path below this
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
        # Without the traceback: between the other lines of pip it would hide the cause.
        sys.exit(f"\n{VARIABLE} needs a C compiler that works, and the headers of Python: {error}\n")
    finally:
        os.chdir(before)
    return sorted((target / "lib").rglob("*.so"))
