"""A prediction as it stands after each step of the subdivision, all objects at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from detectron2.modeling import PanopticFPN
from detectron2.structures import Boxes, Instances
from torch import Tensor

from pointrend_ext.inference.image_input import ImageLike
from pointrend_ext.inference.panoptic_segments import with_segments
from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inference.postprocess import panoptic_rules
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.inspection.point_steps import MASK_HEADS, refinement_of_map, refinements
from pointrend_ext.inspection.recording import Recording, backbone_output
from pointrend_ext.modeling import PointRendSemanticHead
from pointrend_ext.modeling.sem_seg.label_map import label_map


@dataclass(frozen=True)
class Stage:
    """What is known after a step.

    Attributes:
        title: such as "step 2: 28 x 28 cells an object, 784 of them corrected".
        prediction: in the size of the image.
        points: (P, 2), (x, y) in [0, 1] of the image: centres of the cells that the step corrects,
            those of all objects one after the other.
        scores: (P,) their uncertainty before, larger is more uncertain.
        owners: (P,) the object of each, by its number in the prediction; -1 for the map.
    """

    title: str
    prediction: Prediction
    points: np.ndarray
    scores: np.ndarray
    owners: np.ndarray


def predict_stages(
    predictor: Predictor,
    image: ImageLike,
    boxes: Any = None,
    *,
    classes: Any = None,
    scores: Any = None,
) -> list[Stage]:
    """Predict an image as ``predictor`` does with the same arguments, and keep the way there.

    Masks of a step are pasted as those of the prediction are; the cells of a class map cover the
    pixels whose centres lie in them. A panoptic model's objects and map have each their own number
    of steps, and are combined at each.

    Returns:
        From the coarse prediction to the last step, whose prediction is that of the predictor
        itself; that alone, where nothing is refined.
    """
    with backbone_output(predictor.model) as features:
        final = predictor(image, boxes, classes=classes, scores=scores)
    seen_hw = tuple(predictor.model_input(final.image)["image"].shape[1:])
    objects = _objects(predictor, features, final, seen_hw)
    map_ = _map(predictor, features, final, seen_hw)
    count = max(_count(objects), _count(map_))
    stages = [
        _stage(predictor, final, k, seen_hw, [[_at(x, k) for x in of] for of in (objects, map_)])
        for k in range(count)
    ]
    if not stages:
        return [Stage("prediction", final, np.zeros((0, 2)), np.zeros(0), np.zeros(0, int))]
    return [*stages[:-1], replace(stages[-1], prediction=final)]


@dataclass(frozen=True)
class _Moment:
    """A map after a step: (K, h, w) logits; the points are in pixels of the image that is seen."""

    logits: Tensor
    box_px: tuple[float, float, float, float]
    points_px: np.ndarray
    scores: np.ndarray
    is_last: bool


def _objects(
    predictor: Predictor, features: dict[str, Tensor], final: Prediction, seen_hw: tuple[int, ...]
) -> list[Recording]:
    head = getattr(getattr(predictor.model, "roi_heads", None), "mask_head", None)
    if not isinstance(head, MASK_HEADS) or not len(final.objects.boxes):
        return []
    found, device = final.objects, predictor.model.device
    scale = np.divide(seen_hw, final.size_hw)[::-1]  # (x, y)
    regions = Instances(
        seen_hw,
        pred_boxes=Boxes(torch.as_tensor(found.boxes * np.tile(scale, 2), dtype=torch.float32)),
        pred_classes=torch.as_tensor(found.classes),
        scores=torch.as_tensor(found.scores),
    )
    generator = torch.Generator(device)  # of training points, which nobody looks at
    return refinements(predictor.model, features, regions.to(device), generator=generator)


def _map(
    predictor: Predictor, features: dict[str, Tensor], final: Prediction, seen_hw: tuple[int, ...]
) -> list[Recording]:
    head = getattr(predictor.model, "sem_seg_head", None)
    if not isinstance(head, PointRendSemanticHead) or final.label_map is None:
        return []
    height, width = seen_hw
    generator = torch.Generator(predictor.model.device)
    return [refinement_of_map(predictor.model, features, (height, width), generator=generator)]


def _count(recordings: Sequence[Recording]) -> int:
    return 1 + len(recordings[0].steps) if recordings else 0


def _at(recording: Recording, number: int) -> _Moment:
    """Return a recording after some steps, or after its last one."""
    if number == 0 or number > len(recording.steps):
        logits = [recording.coarse, *(x.after for x in recording.steps)][-1 if number else 0]
        return _Moment(logits, recording.box_px, np.zeros((0, 2)), np.zeros(0), number > 0)
    step = recording.steps[number - 1]
    corner, opposite = np.reshape(recording.box_px, (2, 2))
    points_px = corner + step.coords.double().numpy() * (opposite - corner)
    scores, is_last = step.scores.double().numpy(), number == len(recording.steps)
    return _Moment(step.after, recording.box_px, points_px, scores, is_last)


def _stage(
    predictor: Predictor,
    final: Prediction,
    number: int,
    seen_hw: tuple[int, ...],
    moments: Sequence[Sequence[_Moment]],
) -> Stage:
    (objects, maps), titles = moments, []
    changes: dict[str, Any] = {}
    if objects:
        if not objects[0].is_last:
            probabilities = torch.stack([x.logits[0] for x in objects]).sigmoid()
            changes["masks"] = PastedMasks(probabilities, final.objects.boxes, final.size_hw)
        titles.append(_title(objects[0], " an object"))
    if maps and final.label_map is not None:
        if not maps[0].is_last:
            changes["label_map"] = _labels(maps[0], seen_hw, final).astype(final.label_map.dtype)
        titles.append(_title(maps[0], " of the map"))
    prediction = replace(final, **changes)
    if final.panoptic is not None and isinstance(predictor.model, PanopticFPN):
        prediction = with_segments(prediction, panoptic_rules(predictor.model))
    both = [*maps, *objects]
    points = np.concatenate([x.points_px for x in both]) / seen_hw[::-1]
    scores = np.concatenate([x.scores for x in both])
    owners = np.arange(len(both)) - len(maps)
    name = f"step {number}" if number else "coarse"
    owners = owners.repeat([len(x.scores) for x in both])
    return Stage(f"{name}: {'; '.join(titles)}", prediction, points, scores, owners)


def _labels(map_: _Moment, seen_hw: tuple[int, ...], final: Prediction) -> np.ndarray:
    """Return the class (H, W) of the cell in which the centre of each pixel lies."""
    labels = label_map(map_.logits[None])[0].numpy()
    extent_hw = map_.box_px[:1:-1]
    places = []
    for axis in (0, 1):
        centres = (np.arange(final.size_hw[axis]) + 0.5) / final.size_hw[axis]
        cells = centres * seen_hw[axis] / extent_hw[axis] * labels.shape[axis]
        places.append(cells.astype(int))
    return labels[np.ix_(*places)]


def _title(moment: _Moment, of: str) -> str:
    rows, columns = moment.logits.shape[-2:]
    corrected = f", {len(moment.scores)} of them corrected" * bool(len(moment.scores))
    return f"{rows} x {columns} cells{of}{corrected}"
