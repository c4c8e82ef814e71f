"""The first layer of a point head on fine-grained features, from tables with one row per cell."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce

import torch
from torch import Tensor

from pointrend_ext.layers import at_least_float32, box_to_px, runs_cpu_form, wide_dtype
from pointrend_ext.layers.fast import (
    RegionWindows,
    Window,
    linear,
    read_taps,
    region_window,
    rows_of_planes,
)
from pointrend_ext.modeling.point_head.fast.split_layers import SplitPointLayers
from pointrend_ext.modeling.point_head.region_inputs import RegionInputs

_WHOLE_MAP_FACTOR = 8
"""A CPU copies the windows of regions one by one until they hold this many times the cells of the
map: copies that stay in the cache are that much cheaper, and a few windows at a time need little
memory."""

_BAND_CELLS = 2**13
CHUNK_CELLS = 2**14
"""Cells whose windows are copied at a time, unless one region has more: 16 MiB of 256 channels."""


class FineTables:
    """Lays feature maps out so that points of regions are read quickly, for one forward pass.

    Per map, either the cells around each region are copied when its turn comes, or the whole map
    is used: if it is in ``channels_last`` already, if the regions overlap so much that copying it
    once is cheaper, or if there is no CPU to find out. The first layer is applied to the cells
    instead of the points wherever those are fewer (``ProjectedRegionPredictor`` says why it may).
    """

    def __init__(
        self, layers: SplitPointLayers, inputs: RegionInputs, points_per_region: int
    ) -> None:
        """Choose a layout per map, and copy the maps that are used whole.

        Args:
            layers: of the point head.
            inputs: all regions.
            points_per_region: points that each region will be asked for, in all.
        """
        self._layers, self._inputs = layers, inputs
        self._points_per_region = points_per_region
        self._images = inputs.images
        self._boxes_px = torch.cat(list(inputs.boxes_px))
        maps = zip(inputs.features, inputs.strides, layers.fine, strict=True)
        self._maps = [self._lay_out(*one) for one in maps]

    def chunks(self, max_regions: int) -> Iterator[list[int]]:
        """Go through the regions, those with small windows first.

        Neighbours then profit from the same form, and their windows need little memory together.

        Args:
            max_regions: at a time.

        Yields:
            Numbers of regions, ascending.
        """
        sizes = [0] * len(self._images)
        for _, windows, _ in self._maps:
            for region, window in enumerate(windows or ()):
                sizes[region] += window.num_cells
        chunk: list[int] = []
        for region in sorted(range(len(sizes)), key=sizes.__getitem__):
            num_cells = sum(sizes[r] for r in chunk) + sizes[region]
            if chunk and (len(chunk) == max_regions or num_cells > CHUNK_CELLS):
                yield sorted(chunk)
                chunk = []
            chunk.append(region)
        if chunk:
            yield sorted(chunk)

    def first_layer(self, regions: Sequence[int]) -> Callable[[Tensor], Tensor]:
        """Prepare some of the regions.

        Args:
            regions: their numbers, ascending.

        Returns:
            (R, P, 2) points in [0, 1] of their boxes -> (R * P, D), bias included.
        """
        images = [self._images[region] for region in regions]
        numbers = torch.tensor(regions).to(self._boxes_px.device, non_blocking=True)
        num_points = len(regions) * self._points_per_region
        maps = zip(self._maps, self._inputs.strides, strict=True)
        tables = []
        for (feature, windows, weight), stride in maps:
            if windows is None:
                table = RegionWindows.whole(feature, stride, images)
            else:
                chosen = [windows[region] for region in regions]
                table = RegionWindows.cut(feature, stride, images, chosen)
                if weight is not None and len(table.rows) < num_points:
                    table.rows = at_least_float32(linear(table.rows, weight))
                    weight = None
            tables.append((table, weight))
        return partial(_first_layer, tables, self._layers.biases[0], self._boxes_px[numbers])

    def _lay_out(
        self, feature: Tensor, stride: float, weight: Tensor
    ) -> tuple[Tensor, list[Window] | None, Tensor | None]:
        """Return a map, the windows to cut from it or None, and the weight still to apply."""
        num_images, _, height, width = feature.shape
        num_cells = num_images * height * width
        has_rows = feature.is_contiguous(memory_format=torch.channels_last)
        if runs_cpu_form(feature.device) and not has_rows:
            boxes = self._boxes_px.tolist()
            windows = [region_window(box, stride, (height, width)) for box in boxes]
            if sum(w.num_cells for w in windows) <= _WHOLE_MAP_FACTOR * num_cells:
                return feature, windows, weight
        if num_cells < len(self._images) * self._points_per_region:
            return _project(feature, weight), None, None
        # laid out already here, or each chunk of regions would do it for itself
        rows = rows_of_planes(feature).view(num_images, height, width, -1)
        return rows.permute(0, 3, 1, 2), None, weight


def _first_layer(
    tables: Sequence[tuple[RegionWindows, Tensor | None]],
    bias: Tensor,
    boxes_px: Tensor,
    coords_box: Tensor,
) -> Tensor:
    coords_px = box_to_px(coords_box, boxes_px)
    parts = []
    for table, weight in tables:
        values = read_taps(table.rows, *table.taps(coords_px))
        parts.append(values if weight is None else linear(values, weight))
    return reduce(Tensor.add_, parts).add_(bias)


def _project(feature: Tensor, weight: Tensor) -> Tensor:
    """Apply a layer to every cell: (N, C, H, W) to (N, D, H, W) in ``channels_last``.

    The result has at least 32 bits: its rows are interpolated.
    """
    num_images, _, height, width = feature.shape
    cells = feature.flatten(2)  # (N, C, H * W)
    rows = weight.new_empty(num_images, height * width, len(weight), dtype=wide_dtype(weight))
    for image in range(num_images):
        # band by band: no second copy of the whole map
        for first in range(0, height * width, _BAND_CELLS):
            band = cells[image, :, first : first + _BAND_CELLS].t().contiguous()
            rows[image, first : first + _BAND_CELLS] = linear(band, weight)
    return rows.view(num_images, height, width, -1).permute(0, 3, 1, 2)
