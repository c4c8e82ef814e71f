"""All cases of heads and models that need no trained weights: ``python -m benchmarks``."""

import argparse

from benchmarks import instances, models, semantic, training
from benchmarks.case import Case
from benchmarks.command import main
from benchmarks.models import add_arguments  # noqa: F401  (those of the whole models)


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return the cases of four modules."""
    own = [*instances.CASES, *semantic.CASES, *training.CASES]
    return [*own, *models.cases(arguments)]


if __name__ == "__main__":
    main("benchmarks.__main__")
