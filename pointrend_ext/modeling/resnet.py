"""The backbones of the codes of SFNet and AlignSeg, which their released weights need."""

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, build_resnet_backbone
from detectron2.modeling.backbone import ResNet
from detectron2.projects.deeplab.resnet import DeepLabStem
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.modeling.checks import check_values
from pointrend_ext.modeling.config_keys import reads_own_keys


class CeilPoolStem(DeepLabStem):
    """Three 3 x 3 convolutions, and a pooling that rounds the size of its result up.

    An even side of what is pooled then gives a row more than elsewhere: 33 cells for 128 pixels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, out_channels, h, w), about a quarter of the size."""
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.relu_(conv(x))
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1, ceil_mode=True)


@BACKBONE_REGISTRY.register()
@reads_own_keys
def build_resnet_sfnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Build a ResNet whose last two stages are dilated although they keep their strides.

    Where DeepLab exchanges the strides of res4 and res5 for dilations of 2 and 4, lxtGH/SFSegNets
    (``sfnet_resnet.py``, variant "D") has both, and its published results and weights with it. The
    stem is ``MODEL.RESNETS.STEM_TYPE``.

    Raises:
        ValueError: an unknown depth or stem, stages dilated in another way, or deformable.
    """
    backbone = _build_resnet(cfg, input_shape, DeepLabStem)
    for stage, dilation in (("res4", 2), ("res5", 4)):
        for block in getattr(backbone, stage, ()):  # 3 x 3: the size of the output stays
            block.conv2.dilation = block.conv2.padding = (dilation, dilation)
    return backbone


@BACKBONE_REGISTRY.register()
@reads_own_keys
def build_resnet_alignseg_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Build a ResNet whose stem pools as in speedinghzl/AlignSeg, see ``CeilPoolStem``.

    Raises:
        ValueError: an unknown depth or stem, and stages that are dilated or deformable.
    """
    node = cfg.MODEL.RESNETS
    reason = "'deeplab', whose pooling build_resnet_alignseg_backbone changes"
    check_values(
        "MODEL.RESNETS", ("STEM_TYPE", node.STEM_TYPE, node.STEM_TYPE == "deeplab", reason)
    )
    return _build_resnet(cfg, input_shape, CeilPoolStem)


def _build_resnet(cfg: CfgNode, input_shape: ShapeSpec, deep_stem: type[DeepLabStem]) -> ResNet:
    """Build a ResNet of any depth, with a stem that ``build_resnet_backbone`` does not know."""
    node, name = cfg.MODEL.RESNETS, cfg.MODEL.BACKBONE.NAME
    depths, stems = (18, 34, 50, 101, 152), ("deeplab", "basic")
    fixed = {
        "RES4_DILATION": 1,
        "RES5_DILATION": 1,
        "RES5_MULTI_GRID": [1, 1, 1],
        "DEFORM_ON_PER_STAGE": [False] * 4,
    }
    reason = (
        f"since {name} dilates as its paper's code does (or set MODEL.BACKBONE.NAME "
        "build_resnet_deeplab_backbone)"
    )
    check_values(
        "MODEL.RESNETS",
        ("DEPTH", node.DEPTH, node.DEPTH in depths, f"one of {depths}"),
        ("STEM_TYPE", node.STEM_TYPE, node.STEM_TYPE in stems, f"one of {stems}"),
        *((k, node[k], node[k] == value, f"{value}, {reason}") for k, value in fixed.items()),
    )
    backbone = build_resnet_backbone(cfg, input_shape)
    if node.STEM_TYPE == "deeplab":
        backbone.stem = deep_stem(input_shape.channels, node.STEM_OUT_CHANNELS, node.NORM)
    return backbone.freeze(cfg.MODEL.BACKBONE.FREEZE_AT)
