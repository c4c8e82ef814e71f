"""Counting what the mapper leaves out or changes, so that nothing disappears silently."""

import logging
from collections.abc import Mapping

import torch
from torch.utils.data import get_worker_info

from pointrend_ext.data.coco import causes
from pointrend_ext.data.findings import Cause, Findings

logger = logging.getLogger(__name__)

_NUM_ROWS = 64  # one row per DataLoader worker: no two processes write to the same counter


class DropCounter:
    """Counts per cause; the first case of each cause is logged with its file.

    The counts lie in shared memory: after a ``fork`` the main process sees what DataLoader workers
    counted. An annotation counts each time that it is read, thus once per epoch. What was found in
    whole data sets before is kept beside them, for the end of the training.

    Attributes:
        at_start: what was found at the start, by data set.
        is_silent: whether even the first case of a cause is not logged.
    """

    def __init__(self) -> None:
        self._causes = causes.IN_MAPPER
        self._counts = torch.zeros(_NUM_ROWS, len(self._causes), dtype=torch.int64)
        self._counts.share_memory_()
        self.at_start: Mapping[str, Findings] = {}
        self.is_silent = False

    def add(self, cause: Cause, file_name: str, detail: str = "") -> None:
        """Count one case in an image; ``detail`` is logged with the first one."""
        column = self._causes.index(cause)
        first = not self._counts[:, column].any()
        worker = get_worker_info()
        row = 0 if worker is None else (worker.id + 1) % _NUM_ROWS
        self._counts[row, column] += 1
        if first and not self.is_silent:
            level = logging.INFO if cause.is_expected else logging.WARNING
            where = f"{file_name} ({detail})" if detail else file_name
            text = "The first of %s (%s), in the image %s. Further cases are counted, not logged."
            logger.log(level, text, cause.text, cause.kind.value, where)

    def counts(self) -> dict[Cause, int]:
        """Return the number of cases of every cause that occurred."""
        totals = self._counts.sum(dim=0).tolist()
        return {cause: n for cause, n in zip(self._causes, totals, strict=True) if n}

    def log_total(self) -> None:
        """Log what was found at the start, and one line with all counts since."""
        for name, findings in self.at_start.items():
            findings.log(logger, f"Data set {name!r}, as trained on")
        counts = self.counts()
        if counts:
            listed = "; ".join(f"{n} {c.kind.value}: {c.text}" for c, n in counts.items())
            logger.info("Data loading, counted once per reading: %s", listed)
