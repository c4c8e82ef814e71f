"""Watching a model refine: what each step of the subdivision saw, asked and wrote.

``subdivide`` asks its two callables in every step, so recording wraps these; the code that runs
without a recording is untouched.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Instances
from torch import Tensor, nn

from pointrend_ext.layers import (
    at_least_float32,
    class_uncertainty,
    foreground_uncertainty,
    get_uncertain_point_coords_with_randomness,
    select_class,
    subdivide,
)
from pointrend_ext.modeling import PointRendROIMaskHead, PointRendSemanticHead
from pointrend_ext.modeling.point_head import (
    RegionInputs,
    inference_predictors,
    map_inference_predictor,
)
from pointrend_ext.modeling.point_head.plans import TrainPointPlan

__all__ = ["Recording", "Step", "record_map", "record_object"]

_Points = Callable[[Tensor], Tensor]
_Head = TypeVar("_Head", bound=nn.Module)


@dataclass(frozen=True)
class Step:
    """One doubling, of one map.

    Attributes:
        before: (K, H, W) logits, interpolated.
        coords: (P, 2) centres of the corrected cells, (x, y) in (0, 1) of the map.
        scores: (P,) their uncertainty before the correction, larger is more uncertain.
        after: (K, H, W) logits, corrected.
    """

    before: Tensor
    coords: Tensor
    scores: Tensor
    after: Tensor


@dataclass(frozen=True)
class Recording:
    """How the mask of an object, or a class map, came about.

    Attributes:
        coarse: (K, H, W) logits, where K is 1 for an object, of its class alone.
        steps: from the coarse map to the final one.
        training_coords: (P, 2) in [0, 1] of the map: points that a training step would draw,
        num_important: of which these come first, chosen by uncertainty; the others cover the map.
        box_px: left, top, right, bottom of what the map covers, in pixels of the image that the
            model sees: an object's box; for a class map the whole image, padding included.
        class_id: of an object, as predicted.
        score: of an object.
    """

    coarse: Tensor
    steps: list[Step]
    training_coords: Tensor
    num_important: int
    box_px: tuple[float, float, float, float]
    class_id: int | None = None
    score: float | None = None


@torch.no_grad()
def record_object(
    model: GeneralizedRCNN,
    model_input: dict[str, Any],
    number: int = 0,
    *,
    keep: Callable[[int], bool] | None = None,
    generator: torch.Generator | None = None,
) -> Recording:
    """Record the refinement of one detection, of a model in evaluation mode.

    Unlike in the model's own path, which predicts densely as long as every cell would be corrected
    anyway, all doublings from the coarse mask on are made; the final mask is the same.

    Args:
        model: with a ``PointRendROIMaskHead``.
        model_input: ``image`` (3, H, W).
        number: of the detection, the best score first.
        keep: tells which class ids count; None for all.
        generator: source of randomness of the training points.

    Raises:
        ValueError: another mask head, or no such detection.
    """
    head = getattr(getattr(model, "roi_heads", None), "mask_head", None)
    head = _checked(head, PointRendROIMaskHead, "mask head", "MODEL.ROI_MASK_HEAD.NAME")
    with _backbone_output(model) as features:
        # That of a PanopticFPN gives a label map as well.
        (detections,) = GeneralizedRCNN.inference(model, [model_input], do_postprocess=False)
    x = _find(detections, number, keep)
    inputs = RegionInputs(
        features=head.point_levels.gather(features),
        strides=head.point_levels.strides,
        boxes_px=[x.pred_boxes.tensor],
        coarse_logits=head.coarse_logits(features, [x.pred_boxes.tensor]),
        classes=x.pred_classes,
    )
    coarse = at_least_float32(select_class(inputs.coarse_logits, x.pred_classes))
    plan = head.subdivision
    doublings = (plan.final_side // coarse.shape[-1]).bit_length() - 1
    ((_, predict_points),) = inference_predictors(
        head.point_head,
        inputs,
        points_per_step=plan.num_points,
        points_per_region=doublings * plan.num_points,
    )
    uncertainty = foreground_uncertainty
    x0, y0, x1, y1 = x.pred_boxes.tensor[0].tolist()
    return Recording(
        coarse[0].cpu(),
        _record(coarse, predict_points, uncertainty, doublings, plan.num_points),
        *_training_points(coarse, uncertainty, head.train_points, generator),
        box_px=(x0, y0, x1, y1),
        class_id=int(x.pred_classes),
        score=float(x.scores),
    )


@torch.no_grad()
def record_map(
    model: nn.Module, model_input: dict[str, Any], *, generator: torch.Generator | None = None
) -> Recording:
    """Record the refinement of a class map; see ``record_object``.

    Raises:
        ValueError: another head than ``PointRendSemanticHead``.
    """
    head = getattr(model, "sem_seg_head", None)
    head = _checked(head, PointRendSemanticHead, "semantic head", "MODEL.SEM_SEG_HEAD.NAME")
    with _backbone_output(model) as features:
        model.eval()([model_input])
    inputs = head.map_inputs(features, head.coarse_sem_seg_head.layers(features))
    size_px = tuple(model_input["image"].shape[1:])
    uncertainty = head.uncertainty(inputs, [size_px])
    coarse = at_least_float32(inputs.coarse_logits)
    predict_points = map_inference_predictor(head.point_head, inputs)
    plan = head.subdivision
    rows, columns = inputs.extent_px
    return Recording(
        coarse[0].cpu(),
        _record(coarse, predict_points, uncertainty, plan.steps, plan.num_points),
        *_training_points(coarse, class_uncertainty, head.train_points, generator),
        box_px=(0, 0, columns, rows),
    )


def _checked(head: nn.Module | None, wanted: type[_Head], what: str, key: str) -> _Head:
    if not isinstance(head, wanted):
        raise ValueError(
            f"The {what} is {type(head).__name__}; only that of PointRend refines at points "
            f"({key} {wanted.__name__})."
        )
    return head


@contextmanager
def _backbone_output(model: Any) -> Iterator[dict[str, Tensor]]:
    """Fill a dict with the features that a model computes."""
    features: dict[str, Tensor] = {}
    hook = model.backbone.register_forward_hook(lambda *call: features.update(call[-1]))
    try:
        yield features
    finally:
        hook.remove()


def _find(detections: Instances, number: int, keep: Callable[[int], bool] | None) -> Instances:
    """Return one detection, counted from the best score on."""
    order = detections.scores.argsort(descending=True, stable=True).tolist()
    if keep is not None:
        order = [i for i in order if keep(int(detections.pred_classes[i]))]
    if not 0 <= number < len(order):
        what = "objects" if keep is None else "objects of the chosen class"
        raise ValueError(
            f"Object {number} was asked for, but {len(order)} {what} are detected, counted from 0. "
            "Choose another, or a lower confidence."
        )
    return detections[order[number]]


def _record(
    coarse: Tensor, predict_points: _Points, uncertainty: _Points, steps: int, num_points: int
) -> list[Step]:
    """Subdivide one map (1, K, H, W), keeping what each step saw and got."""
    seen: list[tuple[Tensor, Tensor]] = []
    answered: list[tuple[Tensor, Tensor]] = []

    def watched_uncertainty(logits: Tensor) -> Tensor:
        scores = uncertainty(logits)
        seen.append((logits[0].clone(), scores[0, 0].clone()))
        return scores

    def watched_points(coords_map: Tensor) -> Tensor:
        point_logits = predict_points(coords_map)
        answered.append((coords_map[0], point_logits[0]))
        return point_logits

    subdivide(
        coarse,
        watched_points,
        steps=steps,
        num_points=num_points,
        uncertainty=watched_uncertainty,
    )
    recorded = []
    for (before, scores), (coords, point_logits) in zip(seen, answered, strict=True):
        rows, columns = before.shape[-2:]
        x, y = (coords * coords.new_tensor([columns, rows])).long().unbind(1)
        after = before.clone()
        after[:, y, x] = point_logits.to(after.dtype)
        parts = (before, coords, scores[y, x], after)
        recorded.append(Step(*(part.cpu() for part in parts)))
    return recorded


def _training_points(
    coarse: Tensor, uncertainty: _Points, plan: TrainPointPlan, generator: torch.Generator | None
) -> tuple[Tensor, int]:
    """Draw points as a training step does: (P, 2), and how many are important."""
    share, count = plan.importance_sample_ratio, plan.num_points
    coords = get_uncertain_point_coords_with_randomness(
        coarse, uncertainty, count, plan.oversample_ratio, share, generator=generator
    )
    return coords[0].cpu(), int(share * count)
