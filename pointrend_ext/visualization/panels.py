"""Joining pictures: title bars, columns and rows of exact sizes."""

from collections.abc import Sequence

import numpy as np

from pointrend_ext.visualization.labels import ascii_text
from pointrend_ext.visualization.raster import paint_text, text_width

PAPER = (255, 255, 255)
INK = (24, 24, 27)
_WIDEST = 0.94  # share of a column that its title may take


def titled_columns(
    titles: Sequence[str],
    cells: Sequence[np.ndarray],
    *,
    bar_px: int | None = None,
    gap_px: int = 6,
) -> np.ndarray:
    """Put pictures of equal size side by side, each below its title.

    Args:
        titles: one per cell, centred; a title too wide for its column is written smaller, all
            titles alike.
        cells: (h, w, 3) uint8 each, at least one.
        bar_px: height of the title bars, 0 for none; None follows the cell size.
        gap_px: distance between columns.

    Returns:
        (bar_px + h, n * w + (n - 1) * gap_px, 3) uint8.
    """
    height, width = cells[0].shape[:2]
    if bar_px is None:
        bar_px = int(np.clip(round(min(0.065 * width, 0.25 * height)), 14, 200))
    panel = np.full((bar_px + height, len(cells) * (width + gap_px) - gap_px, 3), PAPER, np.uint8)
    titles = [ascii_text(title) for title in titles]
    cap = 0.42 * bar_px
    if cap and any(titles):
        cap *= min(1.0, _WIDEST * width / max(text_width(title, cap) for title in titles))
    for i, (title, cell) in enumerate(zip(titles, cells, strict=True)):
        left = i * (width + gap_px)
        panel[bar_px:, left : left + width] = cell
        if title and cap >= 2:
            x = left + (width - text_width(title, cap)) / 2
            paint_text(panel, title, (x, (bar_px + cap) / 2), cap, INK)
    return panel


def stack_rows(rows: Sequence[np.ndarray], *, gap_px: int = 8) -> np.ndarray:
    """Put pictures one below the other on white, narrower ones centred.

    Args:
        rows: (h_i, w_i, 3) uint8 each, at least one.
        gap_px: distance between rows in pixels.

    Returns:
        (sum of h_i + (n - 1) * gap_px, largest w_i, 3) uint8.
    """
    width = max(row.shape[1] for row in rows)
    height = sum(row.shape[0] + gap_px for row in rows) - gap_px
    page = np.full((height, width, 3), PAPER, dtype=np.uint8)
    top = 0
    for row in rows:
        left = (width - row.shape[1]) // 2
        page[top : top + row.shape[0], left : left + row.shape[1]] = row
        top += row.shape[0] + gap_px
    return page
