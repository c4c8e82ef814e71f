"""From one plane per channel to one row per cell, and back."""

import torch
from torch import Tensor

from pointrend_ext.layers.device_rule import runs_cpu_form
from pointrend_ext.layers.precision import at_least_float32, wide_dtype

_SLAB = 16
"""Channels copied at a time on a CPU, a cache line of float32. All 256 planes of a map at once are
256 streams a large power of two apart, which fight for the same cache lines: three times slower."""

_PART = 2**16
"""Numbers transposed at a time on a CPU: they stay in the cache, and two threads share the work."""


def rows_of_planes(planes: Tensor) -> Tensor:
    """Lay maps out with the channels of a cell side by side.

    Args:
        planes: (N, C, H, W).

    Returns:
        (N * H * W, C), in at least 32 bits; a view where the maps are in ``channels_last``.
    """
    if planes.is_contiguous(memory_format=torch.channels_last):
        return at_least_float32(planes.permute(0, 2, 3, 1).flatten(0, 2))
    num_images, channels, height, width = planes.shape
    rows = planes.new_empty(num_images, height, width, channels, dtype=wide_dtype(planes))
    for target, source in zip(rows, planes, strict=True):
        copy_rows(target, source)
    return rows.flatten(0, 2)


def planes_of_rows(rows: Tensor) -> Tensor:
    """Lay rows out with the cells of a channel side by side.

    Args:
        rows: (Q, C).

    Returns:
        (C, Q), contiguous, a copy.
    """
    planes = rows.new_empty(rows.shape[1], rows.shape[0])
    step = max(_PART // max(rows.shape[1], 1), 1) if runs_cpu_form(rows.device) else len(rows)
    for first in range(0, len(rows), max(step, 1)):
        cells = slice(first, first + step)
        planes[:, cells].copy_(rows[cells].t())
    return planes


def copy_rows(target: Tensor, planes: Tensor) -> None:
    """Copy a map (C, H, W) into rows (H, W, C), which are filled."""
    slab = _SLAB if runs_cpu_form(planes.device) else len(planes)
    for first in range(0, len(planes), slab):
        channels = slice(first, first + slab)
        target[..., channels].copy_(planes[channels].permute(1, 2, 0))
