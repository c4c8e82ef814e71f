"""The points at which a model refines the objects that a report shows."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pointrend_ext.evaluation.masks import mask_iou
from pointrend_ext.evaluation.offline.objects import MATCH_IOU
from pointrend_ext.evaluation.report.shown_objects import RefinedPoints, ShownObject
from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.inspection.point_steps import MASK_HEADS, Recording, record_object


def record_shown_points(
    predictor: Predictor, name: str, objects: Iterable[ShownObject], class_names: Sequence[str]
) -> dict[int | str, RefinedPoints] | None:
    """Run a model again on the images of a report, and take the points of the shown objects.

    The detection is that of the object's class which overlaps most with the mask that the report
    shows for this model; where it shows none, with the ground truth.

    Args:
        predictor: the model, with the score threshold that it was evaluated with.
        name: of the model in the evaluation.
        objects: what is shown.
        class_names: of the data set, in the order of the model's classes.

    Returns:
        Points by annotation id, without objects that no detection overlaps with an IoU of 0.5;
        None if the mask head of the model has no points.

    Raises:
        ValueError: The images are not known, or the model has another number of classes.
    """
    heads: Any = getattr(predictor.model, "roi_heads", None)
    if not isinstance(getattr(heads, "mask_head", None), MASK_HEADS):
        return None
    if heads.num_classes != len(class_names):
        raise ValueError(
            f"Model {name!r} has {heads.num_classes} classes, the data set of the evaluation "
            f"{len(class_names)}. Give the configuration and weights that the predictions are from."
        )
    found = {}
    for shown in objects:
        points = _points_of(predictor, name, shown, class_names.index(shown.example.class_name))
        if points is not None:
            found[shown.example.annotation_id] = points
    return found


def _points_of(
    predictor: Predictor, name: str, shown: ShownObject, class_id: int
) -> RefinedPoints | None:
    if shown.example.image_file is None:
        raise ValueError(
            "The evaluation names no image files, so that no model can be run again. Evaluate with "
            "--images, or a registered data set."
        )
    model_input = predictor.model_input(predictor.read_image(shown.example.image_file))
    rows, columns = shown.true.shape
    scale = np.array([columns, rows]) / model_input["image"].shape[:0:-1]  # (x, y)
    mask = shown.masks[name]
    wanted = shown.true if mask is None else mask
    number = _matching_detection(predictor, model_input, class_id, wanted, scale)
    if number is None:
        return None
    return _in_image(record_object(predictor.model, model_input, number), scale)


@torch.no_grad()
def _matching_detection(
    predictor: Predictor,
    model_input: dict[str, Tensor],
    class_id: int,
    wanted: np.ndarray,
    scale: np.ndarray,
) -> int | None:
    """Return the number of the best detection, the best score first, or None."""
    (raw,) = predictor.model.inference([model_input], do_postprocess=False)
    raw = raw[raw.scores.argsort(descending=True, stable=True)].to(torch.device("cpu"))
    boxes_px = raw.pred_boxes.tensor * torch.as_tensor(np.tile(scale, 2), dtype=torch.float32)
    height, width = wanted.shape
    masks = PastedMasks(raw.pred_masks[:, 0], boxes_px, (height, width))
    candidates = torch.nonzero(raw.pred_classes == class_id)[:, 0].tolist()
    ious = {number: mask_iou(masks[number], wanted) for number in candidates}
    best = max(ious, key=ious.__getitem__, default=None)  # of equal ones the best score
    return best if best is not None and ious[best] >= MATCH_IOU else None


def _in_image(recording: Recording, scale: np.ndarray) -> RefinedPoints:
    """Collect the points of all steps that choose, in pixels of the image."""
    corner, opposite = np.reshape(recording.box_px, (2, 2))
    steps = [x for x in recording.steps if len(x.coords) < x.after[0].numel()]
    steps = steps or recording.steps[-1:]
    points = [(corner + x.coords.double().numpy() * (opposite - corner)) * scale for x in steps]
    sides = [np.full(len(x.coords), x.after.shape[-1]) for x in steps]
    return RefinedPoints(np.concatenate(points), np.concatenate(sides))
