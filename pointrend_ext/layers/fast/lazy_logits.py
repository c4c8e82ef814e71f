"""Logits of a map that was doubled and corrected, computed where they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers.fast.rows import rows_of_planes
from pointrend_ext.layers.fast.taps import distinct_cells, read_taps, tap_cells, tap_weights


@dataclass
class _Level:
    """One doubling, and what was written after it."""

    size_hw: Sequence[int]
    pixels: Tensor  # (P,) flat numbers, ascending
    logits: Tensor  # (P, C)


class LazyLogits:
    """A dense map, and what has happened to it since: doublings and written pixels."""

    def __init__(self, logits: Tensor, table: Tensor | None = None) -> None:
        """Start from a dense map.

        Args:
            logits: (C, H, W).
            table: the same with one row per pixel, (H * W, C), if there is one already.
        """
        self._base, self._table = logits, table
        self._levels: list[_Level] = []

    def double(self) -> None:
        """Double the resolution by bilinear interpolation, without doing it."""
        height, width = self.size_hw
        no_pixels = torch.zeros(0, dtype=torch.int64, device=self._base.device)
        no_logits = self._base.new_empty(0, len(self._base))
        self._levels.append(_Level((2 * height, 2 * width), no_pixels, no_logits))

    def write(self, pixels: Tensor, logits: Tensor) -> None:
        """Replace pixels, ascending flat numbers (P,), with (P, C); once per doubling."""
        self._levels[-1].pixels, self._levels[-1].logits = pixels, logits.contiguous()

    @property
    def size_hw(self) -> Sequence[int]:
        """Rows and columns of the map."""
        return self._levels[-1].size_hw if self._levels else self._base.shape[1:]

    def rows(self, start: int, stop: int) -> Tensor:
        """Compute some rows of pixels.

        Args:
            start: the first.
            stop: one behind the last, at most the number of rows there are.

        Returns:
            (C, stop - start, W); of the dense map itself a view.
        """
        return self._rows(len(self._levels), start, stop)

    def _rows(self, number: int, start: int, stop: int) -> Tensor:
        """Compute rows after ``number`` doublings."""
        if number == 0:
            return self._base[:, start:stop]
        level = self._levels[number - 1]
        height, width = level.size_hw
        # One row more on either side, whose own doubling is cut away: it sees a false edge.
        first, last = max(start // 2 - 1, 0), min((stop - 1) // 2 + 2, height // 2)
        source = self._rows(number - 1, first, last)
        doubled = F.interpolate(source[None], scale_factor=2, mode="bilinear", align_corners=False)
        doubled = doubled[0, :, start - 2 * first : stop - 2 * first]
        pixels, logits = level.pixels, level.logits
        if (start, stop) != (0, height):
            bounds = pixels.new_tensor([start * width, stop * width])
            begin, end = torch.searchsorted(pixels, bounds).tolist()
            pixels, logits = pixels[begin:end], logits[begin:end]
        rows = torch.div(pixels, width, rounding_mode="floor") - start
        doubled[:, rows, pixels % width] = logits.t()
        return doubled

    def read(self, pixels: Tensor) -> Tensor:
        """Compute pixels, by their flat numbers (Q,): (Q, C)."""
        return self._read(len(self._levels) - 1, pixels)

    def _read(self, number: int, pixels: Tensor) -> Tensor:
        level = self._levels[number]
        height, width = level.size_hw
        rows, weights_y = _sources(torch.div(pixels, width, rounding_mode="floor"), height // 2)
        columns, weights_x = _sources(pixels % width, width // 2)
        cells = tap_cells(columns, rows, width // 2)  # (Q, 4)
        weights = tap_weights(weights_x, weights_y)
        if number == 0:
            if self._table is None:
                self._table = rows_of_planes(self._base[None])
            table = self._table
        else:
            distinct, cells = distinct_cells(cells, (height // 2) * (width // 2))
            table = self._read(number - 1, distinct)
        logits = read_taps(table, cells, weights.to(table.dtype))
        if not len(level.pixels):
            return logits
        slots = torch.full((height * width,), -1, device=pixels.device)
        slots[level.pixels] = torch.arange(len(level.pixels), device=pixels.device)
        slots = slots[pixels]
        was_written = (slots >= 0).nonzero().flatten()
        logits[was_written] = level.logits[slots[was_written]]
        return logits


def _sources(index: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Sources (Q, 2) of pixels (Q,) of an axis of ``count`` cells, doubled; and their weights."""
    first = torch.div(index - 1, 2, rounding_mode="floor")
    weight = 0.25 + 0.5 * (index % 2).float()  # of the first: 3/4 for odd ones
    cells = torch.stack((first, first + 1), dim=1).clamp_(0, count - 1)
    return cells, torch.stack((weight, 1 - weight), dim=1)
