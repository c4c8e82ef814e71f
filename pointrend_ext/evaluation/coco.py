"""The evaluator of instances: COCO's and LVIS's AP, AP at high IoU, Boundary AP and AP*."""

import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from unittest import mock

from detectron2.evaluation import COCOEvaluator, coco_evaluation
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from pycocotools.coco import COCO

from pointrend_ext.data.findings import Findings
from pointrend_ext.evaluation.ap_star import ApStar
from pointrend_ext.evaluation.coco_ap import MAX_DETECTIONS, coco_precision
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.lvis_batches import LvisBatches
from pointrend_ext.evaluation.lvis_package import MAX_LVIS_DETECTIONS
from pointrend_ext.evaluation.mask_quality import mask_quality, name_objects
from pointrend_ext.evaluation.results_file import check_results, contiguous_class_ids, tasks_of
from pointrend_ext.evaluation.results_findings import Limit, find_uncounted, find_unfindable
from pointrend_ext.evaluation.shards import Shards

_LOGGER = logging.getLogger(__name__)
_IMAGES_AT_ONCE = 500  # of LVIS, with up to 300 predictions each
_logged: set[tuple[str, ...]] = set()  # a training builds its evaluators many times


class _CheckedCoco(COCO):
    """What Detectron2's evaluator reads, from the file that was checked, not parsed again.

    Processes that do not score know the classes alone.
    """

    def __init__(self, json_file: str) -> None:
        super().__init__()
        if comm.is_main_process():
            self.truth = CocoTruth.load_any(json_file, keep=True)
        else:
            self.truth = CocoTruth.classes_of(json_file)
        self.dataset = self.truth.dataset
        if self.dataset.get("annotations"):
            self.truth.check_objects()
        self.createIndex()


class InstanceEvaluator(COCOEvaluator):
    """Detectron2's COCO evaluator with more numbers, computed by faster-coco-eval.

    Results are those of Detectron2 for ``bbox`` and ``segm``, with mask AP at IoU .85, .90 and .95
    (``AP85``, ``AP90``, ``AP95``, their mean ``AP85-95``), and, when asked for, the same numbers as
    for ``segm`` under ``boundary`` (Boundary AP) and ``ap_star`` (AP*). In contrast to Detectron2,
    AP is 0 and not NaN when nothing is predicted; NaN is left to classes and sizes without ground
    truth. With ``lvis_rules`` the numbers are those of Detectron2's ``LVISEvaluator``, with the
    same additions but AP*.

    Args:
        dataset_name: a registered data set.
        tasks: "bbox" and/or "segm"; None infers them from the predictions.
        distributed: must be True where there are several processes, which evaluate together.
        output_dir: where predictions are written, or None.
        boundary_ap: whether to compute Boundary AP.
        ap_star_file: annotations in LVIS's format to compute AP* against; "" for none.
        max_dets_per_image: how many predictions count, where that is more than COCO's 100 of an
            image and class or LVIS's 300 of an image. For AP* it is LVIS's rule, too.
        lvis_rules: whether the annotations of the data set are LVIS's.
        true_boxes: whether predictions are for the boxes of all true objects, which inputs name
            (``given_boxes.add_given_boxes``): results files then say which object each is for, and
            the masks are measured by themselves (``mask_quality``).

    Raises:
        ValueError: Boundary AP or AP* of boxes alone, AP* of LVIS's own annotations, a task other
            than "bbox" and "segm", or one of several processes alone; what ``ApStar`` raises.
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
        max_dets_per_image: int = MAX_DETECTIONS,
        lvis_rules: bool = False,
        true_boxes: bool = False,
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
        if not distributed and comm.get_world_size() > 1:
            raise ValueError(
                f"InstanceEvaluator of {dataset_name!r}: distributed is False, but this is one of "
                f"{comm.get_world_size()} processes, which evaluate together: leave it True, and "
                "evaluate in all of them."
            )
        if ap_star_file and lvis_rules:
            raise ValueError(
                f"InstanceEvaluator of {dataset_name!r}: AP* scores predictions of COCO's classes "
                "against LVIS's annotations. This data set is LVIS's own, of which 'segm' follows "
                "LVIS's rules: empty TEST.AP_STAR_FILE."
            )
        with mock.patch.object(coco_evaluation, "COCO", _CheckedCoco):
            super().__init__(dataset_name, tasks, distributed, output_dir, use_fast_impl=False)
        self._truth = truth = self._coco_api.truth
        truth.findings.unsaid().log(_LOGGER, f"Annotation file {truth.source!r}")
        if "segm" in chosen and not truth.has_masks:
            self._leave_masks_out(needs_masks)
        self._boundary_ap, self._has_lvis_rules = boundary_ap, lvis_rules
        self._true_boxes = true_boxes
        self.shards = Shards(output_dir, f"{'lvis' if lvis_rules else 'coco'}_instances")
        for_lvis = max(MAX_LVIS_DETECTIONS, max_dets_per_image)
        number = for_lvis if lvis_rules else max(MAX_DETECTIONS, max_dets_per_image)
        self._limit = Limit(number, not lvis_rules, "TEST.DETECTIONS_PER_IMAGE raises that")
        self._lvis = self._ap_star = None
        if lvis_rules:
            self._do_evaluation = bool(truth.dataset.get("annotations"))
            self._lvis = ApStar(truth.source, truth, for_lvis) if self._do_evaluation else None
        elif ap_star_file and comm.is_main_process():
            self._ap_star = ApStar(ap_star_file, truth, for_lvis)
            _log_once(self._ap_star.findings, f"Annotation file {ap_star_file!r}")
        unfindable = find_unfindable(truth.dataset.get("annotations", ()), self._limit)
        _log_once(unfindable, f"Annotations {truth.source!r}")

    def _leave_masks_out(self, needs_masks: bool) -> None:
        """Score boxes alone, or raise ValueError, where the annotations have no mask."""
        what = f"No annotation of {self._truth.source!r} has a mask ('segmentation')"
        if needs_masks:
            raise ValueError(f"{what}: Boundary AP and AP* of its predictions are not defined.")
        self._tasks = ("bbox",)
        _LOGGER.warning("%s: masks are not scored.", what)

    def reset(self) -> None:
        """Forget all images; needed before the first one as well."""
        super().reset()
        # Detectron2 registers LVIS without a table of the classes, and knows others once loaded.
        own = contiguous_class_ids(self._metadata, self._truth)
        self._class_ids = {number: class_id for class_id, number in own.items()}
        self.shards.reset()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Write the predictions for some images to the file of this process.

        Raises:
            ValueError: the model predicts a class that the data set does not have.
        """
        for x, output in zip(inputs, outputs, strict=True):
            if "instances" not in output:
                super().process([x], [output])  # proposals alone
                continue
            instances = output["instances"].to(self._cpu_device)
            results = self.with_dataset_ids(instances_to_coco_json(instances, x["image_id"]))
            if self._true_boxes:
                name_objects(results, x)
            self.shards.write(results)

    def evaluate(self, img_ids: Iterable[int] | None = None) -> dict[str, dict[str, float]]:
        """Score the predictions of all processes, on ``img_ids`` or on all images.

        Returns:
            Metrics by task; nothing on other processes than the first.
        """
        self._results = {}
        is_first = self.shards.finish()
        if any(comm.all_gather(bool(self._predictions))):  # a process may have had no image
            self.shards.remove()
            return super().evaluate(img_ids)
        if not is_first:
            return {}
        if self.shards.num_lines == 0:
            _LOGGER.warning("There are no predictions on %r: no AP.", self._metadata.name)
        elif self._output_dir:
            path = os.path.join(self._output_dir, f"{self.shards.name}_results.json")
            self.shards.join(path)
            _LOGGER.info("Predictions were written to %s.", path)
        if not self._do_evaluation:
            _LOGGER.info("Data set %r has no annotations: no AP.", self._metadata.name)
        elif self.shards.num_lines:
            source, found = f"Predictions on {self._metadata.name!r}", Findings()
            if self._lvis is None:
                scores = self._coco_scores(source, found, img_ids)
            else:
                scores = self._lvis_scores(self._lvis, source, found, img_ids)
            for task, metrics in scores:
                self._results[task] = metrics
                shown = {k: v for k, v in metrics.items() if not k.startswith("AP-")}
                _LOGGER.info("%s on %s:\n%s", task, self._metadata.name, create_small_table(shown))
        self.shards.remove()
        return self._results

    def _coco_scores(
        self, source: str, found: Findings, img_ids: Iterable[int] | None
    ) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield the metrics of every task, of some images or of all."""
        truth, ap_star = self._truth, self._ap_star
        results = [*itertools.chain.from_iterable(self.shards.read())]
        tasks = tuple(sorted(self._tasks or tasks_of(results, source) or ("bbox",)))
        results = check_results(results, truth, source, tasks, found, check_runs=False)
        find_uncounted(results, self._limit, found)
        found.log(_LOGGER, source)
        if img_ids is not None:
            truth = truth.of_images(img_ids)
            results = [result for result in results if result["image_id"] in truth.sizes_hw]
            ap_star = ap_star and ap_star.of_images(truth)
        has_masks = "segm" in tasks
        for task in (*tasks, *(("boundary",) if has_masks and self._boundary_ap else ())):
            table = coco_precision(truth, results, task, self._limit.number)
            yield task, table.metrics(high_ious=task != "bbox")
        if has_masks and self._true_boxes:
            yield "mask_quality", self._quality(truth, results)
        if ap_star is not None and has_masks:
            yield "ap_star", ap_star.precision(results).metrics(high_ious=True)

    def _lvis_scores(
        self, lvis: ApStar, source: str, found: Findings, img_ids: Iterable[int] | None
    ) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield the same by LVIS's rules, with the predictions of some images in memory."""
        some = next(filter(None, self.shards.read()), [])
        tasks = tuple(sorted(self._tasks or tasks_of(some, source) or ("bbox",)))
        has_masks = "segm" in tasks
        own = None if img_ids is None else self._truth.of_images(img_ids)
        lvis = lvis if own is None else lvis.of_images(own)
        boundary = ("boundary",) if has_masks and self._boundary_ap else ()
        batches, kept = LvisBatches(lvis, (*tasks, *boundary)), []
        lines = self.shards.read()
        while batch := list(itertools.islice(lines, _IMAGES_AT_ONCE)):
            results = [*itertools.chain.from_iterable(batch)]
            results = check_results(results, self._truth, source, tasks, found, check_runs=False)
            find_uncounted(results, self._limit, found)
            batches.add(results)
            if self._true_boxes:  # one for each object
                kept += results
        found.log(_LOGGER, source)
        yield from batches.metrics().items()
        if has_masks and self._true_boxes:
            truth = own or self._truth
            kept = [result for result in kept if result["image_id"] in truth.sizes_hw]
            yield "mask_quality", self._quality(truth, kept)

    def _quality(self, truth: CocoTruth, results: list[dict[str, Any]]) -> dict[str, float]:
        quality = mask_quality(truth, results)
        _LOGGER.info("On %s %s.", self._metadata.name, quality.notice())
        return quality.metrics()

    def with_dataset_ids(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return predictions with the class ids of the data set in the place of the model's.

        Raises:
            ValueError: the data set does not have a class.
        """
        try:
            return [{**r, "category_id": self._class_ids[r["category_id"]]} for r in results]
        except KeyError as error:
            raise ValueError(
                f"The model predicts class {error}, but data set {self._metadata.name!r} has "
                f"{len(self._class_ids)} classes, numbered from 0. Set the number of classes of "
                "the model (MODEL.ROI_HEADS.NUM_CLASSES) to that."
            ) from error


def _log_once(findings: Findings, what: str) -> None:
    key = (what, *findings.lines())
    if key not in _logged:
        _logged.add(key)
        findings.log(_LOGGER, what)
