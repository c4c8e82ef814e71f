"""The coarse mask head (section 4.1 of the paper): convolutions, then fully connected layers."""

from collections.abc import Sequence

import fvcore.nn.weight_init as weight_init
from detectron2.layers import Conv2d
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.layers.fast import Linear
from pointrend_ext.modeling.checks import check_values

__all__ = ["CoarseMaskHead"]


class CoarseMaskHead(nn.Module):
    """Predicts a small mask per region and class from a pooled grid of features.

    Layers: ``reduce_channel_dim_conv`` (1 x 1, only when there are more than ``conv_dim``
    channels), ``reduce_spatial_dim_conv`` (2 x 2, stride 2), ``fc1``, ``fc2``, ... and
    ``prediction``, whose output is read class-major as (C, S, S). Names, shapes and initialisation
    are those of Detectron2's PointRend.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        in_side: int,
        conv_dim: int,
        fc_dims: Sequence[int],
        num_classes: int,
        out_side: int,
    ) -> None:
        """Build the layers.

        Args:
            in_channels: channels of the pooled features.
            in_side: cells along a side of the pooled grid; even, since the spatial convolution
                halves it.
            conv_dim: channels of the convolutions.
            fc_dims: widths of the hidden fully connected layers, at least one.
            num_classes: C; 1 for a class-agnostic head.
            out_side: S, side of the predicted mask.
        """
        super().__init__()
        narrowest = min(fc_dims, default=1)
        is_even = in_side >= 2 and in_side % 2 == 0
        check_values(
            "MODEL.ROI_MASK_HEAD",
            ("POOLER_RESOLUTION", in_side, is_even, "an even number, at least 2, such as 14"),
            ("NUM_FC", len(fc_dims), len(fc_dims) >= 1, "at least 1"),
            ("FC_DIM", narrowest, narrowest >= 1, "at least 1"),
            ("CONV_DIM", conv_dim, conv_dim >= 1, "at least 1"),
            ("OUTPUT_SIDE_RESOLUTION", out_side, out_side >= 1, "at least 1"),
        )
        self.num_classes = num_classes
        self.out_side = out_side
        self.num_fc = len(fc_dims)

        convs = []
        if in_channels > conv_dim:
            self.reduce_channel_dim_conv = Conv2d(in_channels, conv_dim, 1, activation=F.relu)
            convs.append(self.reduce_channel_dim_conv)
            in_channels = conv_dim
        self.reduce_spatial_dim_conv = Conv2d(in_channels, conv_dim, 2, stride=2, activation=F.relu)
        convs.append(self.reduce_spatial_dim_conv)

        width = conv_dim * (in_side // 2) ** 2
        fcs = []
        for number, fc_dim in enumerate(fc_dims, start=1):
            fcs.append(Linear(width, fc_dim))
            self.add_module(f"fc{number}", fcs[-1])
            width = fc_dim
        self.prediction = Linear(width, num_classes * out_side**2)

        nn.init.normal_(self.prediction.weight, std=0.001)
        nn.init.zeros_(self.prediction.bias)
        for conv in convs:
            weight_init.c2_msra_fill(conv)
        for fc in fcs:
            weight_init.c2_xavier_fill(fc)

    def forward(self, pooled: Tensor) -> Tensor:
        """Predict logits (R, C, S, S) from pooled features (R, in_channels, in_side, in_side)."""
        return self.predict(self.reduce(pooled))

    def reduce(self, pooled: Tensor) -> Tensor:
        """Apply the convolutions, after which a region is four times smaller.

        Args:
            pooled: (R, in_channels, in_side, in_side).

        Returns:
            (R, conv_dim * (in_side / 2)**2).
        """
        if hasattr(self, "reduce_channel_dim_conv"):
            pooled = self.reduce_channel_dim_conv(pooled)
        return self.reduce_spatial_dim_conv(pooled).flatten(1)

    def predict(self, hidden: Tensor) -> Tensor:
        """Apply the fully connected layers to what ``reduce`` returns: (R, C, S, S) logits."""
        for number in range(1, self.num_fc + 1):
            hidden = F.relu(getattr(self, f"fc{number}")(hidden))
        return self.prediction(hidden).view(-1, self.num_classes, self.out_side, self.out_side)
