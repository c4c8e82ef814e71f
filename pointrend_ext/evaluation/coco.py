"""Detectron2's evaluator of instances, with AP at high IoU, Boundary AP and AP*."""

import itertools
import json
import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any
from unittest import mock

from detectron2.evaluation import COCOEvaluator, coco_evaluation
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import create_small_table
from pycocotools.coco import COCO

from pointrend_ext.evaluation.ap_star import ApStar
from pointrend_ext.evaluation.coco_ap import coco_precision
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.results_file import check_results, tasks_of

__all__ = ["InstanceEvaluator"]

_LOGGER = logging.getLogger(__name__)


class _CheckedCoco(COCO):
    """What Detectron2's evaluator reads, from the file that was checked, not parsed again."""

    def __init__(self, json_file: str) -> None:
        super().__init__()
        self.truth = CocoTruth.load_any(json_file)
        if self.truth.dataset.get("annotations"):
            self.truth = CocoTruth.load(json_file)
        self.dataset = self.truth.dataset
        self.createIndex()


class InstanceEvaluator(COCOEvaluator):
    """Detectron2's COCO evaluator with more numbers, computed by faster-coco-eval.

    Results are those of Detectron2 for ``bbox`` and ``segm``, with mask AP at IoU .85, .90 and .95
    (``AP85``, ``AP90``, ``AP95``, their mean ``AP85-95``), and, when asked for, the same numbers as
    for ``segm`` under ``boundary`` (Boundary AP) and ``ap_star`` (AP*). In contrast to Detectron2,
    AP is 0 and not NaN when nothing is predicted; NaN is left to classes and sizes without ground
    truth.

    Args:
        dataset_name: a registered data set.
        tasks: "bbox" and/or "segm"; None infers them from the predictions.
        distributed: whether to gather the predictions of all processes.
        output_dir: where predictions are written, or None.
        boundary_ap: whether to compute Boundary AP.
        ap_star_file: annotations in LVIS's format to compute AP* against; "" for none.

    Raises:
        ValueError: Boundary AP or AP* of boxes alone, or a task other than "bbox" and "segm"; what
            ``ApStar`` raises.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        boundary_ap: bool = False,
        ap_star_file: str = "",
    ) -> None:
        needs_masks = boundary_ap or bool(ap_star_file)
        chosen = {"segm"} if tasks is None else set(tasks)
        if not chosen <= {"bbox", "segm"} or (needs_masks and "segm" not in chosen):
            raise ValueError(
                f"InstanceEvaluator of {dataset_name!r}: tasks are {tuple(chosen)}; it knows "
                "'bbox' and 'segm'. Boundary AP and AP* are about masks ('segm'): set "
                "MODEL.MASK_ON True, or remove 'boundary_ap' from TEST.BOUNDARY and empty "
                "TEST.AP_STAR_FILE."
            )
        with mock.patch.object(coco_evaluation, "COCO", _CheckedCoco):
            super().__init__(dataset_name, tasks, distributed, output_dir, use_fast_impl=False)
        self._truth = self._coco_api.truth
        self._boundary_ap = boundary_ap
        self._ap_star = ApStar(ap_star_file, self._truth) if ap_star_file else None

    def _eval_predictions(
        self, predictions: list[dict[str, Any]], img_ids: Iterable[int] | None = None
    ) -> None:
        """Score the predictions of all processes and fill ``self._results``."""
        results = self._with_dataset_ids(itertools.chain(*(p["instances"] for p in predictions)))
        if self._output_dir:
            path = os.path.join(self._output_dir, "coco_instances_results.json")
            with PathManager.open(path, "w") as file:
                file.write(json.dumps(results))  # in C; json.dump encodes in Python
            _LOGGER.info("Predictions were written to %s.", path)
        if not self._do_evaluation:
            _LOGGER.info("Data set %r has no annotations: no AP.", self._metadata.name)
            return
        tasks = tuple(sorted(self._tasks or tasks_of(results) or ("bbox",)))
        source = f"Predictions on {self._metadata.name!r}"
        results = check_results(results, self._truth, source, tasks, check_runs=False)
        truth, ap_star = self._truth, self._ap_star
        if img_ids is not None:
            truth = truth.of_images(img_ids)
            results = [result for result in results if result["image_id"] in truth.sizes_hw]
            ap_star = ApStar(ap_star.path, truth) if ap_star else None
        if "segm" in tasks and self._boundary_ap:
            tasks += ("boundary",)
        tables = {task: coco_precision(truth, results, task) for task in tasks}
        if ap_star is not None and "segm" in tasks:
            tables["ap_star"] = ap_star.precision(results)
        for task, table in tables.items():
            self._results[task] = table.metrics(high_ious=task != "bbox")
            shown = {k: v for k, v in self._results[task].items() if not k.startswith("AP-")}
            _LOGGER.info("%s on %s:\n%s", task, self._metadata.name, create_small_table(shown))

    def _with_dataset_ids(self, results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        to_contiguous = self._metadata.get("thing_dataset_id_to_contiguous_id")
        if to_contiguous is None:
            return list(results)
        to_dataset = {contiguous: own for own, contiguous in to_contiguous.items()}
        try:
            return [{**r, "category_id": to_dataset[r["category_id"]]} for r in results]
        except KeyError as error:
            raise ValueError(
                f"The model predicts class {error}, but data set {self._metadata.name!r} has "
                f"{len(to_dataset)} classes, numbered from 0. Set the number of classes of the "
                "model (MODEL.ROI_HEADS.NUM_CLASSES) to that."
            ) from error
