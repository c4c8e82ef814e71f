"""Switches of the configuration that the model which was built does not have."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from torch import nn

from pointrend_ext.modeling.alignment import FEATURE_ALIGNMENT_REGISTRY
from pointrend_ext.modeling.sem_seg import PointRendSemanticSegmentor

__all__ = ["check_unread_keys"]

_LOSS_TYPES_FOR_ANY_HEAD = ("cross_entropy", "hard_pixel_mining")  # the latter is the default


def check_unread_keys(cfg: CfgNode, model: nn.Module) -> None:
    """Refuse keys that ask for something which no part of the model has read.

    Heads and backbones of Detectron2 do not know the keys of this package, and would leave out what
    they ask for without a word.

    Args:
        cfg: the configuration.
        model: what it built.

    Raises:
        ValueError: which key, and what to change.
    """
    for check in (_check_alignment, _check_losses, _check_output):
        check(cfg.MODEL, model)


def _check_alignment(node: CfgNode, model: nn.Module) -> None:
    name, kinds = node.FPN.ALIGNMENT.NAME, tuple(kind for _, kind in FEATURE_ALIGNMENT_REGISTRY)
    backbone = getattr(model, "backbone", model)
    if name and not any(isinstance(module, kinds) for module in backbone.modules()):
        raise ValueError(
            f"MODEL.FPN.ALIGNMENT.NAME is {name!r}, but MODEL.BACKBONE.NAME "
            f"{node.BACKBONE.NAME!r} builds a pyramid without alignment. Set MODEL.BACKBONE.NAME "
            "build_resnet_aligned_fpn_backbone, or MODEL.FPN.ALIGNMENT.NAME ''."
        )


def _check_losses(node: CfgNode, model: nn.Module) -> None:
    head = getattr(model, "sem_seg_head", None)
    head = getattr(head, "coarse_sem_seg_head", head)
    weight, loss_type = node.SEM_SEG_HEAD.AUX_LOSS_WEIGHT, node.SEM_SEG_HEAD.LOSS_TYPE
    if head is not None and weight and not hasattr(head, "layers_with_auxiliary"):
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.AUX_LOSS_WEIGHT is {weight}, but {type(head).__name__} has no "
            "auxiliary layers. Set it to 0.0, or use SFNetHead or AlignSegHead."
        )
    if isinstance(head, SemSegFPNHead) and loss_type not in _LOSS_TYPES_FOR_ANY_HEAD:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.LOSS_TYPE is {loss_type!r}, but SemSegFPNHead always trains with "
            "a cross entropy. Set it to 'cross_entropy', or use SFNetHead or AlignSegHead."
        )


def _check_output(node: CfgNode, model: nn.Module) -> None:
    output, has_head = node.SEM_SEG_POINT_HEAD.OUTPUT, hasattr(model, "sem_seg_head")
    if output != "logits" and has_head and not isinstance(model, PointRendSemanticSegmentor):
        raise ValueError(
            f"MODEL.SEM_SEG_POINT_HEAD.OUTPUT is {output!r}, but MODEL.META_ARCHITECTURE "
            f"{node.META_ARCHITECTURE!r} returns logits. Set META_ARCHITECTURE "
            "PointRendSemanticSegmentor, or OUTPUT 'logits'."
        )
