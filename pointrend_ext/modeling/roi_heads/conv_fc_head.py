"""What a region's pooled features become a vector by: convolutions, then fully connected layers."""

from collections.abc import Mapping, Sequence

import fvcore.nn.weight_init as weight_init
import torch
from detectron2.layers import Conv2d
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.layers import cell_centers, is_exported, sample_region_features, wide_dtype
from pointrend_ext.layers.fast import Linear
from pointrend_ext.modeling.checks import check_values
from pointrend_ext.modeling.feature_levels import FeatureLevels

POOLED_REGIONS = 32


class ConvFCHead(nn.Module):
    """Predicts a vector per region from a pooled grid of features (section 4.1 of the paper).

    Layers: ``reduce_channel_dim_conv`` (1 x 1, only when there are more than ``conv_dim``
    channels), ``reduce_spatial_dim_conv`` (2 x 2, stride 2), ``fc1``, ``fc2``, ... and
    ``prediction``. Names, shapes and initialisation are those of Detectron2's PointRend.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        in_side: int,
        conv_dim: int,
        fc_dims: Sequence[int],
        out_features: int,
    ) -> None:
        """Build the layers.

        Args:
            in_channels: channels of the pooled features.
            in_side: cells along a side of the pooled grid; even, since the spatial convolution
                halves it.
            conv_dim: channels of the convolutions.
            fc_dims: widths of the hidden fully connected layers, at least one.
            out_features: n, length of the vector.
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
        )
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
        self.prediction = Linear(width, out_features)

        nn.init.normal_(self.prediction.weight, std=0.001)
        nn.init.zeros_(self.prediction.bias)
        for conv in convs:
            weight_init.c2_msra_fill(conv)
        for fc in fcs:
            weight_init.c2_xavier_fill(fc)

    def forward(self, pooled: Tensor) -> Tensor:
        """Predict (R, n) from pooled features (R, in_channels, in_side, in_side)."""
        return self.predict(self.reduce(pooled))

    def predict_boxes(
        self,
        features: Mapping[str, Tensor],
        levels: FeatureLevels,
        side: int,
        boxes_px: Sequence[Tensor],
    ) -> Tensor:
        """Predict from one sample per cell of a grid in each box.

        Args:
            features: maps by name, each (N, C_m, H_m, W_m).
            levels: which of them are read.
            side: cells along a side of the grid, ``in_side``.
            boxes_px: for each of the N images the boxes (R_n, 4) of its regions.

        Returns:
            What ``forward`` returns, of all regions.
        """
        maps = levels.gather(features)
        if self.training or is_exported():
            return self(_pool(maps, levels, side, boxes_px))
        # A few regions at a time: pooled features are the largest thing there is before the masks.
        reduced = []
        for image, boxes in enumerate(boxes_px):
            one = [m[image : image + 1] for m in maps]
            for part in boxes.split(POOLED_REGIONS):
                reduced.append(self.reduce(_pool(one, levels, side, [part])))
        return self.predict(torch.cat(reduced))

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
        """Apply the fully connected layers to what ``reduce`` returns: (R, n)."""
        for number in range(1, self.num_fc + 1):
            hidden = F.relu(getattr(self, f"fc{number}")(hidden))
        return self.prediction(hidden)


def _pool(
    maps: Sequence[Tensor], levels: FeatureLevels, side: int, boxes_px: Sequence[Tensor]
) -> Tensor:
    """Read a grid of cells in each box: (R, F, side, side)."""
    map_ = maps[0]
    centers = cell_centers((side, side), dtype=wide_dtype(map_), device=map_.device)
    coords_box = centers.expand(sum(x.shape[0] for x in boxes_px), -1, -1)
    pooled = sample_region_features(maps, levels.strides, boxes_px, coords_box)
    return pooled.view(*pooled.shape[:2], side, side)
