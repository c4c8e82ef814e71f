"""The objects that a report shows, with their masks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.masks import decode_mask
from pointrend_ext.evaluation.offline.record import Evaluation, ObjectExample
from pointrend_ext.evaluation.results_file import read_results


@dataclass(frozen=True)
class ShownObject:
    """One example of an evaluation of instances.

    Attributes:
        example: which object it is, and how well models found it.
        true: (H, W) bool, the ground truth.
        masks: (H, W) bool by model, None where the model did not find it.
    """

    example: ObjectExample
    true: np.ndarray
    masks: dict[str, np.ndarray | None]


@dataclass(frozen=True)
class RefinedPoints:
    """The points at which a model refined the mask of one object.

    Attributes:
        points_px: (P, 2) float64, (x, y) in pixels of the image, frame as in
            ``visualization.contours``.
        sides: (P,) int64, cells along an edge of the map to which each point belongs.
    """

    points_px: np.ndarray
    sides: np.ndarray


def shown_objects(evaluation: Evaluation, count: int) -> Iterator[ShownObject]:
    """Read the first ``count`` examples that all models found, then a quarter as many others.

    Raises:
        FileNotFoundError: A file that the evaluation names is not there.
    """
    examples = [e for e in evaluation.objects if e.found_by_all][:count]
    missed = [e for e in evaluation.objects if not e.found_by_all]
    examples += missed[: max(1, count // 4) if count else 0]
    if not examples:
        return
    truth = CocoTruth.load(evaluation.data_set.source)
    annotations = {a["id"]: a for a in truth.dataset["annotations"]}
    results = {m.name: read_results(m.predictions) for m in evaluation.models}
    for example in examples:
        size_hw = truth.sizes_hw[example.image_id]
        masks: dict[str, np.ndarray | None] = dict.fromkeys(example.models)
        for name, found in example.models.items():
            if found is not None:
                prediction = results[name][found.prediction]
                masks[name] = decode_mask(prediction["segmentation"], size_hw)
        true = decode_mask(annotations[example.annotation_id]["segmentation"], size_hw)
        yield ShownObject(example, true, masks)
