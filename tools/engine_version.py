#!/usr/bin/env python3
"""Say which libnghttp2 is inside the installed ngh2, and fail when it is too old or not known.

ngh2 contains libnghttp2 and does not report its version. If you change the pin in pyproject.toml, read the version in
ngh2's changelog (``vendor/nghttp2`` of its source) and add a line here.

    tools/engine_version.py

Exit code 0: known, and not too old. 1: anything else, with what to do.
"""

import sys
from importlib.metadata import version

LIBNGHTTP2_VERSIONS = {"0.3.0": (1, 70, 0)}
"""The version of libnghttp2 in each version of ngh2."""
LIBNGHTTP2_VERSION_MIN = (1, 68, 1)
"""In older versions a malformed frame stops the process: CVE-2026-27135."""


class EngineUnfit(Exception):
    """The engine must not be used; the message says why, and what to do."""


def libnghttp2_version(ngh2_version: str) -> tuple[int, int, int]:
    """Return the version of libnghttp2 in a version of ngh2.

    Raises:
        EngineUnfit: The version is not known, or too old.
    """
    found = LIBNGHTTP2_VERSIONS.get(ngh2_version)
    if found is None:
        raise EngineUnfit(f"ngh2 {ngh2_version} has an unknown libnghttp2: add it to {__file__}")
    if found < LIBNGHTTP2_VERSION_MIN:
        raise EngineUnfit(
            f"ngh2 {ngh2_version} has libnghttp2 {dotted(found)}; install one that has "
            f"{dotted(LIBNGHTTP2_VERSION_MIN)} or newer"
        )
    return found


def dotted(parts: tuple[int, ...]) -> str:
    """Return a version as text, with dots."""
    return ".".join(map(str, parts))


def main() -> int:
    """Print both versions."""
    ngh2_version = version("ngh2")
    try:
        found = libnghttp2_version(ngh2_version)
    except EngineUnfit as unfit:
        print(unfit, file=sys.stderr)
        return 1
    print(f"ngh2 {ngh2_version} with libnghttp2 {dotted(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
