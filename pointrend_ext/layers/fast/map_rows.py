"""Reading all channels of a map at points, with one row per point."""

import torch
from torch import Tensor

from pointrend_ext.layers.device_rule import runs_cpu_form
from pointrend_ext.layers.fast.rows import rows_of_planes
from pointrend_ext.layers.fast.taps import bilinear_taps, distinct_cells, read_taps, tap_cells
from pointrend_ext.layers.point_sample import point_sample
from pointrend_ext.layers.precision import at_least_float32

_MAX_COPY_BYTES = 2**25
"""Largest map that is copied into a table, once for all steps. A table of a large map takes 100 MiB
and more: there the cells around the points are copied, which at outlines are few."""


class MapRows:
    """A map, laid out for reading many channels at many points. Values as from ``point_sample``.

    Attributes:
        table: (N * H * W, C), or None for a large map.
    """

    def __init__(self, feature: Tensor) -> None:
        """Choose a layout.

        Args:
            feature: (N, C, H, W). In ``channels_last`` it is read in place, a small one is copied
                once; of a large one a CPU copies the cells that it reads each time, and other
                devices read it plane by plane.
        """
        self._feature = feature
        self.table: Tensor | None = None
        has_rows = feature.is_contiguous(memory_format=torch.channels_last)
        is_small = feature.numel() * 4 <= _MAX_COPY_BYTES
        if has_rows or (is_small and runs_cpu_form(feature.device)):
            self.table = rows_of_planes(feature)

    def read(self, coords_map: Tensor) -> Tensor:
        """Read points.

        Args:
            coords_map: (N, P, 2), (x, y) in [0, 1] of the map, in at least 32 bits.

        Returns:
            (N * P, C), in at least 32 bits.
        """
        if self.table is None and not runs_cpu_form(self._feature.device):
            sampled = at_least_float32(point_sample(self._feature, coords_map))  # (N, C, P)
            return sampled.transpose(1, 2).flatten(0, 1)
        num_images, _, height, width = self._feature.shape
        columns, rows, weights = bilinear_taps(coords_map, (height, width))
        if self.table is None:
            per_image = zip(self._feature, tap_cells(columns, rows, width), weights, strict=True)
            return torch.cat([_read_some_cells(*image) for image in per_image])
        images = torch.arange(num_images, dtype=torch.int32, device=coords_map.device)
        cells = tap_cells(columns, rows, width) + images.view(-1, 1, 1) * (height * width)
        weights = weights.flatten(0, 1).to(self.table.dtype)
        return read_taps(self.table, cells.flatten(0, 1), weights)


def _read_some_cells(planes: Tensor, cells: Tensor, weights: Tensor) -> Tensor:
    """Read (C, H, W) at taps (P, 4) by a table of these cells alone: (P, C) in 32 bits or more."""
    planes = planes.flatten(1)
    distinct, cells = distinct_cells(cells, planes.shape[1])
    # gather, since neither index_select nor indexing uses more than one thread well
    table = planes.gather(1, distinct.expand(len(planes), -1)).t()  # (U, C)
    table = at_least_float32(table.contiguous())
    return read_taps(table, cells, weights.to(table.dtype))
