"""Words of the form NAME=VALUE on a command line."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["named_path", "named_value"]


def named_value(word: str) -> tuple[str, str]:
    """Split NAME=VALUE at the first "=", for ``argparse``.

    Raises:
        argparse.ArgumentTypeError: without "=".
    """
    name, separator, value = word.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{word!r} is not of the form NAME=VALUE")
    return name, value


def named_path(word: str) -> tuple[str, Path]:
    """Split NAME=PATH: see ``named_value``."""
    name, value = named_value(word)
    return name, Path(value)
