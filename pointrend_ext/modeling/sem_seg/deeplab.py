"""DeepLabV3 and DeepLabV3+ (Chen et al., 2017 and 2018) as heads that PointRend can refine.

The layers, their names and the losses are those of Detectron2's DeepLab project
(``detectron2.projects.deeplab``), so its published weights load. What they have in common with
other heads is in ``LogitsHead``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import ASPP, Conv2d, ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.projects.deeplab.semantic_seg import DeepLabV3PlusHead
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.modeling.checks import check_common_stride, check_values
from pointrend_ext.modeling.config_keys import reads_own_keys
from pointrend_ext.modeling.sem_seg.criteria import build_criterion
from pointrend_ext.modeling.sem_seg.logits_head import LogitsHead, read_head_arguments


@SEM_SEG_HEADS_REGISTRY.register()
class DeepLabV3LogitsHead(LogitsHead):
    """ASPP and a 1 x 1 predictor on one feature map: a complete head, or PointRend's coarse head.

    Differences from Detectron2's ``DeepLabV3Head``: ``layers`` gives the logits before they are
    up-sampled; the width of the predictor follows from that of the ASPP; the pooling branch may see
    the whole map, so that images need not be multiples of the crop; ``losses`` takes any size, one
    class and labels that are all ignored.
    """

    @configurable
    def __init__(
        self,
        *,
        input_shape: Mapping[str, ShapeSpec],
        num_classes: int,
        common_stride: int,
        aspp_channels: int = 256,
        aspp_dilations: Sequence[int] = (6, 12, 18),
        aspp_dropout: float = 0.1,
        norm: str = "SyncBN",
        use_depthwise_separable_conv: bool = False,
        train_size: tuple[int, int] | None = None,
        loss_type: str = "hard_pixel_mining",
        loss_weight: float = 1.0,
        ignore_value: int = 255,
    ) -> None:
        """Build the layers.

        Args:
            input_shape: the one map it reads, by name.
            num_classes: C; 1 for a binary model.
            common_stride: must be the stride of that map.
            aspp_channels: width of the ASPP.
            aspp_dilations: of its three 3 x 3 branches, in cells.
            aspp_dropout: dropout of its output.
            norm: normalisation, see ``detectron2.layers.get_norm``.
            use_depthwise_separable_conv: whether the 3 x 3 convolutions are factored.
            train_size: (H, W) of the training crop, a multiple of the stride, which becomes the
                window of the pooling branch; None pools the whole map.
            loss_type: see ``build_criterion``.
            loss_weight: weight of ``loss_sem_seg``.
            ignore_value: label that takes no part in the loss.

        Raises:
            ValueError: a value that does not fit the feature map, or is out of its range.
        """
        super().__init__()
        check_common_stride(type(self).__name__, input_shape, common_stride)
        if len(input_shape) != 1:
            raise ValueError(
                f"DeepLabV3LogitsHead reads one feature map, but MODEL.SEM_SEG_HEAD.IN_FEATURES "
                f"names {list(input_shape)}. Keep the last, or use DeepLabV3PlusLogitsHead."
            )
        [(self.in_feature, shape)] = input_shape.items()
        is_multiple = all(side % common_stride == 0 for side in train_size or ())
        allowed = f"a multiple of {common_stride} (MODEL.SEM_SEG_HEAD.ASPP_POOLING is 'crop')"
        check_values("INPUT.CROP", ("SIZE", train_size, is_multiple, allowed))
        self.common_stride = common_stride
        self.ignore_value = ignore_value
        self.loss_weight = loss_weight
        self.aspp = ASPP(
            shape.channels,
            aspp_channels,
            list(aspp_dilations),
            norm=norm,
            activation=F.relu,
            pool_kernel_size=train_size and tuple(side // common_stride for side in train_size),
            dropout=aspp_dropout,
            use_depthwise_separable_conv=use_depthwise_separable_conv,
        )
        self.predictor = Conv2d(aspp_channels, num_classes, kernel_size=1)
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.predictor.bias)
        self.loss = build_criterion(loss_type, ignore_value=ignore_value)

    @classmethod
    @reads_own_keys
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Read ``MODEL.SEM_SEG_HEAD``, and ``INPUT.CROP`` if ``ASPP_POOLING`` is "crop"."""
        return {
            **_read_arguments(cfg, input_shape),
            "aspp_channels": cfg.MODEL.SEM_SEG_HEAD.ASPP_CHANNELS,
        }

    def layers(self, features: Mapping[str, Tensor]) -> Tensor:
        """Predict logits: see ``LogitsHead``."""
        return self.predictor(self.aspp(features[self.in_feature]))


@SEM_SEG_HEADS_REGISTRY.register()
class DeepLabV3PlusLogitsHead(LogitsHead, DeepLabV3PlusHead):
    """Detectron2's ``DeepLabV3PlusHead`` with the additions of ``DeepLabV3LogitsHead``.

    The pooling branch may see the whole map, the stride is checked, and ``losses`` takes any size,
    one class and labels that are all ignored. Layers and names are unchanged.
    """

    layers = DeepLabV3PlusHead.layers

    @configurable
    def __init__(
        self, *, input_shape: Mapping[str, ShapeSpec], common_stride: int, **kwargs: Any
    ) -> None:
        """Build the layers: as for ``DeepLabV3PlusHead``.

        Raises:
            ValueError: ``common_stride`` is not the stride of the finest map.
        """
        check_common_stride(type(self).__name__, input_shape, common_stride)
        # A dictionary of OmegaConf would be taken for a configuration.
        super().__init__(dict(input_shape), common_stride=common_stride, **kwargs)

    @classmethod
    @reads_own_keys
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Read ``MODEL.SEM_SEG_HEAD``, and ``INPUT.CROP`` if ``ASPP_POOLING`` is "crop"."""
        node = cfg.MODEL.SEM_SEG_HEAD
        arguments = _read_arguments(cfg, input_shape)
        finer = len(arguments["input_shape"]) - 1
        channels = list(node.PROJECT_CHANNELS)
        allowed = f"{finer} widths, one per map of IN_FEATURES but for the last: {node.IN_FEATURES}"
        are_widths = len(channels) == finer and all(width >= 1 for width in channels)
        check_values("MODEL.SEM_SEG_HEAD", ("PROJECT_CHANNELS", channels, are_widths, allowed))
        return {
            **arguments,
            "project_channels": node.PROJECT_CHANNELS,
            "decoder_channels": [node.CONVS_DIM] * finer + [node.ASPP_CHANNELS],
        }


def _read_arguments(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
    """Read the arguments that both heads have."""
    node = cfg.MODEL.SEM_SEG_HEAD
    dilations = list(node.ASPP_DILATIONS)
    are_three = len(dilations) == 3 and all(dilation >= 1 for dilation in dilations)
    check_values(
        "MODEL.SEM_SEG_HEAD",
        ("ASPP_DILATIONS", dilations, are_three, "three dilations of at least 1"),
    )
    return {
        **read_head_arguments(cfg, input_shape),
        "aspp_dilations": node.ASPP_DILATIONS,
        "aspp_dropout": node.ASPP_DROPOUT,
        "use_depthwise_separable_conv": node.USE_DEPTHWISE_SEPARABLE_CONV,
        "train_size": _pooled_crop(cfg),
    }


def _pooled_crop(cfg: CfgNode) -> tuple[int, int] | None:
    """Return the window of the pooling branch, in pixels; None for the whole map."""
    node, pooling, crop = "MODEL.SEM_SEG_HEAD", cfg.MODEL.SEM_SEG_HEAD.ASPP_POOLING, cfg.INPUT.CROP
    is_known = pooling in ("global", "crop")
    check_values(node, ("ASPP_POOLING", pooling, is_known, "'global' or 'crop'"))
    if pooling == "global":
        return None
    reason = f"since {node}.ASPP_POOLING is 'crop' (or choose 'global')"
    check_values(
        "INPUT.CROP",
        ("ENABLED", crop.ENABLED, crop.ENABLED, f"True, {reason}"),
        ("TYPE", crop.TYPE, crop.TYPE == "absolute", f"'absolute', {reason}"),
    )
    height, width = crop.SIZE
    return int(height), int(width)
