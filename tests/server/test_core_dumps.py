"""No core dump of a process that holds keys."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, resource
from redemption.server.core_dumps import forbid_core_dumps
forbid_core_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the mark")
def test_a_process_is_marked_so_that_no_dump_of_it_is_written():
    """In a process of its own: neither can be taken back. 3 asks for the mark."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0) 0\n"
