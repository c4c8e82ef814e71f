"""Overlays of maps that give every pixel one id: classes, or panoptic segments."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from pointrend_ext.visualization.canvas import (
    blend,
    check_alpha,
    check_image,
    check_mask_size,
    default_cap_height,
    default_contour_px,
)
from pointrend_ext.visualization.colors import colors_of
from pointrend_ext.visualization.labels import Plate, paint_plate, place_inside


def draw_segments(
    image_rgb: np.ndarray,
    ids: np.ndarray,
    *,
    names: Mapping[int, str] | None = None,
    colors: Mapping[int, Sequence[int]] | None = None,
    void_id: int | None = None,
    alpha: float = 0.5,
    contour_px: float | None = None,
    text_px: float | None = None,
) -> np.ndarray:
    """Draw a map of ids over an image; neither input is changed.

    A pixel is ``round((1 - alpha) * image + alpha * color)``; along the border between two ids both
    sides have their full colours.

    Args:
        image_rgb: (H, W, 3) uint8.
        ids: (H, W) integers, 0 or more.
        names: what is written into the regions of an id; ids without a name get none.
        colors: RGB by id; ids without one take that of ``distinct_colors``.
        void_id: pixels of this id stay as they are.
        alpha: opacity in [0, 1].
        contour_px: full width of the borders in pixels, half of it on either side, 0 for none; None
            follows the image size.
        text_px: height of capital letters in pixels; None follows the image size.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: sizes disagree, an id is negative, or alpha is out of its range.
    """
    check_image(image_rgb, "draw_segments")
    check_mask_size(image_rgb, ids.shape, "draw_segments")
    check_alpha(alpha, "draw_segments")
    areas = np.bincount(ids.ravel())
    present = np.flatnonzero(areas)
    palette = np.zeros((len(areas), 3), dtype=np.uint8)
    for number, color in zip(present.tolist(), colors_of(present), strict=True):
        palette[number] = (colors or {}).get(number, color)
    if contour_px is None:
        contour_px = default_contour_px(*image_rgb.shape[:2])
    opacity = np.full(ids.shape, alpha, dtype=np.float32)
    opacity[_borders(ids, contour_px)] = 1
    if void_id is not None:
        opacity[ids == void_id] = 0
    canvas = image_rgb.copy()
    blend(canvas, palette[ids], opacity)
    _write_names(canvas, ids, areas, names or {}, palette, text_px)
    return canvas


def _borders(ids: np.ndarray, width_px: float) -> np.ndarray:
    """Return (H, W) bool: pixels within half the width of a pixel edge between two ids."""
    border = np.zeros(ids.shape, dtype=bool)
    if width_px <= 0:
        return border
    across, down = ids[:, 1:] != ids[:, :-1], ids[1:] != ids[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    side = max(2 * round(width_px / 2) - 1, 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(border.view(np.uint8), kernel).view(bool)


def _write_names(
    canvas: np.ndarray,
    ids: np.ndarray,
    areas: np.ndarray,
    names: Mapping[int, str],
    palette: np.ndarray,
    text_px: float | None,
) -> None:
    """Label large regions first."""
    cap_px = default_cap_height(*canvas.shape[:2]) if text_px is None else text_px
    placed: list[Plate] = []
    for number in np.argsort(-areas, kind="stable").tolist():
        if areas[number] and number in names:
            plate = place_inside(names[number], ids == number, placed, cap_height_px=cap_px)
            if plate is not None:
                placed.append(plate)
                paint_plate(canvas, plate, palette[number])
