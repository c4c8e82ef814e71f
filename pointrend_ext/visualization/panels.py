"""Joining pictures: title bars, columns and rows of exact sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pointrend_ext.visualization.labels import ascii_text
from pointrend_ext.visualization.raster import paint_text, text_width

PAPER = (255, 255, 255)
INK = (24, 24, 27)
_WIDEST = 0.94  # share of a column that its title may take


def title_bar_px(cell_height: int, cell_width: int) -> int:
    """Return the height of a title bar, in pixels, that suits cells of this size."""
    return int(np.clip(round(min(0.065 * cell_width, 0.25 * cell_height)), 14, 200))


def titled_columns(
    titles: Sequence[str], cells: Sequence[np.ndarray], *, bar_px: int | None, gap_px: int
) -> np.ndarray:
    """Put pictures of equal size side by side, each below its title.

    Args:
        titles: one per cell, centred; a title too wide for its column is written smaller, all
            titles alike.
        cells: (h, w, 3) uint8 each.
        bar_px: height of the title bars, 0 for none; None follows the cell size.
        gap_px: distance between columns.

    Returns:
        (bar_px + h, n * w + (n - 1) * gap_px, 3) uint8.
    """
    height, width = cells[0].shape[:2]
    bar = title_bar_px(height, width) if bar_px is None else bar_px
    panel = np.full((bar + height, len(cells) * (width + gap_px) - gap_px, 3), PAPER, np.uint8)
    titles = [ascii_text(title) for title in titles]
    cap = 0.42 * bar
    widest = max((text_width(title, cap) for title in titles), default=0.0)
    cap *= min(1.0, _WIDEST * width / max(widest, 1e-6))
    for i, (title, cell) in enumerate(zip(titles, cells, strict=True)):
        left = i * (width + gap_px)
        panel[bar:, left : left + width] = cell
        if title and cap >= 2:
            x = left + (width - text_width(title, cap)) / 2
            paint_text(panel, title, (x, (bar + cap) / 2), cap, np.array(INK))
    return panel


def stack_rows(
    rows: Sequence[np.ndarray], *, gap_px: int = 8, background: tuple[int, int, int] = PAPER
) -> np.ndarray:
    """Put pictures one below the other, narrower ones centred.

    Args:
        rows: (h_i, w_i, 3) uint8 each, at least one.
        gap_px: distance between rows in pixels.
        background: RGB of gaps and margins.

    Returns:
        (sum of h_i + (n - 1) * gap_px, largest w_i, 3) uint8.

    Raises:
        ValueError: ``rows`` is empty.
    """
    if len(rows) == 0:
        raise ValueError("stack_rows: got no rows; give at least one picture.")
    width = max(row.shape[1] for row in rows)
    height = sum(row.shape[0] for row in rows) + (len(rows) - 1) * gap_px
    page = np.full((height, width, 3), background, dtype=np.uint8)
    top = 0
    for row in rows:
        left = (width - row.shape[1]) // 2
        page[top : top + row.shape[0], left : left + row.shape[1]] = row
        top += row.shape[0] + gap_px
    return page
