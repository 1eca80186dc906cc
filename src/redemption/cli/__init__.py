"""The command line. Each group of commands has a file; ``exits`` has the exit codes."""

import sys
from typing import NoReturn

from redemption.cli.exits import FAILED


def main() -> NoReturn:
    """Run the command line; in an install without its packages, say which ones are missing."""
    try:
        from redemption.cli.root import main as run  # noqa: PLC0415 - it needs packages of the extra
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "redemption":
            raise
        told = (
            f"redemption: the package {error.name} is missing; this is the client alone. For the command line and the "
        )
        print(f"{told}server: pip install 'redemption[server]'", file=sys.stderr)  # noqa: T201 - no other module is there
        sys.exit(FAILED)
    run()


__all__ = ["main"]
