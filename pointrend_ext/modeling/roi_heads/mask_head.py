"""PointRend for instances: a coarse mask per region, refined at points."""

from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_MASK_HEAD_REGISTRY
from detectron2.modeling.roi_heads.mask_head import mask_rcnn_loss
from detectron2.structures import Instances
from torch import Tensor, nn

from pointrend_ext.layers import (
    at_least_float32,
    foreground_uncertainty,
    get_uncertain_point_coords_with_randomness,
    point_sample,
    select_class,
)
from pointrend_ext.modeling.config_keys import reads_own_keys
from pointrend_ext.modeling.feature_levels import FeatureLevels
from pointrend_ext.modeling.point_head import RegionInputs, build_point_head, mask_point_loss
from pointrend_ext.modeling.point_head.plans import SubdivisionPlan, TrainPointPlan
from pointrend_ext.modeling.roi_heads.coarse_mask_head import CoarseMaskHead
from pointrend_ext.modeling.roi_heads.conv_fc_head import ConvFCHead
from pointrend_ext.modeling.roi_heads.refined_mask_head import RefinedMaskHead, mask_levels


@ROI_MASK_HEAD_REGISTRY.register()
class PointRendROIMaskHead(RefinedMaskHead):
    """The mask head of Mask R-CNN with PointRend (sections 3 and 4.1 of the paper).

    Training adds a loss at points to the dense loss of the coarse mask; inference refines each
    region's predicted class by adaptive subdivision. With annotated points both losses are at these
    points. Parameter names and shapes are those of Detectron2's ``PointRendMaskHead``.
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
        train_points: TrainPointPlan | None,
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
            train_points: which points are trained on; None for the annotated ones.
            subdivision: how masks are refined.
            point_loss_weight: weight of ``loss_mask_point``.
        """
        super().__init__(
            point_head=point_head,
            point_levels=point_levels,
            subdivision=subdivision,
            point_loss_weight=point_loss_weight,
            annotated_points=train_points is None,
        )
        self.coarse_head = coarse_head
        self.coarse_levels = coarse_levels
        self.coarse_pool_side = coarse_pool_side
        self.train_points = train_points

    @classmethod
    @reads_own_keys
    def from_config(
        cls, cfg: CfgNode, input_shape: ShapeSpec | Mapping[str, ShapeSpec]
    ) -> dict[str, Any]:
        """Read ``MODEL.ROI_MASK_HEAD``, ``MODEL.MASK_POINT_HEAD`` and the number of classes.

        Raises:
            ValueError: a feature map that does not exist, or a value out of its range.
        """
        coarse_levels, point_levels = mask_levels(cfg, input_shape, cls.__name__)
        coarse, point = cfg.MODEL.ROI_MASK_HEAD, cfg.MODEL.MASK_POINT_HEAD
        node_name = "MODEL.MASK_POINT_HEAD"
        num_classes = 1 if coarse.CLS_AGNOSTIC_MASK else cfg.MODEL.ROI_HEADS.NUM_CLASSES
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
        is_annotated = cfg.INPUT.POINT_SUP
        return {
            "coarse_head": coarse_head,
            "coarse_levels": coarse_levels,
            "coarse_pool_side": coarse.POOLER_RESOLUTION,
            "point_head": point_head,
            "point_levels": point_levels,
            "train_points": None if is_annotated else TrainPointPlan.from_node(point, node_name),
            "subdivision": SubdivisionPlan.from_node(
                point, node_name, coarse.OUTPUT_SIDE_RESOLUTION
            ),
            "point_loss_weight": point.LOSS_WEIGHT,
        }

    def _losses(self, inputs: RegionInputs, proposals: list[Instances]) -> dict[str, Tensor]:
        coarse_logits, classes = inputs.coarse_logits, inputs.classes
        if not self.annotated_points:
            loss_mask = mask_rcnn_loss(at_least_float32(coarse_logits), proposals)
        coords_box, labels = self._training_points(
            proposals, lambda: self._uncertain_coords(coarse_logits.detach(), classes)
        )
        if self.annotated_points:
            at_points = point_sample(select_class(coarse_logits, classes), coords_box)
            loss_mask = mask_point_loss(at_points[:, 0], labels)
        return {
            "loss_mask": loss_mask,
            "loss_mask_point": self._point_loss(inputs, coords_box, labels),
        }

    @torch.no_grad()
    def _uncertain_coords(self, coarse_logits: Tensor, classes: Tensor) -> Tensor:
        """Draw the points (R, P, 2) of the loss, in [0, 1] of the boxes."""
        plan = self.train_points
        assert plan is not None
        return get_uncertain_point_coords_with_randomness(
            # one channel decides, so one channel is sampled
            at_least_float32(select_class(coarse_logits, classes)),
            foreground_uncertainty,
            plan.num_points,
            plan.oversample_ratio,
            plan.importance_sample_ratio,
        )

    @property
    def _region_reader(self) -> tuple[ConvFCHead, FeatureLevels, int]:
        return self.coarse_head, self.coarse_levels, self.coarse_pool_side

    def _inputs(self, predicted: Tensor, common: Mapping[str, Any]) -> RegionInputs:
        return RegionInputs(coarse_logits=predicted, **common)
