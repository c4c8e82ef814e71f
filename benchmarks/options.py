"""The options that all benchmarks share."""

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import cv2
import torch

from benchmarks.case import Case

__all__ = ["limit_threads", "parse", "shown"]


def parse(
    module: ModuleType, words: Sequence[str] | None = None
) -> tuple[argparse.Namespace, list[Case]]:
    """Read the command line of a module of cases; return the options and the chosen cases.

    The module has ``CASES`` or ``cases(arguments)``; ``add_arguments(parser)`` if it has options.
    """
    name = module.__name__.removesuffix(".__main__")
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=module.__doc__)
    add = parser.add_argument
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--threads", type=int, nargs="+", default=[1], help="CPU threads, in turn")
    add("--rounds", type=int, default=5, help="measured rounds; one more does not count")
    add("--only", default="", metavar="REGEX", help="cases whose 'group: name' matches")
    add(
        "--before",
        type=Path,
        metavar="CHECKOUT",
        help="measure ours in turn with ours of this other checkout, instead of with upstream",
    )
    add("--output", type=Path, help="folder for results.json, results.md and speed.png")
    getattr(module, "add_arguments", lambda parser: None)(parser)
    arguments = parser.parse_args(words)
    try:
        cases = module.cases(arguments) if hasattr(module, "cases") else module.CASES
    except FileNotFoundError as error:
        parser.error(str(error))
    return arguments, [case for case in cases if re.search(arguments.only, case.title)]


def shown(words: Sequence[str]) -> str:
    """Join a command line without the folders of this machine."""
    own = ("docs/", "configs/")
    return shlex.join(
        word if "/" not in word or word.startswith(own) else Path(word).name for word in words
    )


def limit_threads(count: int) -> None:
    """Let PyTorch and OpenCV use so many threads."""
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
