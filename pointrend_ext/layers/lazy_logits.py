"""Logits of a map that was doubled and corrected, computed where they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers.taps import read_taps, tap_cells

__all__ = ["LazyLogits"]


@dataclass
class _Level:
    """One doubling.

    Attributes:
        size_hw: rows and columns after it.
        pixels: (P,) flat numbers of those that were written into it.
        logits: (P, C), what was written.
    """

    size_hw: tuple[int, int]
    pixels: Tensor
    logits: Tensor


class LazyLogits:
    """A dense map, and what has happened to it since: doublings and written pixels."""

    def __init__(self, logits: Tensor) -> None:
        """Start from a dense map.

        Args:
            logits: (C, H, W).
        """
        self._base, self._levels = logits, []
        self._table: Tensor | None = None  # the base, (H * W, C)

    def double(self) -> None:
        """Double the resolution by bilinear interpolation, without doing it."""
        height, width = self._levels[-1].size_hw if self._levels else self._base.shape[1:]
        nothing = torch.zeros(0, dtype=torch.int64, device=self._base.device)
        self._levels.append(
            _Level((2 * height, 2 * width), nothing, self._base.new_empty(0, len(self._base)))
        )

    def write(self, pixels: Tensor, logits: Tensor) -> None:
        """Replace pixels, once per doubling.

        Args:
            pixels: (P,) flat numbers.
            logits: (P, C).
        """
        self._levels[-1].pixels, self._levels[-1].logits = pixels, logits.contiguous()

    def dense(self) -> Tensor:
        """Compute all pixels, (C, H, W), and start anew from them."""
        for level in self._levels:
            self._base = F.interpolate(
                self._base[None], scale_factor=2, mode="bilinear", align_corners=False
            )[0]
            self._base.view(len(self._base), -1)[:, level.pixels] = level.logits.t()
            self._table = None
        self._levels = []
        return self._base

    def read(self, pixels: Tensor) -> Tensor:
        """Compute some pixels.

        Args:
            pixels: (Q,) flat numbers.

        Returns:
            (Q, C).
        """
        return self._read(len(self._levels) - 1, pixels)

    def _read(self, number: int, pixels: Tensor) -> Tensor:
        level = self._levels[number]
        height, width = level.size_hw
        rows, weights_y = _sources(torch.div(pixels, width, rounding_mode="floor"), height // 2)
        columns, weights_x = _sources(pixels % width, width // 2)
        cells = tap_cells(columns, rows, width // 2)  # (Q, 4)
        weights = (weights_y.unsqueeze(2) * weights_x.unsqueeze(1)).flatten(1)
        if number == 0:
            if self._table is None:
                self._table = self._base.flatten(1).t().contiguous()
            table = self._table
        else:
            table, cells = self._read_once(number - 1, cells, (height // 2) * (width // 2))
        logits = read_taps(table, cells, weights.to(table.dtype))
        return self._with_written(level, pixels, logits)

    def _read_once(self, number: int, cells: Tensor, num_cells: int) -> tuple[Tensor, Tensor]:
        """Compute each of the named pixels of a level once.

        Returns:
            Their logits (U, C), and ``cells`` as row numbers of them.
        """
        is_named = torch.zeros(num_cells, dtype=torch.bool, device=cells.device)
        is_named[cells.flatten()] = True
        named = is_named.nonzero().flatten()
        row_of = torch.empty(num_cells, dtype=torch.int64, device=cells.device)
        row_of[named] = torch.arange(len(named), device=cells.device)
        return self._read(number, named), row_of[cells]

    @staticmethod
    def _with_written(level: _Level, pixels: Tensor, logits: Tensor) -> Tensor:
        if not len(level.pixels):
            return logits
        slots = torch.full((level.size_hw[0] * level.size_hw[1],), -1, device=pixels.device)
        slots[level.pixels] = torch.arange(len(level.pixels), device=pixels.device)
        slots = slots[pixels]
        was_written = (slots >= 0).nonzero().flatten()
        logits[was_written] = level.logits[slots[was_written]]
        return logits


def _sources(index: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the two source cells of a doubled axis, edges repeated, and their weights.

    Args:
        index: (Q,) in [0, 2 * count).
        count: cells before doubling.

    Returns:
        (Q, 2) integers and (Q, 2) weights.
    """
    first = torch.div(index - 1, 2, rounding_mode="floor")
    is_odd = (index % 2).double()
    weight = 0.25 + 0.5 * is_odd  # of the first: 3/4 for odd ones
    cells = torch.stack((first, first + 1), dim=1).clamp_(0, count - 1)
    return cells, torch.stack((weight, 1 - weight), dim=1)
