"""LVIS's scores of more predictions than there is memory for: matched some images at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pointrend_ext.evaluation.ap_star import ApStar
from pointrend_ext.evaluation.matches import ClassMatches, MatchTable, average_precisions
from pointrend_ext.evaluation.precision_table import ap_metrics


class LvisBatches:
    """Keeps which predictions were right, a hundred bytes of each, and makes AP of that.

    Matching never looks beyond an image, so the numbers are those of all images at once.
    """

    def __init__(self, lvis: ApStar, tasks: Sequence[str]) -> None:
        """Begin.

        Args:
            lvis: scores against the whole data set.
            tasks: "bbox", "segm", "boundary".
        """
        self.lvis = lvis
        self._left = set(lvis.image_ids)
        self._tables: dict[str, list[MatchTable]] = {task: [] for task in tasks}

    def add(self, results: list[dict[str, Any]]) -> None:
        """Match all predictions of some images, from ``results_file.check_results``."""
        self._match({result["image_id"] for result in results} & self._left, results)

    def metrics(self) -> dict[str, dict[str, float]]:
        """Return metrics by task, as of ``PrecisionTable.metrics``; without those of classes."""
        self._match(set(self._left), [])  # in which nothing was predicted
        found = {}
        for task, tables in self._tables.items():
            table = _joined(tables)
            tables.clear()
            weights = np.ones((1, len(self.lvis.positions)), dtype=np.int32)
            ap = average_precisions(table, weights)[0]
            high = task != "bbox"
            metrics = ap_metrics(ap, table.iou_thresholds, table.class_names, high_ious=high)
            self.lvis.add_frequencies(metrics, table.class_names)
            # LVIS has more than a thousand classes.
            found[task] = {k: float(v) for k, v in metrics.items() if not k.startswith("AP-")}
        return found

    def _match(self, image_ids: set[Any], results: list[dict[str, Any]]) -> None:
        if image_ids:
            self._left -= image_ids
            part = self.lvis.part(image_ids)
            for task, tables in self._tables.items():
                tables.append(part.precision_and_matches(results, task)[1])


def _joined(tables: Sequence[MatchTable]) -> MatchTable:
    """Put the matches of different images together, class by class."""
    num_thresholds, num_areas, _ = tables[0].classes[0].is_true.shape
    of_classes = zip(*(table.classes for table in tables), strict=True)
    classes = (ClassMatches.joined(parts, num_thresholds, num_areas) for parts in of_classes)
    return MatchTable(tuple(classes), tables[0].class_names, tables[0].iou_thresholds)
