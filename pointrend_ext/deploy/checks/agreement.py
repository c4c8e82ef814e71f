"""How far two predictions of the same thing agree, added up over inputs.

PointRend corrects the most uncertain cells. Two implementations round differently, and where cells
are about equally uncertain they may choose others: a *swap*, after which both are right, but differ
by much in a few cells. So differences are not judged by the largest, but by how many there are
beyond rounding, and by how many decisions (labels, pixels of masks) they change.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Figure:
    """One line of a report.

    Attributes:
        name: what is measured.
        value: the figure.
        limit: the largest that is accepted; None for one that is told, not judged.
    """

    name: str
    value: float
    limit: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it is within its limit; a figure that is no number is not."""
        return self.limit is None or self.value <= self.limit


@dataclass
class Agreement:
    """Counts of one kind of prediction.

    Attributes:
        tolerance: largest difference that is rounding.
        largest: largest difference of what is not beyond it.
        beyond: how many cells are beyond it, or not numbers in one of both alone.
        cells: of how many.
        changed: how many decisions differ.
        decisions: of how many.
    """

    tolerance: float
    largest: float = field(default=0.0, init=False)
    beyond: int = field(default=0, init=False)
    cells: int = field(default=0, init=False)
    changed: int = field(default=0, init=False)
    decisions: int = field(default=0, init=False)

    def add(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Compare values, the channels of a cell first: (C, ...) both.

        Raises:
            ValueError: their shapes differ.
        """
        self._check_shapes(ours, theirs)
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        with np.errstate(invalid="ignore"):  # infinity less infinity
            differences = np.where(same, 0, np.abs(ours.astype(np.float64) - theirs))
        per_cell = differences.max(axis=0, initial=0)
        is_near = per_cell <= self.tolerance  # False of what is not a number
        self.largest = max(self.largest, float(per_cell[is_near].max(initial=0)))
        self.beyond += int((~is_near).sum())
        self.cells += is_near.size

    def add_decisions(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Compare labels, or pixels of masks, of any shape.

        Raises:
            ValueError: their shapes differ.
        """
        self._check_shapes(ours, theirs)
        self.changed += int((ours != theirs).sum())
        self.decisions += ours.size

    @property
    def share_beyond(self) -> float:
        """Share of cells beyond the tolerance, 0 of none."""
        return self.beyond / max(self.cells, 1)

    @property
    def share_changed(self) -> float:
        """Share of decisions that differ, 0 of none."""
        return self.changed / max(self.decisions, 1)

    @staticmethod
    def _check_shapes(ours: np.ndarray, theirs: np.ndarray) -> None:
        if ours.shape != theirs.shape:
            raise ValueError(
                f"The exported file returns the shape {ours.shape} where the model returns "
                f"{theirs.shape}."
            )
