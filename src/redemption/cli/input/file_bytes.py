"""Reads the content of a file that a person names, up to a size."""

from pathlib import Path

from redemption.cli.exits import BadFile


def read_bytes(path: Path, *, bytes_max: int) -> bytes:
    """Return the content of a file.

    Raises:
        BadFile: It cannot be read, or is larger than allowed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > bytes_max:
        raise BadFile(f"{path}: is larger than {bytes_max // 1024} KiB")
    return content
