"""A share of the pictures for validation, the same for the same seed wherever it is drawn."""

import hashlib
from collections.abc import Sequence


class Split:
    """How pictures are split where the export does not: a share of them, drawn by a seed."""

    def __init__(self, share: float = 0.2, seed: int = 0) -> None:
        """Check and keep the numbers.

        Raises:
            ValueError: the share is not between 0 and 1.
        """
        if not 0 < share < 1:
            raise ValueError(f"--val-share is {share:g}, not between 0 and 1. Try 0.2.")
        self.share, self.seed = share, seed

    def __str__(self) -> str:
        return f"{self.share:.0%} of the pictures, by name, with seed {self.seed}"


def split_names(names: Sequence[str], has_objects: Sequence[bool], split: Split) -> set[int]:
    """Return the places of the pictures for validation, of those with objects at least one.

    The share is taken of pictures with objects and of others alike. The order is that of SHA-256 of
    seed and name, so that it depends on neither machine nor library, and that a picture more
    changes little.

    Args:
        names: of the pictures.
        has_objects: whether each has one; at least one must be left for the training.
        split: share and seed.

    Raises:
        ValueError: fewer than two have one.
    """
    keys = [hashlib.sha256(f"{split.seed}/{name}".encode()).digest() for name in names]
    order = sorted(range(len(names)), key=keys.__getitem__)
    full, empty = ([n for n in order if has_objects[n] is kind] for kind in (True, False))
    if len(full) < 2:
        found = f"one labelled picture ({names[full[0]]})" if full else "no labelled picture"
        raise ValueError(
            f"There is {found}, but training and validation need one each. Label more."
        )
    number = min(max(round(split.share * len(full)), 1), len(full) - 1)
    return {*full[:number], *empty[: round(split.share * len(empty))]}
