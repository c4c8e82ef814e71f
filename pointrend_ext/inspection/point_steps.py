"""Watching a model refine an object, or its class map."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Instances
from torch import Tensor, nn

from pointrend_ext.inspection.recording import (
    Recording,
    Step,
    backbone_output,
    record_subdivision,
    training_points,
)
from pointrend_ext.layers import (
    at_least_float32,
    cell_centers,
    class_uncertainty,
    foreground_uncertainty,
    select_class,
)
from pointrend_ext.modeling import (
    ImplicitPointRendROIMaskHead,
    PointRendROIMaskHead,
    PointRendSemanticHead,
)
from pointrend_ext.modeling.point_head import (
    inference_predictors,
    map_inference_predictor,
    region_index,
)
from pointrend_ext.modeling.point_head.plans import TrainPointPlan

__all__ = ["Recording", "Step", "record_map", "record_object", "refinement_of_map", "refinements"]

MASK_HEADS = (PointRendROIMaskHead, ImplicitPointRendROIMaskHead)
"""Those whose refinement is recorded."""


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
    anyway, all doublings from the coarse mask on are made; the final mask is the same. Implicit
    PointRend has no coarse mask: there the first grid takes its place.

    Args:
        model: with a ``PointRendROIMaskHead`` or ``ImplicitPointRendROIMaskHead``.
        model_input: ``image`` (3, H, W).
        number: of the detection, the best score first.
        keep: tells which class ids count; None for all.
        generator: source of randomness of the training points.

    Raises:
        ValueError: another mask head, or no such detection.
    """
    _mask_head(model)
    with backbone_output(model) as features:
        # That of a PanopticFPN gives a label map as well.
        (detections,) = GeneralizedRCNN.inference(model, [model_input], do_postprocess=False)
    found = _find(detections, number, keep)
    return refinements(model, features, found, generator=generator)[0]


@torch.no_grad()
def refinements(
    model: GeneralizedRCNN,
    features: Mapping[str, Tensor],
    objects: Instances,
    *,
    generator: torch.Generator | None = None,
) -> list[Recording]:
    """Record the refinement of R objects that are known already; see ``record_object``.

    Args:
        model: as of ``record_object``.
        features: of ``backbone_output``, of one image.
        objects: with ``pred_boxes`` in pixels of the image that the model sees, ``pred_classes``
            and ``scores``.
        generator: as of ``record_object``.

    Raises:
        ValueError: another mask head.
    """
    head = _mask_head(model)
    boxes = objects.pred_boxes.tensor
    inputs = head.region_inputs(features, [boxes], None, objects.pred_classes)
    plan, uncertainty = head.subdivision, foreground_uncertainty
    if isinstance(head, PointRendROIMaskHead):
        coarse = at_least_float32(select_class(inputs.coarse_logits, objects.pred_classes))
        train_points = head.train_points
    else:  # it is predicted below; the points of its training are uniform
        coarse = boxes.new_empty(len(boxes), 1, plan.start_side, plan.start_side)
        centers = cell_centers(coarse.shape[-2:], dtype=coarse.dtype, device=coarse.device)
        number = head.num_train_points
        train_points = None if number is None else TrainPointPlan(number, 1, 0)
    doublings = (plan.final_side // coarse.shape[-1]).bit_length() - 1
    steps: dict[int, list[Step]] = {}
    for regions, predict_points in inference_predictors(
        head.point_head,
        inputs,
        points_per_step=plan.num_points,
        points_per_region=doublings * plan.num_points,
    ):
        index = region_index(regions, coarse.device)
        if not isinstance(head, PointRendROIMaskHead):
            grid = predict_points(centers.expand(len(regions), -1, -1))
            coarse[index] = grid.view_as(coarse[index]).to(coarse.dtype)
        taken = record_subdivision(
            coarse[index], predict_points, uncertainty, doublings, plan.num_points
        )
        steps |= zip(regions, taken, strict=True)
    points, num_important = training_points(coarse, uncertainty, train_points, generator)
    values = [x.tolist() for x in (boxes, objects.pred_classes, objects.scores)]
    return [
        Recording(map_, steps[number], coords, num_important, tuple(box), class_id, score)
        for number, (map_, coords, box, class_id, score) in enumerate(
            zip(coarse.cpu(), points, *values, strict=True)
        )
    ]


@torch.no_grad()
def record_map(
    model: nn.Module, model_input: dict[str, Any], *, generator: torch.Generator | None = None
) -> Recording:
    """Record the refinement of a class map; see ``record_object``.

    Raises:
        ValueError: another head than ``PointRendSemanticHead``.
    """
    _map_head(model)
    with backbone_output(model) as features:
        model.eval()([model_input])
    size_hw = tuple(model_input["image"].shape[1:])
    return refinement_of_map(model, features, size_hw, generator=generator)


@torch.no_grad()
def refinement_of_map(
    model: nn.Module,
    features: Mapping[str, Tensor],
    size_hw: tuple[int, int],
    *,
    generator: torch.Generator | None = None,
) -> Recording:
    """Record the refinement of a class map from features that are known already.

    Args:
        model: as of ``record_map``.
        features: of ``backbone_output``, of one image.
        size_hw: of the image that the model sees, without padding.
        generator: as of ``record_map``.

    Raises:
        ValueError: another head than ``PointRendSemanticHead``.
    """
    head = _map_head(model)
    inputs = head.map_inputs(features, head.coarse_sem_seg_head.layers(features))
    uncertainty = head.uncertainty(inputs, [size_hw])
    coarse = at_least_float32(inputs.coarse_logits)
    predict_points = map_inference_predictor(head.point_head, inputs)
    plan = head.subdivision
    rows, columns = inputs.extent_px
    (steps,) = record_subdivision(coarse, predict_points, uncertainty, plan.steps, plan.num_points)
    points, num_important = training_points(coarse, class_uncertainty, head.train_points, generator)
    return Recording(coarse[0].cpu(), steps, points[0], num_important, (0, 0, columns, rows))


def _mask_head(model: Any) -> Any:
    head = getattr(getattr(model, "roi_heads", None), "mask_head", None)
    return _checked(head, MASK_HEADS, "mask head", "ROI_MASK_HEAD")


def _map_head(model: Any) -> PointRendSemanticHead:
    head = getattr(model, "sem_seg_head", None)
    return _checked(head, (PointRendSemanticHead,), "semantic head", "SEM_SEG_HEAD")


def _checked(head: Any, wanted: tuple[type, ...], what: str, node: str) -> Any:
    if isinstance(head, wanted):
        return head
    raise ValueError(
        f"The {what} is {type(head).__name__}; only that of PointRend refines at points "
        f"(MODEL.{node}.NAME {' or '.join(kind.__name__ for kind in wanted)})."
    )


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
