"""The command line. Each group of commands has a file; ``exits`` has the exit codes."""

from redemption.cli.root import main

__all__ = ["main"]
