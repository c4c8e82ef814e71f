"""Reading all channels of a map at points, with one row per point."""

from __future__ import annotations

import torch
from torch import Tensor

from pointrend_ext.layers.point_sample import point_sample
from pointrend_ext.layers.precision import at_least_float32
from pointrend_ext.layers.rows import rows_of_planes
from pointrend_ext.layers.taps import bilinear_taps, read_taps, tap_cells

__all__ = ["MapRows"]

_MAX_COPY_BYTES = 2**25
"""Largest map that is copied into a table. A copy costs 0.25 us per cell of 256 channels, reading a
point from separate planes 4 us: it pays soon, but a table of a large map takes 100 MiB and more."""


class MapRows:
    """A map, laid out for reading many channels at many points. Values as from ``point_sample``.

    Attributes:
        table: (N * H * W, C), or None for a map that is read plane by plane.
    """

    def __init__(self, feature: Tensor) -> None:
        """Choose a layout.

        Args:
            feature: (N, C, H, W). In ``channels_last`` it is read in place, a small one is copied
                once, a large one is read plane by plane.
        """
        self._feature = feature
        self.table: Tensor | None = None
        has_rows = feature.is_contiguous(memory_format=torch.channels_last)
        is_small = feature.numel() * 4 <= _MAX_COPY_BYTES
        if has_rows or (is_small and feature.device.type == "cpu"):
            self.table = rows_of_planes(feature)

    def read(self, coords_map: Tensor) -> Tensor:
        """Read points.

        Args:
            coords_map: (N, P, 2), (x, y) in [0, 1] of the map, in at least 32 bits.

        Returns:
            (N * P, C), in at least 32 bits.
        """
        if self.table is None:
            sampled = at_least_float32(point_sample(self._feature, coords_map))  # (N, C, P)
            return sampled.transpose(1, 2).flatten(0, 1)
        num_images, _, height, width = self._feature.shape
        columns, rows, weights = bilinear_taps(coords_map, (height, width))
        images = torch.arange(num_images, dtype=torch.int32, device=coords_map.device)
        cells = tap_cells(columns, rows, width) + images.view(-1, 1, 1) * (height * width)
        weights = weights.flatten(0, 1).to(self.table.dtype)
        return read_taps(self.table, cells.flatten(0, 1), weights)
