"""Labels and gaps of doubled logits, without the doubled logits."""

from __future__ import annotations

import torch
from torch import Tensor

from pointrend_ext.layers.top_two import RunningTopTwo, label_dtype

__all__ = ["labels_and_gaps", "upsampled_labels_and_gaps"]

_BAND_CELLS = 16 * 1024
"""Cells of the small map that are worked on at a time: their buffers stay in the cache."""


def labels_and_gaps(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the class of the largest logit, and by how much it is the largest.

    Args:
        logits: (C, H, W), C at least 2, in at least 32 bits.

    Returns:
        labels: (H, W), see ``label_dtype``; of equal logits the lower class.
        gaps: (H, W), at least 0; 0 where they are not numbers.
    """
    num_classes, height, width = logits.shape
    labels = torch.empty((height, width), dtype=label_dtype(num_classes), device=logits.device)
    gaps = logits.new_empty(height, width)
    for rows in _bands(height, width):
        band = logits[:, rows]
        top = RunningTopTwo(band.shape[1:], num_classes, logits)
        for label, plane in enumerate(band):
            top.update(label, plane)
        labels[rows], gaps[rows] = top.labels, top.gap()
    return labels, gaps


def upsampled_labels_and_gaps(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return what ``labels_and_gaps`` returns for the bilinearly doubled logits.

    Of every cell of the small map come four pixels, one per *phase*: (even, odd) rows times
    columns. In either axis an even pixel is 3/4 of its cell and 1/4 of the cell before it, an odd
    one 3/4 and 1/4 of the cell behind it, edges repeated. Each phase is a plane of the small size;
    only labels and gaps are interleaved.

    Args:
        logits: (C, H, W), C at least 2, in at least 32 bits.

    Returns:
        Labels and gaps, (2 H, 2 W) each.
    """
    num_classes, height, width = logits.shape
    labels = torch.empty((2 * height, 2 * width), dtype=label_dtype(num_classes)).to(logits.device)
    gaps = logits.new_empty(2 * height, 2 * width)
    for rows in _bands(height, width):
        num_rows = rows.stop - rows.start
        top = RunningTopTwo((2, 2, num_rows, width), num_classes, logits)
        phases = torch.empty_like(top.first)
        columns = logits.new_empty(2, num_rows + 2, width)
        for label, plane in enumerate(logits):
            top.update(label, _phases(_with_neighbours(plane, rows), columns, phases))
        band = slice(2 * rows.start, 2 * rows.stop)
        # (row phase, column phase, row, column) to (row, row phase, column, column phase)
        labels[band] = top.labels.permute(2, 0, 3, 1).reshape(2 * num_rows, 2 * width)
        gaps[band] = top.gap().permute(2, 0, 3, 1).reshape(2 * num_rows, 2 * width)
    return labels, gaps


def _bands(height: int, width: int) -> list[slice]:
    step = max(_BAND_CELLS // width, 1)
    return [slice(row, min(row + step, height)) for row in range(0, height, step)]


def _with_neighbours(plane: Tensor, rows: slice) -> Tensor:
    """Return some rows of a plane and the rows before and behind them, edges repeated."""
    above = plane[max(rows.start - 1, 0)][None]
    below = plane[min(rows.stop, len(plane) - 1)][None]
    return torch.cat((above, plane[rows], below))


def _phases(rows: Tensor, columns: Tensor, phases: Tensor) -> Tensor:
    """Double rows in both axes.

    Args:
        rows: (B + 2, W), the first and the last as neighbours alone.
        columns: (2, B + 2, W), a buffer.
        phases: (2, 2, B, W), filled.

    Returns:
        ``phases``.
    """
    even, odd = columns
    torch.lerp(rows[:, 1:], rows[:, :-1], 0.25, out=even[:, 1:])
    torch.lerp(rows[:, :-1], rows[:, 1:], 0.25, out=odd[:, :-1])
    even[:, 0], odd[:, -1] = rows[:, 0], rows[:, -1]
    torch.lerp(columns[:, 1:-1], columns[:, :-2], 0.25, out=phases[0])
    torch.lerp(columns[:, 1:-1], columns[:, 2:], 0.25, out=phases[1])
    return phases
