"""What DeepLabV3 and DeepLabV3+ have in common: reading the config, and checking arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import nn

from pointrend_ext.modeling.sem_seg.head_arguments import read_head_arguments

__all__ = ["check_deeplab_arguments", "read_deeplab_arguments"]

_LOSS_TYPES = ("cross_entropy", "hard_pixel_mining")


def read_deeplab_arguments(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
    """Read the arguments that both DeepLab heads have.

    Args:
        cfg: ``MODEL.SEM_SEG_HEAD`` is read, and ``INPUT.CROP`` if ``ASPP_POOLING`` is "crop".
        input_shape: the maps of the backbone, by name.

    Raises:
        ValueError: a feature map that does not exist, or a pooling that is not possible.
    """
    node = cfg.MODEL.SEM_SEG_HEAD
    return {
        **read_head_arguments(cfg, input_shape),
        "aspp_dilations": node.ASPP_DILATIONS,
        "aspp_dropout": node.ASPP_DROPOUT,
        "use_depthwise_separable_conv": node.USE_DEPTHWISE_SEPARABLE_CONV,
        "train_size": _pooled_crop(cfg),
    }


def _pooled_crop(cfg: CfgNode) -> tuple[int, int] | None:
    pooling, crop = cfg.MODEL.SEM_SEG_HEAD.ASPP_POOLING, cfg.INPUT.CROP
    if pooling == "global":
        return None
    if pooling != "crop":
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.ASPP_POOLING is {pooling!r}. Choose 'global' or 'crop'."
        )
    if not crop.ENABLED or crop.TYPE != "absolute":
        raise ValueError(
            "MODEL.SEM_SEG_HEAD.ASPP_POOLING 'crop' pools a window of the training crop, but "
            f"INPUT.CROP has ENABLED {crop.ENABLED} and TYPE {crop.TYPE!r}. Set them to True and "
            "'absolute', or pool 'global'."
        )
    height, width = crop.SIZE
    return int(height), int(width)


def check_deeplab_arguments(
    head: nn.Module,
    input_shape: Mapping[str, ShapeSpec],
    common_stride: int,
    aspp_dilations: Sequence[int],
    loss_type: str,
    train_size: tuple[int, int] | None,
) -> None:
    """Refuse arguments that do not fit the feature maps, or are out of their range.

    Args:
        head: named in the messages.
        input_shape: the maps that it reads, by name.
        common_stride: see the constructors, as for the others.
        aspp_dilations: three.
        loss_type: one of two.
        train_size: (H, W), or None.

    Raises:
        ValueError: which key has to change, and to what.
    """
    name, finest = min(input_shape.items(), key=lambda item: item[1].stride)
    if finest.stride != common_stride:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.COMMON_STRIDE is {common_stride}, but {type(head).__name__} "
            f"predicts at the stride of {name!r}, {finest.stride}. Set COMMON_STRIDE to "
            f"{finest.stride}, or change the stride of the backbone: res5 has stride 16 with "
            "MODEL.RESNETS.RES5_DILATION 2, and 8 with RES4_DILATION 2 and RES5_DILATION 4."
        )
    if len(aspp_dilations) != 3:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.ASPP_DILATIONS is {list(aspp_dilations)}; three are needed."
        )
    if loss_type not in _LOSS_TYPES:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.LOSS_TYPE is {loss_type!r}. Choose from {', '.join(_LOSS_TYPES)}."
        )
    stride = max(shape.stride for shape in input_shape.values())
    if train_size is not None and any(side < stride or side % stride for side in train_size):
        raise ValueError(
            f"INPUT.CROP.SIZE is {list(train_size)}; with MODEL.SEM_SEG_HEAD.ASPP_POOLING 'crop' "
            f"both sides must be multiples of {stride}, the stride of the map that is pooled."
        )
