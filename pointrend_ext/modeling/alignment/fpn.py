"""A feature pyramid network whose top-down path aligns what it adds."""

from collections.abc import Callable
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import build_resnet_backbone
from torch import Tensor, nn

from pointrend_ext.modeling.alignment.registry import build_feature_alignment
from pointrend_ext.modeling.config_keys import reads_own_keys


class AlignedFPN(FPN):
    """Detectron2's ``FPN`` with one step changed: a module fuses each level with the coarser one.

    The FPN doubles the coarser map by repeating its pixels and adds; here
    ``fpn_align<stage>(lateral, coarser)`` gives the sum (see ``FEATURE_ALIGNMENT_REGISTRY``). All
    other names, and what is inherited, stay, so weights of an FPN load.
    """

    def __init__(self, *args: Any, make_alignment: Callable[[], nn.Module], **kwargs: Any) -> None:
        """Build the layers: as for ``FPN``; ``make_alignment`` returns one of the pyramid's width.

        Raises:
            ValueError: a single level, which leaves nothing to align.
        """
        super().__init__(*args, **kwargs)
        if len(self.in_features) < 2:
            raise ValueError(
                f"An aligned FPN adds levels, but MODEL.FPN.IN_FEATURES is {list(self.in_features)}"
                ". Name two or more, or set MODEL.FPN.ALIGNMENT.NAME ''."
            )
        finest = list(self._out_feature_strides)[: len(self.in_features) - 1]
        self._align_names = [f"fpn_align{name.removeprefix('p')}" for name in finest]
        for name in self._align_names:
            self.add_module(name, make_alignment())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the pyramid.

        Args:
            x: (N, 3, H, W), what the bottom-up network takes.

        Returns:
            Maps by name, "p2" and on, finest first.
        """
        bottom_up = self.bottom_up(x)
        coarsest = self.in_features[-1]
        previous = self.lateral_convs[0](bottom_up[coarsest])
        results = [self.output_convs[0](previous)]
        steps = zip(
            self.in_features[-2::-1],
            self._align_names[::-1],
            self.lateral_convs[1:],
            self.output_convs[1:],
            strict=True,
        )
        for name, align_name, lateral_conv, output_conv in steps:
            previous = getattr(self, align_name)(lateral_conv(bottom_up[name]), previous)
            if self._fuse_type == "avg":
                previous = previous / 2
            results.insert(0, output_conv(previous))
        if self.top_block is not None:
            source = self.top_block.in_feature
            pyramid = dict(zip(self._out_features, results, strict=False))
            results.extend(self.top_block(bottom_up.get(source, pyramid.get(source))))
        return dict(zip(self._out_features, results, strict=True))


@BACKBONE_REGISTRY.register()
@reads_own_keys
def build_resnet_aligned_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Build a ResNet with an ``AlignedFPN`` as ``MODEL.FPN`` says.

    ``MODEL.FPN.ALIGNMENT.NAME`` "" gives the FPN of ``build_resnet_fpn_backbone``, which repeats
    pixels.

    Raises:
        ValueError: an unknown alignment, or one with values out of their range.
    """
    node = cfg.MODEL.FPN
    arguments = {
        "bottom_up": build_resnet_backbone(cfg, input_shape),
        "in_features": node.IN_FEATURES,
        "out_channels": node.OUT_CHANNELS,
        "norm": node.NORM,
        "top_block": LastLevelMaxPool(),
        "fuse_type": node.FUSE_TYPE,
    }
    if not node.ALIGNMENT.NAME:
        return FPN(**arguments)
    return AlignedFPN(
        **arguments,
        make_alignment=lambda: build_feature_alignment(node.ALIGNMENT, channels=node.OUT_CHANNELS),
    )
