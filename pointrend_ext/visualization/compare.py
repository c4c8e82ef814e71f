"""Predictions of several models side by side, on whole images and zoomed on a boundary."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from pointrend_ext.visualization.canvas import check_image, check_mask_size, default_contour_px
from pointrend_ext.visualization.colors import colors_of
from pointrend_ext.visualization.instances import draw_instances
from pointrend_ext.visualization.panels import titled_columns
from pointrend_ext.visualization.raster import Color, paint_fill, paint_stroke, rectangle
from pointrend_ext.visualization.shapes import binarize, mask_contours

_SAME_OBJECT_IOU = 0.3  # from which an object keeps its colour
_RIM = (0, 0, 0)
_ACCENT = (255, 220, 0)  # stands out on nearly every photograph
_WHITE = (255, 255, 255)


class Column(NamedTuple):
    """One column of ``compare_panel``: its heading, and what ``draw_instances`` takes."""

    title: str
    masks: np.ndarray
    boxes_px: np.ndarray | None = None
    labels: Sequence[str] | None = None


def compare_panel(image_rgb: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
    """Draw several sets of instances over the same image, side by side at equal scale.

    An object has the same colour in every column: each mask takes the colour of the mask of the
    first column that it overlaps most (IoU 0.3 at least), others continue the colour sequence.

    Args:
        image_rgb: (H, W, 3) uint8.
        columns: at least one.

    Returns:
        As ``titled_columns``.

    Raises:
        ValueError: sizes disagree.
    """
    first = columns[0].masks
    cells = [
        draw_instances(
            image_rgb,
            masks=column.masks,
            boxes_px=column.boxes_px,
            labels=column.labels,
            colors=colors_of(matching_numbers(first, column.masks)),
        )
        for column in columns
    ]
    return titled_columns([column.title for column in columns], cells)


def zoom_panel(
    image_rgb: np.ndarray,
    columns: Sequence[tuple[str, np.ndarray | None]],
    window_xyxy: Sequence[int],
    scale: int = 8,
    *,
    reference: np.ndarray | None = None,
    colors: np.ndarray | Sequence[Color] | None = None,
    alpha: float = 0.0,
    contour_px: float | None = None,
    smooth: bool = True,
    title_px: int | None = None,
    gap_px: int = 6,
) -> np.ndarray:
    """Enlarge one window of the image and draw each mask's contour over it, side by side.

    Args:
        image_rgb: (H, W, 3) uint8.
        columns: (title, (H, W) mask as in ``binarize`` or None for the bare image) each.
        window_xyxy: left, top, right, bottom in whole pixels, inside the image.
        scale: output pixels per image pixel.
        reference: (H, W) mask drawn as a thinner white line below every contour, for instance the
            ground truth.
        colors: (n, 3) RGB, one per column; None draws all in yellow.
        alpha: opacity of a fill, 0 for none.
        contour_px: width of the contour in output pixels; None follows the cell size.
        smooth: interpolate the image; False shows its pixels.
        title_px: height of the title bars in output pixels, 0 for none; None follows the size.
        gap_px: distance between columns in output pixels.

    Returns:
        (title_px + scale * h, n * scale * w + (n - 1) * gap_px, 3) uint8, RGB, for a window of h x
        w pixels.

    Raises:
        ValueError: sizes disagree, or the window is not inside the image.
    """
    x0, y0, x1, y1 = (int(v) for v in window_xyxy)
    background = _enlarged(image_rgb, (x0, y0, x1, y1), scale, smooth)
    if contour_px is None:
        contour_px = 1.7 * default_contour_px(*background.shape[:2])

    def outline(mask: np.ndarray) -> list[np.ndarray]:
        check_mask_size(image_rgb, np.shape(mask), "zoom_panel")
        return [scale * (polygon - (x0, y0)) for polygon in mask_contours(mask)]

    if reference is not None:
        _paint_outlined(background, outline(reference), _WHITE, 0.6 * contour_px)
    colors = [_ACCENT] * len(columns) if colors is None else colors
    cells = []
    for (_, mask), color in zip(columns, colors, strict=True):
        cells.append(background.copy())
        if mask is not None:
            polygons = outline(mask)
            paint_fill(cells[-1], polygons, color, alpha)
            _paint_outlined(cells[-1], polygons, color, contour_px)
    return titled_columns([title for title, _ in columns], cells, bar_px=title_px, gap_px=gap_px)


def _enlarged(
    image_rgb: np.ndarray, window_xyxy: tuple[int, int, int, int], scale: int, smooth: bool
) -> np.ndarray:
    """Cut out a window, which must lie inside the image, and enlarge it."""
    check_image(image_rgb, "zoom_panel")
    (x0, y0, x1, y1), (height, width) = window_xyxy, image_rgb.shape[:2]
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(
            f"zoom_panel: the window {window_xyxy} (left, top, right, bottom) does not lie "
            f"inside the image of {height} x {width} (height x width)."
        )
    how = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    part = image_rgb[y0:y1, x0:x1]
    return cv2.resize(part, (scale * (x1 - x0), scale * (y1 - y0)), interpolation=how)


def mark_window(
    image_rgb: np.ndarray, window_xyxy: Sequence[int], *, width_px: float | None = None
) -> np.ndarray:
    """Frame a window in white in a copy of (H, W, 3) uint8, to show where a zoom was taken.

    Args:
        image_rgb: the picture.
        window_xyxy: left, top, right, bottom in pixels.
        width_px: width of the line; None follows the picture's size.
    """
    width = default_contour_px(*image_rgb.shape[:2]) if width_px is None else width_px
    canvas = image_rgb.copy()
    _paint_outlined(canvas, [rectangle(window_xyxy)], _WHITE, width)
    return canvas


def matching_numbers(first: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return numbers (S,) of masks so that objects seen in another set keep that set's numbers.

    Pairs are made greedily by descending IoU; masks without partner get R, R+1, ...

    Args:
        first: (R, H, W) masks, numbered 0 to R-1.
        masks: (S, H, W) masks.
    """
    a, b = (binarize(m).reshape(len(m), -1 if len(m) else 0) for m in (first, masks))
    numbers = np.full(len(b), -1, dtype=np.int64)
    if len(a) and len(b):
        shared = a.astype(np.float32) @ b.T.astype(np.float32)
        union = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - shared
        rows, columns = greedy_pairs(shared / np.maximum(union, 1))
        numbers[columns] = rows
    left_over = np.flatnonzero(numbers < 0)
    numbers[left_over] = len(a) + np.arange(len(left_over))
    return numbers


def greedy_pairs(iou: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (P,) and columns (P,) of the same objects in two sets, given their IoU (R, S).

    Pairs are made by descending IoU, as long as it suffices; each object is in one at most.
    """
    pairs: dict[int, int] = {}
    for pair in np.argsort(-iou, axis=None, kind="stable").tolist():
        i, j = divmod(pair, iou.shape[1])
        if iou[i, j] < _SAME_OBJECT_IOU:
            break
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return np.array(list(pairs), np.int64), np.array(list(pairs.values()), np.int64)


def _paint_outlined(
    canvas: np.ndarray, polygons: Sequence[np.ndarray], color: Color, width_px: float
) -> None:
    """Draw a line with a dark rim of a quarter of its width, visible on any background."""
    paint_stroke(canvas, polygons, _RIM, 1.5 * width_px)
    paint_stroke(canvas, polygons, color, width_px)
