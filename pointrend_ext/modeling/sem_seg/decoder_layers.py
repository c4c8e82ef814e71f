"""Layers that the semantic decoders SFNet and AlignSeg have in common."""

from collections.abc import Callable, Sequence

import fvcore.nn.weight_init as weight_init
from detectron2.layers import Conv2d, get_norm
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.layers import is_exported

Activation = Callable[[Tensor], Tensor]


def make_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    norm: str | None = None,
    activation: Activation | None = None,
    bias: bool = False,
) -> Conv2d:
    """Build a convolution of odd size that keeps that of the map, normalisation and activation."""
    conv = Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=kernel_size // 2,
        bias=bias,
        norm=get_norm(norm, out_channels) if norm is not None else None,
        activation=activation,
    )
    weight_init.c2_msra_fill(conv)
    return conv


class PredictionBranch(nn.Module):
    """3 x 3, normalisation, activation, dropout of whole channels, and a predictor."""

    def __init__(
        self, channels: int, num_classes: int, *, norm: str, activation: Activation
    ) -> None:
        """Build the layers, with a ``norm`` as in ``detectron2.layers.get_norm``."""
        super().__init__()
        self.conv = make_conv(channels, channels, 3, norm=norm, activation=activation, bias=True)
        self.dropout = nn.Dropout2d(0.1)
        # PyTorch's own start, as in the papers' codes: at the standard deviation of DeepLab, 0.001,
        # the layers before it learn later.
        self.predictor = Conv2d(channels, num_classes, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, channels, h, w) to logits (N, C, h, w)."""
        return self.predictor(self.dropout(self.conv(x)))


def pad_to_common_extent(maps: Sequence[Tensor], strides: Sequence[int]) -> list[Tensor]:
    """Continue maps at the right and at the bottom until all cover what the last one covers.

    A backbone that does not pad images rounds the size of each map up. The coarsest one then covers
    more of the plane than the others, and resizing it to their size would shift it. Images whose
    sides are multiples of its stride need no padding.

    Args:
        maps: (N, C_m, H_m, W_m) each, the coarsest last.
        strides: pixels per cell of each.

    Returns:
        The maps, their last row and column repeated.
    """
    rows, columns = maps[-1].shape[-2:]
    padded = []
    for feature, stride in zip(maps, strides, strict=True):
        ratio = strides[-1] // stride
        bottom, right = rows * ratio - feature.shape[-2], columns * ratio - feature.shape[-1]
        if is_exported() or bottom or right:
            feature = F.pad(feature, (0, right, 0, bottom), mode="replicate")
        padded.append(feature)
    return padded
