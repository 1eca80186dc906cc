"""Runs h2spec, a conformance test of HTTP/2, against the transport's own Http2Connection."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from client_process import Failed, Ran, find, run
from client_report import Report
from client_tools import version_of_module

SERVER: Final = Path(__file__).parent / "http2_answers.py"
INSTALL: Final = "go install github.com/summerwind/h2spec/cmd/h2spec@latest"
SECONDS_MAX: Final = 180.0
END_SECONDS_MAX: Final = 5.0

_CLOSED: Final = (
    'RFC 9113, 5.1: "An endpoint MAY treat receipt of any other type of frame on a closed stream as a connection '
    'error": libnghttp2 ignores it'
)
_IMPLICITLY_CLOSED: Final = (
    'RFC 9113, 5.1.1: "The first use of a new stream identifier implicitly closes all streams in the "idle" state '
    'that might have been initiated by that peer with a lower-valued stream identifier": again a frame on a closed one'
)
_PRIORITY: Final = (
    'RFC 9113, 5.3.2: "This update to HTTP/2 deprecates the priority signaling defined in RFC 7540": libnghttp2 reads '
    "no PRIORITY frames"
)
EXCEPTIONS: Final = {
    "http2/5.1: closed: Sends a DATA frame after sending RST_STREAM frame": _CLOSED,
    "http2/5.1: closed: Sends a HEADERS frame after sending RST_STREAM frame": _CLOSED,
    "http2/5.1: closed: Sends a DATA frame": _CLOSED,
    "http2/5.1: closed: Sends a HEADERS frame": _CLOSED,
    "http2/5.1.1: Sends stream identifier that is numerically smaller than previous": _IMPLICITLY_CLOSED,
    "http2/5.3.1: Sends PRIORITY frame that depend on itself": _PRIORITY,
    "http2/6.3: Sends a PRIORITY frame with 0x0 stream identifier": _PRIORITY
    + '; 6.3 still says "the recipient MUST respond with a connection error"',
    "http2/6.9.1: Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream": (
        'RFC 9113, 5.4.1: "an endpoint MAY choose to treat a stream error as a connection error"'
    ),
}
"""Cases that fail in h2spec, which tests the older RFC 7540, each with the reason why we do not change it."""


def try_h2spec(report: Report, directory: Path) -> None:
    """Run h2spec. A failed case that is no known exception is a failure; so is an exception that passes by now."""
    program = find("h2spec")
    if program is None:
        report.missing("h2spec", INSTALL)
        return
    try:
        version = version_of_module(program)
        with _answers() as port:
            found = directory / "h2spec.xml"
            arguments = ["--host", "127.0.0.1", "--port", str(port), "--timeout", "1", "--junit-report", str(found)]
            ran = run([program, *arguments], seconds_max=SECONDS_MAX)
        passed, failed = _results(found, ran)
    except Failed as failure:
        report.tried("h2spec", "all", str(failure))
        return
    client = f"h2spec {version}".strip()
    unknown = [name for name in failed if name not in EXCEPTIONS]
    problem = f"{len(unknown)} more failed: {'; '.join(unknown)}" if unknown else ""
    report.tried(client, f"{passed} cases as h2spec wants them", problem)
    for name, sentence in EXCEPTIONS.items():
        passes = "it passes by now: take it off the list" if name not in failed else ""
        report.tried(client, name, passes, f"exception: {sentence}")


def _results(path: Path, ran: Ran) -> tuple[int, list[str]]:
    """Return how many cases passed, and the names of the others."""
    if not path.exists():
        raise Failed(ran.last_words)
    cases = list(ET.parse(path).iter("testcase"))  # noqa: S314 - h2spec wrote it just now
    failed = [
        f"{case.get('package')}: {case.get('classname')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    if not cases:
        raise Failed(ran.last_words)
    return len(cases) - len(failed), failed


@contextmanager
def _answers() -> Iterator[int]:
    """Run ``http2_answers.py``; yield its port."""
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdin is not None, "they are pipes"
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            try:
                process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
