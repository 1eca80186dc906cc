"""Imports the scripts of tools/, which are no package, as tests need them."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / "tools"
VECTORS = ROOT / "tests" / "vectors"


def load_tool(name: str) -> ModuleType:
    if str(TOOLS) not in sys.path:
        sys.path.append(str(TOOLS))
    return importlib.import_module(name)
