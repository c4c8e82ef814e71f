"""Counting what the mapper leaves out, so that nothing disappears silently."""

import logging
from enum import Enum

import torch
from torch.utils.data import get_worker_info

logger = logging.getLogger(__name__)

_NUM_ROWS = 64  # one row per DataLoader worker: no two processes write to the same counter


class DropCause(Enum):
    """Why an annotation, or a part of it, does not reach the model."""

    CROWD = "crowd region left out of training"
    BAD_BOX = "annotation dropped: its box has a NaN, infinite, zero or negative size"
    BOX_OUTSIDE = "annotation dropped: its box lies outside the image"
    BOX_CLIPPED = "box that reaches more than a pixel beyond the image was clipped"
    NO_MASK = "annotation dropped: it has no segmentation, but a mask head is trained"
    BAD_POLYGON = "polygon dropped: fewer than 3 points, an odd number of coordinates or a NaN"
    NO_POLYGON_LEFT = "annotation dropped: none of its polygons is valid"
    OUT_OF_CROP = "instance left out: outside the crop window"
    EMPTY_MASK = "instance left out: its mask has no pixel at the training size"


_HARMLESS = {DropCause.CROWD, DropCause.BOX_CLIPPED, DropCause.OUT_OF_CROP}


class DropCounter:
    """Counts per cause; the first case of each cause is logged with its file.

    The counts lie in shared memory: after a ``fork`` the main process sees what DataLoader workers
    counted. An annotation counts each time that it is read, thus once per epoch.
    """

    def __init__(self) -> None:
        self._causes = list(DropCause)
        self._counts = torch.zeros(_NUM_ROWS, len(self._causes), dtype=torch.int64)
        self._counts.share_memory_()

    def add(self, cause: DropCause, file_name: str, detail: str = "") -> None:
        """Count one case in an image; ``detail`` is logged with the first one."""
        column = self._causes.index(cause)
        first = not self._counts[:, column].any()
        worker = get_worker_info()
        row = 0 if worker is None else (worker.id + 1) % _NUM_ROWS
        self._counts[row, column] += 1
        if first:
            level = logging.INFO if cause in _HARMLESS else logging.WARNING
            where = f"{file_name} ({detail})" if detail else file_name
            text = "First %s, in the image %s. Further cases are counted, not logged."
            logger.log(level, text, cause.value, where)

    def counts(self) -> dict[DropCause, int]:
        """Return the number of cases of every cause that occurred."""
        totals = self._counts.sum(dim=0).tolist()
        return {cause: n for cause, n in zip(self._causes, totals, strict=True) if n}

    def log_total(self) -> None:
        """Log one line with all counts, if anything was dropped."""
        counts = self.counts()
        if counts:
            listed = "; ".join(f"{n} x {cause.value}" for cause, n in counts.items())
            logger.info("Data loading, counted once per reading: %s", listed)
