"""What can be wrong with a weights file, as exceptions that a user can act on."""

from collections.abc import Iterable
from itertools import islice

from pointrend_ext._command import escaped

SHOWN, LONGEST = 5, 100


def shown(names: Iterable[str]) -> str:
    """List the first names, each on one line of a terminal whatever a file holds as a name."""
    first = list(islice(names, SHOWN + 1))
    rest = ", ..." if len(first) > SHOWN else ""
    return ", ".join(map(printable, first[:SHOWN])) + rest


def printable(name: str) -> str:
    """Cut a name that is too long, and escape what would move a terminal's cursor."""
    return escaped(name if len(name) <= LONGEST else f"{name[:LONGEST]}...")


class WeightsFileError(ValueError):
    """A file that holds no usable weights: damaged, of another kind, or with bad values."""


class UnsafeWeightsError(WeightsFileError):
    """A file that could run code when it is read, and was therefore not read."""


class IncompleteWeightsError(ValueError):
    """Weights that leave parts of the model random where that would go unnoticed."""
