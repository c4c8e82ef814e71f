"""The two evaluators on the same predictions, each time from a fresh start."""

from __future__ import annotations

import contextlib
import gc
import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOEvaluator

from pointrend_ext.evaluation import InstanceEvaluator
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.results_file import load_results

__all__ = ["FORMS", "PREPARE", "EvaluationCase", "compare_results"]

FORMS: dict[str, Callable[[str], COCOEvaluator]] = {
    "detectron2": lambda name: COCOEvaluator(name, ("bbox", "segm"), distributed=False),
    "ours": lambda name: InstanceEvaluator(name, ("bbox", "segm"), distributed=False),
    "ours_boundary": lambda name: InstanceEvaluator(
        name, ("bbox", "segm"), distributed=False, boundary_ap=True
    ),
}
"""Evaluators by name; the last one adds Boundary AP."""

PREPARE = "prepare "
"""Before the name of a form: what comes before it and is not part of its time."""

TOLERANCE = 1e-6  # of an AP in per cent


class EvaluationCase:
    """Annotations and predictions, and what is timed on them.

    ``evaluate()`` is timed. Before every call the evaluator is built anew and given a copy of the
    predictions in the form in which ``process()`` leaves them: both evaluators change what they
    work on (Detectron2's the class ids of predictions, pycocotools the polygons of annotations), so
    that a second call on the same objects would do less, or fail.

    Attributes:
        name: of the case.
        counts: number of images, objects and predictions.
    """

    def __init__(self, name: str, annotations: Path, predictions: Path) -> None:
        """Read and check the files.

        Args:
            name: of the case.
            annotations: in COCO's format.
            predictions: in COCO's results format.

        Raises:
            FileNotFoundError: No such file.
            ValueError: Another format, or predictions that do not fit; the message names the entry.
        """
        self.name = name
        truth = CocoTruth.load(annotations)
        results = load_results(predictions, truth, ("bbox", "segm"))
        self.counts = {
            "images": len(truth.sizes_hw),
            "objects": len(truth.dataset["annotations"]),
            "predictions": len(results),
        }
        contiguous = {k: number for number, k in enumerate(truth.class_names)}
        by_image: dict[Any, list[dict[str, Any]]] = {image_id: [] for image_id in truth.sizes_hw}
        for result in results:
            own = {**result, "category_id": contiguous[result["category_id"]]}
            by_image[result["image_id"]].append(own)
        self._predictions = list(by_image.items())
        self._data_set = f"benchmark: {annotations}"
        if "json_file" not in MetadataCatalog.get(self._data_set).as_dict():
            MetadataCatalog.get(self._data_set).set(
                json_file=str(annotations),
                thing_classes=list(truth.class_names.values()),
                thing_dataset_id_to_contiguous_id=contiguous,
            )
        self._evaluator: COCOEvaluator | None = None
        del truth, results
        gc.collect()
        gc.freeze()  # the predictions are no work for the garbage collector while it is timed

    def forms(self) -> dict[str, Callable[[], Any]]:
        """Return what runs in turn: every evaluation after its preparation."""
        forms: dict[str, Callable[[], Any]] = {}
        for form in FORMS:
            forms[PREPARE + form] = lambda form=form: self.prepare(form)
            forms[form] = self.evaluate
        return forms

    def prepare(self, form: str) -> None:
        """Build an evaluator, in place of the last one, and hand it the predictions.

        Args:
            form: one of ``FORMS``.
        """
        self._evaluator = None
        gc.collect()
        self._evaluator = FORMS[form](self._data_set)
        self._evaluator.reset()
        self._evaluator._predictions = [
            {"image_id": image_id, "instances": [dict(result) for result in results]}
            for image_id, results in self._predictions
        ]

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Evaluate what was prepared."""
        with contextlib.redirect_stdout(io.StringIO()):
            return self._evaluator.evaluate()

    def backend(self) -> str:
        """Return what Detectron2's evaluator computes with, as it was installed."""
        self.prepare("detectron2")
        compiled = self._evaluator._use_fast_impl
        return "its compiled COCOeval_opt" if compiled else "pycocotools (no compiled COCOeval_opt)"


def compare_results(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Check that all evaluators found the same AP.

    Args:
        results: by form, what ``evaluate()`` returned.

    Returns:
        A sentence for the report.

    Raises:
        AssertionError: An AP differs by more than 1e-6, or Boundary AP lies above mask AP.
    """
    theirs = results["detectron2"]
    largest, count = 0.0, 0
    for form in ("ours", "ours_boundary"):
        for task, scores in theirs.items():
            for metric, value in scores.items():
                own = results[form][task][metric]
                if math.isnan(value) and math.isnan(own):
                    continue
                difference = abs(own - value)
                if not difference <= TOLERANCE:
                    raise AssertionError(f"{form}, {task}, {metric}: {own}, Detectron2 has {value}")
                largest, count = max(largest, difference), count + (form == "ours")
    mask, boundary = (results["ours_boundary"][task]["AP"] for task in ("segm", "boundary"))
    if not 0 <= boundary <= mask:
        raise AssertionError(f"Boundary AP is {boundary}, mask AP {mask}")
    return (
        f"{count} AP differ by at most {largest:.0e}; box {theirs['bbox']['AP']:.2f}, mask "
        f"{mask:.2f}, boundary {boundary:.2f}"
    )
