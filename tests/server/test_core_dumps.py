"""No core dump of a process that holds keys."""

import subprocess
import sys

import pytest

BY_ITSELF = """
from redemption.server.core_dumps import forbid_core_dumps
forbid_core_dumps()
"""
COMMAND_OF_AN_OPERATOR = """
from pathlib import Path
from redemption import app
from redemption.server.startup import StartRefused
from redemption.settings import Settings
try:
    app.ledger_status(Settings(keyset=Path("no.keyset")))
except StartRefused:
    pass
"""
SHOWN = """
import ctypes, resource
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the mark")
@pytest.mark.parametrize("script", [BY_ITSELF, COMMAND_OF_AN_OPERATOR], ids=["by itself", "redemption ledger"])
def test_a_process_is_marked_so_that_no_dump_of_it_is_written(tmp_path, script):
    """In a process of its own: neither can be taken back. 3 asks for the mark."""
    command = [sys.executable, "-c", script + SHOWN]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0) 0\n"
