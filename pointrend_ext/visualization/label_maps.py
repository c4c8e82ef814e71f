"""Label maps over an image."""

from __future__ import annotations

import cv2
import numpy as np

from pointrend_ext.visualization.colors import distinct_colors

__all__ = ["draw_label_map"]


def draw_label_map(
    image_rgb: np.ndarray,
    labels: np.ndarray,
    colors: np.ndarray | None = None,
    *,
    alpha: float = 0.6,
    scale: int = 1,
) -> np.ndarray:
    """Tint every pixel in the colour of its class.

    Args:
        image_rgb: (H, W, 3) uint8.
        labels: (H, W) class ids; one without a colour, such as an ignore value, leaves the pixel as
            it is.
        colors: (C, 3) uint8, RGB; distinct ones otherwise.
        alpha: share of the colour, in [0, 1].
        scale: enlarges pixels to squares of this side.

    Returns:
        (scale * H, scale * W, 3) uint8.

    Raises:
        ValueError: labels of another size than the image.
    """
    if labels.shape != image_rgb.shape[:2]:
        raise ValueError(
            f"draw_label_map got labels of {labels.shape} for an image of {image_rgb.shape[:2]} "
            "(height x width); both must be equal."
        )
    labels = labels.astype(np.int64)
    if colors is None:
        colors = distinct_colors(int(labels.max(initial=0)) + 1)
    has_color = (labels >= 0) & (labels < len(colors))
    tint = colors[np.where(has_color, labels, 0)]
    mixed = np.rint((1 - alpha) * image_rgb + alpha * tint).astype(np.uint8)
    drawn = np.where(has_color[..., None], mixed, image_rgb)
    if scale == 1:
        return drawn
    return cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
