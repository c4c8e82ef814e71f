"""What the mask heads of PointRend and Implicit PointRend have in common."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from pointrend_ext.layers import (
    box_to_px,
    cell_centers,
    foreground_uncertainty,
    subdivide,
    wide_dtype,
)
from pointrend_ext.modeling.feature_levels import FeatureLevels
from pointrend_ext.modeling.own_export import OwnExport
from pointrend_ext.modeling.point_head import (
    Regions,
    inference_predictors,
    mask_point_accuracy,
    mask_point_loss,
    region_index,
    training_predictor,
)
from pointrend_ext.modeling.point_head.plans import SubdivisionPlan
from pointrend_ext.modeling.roi_heads.conv_fc_head import ConvFCHead
from pointrend_ext.modeling.roi_heads.mask_labels import annotated_points, sample_mask_labels

_DETECTED = "pred_boxes", "pred_classes"


class RefinedMaskHead(OwnExport, nn.Module):
    """A mask head whose masks are refined at points, and which is trained at points.

    It reads feature maps itself, so it needs ``MODEL.ROI_MASK_HEAD.POOLER_TYPE ""``.
    """

    def __init__(
        self,
        *,
        point_head: nn.Module,
        point_levels: FeatureLevels,
        subdivision: SubdivisionPlan,
        point_loss_weight: float,
        annotated_points: bool,
    ) -> None:
        """Keep what both heads have.

        Args:
            point_head: see ``POINT_HEAD_REGISTRY``.
            point_levels: feature maps the points read.
            subdivision: how masks are refined.
            point_loss_weight: weight of ``loss_mask_point``.
            annotated_points: whether the truth is points of each object instead of its mask.
        """
        super().__init__()
        self.point_head = point_head
        self.point_levels = point_levels
        self.subdivision = subdivision
        self.point_loss_weight = point_loss_weight
        self.annotated_points = annotated_points

    def forward(
        self, features: Mapping[str, Tensor], instances: list[Instances]
    ) -> dict[str, Tensor] | list[Instances]:
        """Return losses in training, refined instances in inference.

        Args:
            features: maps by name, each (N, C_m, H_m, W_m).
            instances: per image, in training foreground proposals with ``proposal_boxes``,
                ``gt_classes`` and the truth: ``gt_masks``, or with annotated points
                ``gt_point_coords`` and ``gt_point_labels``, which may be missing where there is no
                proposal; in inference detections with ``pred_boxes`` and ``pred_classes``. Any of
                them, and all, may be empty.

        Returns:
            Losses, scalars connected to every parameter even without any region; or the same
            instances with ``pred_masks`` (R_n, 1, S, S), probabilities of the predicted class.
        """
        kind, of_class = ("proposal_boxes", "gt_classes") if self.training else _DETECTED
        if not self.training:
            self.refuse_recording()
        boxes_px = [x.get(kind).tensor.detach() for x in instances]
        classes = torch.cat([x.get(of_class) for x in instances])
        head, levels, side = self._region_reader
        predicted = head.predict_boxes(features, levels, side, boxes_px)
        inputs = self.region_inputs(features, boxes_px, predicted, classes)
        if self.training:
            return self._losses(inputs, instances)
        masks = self._refine(inputs)
        for x, image_masks in zip(instances, masks.split([len(x) for x in instances]), strict=True):
            x.pred_masks = image_masks
        return instances

    @property
    def _region_reader(self) -> tuple[ConvFCHead, FeatureLevels, int]:
        """What predicts from a grid in each box, from which maps, and the side of the grid."""
        raise NotImplementedError

    def _inputs(self, predicted: Tensor, common: Mapping[str, Any]) -> Any:
        """Return the head's kind of ``Regions``, of the fields that all kinds have."""
        raise NotImplementedError

    def region_inputs(
        self,
        features: Mapping[str, Tensor],
        boxes_px: Sequence[Tensor],
        predicted: Tensor | None,
        classes: Tensor,
    ) -> Any:
        """Put together what points are predicted from.

        Args:
            features: as for ``forward``.
            boxes_px: for each of the N images the boxes (R_n, 4) of its regions.
            predicted: (R, ...): coarse logits (R, C, S, S), or parameters (R, n); None for those
                that the head predicts.
            classes: (R,) integers.

        Returns:
            The ``Regions`` that the point head reads.
        """
        if predicted is None:
            head, levels, side = self._region_reader
            predicted = head.predict_boxes(features, levels, side, boxes_px)
        common = {
            "features": self.point_levels.gather(features),
            "strides": self.point_levels.strides,
            "boxes_px": boxes_px,
            "classes": classes,
        }
        return self._inputs(predicted, common)

    def _losses(self, inputs: Any, proposals: list[Instances]) -> dict[str, Tensor]:
        raise NotImplementedError

    def _training_points(
        self, proposals: Sequence[Instances], draw: Callable[[], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return points (R, P, 2) in [0, 1] of the boxes, drawn or annotated, and labels (R, P)."""
        boxes_px = torch.cat([x.proposal_boxes.tensor.detach() for x in proposals])
        if self.annotated_points:
            return annotated_points(proposals, boxes_px)
        coords_box = draw()
        return coords_box, sample_mask_labels(proposals, box_to_px(coords_box, boxes_px))

    def _point_loss(self, inputs: Regions, coords_box: Tensor, labels: Tensor) -> Tensor:
        """Return the loss at points (section 3.3 of the paper), and log its accuracy."""
        predict_points = training_predictor(self.point_head, inputs)
        point_logits = predict_points(coords_box)[:, 0]  # (R, P)
        get_event_storage().put_scalar("point/accuracy", mask_point_accuracy(point_logits, labels))
        return mask_point_loss(point_logits, labels) * self.point_loss_weight

    def _refine(self, inputs: Regions) -> Tensor:
        """Return probabilities of each region's class: (R, 1, S, S)."""
        plan = self.subdivision
        # 32 bits: Detectron2 pastes masks with coordinates of the masks' own type
        size = len(inputs), 1, plan.final_side, plan.final_side
        masks = inputs.features[0].new_empty(size, dtype=wide_dtype(inputs.features[0]))
        chunks = inference_predictors(
            self.point_head,
            inputs,
            points_per_step=max(plan.start_side**2, plan.num_points),
            points_per_region=plan.points_per_region,
        )
        for regions, predict_points in chunks:
            index = region_index(regions, masks.device)
            masks[index] = self.refine(predict_points, len(regions), masks)
        return masks

    def refine(
        self, predict_points: Callable[[Tensor], Tensor], num_regions: int, like: Tensor
    ) -> Tensor:
        """Predict on a grid and refine it (section 3.1 of the paper).

        Args:
            predict_points: (R, P, 2) points in [0, 1] of the boxes -> (R, 1, P) logits.
            num_regions: R.
            like: gives type, of at least 32 bits, and device.

        Returns:
            Probabilities (R, 1, S, S).
        """
        plan = self.subdivision
        sides = plan.start_side, plan.start_side
        centers = cell_centers(sides, dtype=like.dtype, device=like.device)
        start_logits = predict_points(centers.expand(num_regions, -1, -1)).to(like.dtype)
        logits = subdivide(
            start_logits.unflatten(2, sides),
            predict_points,
            steps=plan.steps,
            num_points=plan.num_points,
            uncertainty=foreground_uncertainty,
        )
        return logits.sigmoid_()


def mask_levels(
    cfg: CfgNode, input_shape: ShapeSpec | Mapping[str, ShapeSpec], head: str
) -> tuple[FeatureLevels, FeatureLevels]:
    """Look up the feature maps of ``MODEL.ROI_MASK_HEAD`` and of ``MODEL.MASK_POINT_HEAD``.

    Args:
        cfg: the configuration.
        input_shape: as Detectron2 gives it to a mask head.
        head: name of its class, for the message.

    Raises:
        ValueError: features that are pooled already, or a feature map that does not exist.
    """
    if isinstance(input_shape, ShapeSpec):
        raise ValueError(
            f"{head} pools its features itself, but "
            f"MODEL.ROI_MASK_HEAD.POOLER_TYPE is {cfg.MODEL.ROI_MASK_HEAD.POOLER_TYPE!r} "
            f"(MODEL.ROI_HEADS.NAME {cfg.MODEL.ROI_HEADS.NAME!r}). Set POOLER_TYPE to '' and "
            "use StandardROIHeads or CascadeROIHeads with an FPN backbone."
        )
    source = "the region heads get (MODEL.ROI_HEADS.IN_FEATURES)"
    of_mask, of_points = (
        FeatureLevels.select(input_shape, cfg.MODEL[node].IN_FEATURES, f"MODEL.{node}", source)
        for node in ("ROI_MASK_HEAD", "MASK_POINT_HEAD")
    )
    return of_mask, of_points
