"""Labels and gaps of doubled logits, without the doubled logits."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers.device_rule import runs_cpu_form
from pointrend_ext.layers.fast.top_two import (
    RunningTopTwo,
    label_dtype,
    labels_and_gaps_of_planes,
)

_BAND_CELLS, _BAND_LOGITS = 2**14, 2**21
"""Cells (of four pixels each) and logits that are worked on at a time: buffers that stay in the
cache of a CPU, but planes large enough for PyTorch to share them out among two threads."""

_LARGE_BAND_LOGITS = 2**26
"""Doubled logits at a time elsewhere, 256 MiB: 19 classes at 1024 x 2048 in one go."""


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
    for rows in _bands(_BAND_LOGITS // 2 // num_classes, height, width, logits.device):
        labels[rows], gaps[rows] = labels_and_gaps_of_planes(logits[:, rows])
    return labels, gaps


def upsampled_labels_and_gaps(
    read_rows: Callable[[int, int], Tensor],
    num_classes: int,
    size_hw: Sequence[int],
    like: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return what ``labels_and_gaps`` returns for the bilinearly doubled logits.

    Of every cell of the small map come four pixels, one per *phase*: (even, odd) rows times
    columns. In either axis an even pixel is 3/4 of its cell and 1/4 of the cell before it, an odd
    one 3/4 and 1/4 of the cell behind it, edges repeated. Each phase is a plane of the small size;
    only labels and gaps are interleaved.

    Args:
        read_rows: (start, stop) -> these rows of the logits, (C, stop - start, W), in at least 32
            bits.
        num_classes: C, at least 2.
        size_hw: rows H and columns W of the logits.
        like: gives type and device of the logits; reading a row to see them would make a GPU wait.

    Returns:
        Labels and gaps, (2 H, 2 W) each.
    """
    height, width = size_hw
    if not runs_cpu_form(like.device):
        return _by_large_bands(read_rows(0, height))
    labels = like.new_empty(2 * height, 2 * width, dtype=label_dtype(num_classes))
    gaps = like.new_empty(2 * height, 2 * width)
    num_cells = min(_BAND_CELLS, _BAND_LOGITS // num_classes)
    for rows in _bands(num_cells, height, width, like.device):
        num_rows = rows.stop - rows.start
        planes = _rows_and_neighbours(read_rows, rows, height)
        top = RunningTopTwo((2, 2, num_rows, width), num_classes, like)
        phases = torch.empty_like(top.first)
        columns = like.new_empty(2, num_rows + 2, width)
        for label, plane in enumerate(planes):
            top.update(label, _phases(plane, columns, phases))
        band = slice(2 * rows.start, 2 * rows.stop)
        # (row phase, column phase, row, column) to (row, row phase, column, column phase)
        labels[band] = top.labels.permute(2, 0, 3, 1).reshape(2 * num_rows, 2 * width)
        gaps[band] = top.gap().permute(2, 0, 3, 1).reshape(2 * num_rows, 2 * width)
    return labels, gaps


def _by_large_bands(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same in few launches, of all logits (C, H, W); a band's are doubled at a time."""
    num_classes, height, width = planes.shape
    # Edges repeated, or there infinities would be multiplied by 0.
    framed = F.pad(planes[None], (1, 1, 1, 1), mode="replicate")
    step = max(_LARGE_BAND_LOGITS // (4 * num_classes * width), 1)
    parts = []
    for first in range(0, height, step):
        band = framed[:, :, first : min(first + step, height) + 2]
        doubled = F.interpolate(band, scale_factor=2, mode="bilinear", align_corners=False)
        parts.append(labels_and_gaps_of_planes(doubled[0, :, 2:-2, 2:-2]))
    labels, gaps = (torch.cat(one) for one in zip(*parts, strict=True))
    return labels.to(label_dtype(num_classes)), gaps


def _bands(num_cells: int, height: int, width: int, device: torch.device) -> list[slice]:
    """Cut a map into bands of rows, for a CPU."""
    step = max(num_cells // width, 1) if runs_cpu_form(device) else height
    return [slice(row, min(row + step, height)) for row in range(0, height, step)]


def _rows_and_neighbours(
    read_rows: Callable[[int, int], Tensor], rows: slice, height: int
) -> Tensor:
    """Read rows, the one before and the one behind them, edges repeated: (C, B + 2, W)."""
    first, last = max(rows.start - 1, 0), min(rows.stop + 1, height)
    planes = read_rows(first, last)
    if rows.start == 0:
        planes = torch.cat((planes[:, :1], planes), dim=1)
    if rows.stop == height:
        planes = torch.cat((planes, planes[:, -1:]), dim=1)
    return planes


def _phases(rows: Tensor, columns: Tensor, phases: Tensor) -> Tensor:
    """Double rows (B + 2, W), the outer two being neighbours, into ``phases`` (2, 2, B, W).

    ``columns`` (2, B + 2, W) is a buffer.
    """
    even, odd = columns
    # Sums, since torch.lerp takes differences, which of two infinities is not a number.
    quarter = rows * 0.25
    torch.add(quarter[:, :-1], rows[:, 1:], alpha=0.75, out=even[:, 1:])
    torch.add(quarter[:, 1:], rows[:, :-1], alpha=0.75, out=odd[:, :-1])
    even[:, 0], odd[:, -1] = rows[:, 0], rows[:, -1]
    quarter = columns * 0.25
    torch.add(quarter[:, :-2], columns[:, 1:-1], alpha=0.75, out=phases[0])
    torch.add(quarter[:, 2:], columns[:, 1:-1], alpha=0.75, out=phases[1])
    return phases
