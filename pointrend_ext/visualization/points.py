"""Pictures of points: the steps of a subdivision, and where a training looks.

Points are (x, y) in [0, 1] of the picture; the frame of pixels is that of ``shapes``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from pointrend_ext.visualization.layers import Layer, paint_layer
from pointrend_ext.visualization.panels import INK, stack_rows, titled_columns

_SHIFT = 4  # fractional bits of OpenCV coordinates
IMPORTANCE_COLOR = (255, 200, 0)
COVERAGE_COLOR = (0, 190, 255)


class StepPicture(NamedTuple):
    """One step of a subdivision.

    Attributes:
        before: the map after doubling.
        points: (P, 2) centres of the cells to correct.
        scores: (P,) their uncertainty, larger is more uncertain.
        after: the map after the correction.
    """

    before: Layer
    points: np.ndarray
    scores: np.ndarray
    after: Layer


def uncertainty_colors(scores: np.ndarray) -> np.ndarray:
    """Return (P, 3) uint8, RGB: the lowest of the scores (P,) dark violet, the highest yellow."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.size == 0:
        return np.zeros((0, 3), np.uint8)
    span = scores.max() - scores.min()
    level = np.rint(255 * (scores - scores.min()) / span) if span > 0 else 0 * scores + 255
    column = level.astype(np.uint8)[:, None]  # a vector alone is a row since OpenCV 5
    return cv2.applyColorMap(column, cv2.COLORMAP_PLASMA)[:, 0, ::-1]


def draw_points(
    image_rgb: np.ndarray,
    points: np.ndarray,
    colors: np.ndarray | Sequence[int],
    *,
    radius_px: float,
    rim_px: float = 0.6,
) -> np.ndarray:
    """Draw points as small discs with a dark rim, later ones over earlier ones.

    Args:
        image_rgb: (H, W, 3) uint8, not changed.
        points: (P, 2) in [0, 1] of the image.
        colors: (P, 3) or (3,) uint8, RGB.
        radius_px: of the discs, in pixels, rim not included.
        rim_px: width of the rim.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    canvas = image_rgb.copy()
    height, width = canvas.shape[:2]
    colors = np.broadcast_to(np.asarray(colors, np.uint8), (len(points), 3))
    # OpenCV's whole coordinates are pixel centres.
    fixed = np.rint((points * (width, height) - 0.5) * 2**_SHIFT).astype(int)
    outer, inner = (round(r * 2**_SHIFT) for r in (radius_px + rim_px, radius_px))
    for center, color in zip(fixed.tolist(), colors.tolist(), strict=True):
        if rim_px > 0:
            cv2.circle(canvas, center, outer, INK, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(canvas, center, inner, color, -1, cv2.LINE_AA, _SHIFT)
    return canvas


def subdivision_strip(
    image_rgb: np.ndarray, start: Layer, steps: Sequence[StepPicture]
) -> np.ndarray:
    """Show a subdivision from left to right.

    In the upper row the map after each doubling with the points that are chosen, yellow where the
    prediction is most uncertain; in the lower row the map after their correction. The first column
    has the image and the map to start from.

    Args:
        image_rgb: (H, W, 3) uint8, what the maps cover, in the size to draw it.
        start: the coarse map.
        steps: in their order.

    Returns:
        (h, w, 3) uint8, RGB.
    """
    upper, lower, titles = [image_rgb], [paint_layer(image_rgb, start)], [_size_text(start)]
    for step in steps:
        upper.append(_with_points(image_rgb, step))
        lower.append(paint_layer(image_rgb, step.after))
        titles.append(f"{_size_text(step.after)}, {len(step.points)} points")
    below = [titles[0], *("corrected" for _ in steps)]
    rows = [titled_columns(["image", *titles[1:]], upper), titled_columns(below, lower)]
    return stack_rows(rows, gap_px=6)


def subdivision_frames(
    image_rgb: np.ndarray, start: Layer, steps: Sequence[StepPicture]
) -> list[np.ndarray]:
    """Show a subdivision as an animation: per step the doubled map, its points, the correction.

    Returns:
        1 + 3 * steps pictures of one size, (h, w, 3) uint8, RGB, of what the strip shows.
    """
    frames = [(f"{_size_text(start)}: coarse", paint_layer(image_rgb, start))]
    for step in steps:
        size = _size_text(step.after)
        frames += [
            (f"{size}: doubled", paint_layer(image_rgb, step.before)),
            (f"{size}: {len(step.points)} points", _with_points(image_rgb, step)),
            (f"{size}: corrected", paint_layer(image_rgb, step.after)),
        ]
    return [titled_columns([title], [cell]) for title, cell in frames]


def draw_training_points(
    image_rgb: np.ndarray, importance: np.ndarray, coverage: np.ndarray
) -> np.ndarray:
    """Show the points of a training step, (P, 2) and (Q, 2) in [0, 1], over (H, W, 3) uint8, RGB.

    Those drawn uniformly are blue, those chosen because they are uncertain yellow over them.
    """
    covered = draw_points(image_rgb, coverage, COVERAGE_COLOR, radius_px=2.5)
    return draw_points(covered, importance, IMPORTANCE_COLOR, radius_px=2.5)


def _with_points(image_rgb: np.ndarray, step: StepPicture) -> np.ndarray:
    """Draw the chosen cells as discs that just fit into them, the most uncertain ones on top."""
    order = np.argsort(step.scores, kind="stable")
    rows, columns = step.before.opacity.shape
    cell_px = min(image_rgb.shape[0] / rows, image_rgb.shape[1] / columns)
    return draw_points(
        paint_layer(image_rgb, step.before),
        step.points[order],
        uncertainty_colors(step.scores)[order],
        radius_px=float(np.clip(0.35 * cell_px, 1.2, 5.0)),
        rim_px=0.6 if cell_px >= 6 else 0.0,
    )


def _size_text(layer: Layer) -> str:
    rows, columns = layer.opacity.shape
    return f"{rows} x {columns}"
