"""py-spy beside a process that is under load."""

import subprocess
import sys
from pathlib import Path

SAMPLES_PER_SECOND = 25
"""A sample with native frames stops the server for 4 to 8 ms; without them gRPC and the event loop are one."""
END_SECONDS_MAX = 30.0
"""For py-spy to write down what it saw."""


class Recorder:
    """py-spy beside the worker, for some seconds."""

    def __init__(self, pid: int, seconds: float, path: Path) -> None:
        self._path = path
        self._command = [
            *(str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--native"),
            *("--rate", str(SAMPLES_PER_SECOND), "--duration", f"{seconds:.0f}"),
            *("--format", "raw", "--output", str(path)),
        ]
        self._process: subprocess.Popen[str] | None = None
        self.problem = ""

    def start(self) -> None:
        """Begin, and return when the first sample is about to be taken, or when it cannot be."""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a tool of this environment
                self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        except OSError as error:
            self.problem = f"py-spy cannot be run ({error.strerror}); it is one of the development tools"
            return
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            if "Sampling process" in line:
                return
        self.problem = _problem(said)

    def stacks(self) -> str:
        """Wait for the end; returns collapsed stacks, or nothing when there is a problem."""
        if self._process is not None:
            try:
                said, _ = self._process.communicate(timeout=END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                said, _ = self._process.communicate()
            if self._process.returncode and not self.problem:
                self.problem = _problem(said)
        return "" if self.problem else self._path.read_text()


def _problem(said: str) -> str:
    if "ermission" in said or "ptrace" in said:
        return "py-spy may not look at the server here (ptrace is not permitted): give it CAP_SYS_PTRACE, or be root"
    told = [line for line in said.splitlines() if line.strip()]
    return f"py-spy failed: {told[0].strip() if told else 'it said nothing'}"
