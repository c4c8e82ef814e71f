"""What all semantic heads of this package read from ``MODEL.SEM_SEG_HEAD``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec

from pointrend_ext.modeling.feature_levels import FeatureLevels

__all__ = ["read_head_arguments"]


def read_head_arguments(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
    """Read the arguments that every head has.

    Args:
        cfg: ``MODEL.SEM_SEG_HEAD`` is read.
        input_shape: the maps of the backbone, by name.

    Raises:
        ValueError: a feature map that does not exist.
    """
    node = cfg.MODEL.SEM_SEG_HEAD
    levels = FeatureLevels.select(
        input_shape,
        node.IN_FEATURES,
        "MODEL.SEM_SEG_HEAD.IN_FEATURES",
        "the backbone gives (MODEL.RESNETS.OUT_FEATURES)",
    )
    return {
        "input_shape": {name: input_shape[name] for name in levels.names},
        "num_classes": node.NUM_CLASSES,
        "common_stride": node.COMMON_STRIDE,
        "norm": node.NORM,
        "loss_type": node.LOSS_TYPE,
        "loss_weight": node.LOSS_WEIGHT,
        "ignore_value": node.IGNORE_VALUE,
    }
