"""The backbone of SFNet's code."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import ResNet
from detectron2.projects.deeplab import build_resnet_deeplab_backbone

__all__ = ["build_resnet_sfnet_backbone"]

_DEPTHS = (50, 101, 152)
_DILATIONS = {"res4": 2, "res5": 4}


@BACKBONE_REGISTRY.register()
def build_resnet_sfnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Build a ResNet whose last two stages are dilated although they keep their strides.

    Where DeepLab exchanges the strides of res4 and res5 for dilations of 2 and 4, lxtGH/SFSegNets
    (``sfnet_resnet.py``, variant "D") has both, and its published results and weights with it.
    Everything else is ``build_resnet_deeplab_backbone``.

    Args:
        cfg: the configuration.
        input_shape: channels of the image.

    Raises:
        ValueError: a depth without bottlenecks, stages dilated in another way, or deformable.
    """
    node = cfg.MODEL.RESNETS
    if node.DEPTH not in _DEPTHS:
        raise ValueError(
            f"MODEL.RESNETS.DEPTH is {node.DEPTH}; build_resnet_sfnet_backbone builds "
            f"{', '.join(map(str, _DEPTHS))}."
        )
    other = (node.RES4_DILATION, node.RES5_DILATION, *node.RES5_MULTI_GRID)
    if any(value != 1 for value in other) or any(node.DEFORM_ON_PER_STAGE):
        raise ValueError(
            "build_resnet_sfnet_backbone dilates res4 by 2 and res5 by 4, but MODEL.RESNETS has "
            f"RES4_DILATION {node.RES4_DILATION}, RES5_DILATION {node.RES5_DILATION}, "
            f"RES5_MULTI_GRID {node.RES5_MULTI_GRID} and DEFORM_ON_PER_STAGE "
            f"{node.DEFORM_ON_PER_STAGE}. Set them to 1, 1, [1, 1, 1] and [False, False, False, "
            "False], or MODEL.BACKBONE.NAME build_resnet_deeplab_backbone."
        )
    backbone = build_resnet_deeplab_backbone(cfg, input_shape)
    for stage, dilation in _DILATIONS.items():
        for block in getattr(backbone, stage, ()):
            _dilate(block.conv2, dilation)
    return backbone


def _dilate(conv: Conv2d, dilation: int) -> None:
    """Dilate a 3 x 3 convolution; the size of its output stays."""
    conv.dilation = conv.padding = (dilation, dilation)
