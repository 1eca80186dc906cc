"""Imports the scripts of tools/ and bench/, which are no packages, as tests need them."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / "tools"
BENCH = ROOT / "bench"
VECTORS = ROOT / "tests" / "vectors"


def load_tool(name: str) -> ModuleType:
    return _load(TOOLS, name)


def load_bench(name: str) -> ModuleType:
    return _load(BENCH, name)


def _load(folder: Path, name: str) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    module = importlib.import_module(name)
    file = folder.joinpath(*name.split(".")).with_suffix(".py")
    assert module.__file__ == str(file), "another module has this name"
    return module
