"""Building the head that predicts the coarse class map."""

from __future__ import annotations

from collections.abc import Mapping

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import nn

__all__ = ["build_coarse_head"]

_CONTRACT = ("layers", "losses", "common_stride", "ignore_value")


def build_coarse_head(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> nn.Module:
    """Build the head that ``MODEL.SEM_SEG_POINT_HEAD.COARSE_HEAD_NAME`` names.

    Args:
        cfg: the configuration.
        input_shape: the maps of the backbone, by name.

    Returns:
        A module with ``layers(features) -> (N, C, H, W)`` logits, ``losses(logits, targets)``,
        ``common_stride`` and ``ignore_value``.

    Raises:
        ValueError: no such head, one that lacks a part of this, or a stride that contradicts the
            backbone's.
    """
    key = "MODEL.SEM_SEG_POINT_HEAD.COARSE_HEAD_NAME"
    name = cfg.MODEL.SEM_SEG_POINT_HEAD.COARSE_HEAD_NAME
    known = sorted(known for known, _ in SEM_SEG_HEADS_REGISTRY)
    if name not in known:
        raise ValueError(
            f"{key} is {name!r}, which is not in the SEM_SEG_HEADS registry. Choose from {known}."
        )
    head_class = SEM_SEG_HEADS_REGISTRY.get(name)
    if not hasattr(head_class, "layers") or not hasattr(head_class, "losses"):
        raise ValueError(
            f"{key} is {name!r}, which has no separate layers() and losses(), so nothing can be "
            "refined between them. Use SemSegFPNHead, DeepLabV3LogitsHead (instead of "
            "DeepLabV3Head), DeepLabV3PlusLogitsHead, DeepLabV3PlusHead, SFNetHead or "
            "AlignSegHead."
        )
    head = head_class(cfg, input_shape)
    missing = [part for part in _CONTRACT if not hasattr(head, part)]
    if missing:
        raise ValueError(f"{key} is {name!r}, which lacks {missing}; PointRend needs {_CONTRACT}.")
    _check_stride(cfg, input_shape, head)
    return head


def _check_stride(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec], head: nn.Module) -> None:
    """No known head predicts at a coarser stride than that of the finest map it reads."""
    read = [name for name in cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES if name in input_shape]
    finest = min((input_shape[name].stride for name in read), default=head.common_stride)
    if head.common_stride > finest:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.COMMON_STRIDE is {head.common_stride}, but {type(head).__name__} "
            f"reads {read}, the finest of stride {finest}, and predicts at that stride. Set "
            f"COMMON_STRIDE to {finest}."
        )
