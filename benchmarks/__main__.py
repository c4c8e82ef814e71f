"""All cases of heads and models that need no trained weights: ``python -m benchmarks``."""

from __future__ import annotations

import argparse

from benchmarks import instances, models, semantic, training
from benchmarks.case import Case
from benchmarks.command import main


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the whole models."""
    models.add_arguments(parser)


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return the cases of four modules."""
    own = [*instances.CASES, *semantic.CASES, *training.CASES]
    return [*own, *models.cases(arguments)]


if __name__ == "__main__":
    main("benchmarks.__main__")
