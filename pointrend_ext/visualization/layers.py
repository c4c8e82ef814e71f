"""Coarse maps laid over an image, cell by cell."""

from typing import NamedTuple

import numpy as np

from pointrend_ext.visualization.canvas import blend, check_image, check_mask_size

_MASK_COLOR = (40, 130, 255)


class Layer(NamedTuple):
    """A coarse picture that is laid over an image, cell by cell.

    Attributes:
        colors: (h, w, 3) uint8, RGB.
        opacity: (h, w) in [0, 1].
    """

    colors: np.ndarray
    opacity: np.ndarray


def probability_layer(probability: np.ndarray) -> Layer:
    """Show a mask, (h, w) in [0, 1], in blue, the more opaque the more probable."""
    return Layer(np.full((*probability.shape, 3), _MASK_COLOR, np.uint8), 0.75 * probability)


def label_layer(labels: np.ndarray, palette: np.ndarray) -> Layer:
    """Show (h, w) integers in the colours (C, 3) uint8 of their classes, others not at all."""
    known = (labels >= 0) & (labels < len(palette))
    return Layer(palette[np.where(known, labels, 0)], 0.6 * known)


def paint_layer(image_rgb: np.ndarray, layer: Layer) -> np.ndarray:
    """Lay a layer over an image (H, W, 3) uint8, every cell a plain rectangle.

    The layer may have any size: its outer edges are those of the image, which is not changed.
    """
    check_image(image_rgb, "paint_layer")
    height, width = image_rgb.shape[:2]
    rows, columns = layer.opacity.shape
    y, x = (2 * np.arange(height) + 1) * rows, (2 * np.arange(width) + 1) * columns
    cell = np.ix_(y // (2 * height), x // (2 * width))
    canvas = image_rgb.copy()
    blend(canvas, layer.colors[cell], layer.opacity[cell])
    return canvas


def draw_label_map(
    image_rgb: np.ndarray, labels: np.ndarray, colors: np.ndarray, *, scale: int = 1
) -> np.ndarray:
    """Tint every pixel of (H, W, 3) uint8 in the colour of its class, see ``label_layer``.

    Returns:
        (scale * H, scale * W, 3) uint8, every pixel a square.
    """
    check_mask_size(image_rgb, labels.shape, "draw_label_map")
    tinted = paint_layer(image_rgb, label_layer(labels, colors))
    return tinted.repeat(scale, axis=0).repeat(scale, axis=1)
