"""Mask IoU and Boundary IoU of objects whose boxes were given: masks measured apart from detection.

Each prediction was made for one true object and names it (``annotation_id`` in the results), so
that nothing is matched and nothing is missed (Boundary IoU: Cheng et al., CVPR 2021, section 4,
measures masks of true boxes, too).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from pointrend_ext.evaluation.boundary import boundary_width, pair_boundary_iou
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.masks import encoded
from pointrend_ext.evaluation.precision_table import SIZES
from pointrend_ext.evaluation.results_findings import place_of

OF_OBJECT = "annotation_id"
"""Key of a prediction in COCO's results format that names the object whose box was given."""
GIVEN_IDS = "given_ids"
"""Key of a model input: the ids of the annotations whose boxes are given, in their order."""
_LIMITS = (32**2, 96**2)  # COCO's, in pixels of the object's area


@dataclass(frozen=True, eq=False)
class MaskQuality:
    """What was measured of G objects.

    Attributes:
        images: (G,) position of the image of each object in the ground truth.
        areas: (G,) of the annotations, in pixels.
        ious: (G,) in [0, 1], of the masks.
        boundary_ious: (G,) in [0, 1], of their pixels within 2 % of the diagonal of the outline.
        num_left_out: crowds, and objects without a mask, or with one of no pixel.
    """

    images: np.ndarray
    areas: np.ndarray
    ious: np.ndarray
    boundary_ious: np.ndarray
    num_left_out: int

    def means(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return means over the objects for samples of the images.

        Args:
            weights: (B, I) how often each of I images is in each of B samples; see
                ``offline.bootstrap.draw_images``.

        Returns:
            (B,) per cent, ``IoU`` and ``BoundaryIoU`` of all objects, and with ``-small``,
            ``-medium`` and ``-large``; NaN where there is no such object.
        """
        weights = weights[:, self.images].astype(np.float64)  # (B, G)
        named = {"IoU": self.ious, "BoundaryIoU": self.boundary_ious}
        found = {}
        for name, values in named.items():
            for size, is_inside in self._sizes().items():
                inside = weights * is_inside
                total = inside.sum(axis=1)
                sums = 100 * inside @ values
                mean = np.divide(sums, total, out=np.full(len(sums), np.nan), where=total > 0)
                found[_name(name, size)] = mean
        return found

    def metrics(self) -> dict[str, float]:
        """Return the means over all images, and how many ``objects`` there are by size."""
        everything = np.ones((1, self.images.max(initial=-1) + 1))
        means = {name: float(mean[0]) for name, mean in self.means(everything).items()}
        return means | {_name("objects", s): float(n) for s, n in self.counts().items()}

    def notice(self) -> str:
        """Say how many objects there are, and how many are left out."""
        by_size = ", ".join(f"{size} {n}" for size, n in self.counts().items() if size != SIZES[0])
        return (
            f"mask quality is the mean over {len(self.ious)} objects ({by_size}), "
            f"without crowds and objects that have no mask ({self.num_left_out})"
        )

    def counts(self) -> dict[str, int]:
        """Return the number of objects by size."""
        return {size: int(is_inside.sum()) for size, is_inside in self._sizes().items()}

    def _sizes(self) -> dict[str, np.ndarray]:
        """(G,) bool by size; each object has one, as in COCO's evaluators but at the limits."""
        number = np.digitize(self.areas, _LIMITS)
        own = {size: number == i for i, size in enumerate(SIZES[1:])}
        return {SIZES[0]: np.ones(len(number), dtype=bool), **own}


def name_objects(results: list[dict[str, Any]], model_input: Mapping[str, Any]) -> None:
    """Write to the results for one image which object each was predicted for."""
    for result, annotation_id in zip(results, model_input[GIVEN_IDS], strict=True):
        result[OF_OBJECT] = annotation_id


def mask_quality(
    truth: CocoTruth, results: Sequence[dict[str, Any]], source: str = "Predictions"
) -> MaskQuality:
    """Measure predictions that were made for the true boxes.

    Args:
        truth: the ground truth.
        results: from ``results_file.check_results``, with ``OF_OBJECT``: one for every object that
            is no crowd.
        source: where they come from, the beginning of the messages.

    Raises:
        ValueError: a prediction for no object, or another number than one for an object.
    """
    prediction_of = _paired(truth, results, source)
    positions = {image_id: i for i, image_id in enumerate(truth.sizes_hw)}
    rows, num_left_out = [], 0
    for annotation in _annotations(truth):
        size_hw, mask = truth.sizes_hw[annotation["image_id"]], annotation.get("segmentation")
        true = encoded(mask, size_hw) if mask and not annotation.get("iscrowd", 0) else None
        if true is None or not mask_util.area(true):  # no prediction could be right
            num_left_out += 1
            continue
        found = prediction_of[annotation["id"]]["segmentation"]
        iou = float(mask_util.iou([found], [true], [0])[0, 0])
        outline = pair_boundary_iou(found, true, boundary_width(size_hw)) if iou else 0.0
        rows.append((positions[annotation["image_id"]], annotation["area"], iou, outline))
    images, areas, ious, outlines = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return MaskQuality(images.astype(np.int64), areas, ious, outlines, num_left_out)


def _annotations(truth: CocoTruth) -> list[dict[str, Any]]:
    return [a for a in truth.dataset["annotations"] if a["image_id"] in truth.sizes_hw]


def _paired(
    truth: CocoTruth, results: Sequence[dict[str, Any]], source: str
) -> Mapping[Any, dict[str, Any]]:
    """Return the prediction of every object, by the id of its annotation."""
    objects = {a["id"]: a for a in _annotations(truth) if not a.get("iscrowd", 0)}
    paired: dict[Any, dict[str, Any]] = {}
    for index, result in enumerate(results):
        key = result.get(OF_OBJECT)
        true = objects.get(key) if isinstance(key, int | str) else None
        if true is None or any(true[k] != result[k] for k in ("image_id", "category_id")):
            raise ValueError(
                f"{source}: {place_of(index, result)}: its {OF_OBJECT} {key!r} is no object of "
                f"this image and class in {truth.source!r}. Predict for the boxes of these "
                "annotations (TEST.GIVEN_BOXES ground_truth)."
            )
        if key in paired:
            raise ValueError(
                f"{source}: {place_of(index, result)}: its {OF_OBJECT} {key!r} is that of an "
                "earlier prediction, too: one object, one prediction."
            )
        paired[key] = result
    missing = [key for key in objects if key not in paired]
    if missing:
        raise ValueError(
            f"{source}: {len(missing)} of {len(objects)} objects of {truth.source!r}, such as "
            f"annotation {missing[0]!r}, have no prediction: predict for all true boxes."
        )
    return paired


def _name(metric: str, size: str) -> str:
    return metric if size == SIZES[0] else f"{metric}-{size}"
