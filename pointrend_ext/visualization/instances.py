"""Overlays of instance masks: translucent fill, crisp contour, label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from pointrend_ext.visualization.colors import colors_of, distinct_colors
from pointrend_ext.visualization.labels import default_cap_height, paint_plate, place_label
from pointrend_ext.visualization.raster import blend, paint_fill, paint_stroke
from pointrend_ext.visualization.shapes import Shape, shape_of

if TYPE_CHECKING:
    from detectron2.structures import Instances


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
    upscale: int = 1,
) -> np.ndarray:
    """Draw instance masks over an image; neither input is changed.

    Fills come first, large objects before small ones, then all contours, boxes and labels. Where
    nothing else is drawn, a pixel inside one mask is ``round((1 - alpha) * image + alpha *
    color)``. Contours run along the midline of ``mask_contours``, half their width on either side,
    around holes too. A label that finds no free place is left out rather than drawn over another
    one.

    Args:
        image_rgb: (H, W, 3) uint8.
        masks: (R, H, W) bool, R may be 0; integers (non-zero is inside); or probabilities in [0,
            1], cut at 0.5, whose contours are interpolated between pixels. A sequence that makes
            its (H, W) masks when they are read is read one by one; one that has ``crop`` and
            ``size_hw``, see ``shape_of``, only where its objects are.
        boxes_px: (R, 4) left, top, right, bottom in pixels of the image, drawn as thin frames; None
            draws none.
        labels: R texts; an empty one is not drawn. None draws none.
        colors: (R, 3) uint8 RGB; None takes ``distinct_colors``.
        alpha: opacity of the fill in [0, 1].
        contour_px: full width of the contours in pixels of the image, 0 for none; None follows the
            image size.
        text_px: height of capital letters in pixels of the image; None follows the image size.
        upscale: how many times larger than the image to draw. Fills and contours are drawn at that
            resolution; the image is enlarged smoothly.

    Returns:
        (upscale * H, upscale * W, 3) uint8, RGB.

    Raises:
        ValueError: sizes or counts disagree, or a number is outside its range.
    """
    check_image(image_rgb, "draw_instances")
    masks = np.asarray(masks) if isinstance(masks, (list, tuple)) else masks
    if len(masks) == 0:
        return enlarge(image_rgb, upscale)
    colors = distinct_colors(len(masks)) if colors is None else np.asarray(colors)
    _check_instances(image_rgb, masks, boxes_px, labels, colors)
    if not 0 <= alpha <= 1:
        raise ValueError(f"draw_instances: alpha is {alpha}; it must lie between 0 and 1.")
    canvas = enlarge(image_rgb, upscale)
    contour_px = upscale * (
        default_contour_px(*image_rgb.shape[:2]) if contour_px is None else contour_px
    )

    shapes = [shape_of(masks, number) for number in range(len(masks))]
    order = np.argsort([-shape.area for shape in shapes], kind="stable")
    outlines = [[upscale * polygon for polygon in shape.polygons] for shape in shapes]
    for i in order:
        if upscale == 1:
            _fill(canvas, shapes[i], colors[i], alpha)
        else:
            paint_fill(canvas, outlines[i], colors[i], alpha)
    for i in order:
        paint_stroke(canvas, outlines[i], colors[i], contour_px)
    if boxes_px is not None:
        _paint_boxes(canvas, upscale * np.asarray(boxes_px, np.float64), colors, contour_px / 2)
    if labels is not None:
        cap_px = default_cap_height(*image_rgb.shape[:2]) if text_px is None else text_px
        _paint_labels(canvas, shapes, labels, colors, order, upscale * cap_px, upscale)
    return canvas


def draw_detections(
    image_rgb: np.ndarray,
    instances: Instances,
    class_names: Sequence[str] | None = None,
    score_threshold: float = 0.5,
    *,
    color_by: Literal["instance", "class"] = "instance",
    show_boxes: bool = False,
    show_labels: bool = True,
    **drawing: float | int,
) -> np.ndarray:
    """Draw what a Detectron2 instance model predicts.

    Args:
        image_rgb: (H, W, 3) uint8, of the size stored in ``instances``.
        instances: ``model(inputs)[i]["instances"]``, with ``pred_masks`` (R, H, W), ``pred_boxes``,
            ``pred_classes`` and ``scores``, on any device.
        class_names: one name per class id; None writes "class 3".
        score_threshold: detections below it are left out.
        color_by: one colour per instance, the best score first, or one per class.
        show_boxes: also draw boxes.
        show_labels: write class name and score.
        drawing: passed on to ``draw_instances``: alpha, contour_px, text_px, upscale.

    Returns:
        (H, W, 3) uint8, RGB, times ``upscale``.

    Raises:
        ValueError: a field is missing, a class has no name, or the sizes disagree.
    """
    needed = ["pred_masks", "pred_boxes", "pred_classes", "scores"]
    missing = [field for field in needed if not instances.has(field)]
    if missing:
        raise ValueError(
            f"draw_detections: instances lack {missing}; they have "
            f"{sorted(instances.get_fields())}. An instance segmentation model gives {needed}."
        )
    scores = instances.scores.detach().cpu().numpy()
    keep = np.flatnonzero(scores >= score_threshold)
    keep = keep[np.argsort(-scores[keep], kind="stable")]
    classes = instances.pred_classes.cpu().numpy()[keep]
    if class_names is not None and classes.size and classes.max() >= len(class_names):
        raise ValueError(
            f"draw_detections: found class id {classes.max()}, but class_names has "
            f"{len(class_names)} names. Give one name per class of the model."
        )
    names = [f"class {c}" if class_names is None else class_names[c] for c in classes]
    labels = [f"{name} {100 * scores[k]:.0f}%" for name, k in zip(names, keep, strict=True)]
    return draw_instances(
        image_rgb,
        masks=instances.pred_masks.detach().cpu().numpy()[keep],
        boxes_px=instances.pred_boxes.tensor.detach().cpu().numpy()[keep] if show_boxes else None,
        labels=labels if show_labels else None,
        colors=colors_of(classes) if color_by == "class" else None,
        **drawing,
    )


def default_contour_px(height: int, width: int) -> float:
    """Return a contour width in pixels that is visible when the whole image is looked at."""
    return float(np.clip(0.0032 * (height * width) ** 0.5, 1.25, 40.0))


def enlarge(image_rgb: np.ndarray, factor: int, *, smooth: bool = True) -> np.ndarray:
    """Return a new image ``factor`` times larger: cubic interpolation, or every pixel repeated.

    Args:
        image_rgb: (H, W, 3) uint8.
        factor: 1 or more; 1 copies.
        smooth: interpolate; False shows the pixels.

    Returns:
        (factor * H, factor * W, 3) uint8.

    Raises:
        ValueError: ``factor`` is not a positive integer.
    """
    if factor < 1 or int(factor) != factor:
        raise ValueError(f"enlarge: factor is {factor}; it must be a whole number, 1 or more.")
    if factor == 1:
        return image_rgb.copy()
    size = int(factor) * image_rgb.shape[1], int(factor) * image_rgb.shape[0]
    return cv2.resize(
        image_rgb, size, interpolation=cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    )


def check_image(image_rgb: np.ndarray, who: str) -> None:
    """Raise ValueError unless the image is (H, W, 3) uint8 and not empty."""
    image_rgb = np.asarray(image_rgb)
    if (
        image_rgb.ndim != 3
        or image_rgb.shape[2] != 3
        or image_rgb.dtype != np.uint8
        or not image_rgb.size
    ):
        raise ValueError(
            f"{who}: image has shape {image_rgb.shape} and type {image_rgb.dtype}; "
            "it must be RGB, (H, W, 3) uint8, and not empty."
        )


def check_mask_size(image_rgb: np.ndarray, shape: Sequence[int], who: str) -> None:
    """Raise ValueError, naming both sizes, unless a shape (..., H, W) has the size of the image."""
    if tuple(shape[-2:]) != image_rgb.shape[:2]:
        height, width = image_rgb.shape[:2]
        raise ValueError(
            f"{who}: masks have shape {tuple(shape)}, but the image is {height} x {width} "
            "(height x width). Masks must have the image's size."
        )


def _check_instances(
    image_rgb: np.ndarray,
    masks: np.ndarray | Sequence[np.ndarray],
    boxes_px: np.ndarray | None,
    labels: Sequence[str] | None,
    colors: np.ndarray,
) -> None:
    if isinstance(masks, np.ndarray) and masks.ndim != 3:
        raise ValueError(f"draw_instances: masks have shape {masks.shape}; they must be (R, H, W).")
    if hasattr(masks, "crop"):
        shape = masks.size_hw
    else:
        shape = np.shape(masks if isinstance(masks, np.ndarray) else masks[0])
    check_mask_size(image_rgb, shape, "draw_instances")
    count = len(masks)
    shapes = {"boxes_px": (boxes_px, (count, 4)), "colors": (colors, (count, 3))}
    for name, (value, shape) in shapes.items():
        if value is not None and np.shape(value) != shape:
            raise ValueError(
                f"draw_instances: {name} has shape {np.shape(value)}; {count} masks need {shape}."
            )
    if labels is not None and len(labels) != count:
        raise ValueError(
            f"draw_instances: {len(labels)} labels for {count} masks; give one per mask, "
            "an empty one where no text is wanted."
        )


def _paint_boxes(
    canvas: np.ndarray, boxes_px: np.ndarray, colors: np.ndarray, width_px: float
) -> None:
    for (x0, y0, x1, y1), color in zip(boxes_px, colors, strict=True):
        frame = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        paint_stroke(canvas, [frame], color, max(width_px, 1.0))


def _fill(canvas: np.ndarray, shape: Shape, color: np.ndarray, alpha: float) -> None:
    """Blend a colour into the pixels of an object, in place."""
    if shape.area == 0:
        return
    # Every level of a channel becomes one other level.
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    blend(levels, color, alpha)
    window = canvas[shape.window]
    cv2.copyTo(cv2.LUT(window, levels[None]), shape.inside().view(np.uint8), window)


def _paint_labels(
    canvas: np.ndarray,
    shapes: Sequence[Shape],
    labels: Sequence[str],
    colors: np.ndarray,
    order: np.ndarray,
    cap_height_px: float,
    scale: int,
) -> None:
    """Place the labels of large objects first, then draw them all."""
    occupied = np.zeros([side // scale for side in canvas.shape[:2]], dtype=bool)
    for shape in shapes:
        occupied[shape.window] |= shape.inside()
    placed, owners = [], []
    for i in order:
        plate = place_label(
            labels[i], shapes[i], occupied, placed, cap_height_px=cap_height_px, scale=scale
        )
        if plate is not None:
            placed.append(plate)
            owners.append(i)
    for i, plate in zip(owners, placed, strict=True):
        paint_plate(canvas, plate, colors[i])
