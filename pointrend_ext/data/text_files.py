"""Reading text that people and tools wrote: UTF-8, with or without a byte order mark."""

import os
from pathlib import Path


def read_text(file: str | os.PathLike[str], what: str = "") -> str:
    """Return the text of a file.

    Args:
        file: its path.
        what: it is, for the message; by default the path.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no text in UTF-8.
    """
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        source = what or repr(os.fspath(file))
        raise ValueError(f"{source} is no text in UTF-8 ({error}). Save it as UTF-8.") from None


def read_lines(file: str | os.PathLike[str]) -> list[str]:
    """Return the lines that hold anything, without the blanks around them; see ``read_text``."""
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]
