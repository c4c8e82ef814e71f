"""PointRend in Detectron2's LazyConfig: what takes the place of the mask head of a model.

A head is built from keyword arguments alone, so that each of them is a key of the configuration:
``model.roi_heads.mask_head.subdivision.num_points=196`` on a command line.
"""

from typing import Any

from detectron2.config import LazyCall
from detectron2.model_zoo import get_config

from pointrend_ext.modeling.feature_levels import FeatureLevels
from pointrend_ext.modeling.padding import PaddingBlindRPN
from pointrend_ext.modeling.point_head import StandardPointHead
from pointrend_ext.modeling.point_head.plans import SubdivisionPlan, TrainPointPlan
from pointrend_ext.modeling.roi_heads import CoarseMaskHead, PointRendROIMaskHead

__all__ = ["get_config", "ignore_padding", "refine_masks"]


def refine_masks(model: Any, *, level: str = "p2", stride: int = 4, channels: int = 256) -> None:
    """Give a LazyConfig of ``GeneralizedRCNN`` the mask head of PointRend, in place.

    The values are those of the paper's models on COCO. The number of classes follows
    ``model.roi_heads.num_classes``.

    Args:
        model: with ``StandardROIHeads`` or ``CascadeROIHeads``.
        level: feature map that the coarse mask and the points are read from, one of
            ``mask_in_features``.
        stride: pixels per cell of it.
        channels: of it.
    """
    levels = LazyCall(FeatureLevels)(names=[level], strides=[stride], channels=channels)
    classes = "${...num_classes}"
    model.roi_heads.mask_pooler = None  # the head reads the feature maps itself
    model.roi_heads.mask_head = LazyCall(PointRendROIMaskHead)(
        point_head=LazyCall(StandardPointHead)(
            fine_channels=channels,
            coarse_channels=classes,
            out_channels=classes,
            fc_dim=256,
            num_fc=3,
            coarse_pred_each_layer=True,
        ),
        point_levels=levels,
        train_points=LazyCall(TrainPointPlan)(
            num_points=14 * 14, oversample_ratio=3, importance_sample_ratio=0.75
        ),
        subdivision=LazyCall(SubdivisionPlan.from_coarse)(
            coarse_side="${..coarse_head.out_side}", steps=5, num_points=28 * 28
        ),
        coarse_head=LazyCall(CoarseMaskHead)(
            in_channels=channels,
            in_side="${..coarse_pool_side}",
            conv_dim=256,
            fc_dims=[1024, 1024],
            num_classes=classes,
            out_side=7,
        ),
        coarse_levels=levels,
        coarse_pool_side=14,
        point_loss_weight=1.0,
    )


def ignore_padding(model: Any) -> None:
    """Let the RPN of a LazyConfig leave out the padding of a batch, as ``INPUT.LSJ`` does."""
    model.proposal_generator._target_ = PaddingBlindRPN
