"""Overlays of instance masks: translucent fill, crisp contour, label."""

from collections.abc import Sequence

import cv2
import numpy as np

from pointrend_ext.visualization.canvas import (
    check_alpha,
    check_image,
    check_mask_size,
    default_cap_height,
    default_contour_px,
)
from pointrend_ext.visualization.colors import distinct_colors
from pointrend_ext.visualization.labels import Plate, paint_plate, place_label
from pointrend_ext.visualization.raster import paint_stroke, rectangle
from pointrend_ext.visualization.shapes import Shape, shape_of


def draw_instances(
    image_rgb: np.ndarray,
    *,
    masks: np.ndarray | Sequence[np.ndarray],
    boxes_px: np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    colors: np.ndarray | None = None,
    alpha: float = 0.4,
    contour_px: float | None = None,
    text_px: float | None = None,
) -> np.ndarray:
    """Draw instance masks over an image; neither input is changed.

    Fills come first, large objects before small ones, then all contours, boxes and labels. Where
    nothing else is drawn, a pixel inside one mask is ``round((1 - alpha) * image + alpha *
    color)``. Contours run along ``mask_contours``, half their width on either side, around holes
    too. A label that finds no free place is left out rather than drawn over another one.

    Args:
        image_rgb: (H, W, 3) uint8.
        masks: (R, H, W) as in ``binarize``, R may be 0. A sequence that makes its (H, W) masks when
            they are read is read one by one; one with ``crop(number)``, the values of a
            ``MaskCrop``, and ``size_hw`` only where its objects are.
        boxes_px: (R, 4) left, top, right, bottom in pixels of the image, drawn as thin frames; None
            draws none.
        labels: R texts; an empty one is not drawn. None draws none.
        colors: (R, 3) uint8 RGB; None takes ``distinct_colors``.
        alpha: opacity of the fill in [0, 1].
        contour_px: full width of the contours in pixels, 0 for none; None follows the image size.
        text_px: height of capital letters in pixels; None follows the image size.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: sizes or counts disagree, or alpha is out of its range.
    """
    check_image(image_rgb, "draw_instances")
    check_alpha(alpha, "draw_instances")
    if len(masks) == 0:
        return image_rgb.copy()
    colors = distinct_colors(len(masks)) if colors is None else np.asarray(colors)
    _check_sizes(image_rgb, masks, boxes_px=boxes_px, labels=labels, colors=colors)
    if contour_px is None:
        contour_px = default_contour_px(*image_rgb.shape[:2])
    canvas = image_rgb.copy()
    shapes = [shape_of(masks, number) for number in range(len(masks))]
    order = np.argsort([-shape.area for shape in shapes], kind="stable")
    for i in order:
        _fill(canvas, shapes[i], colors[i], alpha)
    for i in order:
        paint_stroke(canvas, shapes[i].polygons, colors[i], contour_px)
    if boxes_px is not None:
        for box, color in zip(boxes_px, colors, strict=True):
            paint_stroke(canvas, [rectangle(box)], color, max(contour_px / 2, 1.0))
    if labels is not None:
        _paint_labels(canvas, shapes, labels, colors, order, text_px)
    return canvas


def _check_sizes(
    image_rgb: np.ndarray,
    masks: np.ndarray | Sequence[np.ndarray],
    **per_mask: np.ndarray | Sequence[str] | None,
) -> None:
    mask_hw = masks.size_hw if hasattr(masks, "size_hw") else np.shape(masks[0])
    check_mask_size(image_rgb, mask_hw, "draw_instances")
    counts = {name: len(values) for name, values in per_mask.items() if values is not None}
    if {*counts.values()} - {len(masks)}:
        counts = {"masks": len(masks), **counts}
        raise ValueError(f"draw_instances: give one of each per mask, not {counts}.")


def _fill(canvas: np.ndarray, shape: Shape, color: np.ndarray, alpha: float) -> None:
    """Blend a colour into the pixels of an object, in place."""
    if shape.area:
        window = canvas[shape.window]
        mixed = cv2.addWeighted(window, 1 - alpha, np.full_like(window, color), alpha, 0)
        cv2.copyTo(mixed, shape.inside().view(np.uint8), window)


def _paint_labels(
    canvas: np.ndarray,
    shapes: Sequence[Shape],
    labels: Sequence[str],
    colors: np.ndarray,
    order: np.ndarray,
    text_px: float | None,
) -> None:
    """Label large objects first."""
    cap_px = default_cap_height(*canvas.shape[:2]) if text_px is None else text_px
    occupied = np.zeros(canvas.shape[:2], dtype=bool)
    for shape in shapes:
        occupied[shape.window] |= shape.inside()
    placed: list[Plate] = []
    for i in order:
        plate = place_label(labels[i], shapes[i], occupied, placed, cap_height_px=cap_px)
        if plate is not None:
            placed.append(plate)
            paint_plate(canvas, plate, colors[i])
