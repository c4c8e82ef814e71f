"""Implicit PointRend: a small network per region answers at any point of its mask."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_MASK_HEAD_REGISTRY
from detectron2.structures import Instances
from torch import Tensor

from pointrend_ext.layers import at_least_float32, wide_dtype
from pointrend_ext.modeling.checks import check_values
from pointrend_ext.modeling.config_keys import reads_own_keys
from pointrend_ext.modeling.feature_levels import FeatureLevels
from pointrend_ext.modeling.point_head import ImplicitInputs, ImplicitPointHead, build_point_head
from pointrend_ext.modeling.point_head.plans import SubdivisionPlan
from pointrend_ext.modeling.roi_heads.conv_fc_head import ConvFCHead
from pointrend_ext.modeling.roi_heads.refined_mask_head import RefinedMaskHead, mask_levels


@ROI_MASK_HEAD_REGISTRY.register()
class ImplicitPointRendROIMaskHead(RefinedMaskHead):
    """The mask head of Implicit PointRend (Cheng, Parkhi and Kirillov, CVPR 2022, section 5).

    In the place of a coarse mask it predicts the parameters of an MLP for each region. Training has
    a loss at points, drawn uniformly or annotated, and a small one of the parameters' size;
    inference predicts a grid and refines it by adaptive subdivision. Parameter names and shapes are
    those of Detectron2's ``ImplicitPointRendMaskHead``.
    """

    @configurable
    def __init__(
        self,
        *,
        point_head: ImplicitPointHead,
        point_levels: FeatureLevels,
        parameter_levels: FeatureLevels,
        subdivision: SubdivisionPlan,
        num_train_points: int | None,
        pool_side: int = 14,
        conv_dim: int = 256,
        fc_dims: Sequence[int] = (1024, 1024),
        point_loss_weight: float = 1.0,
        parameter_loss_weight: float = 1e-5,
    ) -> None:
        """Build the parameter head, and assemble.

        Args:
            point_head: whose parameters are predicted.
            point_levels: feature maps the points read.
            parameter_levels: feature maps the parameters are predicted from.
            subdivision: how masks are refined.
            num_train_points: P, points per region that are trained on; None for the annotated ones.
            pool_side: cells along a side of the grid that the parameter head reads.
            conv_dim: channels of its convolutions.
            fc_dims: widths of its hidden fully connected layers.
            point_loss_weight: weight of ``loss_mask_point``.
            parameter_loss_weight: weight of ``loss_l2``.
        """
        super().__init__(
            point_head=point_head,
            point_levels=point_levels,
            subdivision=subdivision,
            point_loss_weight=point_loss_weight,
            annotated_points=num_train_points is None,
        )
        self.num_train_points = num_train_points
        self.parameter_loss_weight = parameter_loss_weight
        self.parameter_levels = parameter_levels
        self.pool_side = pool_side
        self.parameter_head = ConvFCHead(
            in_channels=parameter_levels.channels,
            in_side=pool_side,
            conv_dim=conv_dim,
            fc_dims=fc_dims,
            out_features=point_head.num_params,
        )

    @classmethod
    @reads_own_keys
    def from_config(
        cls, cfg: CfgNode, input_shape: ShapeSpec | Mapping[str, ShapeSpec]
    ) -> dict[str, Any]:
        """Read ``MODEL``'s ``ROI_MASK_HEAD``, ``MASK_POINT_HEAD``, ``IMPLICIT_POINTREND``, classes.

        Raises:
            ValueError: a feature map that does not exist, a value out of its range, or another
                point head.
        """
        parameter_levels, point_levels = mask_levels(cfg, input_shape, cls.__name__)
        region, point = cfg.MODEL.ROI_MASK_HEAD, cfg.MODEL.MASK_POINT_HEAD
        implicit, node_name = cfg.MODEL.IMPLICIT_POINTREND, "MODEL.MASK_POINT_HEAD"
        is_implicit = point.NAME == "ImplicitPointHead"
        needed = f"'ImplicitPointHead', which {cls.__name__} predicts the weights of"
        check_values(node_name, ("NAME", point.NAME, is_implicit, needed))
        point_head = build_point_head(
            point,
            fine_channels=point_levels.channels,
            coarse_channels=0,
            out_channels=1 if region.CLS_AGNOSTIC_MASK else cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            reads_features=implicit.IMAGE_FEATURE_ENABLED,
            reads_position=implicit.POS_ENC_ENABLED,
        )
        number = None if cfg.INPUT.POINT_SUP else point.TRAIN_NUM_POINTS
        is_number = number is None or number >= 1
        weight = implicit.PARAMS_L2_REGULARIZER
        check_values(
            node_name,
            ("TRAIN_NUM_POINTS", number, is_number, "at least 1"),
        )
        check_values(
            "MODEL.IMPLICIT_POINTREND",
            ("PARAMS_L2_REGULARIZER", weight, weight >= 0, "at least 0"),
        )
        return {
            "point_head": point_head,
            "point_levels": point_levels,
            "parameter_levels": parameter_levels,
            "subdivision": SubdivisionPlan.from_square(
                steps=point.SUBDIVISION_STEPS,
                num_points=point.SUBDIVISION_NUM_POINTS,
                name=node_name,
            ),
            "num_train_points": number,
            "pool_side": region.POOLER_RESOLUTION,
            "conv_dim": region.CONV_DIM,
            "fc_dims": [region.FC_DIM] * region.NUM_FC,
            "point_loss_weight": point.LOSS_WEIGHT,
            "parameter_loss_weight": weight,
        }

    def _losses(self, inputs: ImplicitInputs, proposals: list[Instances]) -> dict[str, Tensor]:
        like = inputs.features[0]

        def draw() -> Tensor:
            size = (len(inputs), self.num_train_points or 0, 2)
            return torch.rand(size, dtype=wide_dtype(like), device=like.device)

        squares = at_least_float32(inputs.parameters).square()
        size_loss = squares.sum() / max(squares.numel(), 1)  # the mean, or 0 of nothing
        return {
            "loss_l2": size_loss * self.parameter_loss_weight,
            "loss_mask_point": self._point_loss(inputs, *self._training_points(proposals, draw)),
        }

    @property
    def _region_reader(self) -> tuple[ConvFCHead, FeatureLevels, int]:
        return self.parameter_head, self.parameter_levels, self.pool_side

    def _inputs(self, predicted: Tensor, common: Mapping[str, Any]) -> ImplicitInputs:
        return ImplicitInputs(parameters=predicted, **common)
