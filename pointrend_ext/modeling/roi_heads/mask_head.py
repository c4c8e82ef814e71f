"""PointRend for instances: a coarse mask per region, refined at points."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_MASK_HEAD_REGISTRY
from detectron2.modeling.roi_heads.mask_head import mask_rcnn_loss
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from pointrend_ext.layers import (
    at_least_float32,
    box_to_px,
    cell_centers,
    foreground_uncertainty,
    get_uncertain_point_coords_with_randomness,
    is_exported,
    sample_region_features,
    select_class,
    subdivide,
    wide_dtype,
)
from pointrend_ext.modeling.config_keys import reads_own_keys
from pointrend_ext.modeling.feature_levels import FeatureLevels
from pointrend_ext.modeling.own_export import OwnExport
from pointrend_ext.modeling.point_head import (
    RegionInputs,
    build_point_head,
    inference_predictors,
    mask_point_accuracy,
    mask_point_loss,
    region_index,
    training_predictor,
)
from pointrend_ext.modeling.point_head.plans import SubdivisionPlan, TrainPointPlan
from pointrend_ext.modeling.roi_heads.coarse_mask_head import CoarseMaskHead
from pointrend_ext.modeling.roi_heads.mask_labels import sample_mask_labels

__all__ = ["PointRendROIMaskHead"]

POOLED_REGIONS = 32


@ROI_MASK_HEAD_REGISTRY.register()
class PointRendROIMaskHead(OwnExport, nn.Module):
    """The mask head of Mask R-CNN with PointRend (sections 3 and 4.1 of the paper).

    It reads feature maps itself, so it needs ``MODEL.ROI_MASK_HEAD.POOLER_TYPE ""``. Training adds
    a loss at points to the dense loss of the coarse mask; inference refines each region's predicted
    class by adaptive subdivision. Parameter names and shapes are those of Detectron2's
    ``PointRendMaskHead``.
    """

    @configurable
    def __init__(
        self,
        *,
        coarse_head: CoarseMaskHead,
        coarse_levels: FeatureLevels,
        coarse_pool_side: int,
        point_head: nn.Module,
        point_levels: FeatureLevels,
        train_points: TrainPointPlan,
        subdivision: SubdivisionPlan,
        point_loss_weight: float = 1.0,
    ) -> None:
        """Assemble the head.

        Args:
            coarse_head: (R, F, side, side) pooled features -> (R, C, S, S) logits.
            coarse_levels: feature maps the coarse head reads.
            coarse_pool_side: cells along a side of the pooled grid.
            point_head: see ``POINT_HEAD_REGISTRY``.
            point_levels: feature maps the points read.
            train_points: which points are trained on.
            subdivision: how masks are refined.
            point_loss_weight: weight of ``loss_mask_point``.
        """
        super().__init__()
        self.point_head = point_head
        self.point_levels = point_levels
        self.coarse_head = coarse_head
        self.coarse_levels = coarse_levels
        self.coarse_pool_side = coarse_pool_side
        self.train_points = train_points
        self.subdivision = subdivision
        self.point_loss_weight = point_loss_weight

    @classmethod
    @reads_own_keys
    def from_config(
        cls, cfg: CfgNode, input_shape: ShapeSpec | Mapping[str, ShapeSpec]
    ) -> dict[str, Any]:
        """Read ``MODEL.ROI_MASK_HEAD``, ``MODEL.MASK_POINT_HEAD`` and the number of classes.

        Raises:
            ValueError: a feature map that does not exist, or a value out of its range.
        """
        if isinstance(input_shape, ShapeSpec):
            raise ValueError(
                "PointRendROIMaskHead pools its features itself, but "
                f"MODEL.ROI_MASK_HEAD.POOLER_TYPE is {cfg.MODEL.ROI_MASK_HEAD.POOLER_TYPE!r} "
                f"(MODEL.ROI_HEADS.NAME {cfg.MODEL.ROI_HEADS.NAME!r}). Set POOLER_TYPE to '' and "
                "use StandardROIHeads or CascadeROIHeads with an FPN backbone."
            )
        coarse, point = cfg.MODEL.ROI_MASK_HEAD, cfg.MODEL.MASK_POINT_HEAD
        node_name = "MODEL.MASK_POINT_HEAD"
        num_classes = 1 if coarse.CLS_AGNOSTIC_MASK else cfg.MODEL.ROI_HEADS.NUM_CLASSES
        source = "the region heads get (MODEL.ROI_HEADS.IN_FEATURES)"
        coarse_levels = FeatureLevels.select(
            input_shape, coarse.IN_FEATURES, "MODEL.ROI_MASK_HEAD", source
        )
        point_levels = FeatureLevels.select(input_shape, point.IN_FEATURES, node_name, source)
        # The point head is built first, as in Detectron2's PointRend: one random state then gives
        # equal weights.
        point_head = build_point_head(
            point,
            fine_channels=point_levels.channels,
            coarse_channels=num_classes,
            out_channels=num_classes,
        )
        coarse_head = CoarseMaskHead(
            in_channels=coarse_levels.channels,
            in_side=coarse.POOLER_RESOLUTION,
            conv_dim=coarse.CONV_DIM,
            fc_dims=[coarse.FC_DIM] * coarse.NUM_FC,
            num_classes=num_classes,
            out_side=coarse.OUTPUT_SIDE_RESOLUTION,
        )
        return {
            "coarse_head": coarse_head,
            "coarse_levels": coarse_levels,
            "coarse_pool_side": coarse.POOLER_RESOLUTION,
            "point_head": point_head,
            "point_levels": point_levels,
            "train_points": TrainPointPlan.from_node(point, node_name),
            "subdivision": SubdivisionPlan.from_node(
                point, node_name, coarse.OUTPUT_SIDE_RESOLUTION
            ),
            "point_loss_weight": point.LOSS_WEIGHT,
        }

    def forward(
        self, features: Mapping[str, Tensor], instances: list[Instances]
    ) -> dict[str, Tensor] | list[Instances]:
        """Return losses in training, refined instances in inference.

        Args:
            features: maps by name, each (N, C_m, H_m, W_m).
            instances: per image, in training foreground proposals with ``proposal_boxes``,
                ``gt_classes`` and ``gt_masks`` (the last may be missing where there is no
                proposal); in inference detections with ``pred_boxes`` and ``pred_classes``. Any of
                them, and all, may be empty.

        Returns:
            ``{"loss_mask", "loss_mask_point"}``, scalars connected to every parameter even without
            any region; or the same instances with ``pred_masks`` (R_n, 1, S, S), probabilities of
            the predicted class.
        """
        if self.training:
            return self._losses(features, instances)
        self.refuse_recording()
        boxes_px = [x.pred_boxes.tensor.detach() for x in instances]
        coarse_logits = self.coarse_logits(features, boxes_px)
        classes = torch.cat([x.pred_classes for x in instances])
        masks = self._refine(self.region_inputs(features, boxes_px, coarse_logits, classes))
        for x, image_masks in zip(instances, masks.split([len(x) for x in instances]), strict=True):
            x.pred_masks = image_masks
        return instances

    def _losses(
        self, features: Mapping[str, Tensor], proposals: list[Instances]
    ) -> dict[str, Tensor]:
        boxes_px = [x.proposal_boxes.tensor.detach() for x in proposals]
        coarse_logits = self.coarse_logits(features, boxes_px)
        return {
            "loss_mask": mask_rcnn_loss(at_least_float32(coarse_logits), proposals),
            "loss_mask_point": self.point_loss(features, proposals, coarse_logits),
        }

    def point_loss(
        self, features: Mapping[str, Tensor], proposals: list[Instances], coarse_logits: Tensor
    ) -> Tensor:
        """Return the loss at points (section 3.3 of the paper), and log its accuracy.

        Args:
            features: as for ``forward``.
            proposals: as for ``forward``, in training.
            coarse_logits: (R, C, S, S) of the proposals.
        """
        boxes_px = [x.proposal_boxes.tensor.detach() for x in proposals]
        classes = torch.cat([x.gt_classes for x in proposals])
        coords_box = self._training_coords(coarse_logits.detach(), classes)
        labels = sample_mask_labels(proposals, box_to_px(coords_box, torch.cat(boxes_px)))
        predict_points = training_predictor(
            self.point_head, self.region_inputs(features, boxes_px, coarse_logits, classes)
        )
        point_logits = predict_points(coords_box)[:, 0]  # (R, P)
        get_event_storage().put_scalar("point/accuracy", mask_point_accuracy(point_logits, labels))
        return mask_point_loss(point_logits, labels) * self.point_loss_weight

    @torch.no_grad()
    def _training_coords(self, coarse_logits: Tensor, classes: Tensor) -> Tensor:
        """Draw the points (R, P, 2) of the loss, in [0, 1] of the boxes."""
        return get_uncertain_point_coords_with_randomness(
            # one channel decides, so one channel is sampled
            at_least_float32(select_class(coarse_logits, classes)),
            foreground_uncertainty,
            self.train_points.num_points,
            self.train_points.oversample_ratio,
            self.train_points.importance_sample_ratio,
        )

    def _refine(self, inputs: RegionInputs) -> Tensor:
        """Return probabilities of each region's class: (R, 1, S, S)."""
        plan = self.subdivision
        # 32 bits: Detectron2 pastes masks with coordinates of the masks' own type
        masks = at_least_float32(inputs.coarse_logits).new_empty(
            len(inputs), 1, plan.final_side, plan.final_side
        )
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
        centers = cell_centers((plan.start_side,) * 2, dtype=like.dtype, device=like.device)
        start_logits = predict_points(centers.expand(num_regions, -1, -1)).to(like.dtype)
        logits = subdivide(
            start_logits.view(-1, 1, plan.start_side, plan.start_side),
            predict_points,
            steps=plan.steps,
            num_points=plan.num_points,
            uncertainty=foreground_uncertainty,
        )
        return logits.sigmoid_()

    def coarse_logits(self, features: Mapping[str, Tensor], boxes_px: Sequence[Tensor]) -> Tensor:
        """Predict the coarse masks (R, C, S, S) from one sample per cell of a grid in each box."""
        maps = self.coarse_levels.gather(features)
        if self.training or is_exported():
            return self.coarse_head(self._pool(maps, boxes_px))
        # A few regions at a time: pooled features are the largest thing there is before the masks.
        reduced = []
        for image, boxes in enumerate(boxes_px):
            one = [m[image : image + 1] for m in maps]
            for part in boxes.split(POOLED_REGIONS):
                reduced.append(self.coarse_head.reduce(self._pool(one, [part])))
        return self.coarse_head.predict(torch.cat(reduced))

    def _pool(self, maps: Sequence[Tensor], boxes_px: Sequence[Tensor]) -> Tensor:
        """Read a grid of cells in each box: (R, F, side, side)."""
        side, map_ = self.coarse_pool_side, maps[0]
        centers = cell_centers((side, side), dtype=wide_dtype(map_), device=map_.device)
        coords_box = centers.expand(sum(x.shape[0] for x in boxes_px), -1, -1)
        pooled = sample_region_features(maps, self.coarse_levels.strides, boxes_px, coords_box)
        return pooled.view(*pooled.shape[:2], side, side)

    def region_inputs(
        self,
        features: Mapping[str, Tensor],
        boxes_px: Sequence[Tensor],
        coarse_logits: Tensor,
        classes: Tensor,
    ) -> RegionInputs:
        """Put together what points are predicted from: see ``RegionInputs``."""
        levels = self.point_levels
        return RegionInputs(
            levels.gather(features), levels.strides, boxes_px, coarse_logits, classes
        )
