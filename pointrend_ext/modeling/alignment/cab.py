"""Contextual alignment block of AlignSeg: both maps are read where predicted flows say.

AlignSeg: Feature-Aligned Segmentation Networks (Huang et al., TPAMI 2021), section 3.2, where it is
called AlignFA; definition as in speedinghzl/AlignSeg at ac7582d3, with two separate branches.
"""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, get_norm
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.layers import flow_warp, resize_bilinear
from pointrend_ext.modeling.alignment.flow_alignment import FlowAlignment
from pointrend_ext.modeling.alignment.registry import FEATURE_ALIGNMENT_REGISTRY
from pointrend_ext.modeling.config_keys import reads_own_keys


def make_flow_branch(
    in_channels: int, hidden_channels: int, norm: str, *, zero_init: bool
) -> nn.Sequential:
    """Build 1 x 1, normalisation, leaky ReLU, 3 x 3 to a flow; no bias.

    Args:
        in_channels: of the concatenated maps.
        hidden_channels: between the two convolutions.
        norm: see ``detectron2.layers.get_norm``.
        zero_init: whether the flow starts at zero.

    Returns:
        Maps (N, in_channels, H, W) to (N, 2, H, W).
    """
    reduce = Conv2d(
        in_channels,
        hidden_channels,
        1,
        bias=False,
        norm=get_norm(norm, hidden_channels),
        activation=F.leaky_relu,
    )
    flow = nn.Conv2d(hidden_channels, 2, 3, padding=1, bias=False)
    if zero_init:
        nn.init.zeros_(flow.weight)
    return nn.Sequential(reduce, flow)


@FEATURE_ALIGNMENT_REGISTRY.register()
class CAB(FlowAlignment):
    """``warp(up(high), flow 1) + warp(low, flow 2)``, each flow from a branch on [low | up(high)].

    A 1 x 1 convolution on concatenated maps is the sum of two on the maps, and it commutes with
    resizing, so ``high`` is convolved at its own size: the same result from fewer operations, with
    the parameters of the plain definition. 272,384 parameters at 256 channels.
    """

    moves_resized = True

    @configurable
    def __init__(
        self,
        *,
        channels: int,
        hidden_channels: int = 0,
        norm: str = "BN",
        coords: str = "pixel",
        zero_init: bool = True,
    ) -> None:
        """Build the layers.

        Args:
            channels: C, of each map.
            hidden_channels: width of each branch; 0 for C, half of what it reads.
            norm: normalisation in the branches, see ``detectron2.layers.get_norm``.
            coords: see ``flow_warp``.
            zero_init: whether the flows start at zero.

        Raises:
            ValueError: unknown ``coords``.
        """
        super().__init__(coords)
        self.channels = channels
        sizes = (2 * channels, hidden_channels or channels, norm)
        self.delta_gen1 = make_flow_branch(*sizes, zero_init=zero_init)
        self.delta_gen2 = make_flow_branch(*sizes, zero_init=zero_init)

    @classmethod
    @reads_own_keys
    def from_config(cls, cfg: CfgNode, *, channels: int) -> dict[str, Any]:
        """Read ``CHANNELS``, ``NORM``, ``COORDS`` and ``ZERO_INIT`` of ``MODEL.FPN.ALIGNMENT``."""
        return {**super().from_config(cfg, channels=channels), "norm": cfg.NORM}

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Fuse ``high`` (N, C, h, w) into ``low`` (N, C, H, W), the sum included."""
        flow_high, flow_low = self._flows(low, high)
        high = resize_bilinear(high, low.shape[-2:], coords=self.coords)
        warped_high = flow_warp(high, flow_high, coords=self.coords)
        return warped_high + flow_warp(low, flow_low, coords=self.coords)

    def _flows(self, low: Tensor, high: Tensor) -> list[Tensor]:
        branches = (self.delta_gen1, self.delta_gen2)
        weight = torch.cat([branch[0].get_parameter("weight") for branch in branches])
        weight_low, weight_high = weight.split(self.channels, dim=1)  # (2 D, C, 1, 1) each
        high = F.conv2d(high, weight_high)
        reduced = F.conv2d(low, weight_low)  # (N, 2 D, H, W)
        reduced = reduced + resize_bilinear(high, low.shape[-2:], coords=self.coords)
        return [
            _after_reduction(branch[0], branch[1], x)
            for branch, x in zip(branches, reduced.chunk(2, dim=1), strict=True)
        ]


def _after_reduction(reduce: Conv2d, flow: nn.Module, reduced: Tensor) -> Tensor:
    """Run what follows the 1 x 1 convolution ``reduce`` of a branch."""
    if reduce.norm is not None:
        reduced = reduce.norm(reduced)
    return flow(reduce.activation(reduced))
