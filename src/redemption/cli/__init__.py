"""The command line: what people type. One file for each group of commands; ``exits`` has the exit codes."""

from redemption.cli.root import main

__all__ = ["main"]
