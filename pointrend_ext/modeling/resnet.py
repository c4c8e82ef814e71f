"""The backbone of SFNet's code."""

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import ResNet
from detectron2.projects.deeplab import build_resnet_deeplab_backbone

from pointrend_ext.modeling.checks import check_values

__all__ = ["build_resnet_sfnet_backbone"]


@BACKBONE_REGISTRY.register()
def build_resnet_sfnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Build a ResNet whose last two stages are dilated although they keep their strides.

    Where DeepLab exchanges the strides of res4 and res5 for dilations of 2 and 4, lxtGH/SFSegNets
    (``sfnet_resnet.py``, variant "D") has both, and its published results and weights with it.
    Everything else is ``build_resnet_deeplab_backbone``.

    Raises:
        ValueError: a depth without bottlenecks, stages dilated in another way, or deformable.
    """
    node = cfg.MODEL.RESNETS
    has_bottlenecks = node.DEPTH in (50, 101, 152)
    depths = "one of 50, 101, 152 for build_resnet_sfnet_backbone"
    fixed = {
        "RES4_DILATION": 1,
        "RES5_DILATION": 1,
        "RES5_MULTI_GRID": [1, 1, 1],
        "DEFORM_ON_PER_STAGE": [False] * 4,
    }
    reason = (
        "since build_resnet_sfnet_backbone dilates res4 by 2 and res5 by 4 itself (or set "
        "MODEL.BACKBONE.NAME build_resnet_deeplab_backbone)"
    )
    check_values(
        "MODEL.RESNETS",
        ("DEPTH", node.DEPTH, has_bottlenecks, depths),
        *((k, node[k], node[k] == value, f"{value}, {reason}") for k, value in fixed.items()),
    )
    backbone = build_resnet_deeplab_backbone(cfg, input_shape)
    for stage, dilation in (("res4", 2), ("res5", 4)):
        for block in getattr(backbone, stage, ()):  # 3 x 3: the size of the output stays
            block.conv2.dilation = block.conv2.padding = (dilation, dilation)
    return backbone
