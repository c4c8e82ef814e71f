"""DeepLabV3 and DeepLabV3+ (Chen et al., 2017 and 2018) as heads that PointRend can refine.

The layers, their names and the losses are those of Detectron2's DeepLab project
(``detectron2.projects.deeplab``), so its published weights load.

N images, C classes, (h, w) the size of the logits, (H, W) that of the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import ASPP, Conv2d, ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.projects.deeplab.semantic_seg import DeepLabV3PlusHead
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.modeling.sem_seg.criteria import build_criterion
from pointrend_ext.modeling.sem_seg.deeplab_arguments import (
    check_deeplab_arguments,
    read_deeplab_arguments,
)
from pointrend_ext.modeling.sem_seg.losses import upsampled_losses

__all__ = ["DeepLabV3LogitsHead", "DeepLabV3PlusLogitsHead"]


@SEM_SEG_HEADS_REGISTRY.register()
class DeepLabV3LogitsHead(nn.Module):
    """ASPP and a 1 x 1 predictor on one feature map: a complete head, or PointRend's coarse head.

    Differences from Detectron2's ``DeepLabV3Head``: ``layers`` gives the logits before they are
    up-sampled; the width of the predictor follows from that of the ASPP; the pooling branch may see
    the whole map, so that images need not be multiples of the crop; ``losses`` takes any size, one
    class and labels that are all ignored.

    Attributes:
        common_stride: pixels per cell of the logits.
        ignore_value: label that takes no part in the loss.
        targets_of_any_size: see ``CoarseHead``.
    """

    targets_of_any_size = True

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
            loss_type: ``cross_entropy``, or ``hard_pixel_mining``: mean over the worst fifth of
                the pixels.
            loss_weight: weight of ``loss_sem_seg``.
            ignore_value: label that takes no part in the loss.

        Raises:
            ValueError: a value that does not fit the feature map, or is out of its range.
        """
        super().__init__()
        check_deeplab_arguments(
            self, input_shape, common_stride, aspp_dilations, loss_type, train_size
        )
        if len(input_shape) != 1:
            raise ValueError(
                f"DeepLabV3LogitsHead reads one feature map, but MODEL.SEM_SEG_HEAD.IN_FEATURES "
                f"names {list(input_shape)}. Keep the last, or use DeepLabV3PlusLogitsHead."
            )
        [(self.in_feature, shape)] = input_shape.items()
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
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Read ``MODEL.SEM_SEG_HEAD``, and ``INPUT.CROP`` if ``ASPP_POOLING`` is "crop"."""
        return {
            **read_deeplab_arguments(cfg, input_shape),
            "aspp_channels": cfg.MODEL.SEM_SEG_HEAD.ASPP_CHANNELS,
        }

    def layers(self, features: Mapping[str, Tensor]) -> Tensor:
        """Predict logits.

        Args:
            features: the backbone's maps by name.

        Returns:
            (N, C, h, w), as large as the map it reads.
        """
        return self.predictor(self.aspp(features[self.in_feature]))

    def losses(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Compare logits of ``layers`` with labels (see ``upsampled_losses``).

        Args:
            logits: (N, C, h, w).
            targets: (N, H, W) int64, at most ``common_stride`` times (h, w).

        Returns:
            ``loss_sem_seg``, weighted.
        """
        return _losses(self, logits, targets)

    def forward(
        self, features: Mapping[str, Tensor], targets: Tensor | None = None
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Serve Detectron2's ``SemanticSegmentor``: this head alone is the DeepLabV3 baseline.

        Args:
            features: the backbone's maps by name.
            targets: (N, H, W) int64, read in training.

        Returns:
            In training None and the losses; in inference logits up-sampled by the stride, of
            which the first H rows and W columns are the image, and an empty dictionary.
        """
        logits = self.layers(features)
        if self.training:
            return None, self.losses(logits, targets)
        return F.interpolate(
            logits, scale_factor=self.common_stride, mode="bilinear", align_corners=False
        ), {}


@SEM_SEG_HEADS_REGISTRY.register()
class DeepLabV3PlusLogitsHead(DeepLabV3PlusHead):
    """Detectron2's ``DeepLabV3PlusHead`` with the additions of ``DeepLabV3LogitsHead``.

    The pooling branch may see the whole map, the stride is checked, and ``losses`` takes any size,
    one class and labels that are all ignored. Layers and names are unchanged.
    """

    targets_of_any_size = True

    @configurable
    def __init__(
        self,
        *,
        input_shape: Mapping[str, ShapeSpec],
        common_stride: int,
        project_channels: Sequence[int],
        aspp_dilations: Sequence[int],
        loss_type: str = "hard_pixel_mining",
        train_size: tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> None:
        """Build the layers.

        Args:
            input_shape: the maps it reads, by name; the coarsest feeds the ASPP.
            common_stride: must be the stride of the finest.
            project_channels: widths to which the others are reduced, finest first.
            aspp_dilations: as for ``DeepLabV3LogitsHead``.
            loss_type: as for ``DeepLabV3LogitsHead``.
            train_size: as for ``DeepLabV3LogitsHead``.
            kwargs: as for ``DeepLabV3PlusHead``.

        Raises:
            ValueError: a value that does not fit the feature maps, or is out of its range.
        """
        check_deeplab_arguments(
            self, input_shape, common_stride, aspp_dilations, loss_type, train_size
        )
        if len(project_channels) != len(input_shape) - 1:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.PROJECT_CHANNELS is {list(project_channels)}, but "
                f"MODEL.SEM_SEG_HEAD.IN_FEATURES names {list(input_shape)}. Give one width for "
                "each map but the coarsest."
            )
        super().__init__(
            dict(input_shape),
            common_stride=common_stride,
            project_channels=list(project_channels),
            aspp_dilations=list(aspp_dilations),
            loss_type=loss_type,
            train_size=train_size,
            **kwargs,
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Read ``MODEL.SEM_SEG_HEAD``, and ``INPUT.CROP`` if ``ASPP_POOLING`` is "crop"."""
        node = cfg.MODEL.SEM_SEG_HEAD
        arguments = read_deeplab_arguments(cfg, input_shape)
        return {
            **arguments,
            "project_channels": node.PROJECT_CHANNELS,
            "decoder_channels": [node.CONVS_DIM] * (len(arguments["input_shape"]) - 1)
            + [node.ASPP_CHANNELS],
        }

    def losses(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Compare logits with labels, as ``DeepLabV3LogitsHead.losses`` does."""
        return _losses(self, predictions, targets)


def _losses(
    head: DeepLabV3LogitsHead | DeepLabV3PlusLogitsHead, logits: Tensor, targets: Tensor
) -> dict[str, Tensor]:
    return upsampled_losses(
        head.loss,
        logits,
        targets,
        stride=head.common_stride,
        ignore_value=head.ignore_value,
        weight=head.loss_weight,
    )
