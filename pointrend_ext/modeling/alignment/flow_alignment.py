"""Flow alignment of SFNet: the coarse map is read where a predicted flow says.

Semantic Flow for Fast and Accurate Scene Parsing (Li et al., ECCV 2020), section 3.2, and its
successor SFNet-Lite; definitions and parameter names as in lxtGH/SFSegNets at ba475baf.
Differences: zero flow is the identity unless a published grid is asked for, flows start at zero,
and the sum with the fine map is included.
"""

from abc import abstractmethod
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn

from pointrend_ext.layers import check_flow_coords, flow_in_px, flow_warp, resize_bilinear
from pointrend_ext.modeling.alignment.registry import FEATURE_ALIGNMENT_REGISTRY
from pointrend_ext.modeling.config_keys import reads_own_keys


class FlowAlignment(nn.Module):
    """Base of the alignments: moves one map or two by predicted flows.

    C channels; low (N, C, H, W) is the fine map, high (N, C, h, w) the coarse one.

    Attributes:
        coords: see ``flow_warp``.
        moves_resized: whether ``high`` is resized to the size of ``low`` before it is moved.
    """

    moves_resized = False

    def __init__(self, coords: str) -> None:
        super().__init__()
        check_flow_coords(coords, type(self).__name__)
        self.coords = coords

    @classmethod
    @reads_own_keys
    def from_config(cls, cfg: CfgNode, *, channels: int) -> dict[str, Any]:
        """Read ``CHANNELS``, ``COORDS`` and ``ZERO_INIT`` of ``MODEL.FPN.ALIGNMENT``."""
        return {
            "channels": channels,
            "hidden_channels": cfg.CHANNELS,
            "coords": cfg.COORDS,
            "zero_init": cfg.ZERO_INIT,
        }

    def predict_flows(self, low: Tensor, high: Tensor) -> list[Tensor]:
        """Return the flow of ``high`` and, if it is moved, of ``low``: (N, 2, H, W), in pixels."""
        sources = (low if self.moves_resized else high, low)
        return [
            flow_in_px(flow, source.shape[-2:], coords=self.coords)
            for flow, source in zip(self._flows(low, high), sources, strict=False)
        ]

    @abstractmethod
    def _flows(self, low: Tensor, high: Tensor) -> list[Tensor]:
        """Return what ``predict_flows`` does, in the units of ``coords``."""


class _ConcatAlignment(FlowAlignment):
    """What both modules share: two reductions and a convolution that predicts flows."""

    num_flows: int

    @configurable
    def __init__(
        self,
        *,
        channels: int,
        hidden_channels: int = 0,
        coords: str = "pixel",
        zero_init: bool = True,
    ) -> None:
        """Build the layers, none of which has a bias or a normalisation.

        Args:
            channels: C.
            hidden_channels: channels that the flow is predicted from, per map; 0 for C / 2.
            coords: see ``flow_warp``.
            zero_init: whether the flow starts at zero.

        Raises:
            ValueError: unknown ``coords``.
        """
        super().__init__(coords)
        hidden = hidden_channels or max(channels // 2, 1)
        self.down_h = nn.Conv2d(channels, hidden, 1, bias=False)
        self.down_l = nn.Conv2d(channels, hidden, 1, bias=False)
        self.flow_make = nn.Conv2d(2 * hidden, 2 * self.num_flows, 3, padding=1, bias=False)
        if zero_init:
            nn.init.zeros_(self.flow_make.weight)

    def _flows(self, low: Tensor, high: Tensor) -> list[Tensor]:
        return self._flows_of(low, self._reduced_high(low, high))

    def _reduced_high(self, low: Tensor, high: Tensor) -> Tensor:
        return resize_bilinear(self.down_h(high), low.shape[-2:], coords=self.coords)

    def _flows_of(self, low: Tensor, reduced_high: Tensor) -> list[Tensor]:
        flows = self.flow_make(torch.cat([reduced_high, self.down_l(low)], dim=1))
        return list(flows.split(2, dim=1))


@FEATURE_ALIGNMENT_REGISTRY.register()
class FAM(_ConcatAlignment):
    """Flow alignment module: ``low + warp(high, flow)``.

    70,144 parameters at 256 channels.
    """

    num_flows = 1

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Fuse ``high`` (N, C, h, w) into ``low`` (N, C, H, W), the sum included."""
        [flow_high] = self._flows(low, high)
        return low + flow_warp(high, flow_high, coords=self.coords)


@FEATURE_ALIGNMENT_REGISTRY.register()
class GatedFAM(_ConcatAlignment):
    """Both maps are moved, and a gate g weighs them: ``g warp(high) + (1 - g) warp(low)``.

    The gate reads mean and maximum over the channels of the reduced ``high`` and of ``low`` itself.
    With ``coords`` "pixel" the result is doubled, so that a gate of one half gives the sum of both
    maps, which the rest of an FPN expects; with a published grid it is as published. 74,788
    parameters at 256 channels.
    """

    num_flows = 2

    @configurable
    def __init__(self, *, zero_init: bool = True, **kwargs: Any) -> None:
        """Build the layers: as for ``FAM``; ``zero_init`` starts the gate at one half, too."""
        super().__init__(zero_init=zero_init, **kwargs)
        gate = nn.Conv2d(4, 1, 3, padding=1, bias=False)
        self.flow_gate = nn.Sequential(gate, nn.Sigmoid())
        if zero_init:
            nn.init.zeros_(gate.weight)
        self.scale = 2.0 if self.coords == "pixel" else 1.0

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Fuse ``high`` (N, C, h, w) into ``low`` (N, C, H, W), the sum included."""
        reduced_high = self._reduced_high(low, high)
        flow_high, flow_low = self._flows_of(low, reduced_high)
        maps = (reduced_high, low)
        statistics = [x.mean(dim=1, keepdim=True) for x in maps]
        statistics += [x.amax(dim=1, keepdim=True) for x in maps]
        gate = self.flow_gate(torch.cat(statistics, dim=1))  # (N, 1, H, W)
        warped_high = flow_warp(high, flow_high, coords=self.coords)
        warped_low = flow_warp(low, flow_low, coords=self.coords)
        return self.scale * (gate * warped_high + (1 - gate) * warped_low)
