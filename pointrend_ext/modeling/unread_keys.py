"""Switches of the configuration that the model which was built does not have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode, get_cfg
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from torch import nn

from pointrend_ext.config import add_pointrend_config
from pointrend_ext.modeling.alignment import is_alignment
from pointrend_ext.modeling.sem_seg import (
    DeepLabV3LogitsHead,
    DeepLabV3PlusLogitsHead,
    PointRendSemanticSegmentor,
)
from pointrend_ext.modeling.sem_seg.deep_supervision import DeeplySupervisedHead

__all__ = ["check_unread_keys"]

_LOSS_TYPES_FOR_ANY_HEAD = ("cross_entropy", "hard_pixel_mining")  # the latter is the default
_ASPP_HEADS = (DeepLabV3LogitsHead, DeepLabV3PlusLogitsHead)


@dataclass(frozen=True)
class _Details:
    """Keys that one choice makes sense of.

    Attributes:
        keys: below ``MODEL``.
        are_read: whether the model reads them, given the node ``MODEL`` and the semantic head that
            is refined or stands alone; None if there is none, or one of the user's own, which may
            read any key.
        otherwise: who does not read them, and what to change.
    """

    keys: tuple[str, ...]
    are_read: Callable[[CfgNode, nn.Module | None], bool]
    otherwise: str


_DETAILS = (
    _Details(
        tuple(f"FPN.ALIGNMENT.{key}" for key in ("CHANNELS", "NORM", "COORDS", "ZERO_INIT")),
        lambda node, head: bool(node.FPN.ALIGNMENT.NAME),
        "MODEL.FPN.ALIGNMENT.NAME is '', which aligns nothing. Set NAME to FAM, GatedFAM or CAB",
    ),
    _Details(
        ("FPN.ALIGNMENT.NORM",),
        lambda node, head: node.FPN.ALIGNMENT.NAME not in ("FAM", "GatedFAM"),
        "FAM and GatedFAM have no normalisation. Set MODEL.FPN.ALIGNMENT.NAME CAB",
    ),
    _Details(
        ("SEM_SEG_HEAD.ALIGNMENT_COORDS",),
        lambda node, head: head is None or isinstance(head, DeeplySupervisedHead),
        "the semantic head aligns nothing. Use SFNetHead or AlignSegHead; an aligned pyramid has "
        "MODEL.FPN.ALIGNMENT.COORDS",
    ),
    _Details(
        ("SEM_SEG_HEAD.OHEM_THRESHOLD", "SEM_SEG_HEAD.OHEM_MIN_KEPT"),
        lambda node, head: head is None or node.SEM_SEG_HEAD.LOSS_TYPE == "ohem",
        "MODEL.SEM_SEG_HEAD.LOSS_TYPE is not 'ohem'. Set LOSS_TYPE to 'ohem'",
    ),
    _Details(
        ("SEM_SEG_HEAD.ASPP_POOLING",),
        lambda node, head: head is None or isinstance(head, _ASPP_HEADS),
        "the semantic head has no ASPP that reads it. Use DeepLabV3LogitsHead or "
        "DeepLabV3PlusLogitsHead",
    ),
)


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
    for check in (_check_alignment, _check_losses, _check_output, _check_details):
        check(cfg.MODEL, model)


def _check_alignment(node: CfgNode, model: nn.Module) -> None:
    name, backbone = node.FPN.ALIGNMENT.NAME, getattr(model, "backbone", model)
    if name and not any(is_alignment(module) for module in backbone.modules()):
        raise ValueError(
            f"MODEL.FPN.ALIGNMENT.NAME is {name!r}, but MODEL.BACKBONE.NAME "
            f"{node.BACKBONE.NAME!r} builds a pyramid without alignment. Set MODEL.BACKBONE.NAME "
            "build_resnet_aligned_fpn_backbone, or MODEL.FPN.ALIGNMENT.NAME ''."
        )


def _check_losses(node: CfgNode, model: nn.Module) -> None:
    head = _semantic_head(model)
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


def _check_details(node: CfgNode, model: nn.Module) -> None:
    head = _semantic_head(model)
    defaults = get_cfg()
    add_pointrend_config(defaults)
    for details in _DETAILS:
        for key in details.keys:
            value = _value(node, key)
            if value != _value(defaults.MODEL, key) and not details.are_read(node, head):
                raise ValueError(
                    f"MODEL.{key} is {value!r}, but {details.otherwise}, or leave {key} out."
                )


def _semantic_head(model: nn.Module) -> nn.Module | None:
    head = getattr(model, "sem_seg_head", None)
    head = getattr(head, "coarse_sem_seg_head", head)
    is_known = type(head).__module__.startswith(("pointrend_ext.", "detectron2."))
    return head if is_known else None


def _value(node: CfgNode, key: str) -> Any:
    for part in key.split("."):
        node = node[part]
    return node
