"""What the alignments of this package share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from detectron2.config import CfgNode
from torch import Tensor, nn

from pointrend_ext.layers import check_flow_coords, flow_in_px

__all__ = ["FlowAlignment"]


class FlowAlignment(nn.Module):
    """Moves one map or two by predicted flows.

    C channels; low (N, C, H, W) is the fine map, high (N, C, h, w) the coarse one.

    Attributes:
        coords: see ``flow_warp``.
        moves_resized: whether ``high`` is resized to the size of ``low`` before it is moved.
    """

    moves_resized = False

    def __init__(self, coords: str) -> None:
        """Keep the grid.

        Args:
            coords: see ``flow_warp``.

        Raises:
            ValueError: unknown ``coords``.
        """
        super().__init__()
        check_flow_coords(coords, type(self).__name__)
        self.coords = coords

    @classmethod
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
