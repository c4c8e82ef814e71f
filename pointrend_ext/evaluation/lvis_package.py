"""The lvis package, made to work with NumPy 1.24 and later, and what it has matched."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from detectron2.evaluation import LVISEvaluator

from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.matches import ClassMatches, MatchTable

__all__ = ["LvisInstanceEvaluator", "checked_lvis", "imported_lvis", "lvis_matches"]


class LvisInstanceEvaluator(LVISEvaluator):
    """Detectron2's LVIS evaluator, which alone fails with NumPy 1.24 and later.

    It reads the file that was checked.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with imported_lvis() as lvis:
            build = partial(checked_lvis, lvis.LVIS)
            with mock.patch.object(lvis, "LVIS", build):
                super().__init__(*args, **kwargs)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Score what ``process`` has collected; None on other processes than the first."""
        with imported_lvis():
            return super().evaluate()


@contextlib.contextmanager
def imported_lvis() -> Iterator[ModuleType]:
    """Give the lvis package, usable inside the context.

    lvis 0.5.3, the last version, calls ``np.float``, which NumPy 1.24 removed: for the time of the
    context its evaluator finds it again; NumPy itself is not touched. The logging of the process,
    which lvis configures when it is imported, stays as it is.

    Yields:
        The module ``lvis``.
    """
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        import lvis
        import lvis.eval as lvis_eval
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    chatter = logging.getLogger("lvis.results")  # warns of every list of predictions
    with (
        mock.patch.object(lvis_eval, "np", SimpleNamespace(**{**vars(np), "float": float})),
        mock.patch.object(chatter, "disabled", True),
    ):
        yield lvis


def checked_lvis(lvis_class: type, json_file: str) -> Any:
    """Return a checked annotation file as an ``lvis.LVIS``, not parsed again.

    Annotations are numbered from 1: lvis takes the id 0 for "not found". It writes into them.
    """
    truth = CocoTruth.load_any(json_file)
    annotations = [
        {**annotation, "id": number}
        for number, annotation in enumerate(truth.dataset.get("annotations", ()), start=1)
    ]
    dataset = {**truth.dataset, "annotations": annotations}
    with mock.patch.object(lvis_class, "_load_json", return_value=dataset):
        return lvis_class(json_file)


def lvis_matches(
    evaluation: Any, positions: Mapping[Any, int], class_names: Sequence[str]
) -> MatchTable:
    """Collect the matches of an ``lvis.LVISEval``; the AP from them is that of the evaluation.

    Args:
        evaluation: after ``evaluate``.
        positions: position of every image in the ground truth, by image id.
        class_names: of the classes of the evaluation, in their order.
    """
    parameters = evaluation.params
    thresholds, num_areas = np.asarray(parameters.iou_thrs), len(parameters.area_rng)
    shape = (len(parameters.cat_ids), num_areas, len(parameters.img_ids))
    of_images = np.array(evaluation.eval_imgs, dtype=object).reshape(shape)
    classes = []
    for by_area in of_images:
        records = [
            _image_record(positions[image_id], by_area[:, i])
            for i, image_id in enumerate(parameters.img_ids)
            if by_area[0, i] is not None
        ]
        classes.append(ClassMatches.joined(records, len(thresholds), num_areas))
    return MatchTable(tuple(classes), tuple(class_names), thresholds)


def _image_record(position: int, by_area: Sequence[dict[str, Any]]) -> ClassMatches:
    scores = np.array(by_area[0]["dt_scores"], dtype=np.float64)
    is_matched = np.stack([record["dt_matches"] > 0 for record in by_area], axis=1)  # (T, A, D)
    is_counted = np.stack([record["dt_ignore"] == 0 for record in by_area], axis=1)
    # Each range of areas has its own order of the true objects; only how many count matters.
    counts = np.stack([np.asarray(record["gt_ignore"]) == 0 for record in by_area])
    return ClassMatches(
        np.full(len(scores), position),
        scores,
        is_matched & is_counted,
        ~is_matched & is_counted,
        np.full(counts.shape[1], position),
        counts,
    )
