"""Flows as colours and as arrows.

A flow (2, h, w) holds (dx, dy) in pixels of its own h x w grid, x to the right and y downwards. The
colour circle is that of HSV: the hue is the direction (red to the right, then clockwise on the
screen), the saturation the length, so that no motion is white.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from pointrend_ext.visualization.instances import check_image
from pointrend_ext.visualization.panels import stack_rows, titled_columns

__all__ = ["draw_flow", "flow_colors", "flow_length", "flow_panel", "flow_wheel"]

_INK = (24, 24, 27)
_SHIFT = 4  # fractional bits of OpenCV coordinates


def flow_length(flow_px: np.ndarray) -> float:
    """Return the length that all but the longest hundredth of the vectors stay below.

    Args:
        flow_px: (2, h, w).

    Returns:
        Pixels of the flow's grid, above 0.
    """
    _check_flow(flow_px, "flow_length")
    return max(float(np.percentile(np.hypot(*flow_px), 99)), 1e-6)


def flow_colors(flow_px: np.ndarray, *, max_px: float | None = None) -> np.ndarray:
    """Return a colour for every vector.

    Args:
        flow_px: (2, h, w).
        max_px: length of the fullest colour; None for ``flow_length``.

    Returns:
        (h, w, 3) uint8, RGB.

    Raises:
        ValueError: the flow is of another shape, or ``max_px`` not positive.
    """
    max_px = _max_px(flow_px, max_px, "flow_colors")
    dx, dy = np.asarray(flow_px, dtype=np.float32)
    hue = np.degrees(np.arctan2(dy, dx)) % 360
    saturation = np.clip(np.hypot(dx, dy) / max_px, 0, 1)
    hsv = np.stack([hue, saturation, np.ones_like(hue)], axis=-1).astype(np.float32)
    return np.round(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)).astype(np.uint8)


def flow_wheel(side_px: int) -> np.ndarray:
    """Draw the colours of all vectors up to the full length, as seen from the centre.

    Args:
        side_px: side of the picture.

    Returns:
        (side_px, side_px, 3) uint8, RGB; white outside the circle.
    """
    axis = (2 * np.arange(side_px) + 1) / side_px - 1
    flow = np.stack(np.meshgrid(axis, axis))  # (2, side, side), (dx, dy)
    flow[:, np.hypot(*flow) > 1] = 0
    return flow_colors(flow, max_px=1.0)


def draw_flow(
    image_rgb: np.ndarray,
    flow_px: np.ndarray,
    *,
    max_px: float | None = None,
    opacity: float = 0.5,
    spacing_px: int | None = None,
) -> np.ndarray:
    """Draw a flow over the image it belongs to: colours, arrows and the colour wheel.

    An arrow begins at a pixel and ends where the map is read for it, true to scale.

    Args:
        image_rgb: (H, W, 3) uint8, of the extent of the flow, at any size.
        flow_px: (2, h, w).
        max_px: length of the fullest colour, in pixels of the flow; None for ``flow_length``.
        opacity: of the colours, in [0, 1].
        spacing_px: distance of arrows in the image; None for a twentieth of its shorter side, 0 for
            no arrows.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: image or flow is of another shape, or ``max_px`` not positive.
    """
    check_image(image_rgb, "draw_flow")
    max_px = _max_px(flow_px, max_px, "draw_flow")
    height, width = image_rgb.shape[:2]
    colors = flow_colors(flow_px, max_px=max_px)
    colors = cv2.resize(colors, (width, height), interpolation=cv2.INTER_NEAREST)
    canvas = np.round((1 - opacity) * image_rgb + opacity * colors.astype(np.float64))
    canvas = canvas.astype(np.uint8)
    short_side = min(height, width)
    spacing = max(short_side // 20, 4) if spacing_px is None else spacing_px
    if spacing:
        _paint_arrows(canvas, np.asarray(flow_px, dtype=np.float64), spacing)
    _paint_wheel(canvas, short_side // 6)
    return canvas


def flow_panel(image_rgb: np.ndarray, flows_px: Mapping[str, np.ndarray]) -> np.ndarray:
    """Draw several flows of one image below each other, beside their colours alone.

    Args:
        image_rgb: (H, W, 3) uint8.
        flows_px: title to (2, h, w), each scaled to its own length, which the title then states.

    Returns:
        One picture, RGB uint8.

    Raises:
        ValueError: no flow, or image or flow of another shape.
    """
    if not flows_px:
        raise ValueError("flow_panel: got no flow; give at least one.")
    height, width = image_rgb.shape[:2]
    rows = []
    for title, flow in flows_px.items():
        length = flow_length(flow)
        colors = flow_colors(flow, max_px=length)
        colors = cv2.resize(colors, (width, height), interpolation=cv2.INTER_NEAREST)
        cells = [draw_flow(image_rgb, flow, max_px=length), colors]
        titles = [title, f"full colour: {length:.2g} px of {flow.shape[1]} x {flow.shape[2]}"]
        rows.append(titled_columns(titles, cells, bar_px=None, gap_px=8))
    return stack_rows(rows)


def _paint_arrows(canvas: np.ndarray, flow: np.ndarray, spacing: int) -> None:
    """Draw in place an arrow every ``spacing`` pixels, where it is long enough to be seen."""
    height, width = canvas.shape[:2]
    rows, columns = flow.shape[1:]
    scale = np.array([width / columns, height / rows])
    for y in range(spacing // 2, height, spacing):
        for x in range(spacing // 2, width, spacing):
            start = np.array([x, y], dtype=np.float64)
            end = start + scale * flow[:, y * rows // height, x * columns // width]
            if np.hypot(*(end - start)) >= 1:
                fixed = [tuple(np.round(p * 2**_SHIFT).astype(int).tolist()) for p in (start, end)]
                cv2.arrowedLine(canvas, *fixed, _INK, 1, cv2.LINE_AA, _SHIFT, 0.3)


def _paint_wheel(canvas: np.ndarray, side: int) -> None:
    """Draw the colour wheel in place, in the lower right corner."""
    if side < 8:
        return
    corner = canvas[-side:, -side:]
    axis = (2 * np.arange(side) + 1) / side - 1
    inside = np.hypot(axis[:, None], axis) <= 1
    corner[inside] = flow_wheel(side)[inside]


def _max_px(flow_px: np.ndarray, max_px: float | None, who: str) -> float:
    _check_flow(flow_px, who)
    if max_px is None:
        return flow_length(flow_px)
    if max_px <= 0:
        raise ValueError(f"{who}: max_px is {max_px}; it must be above 0.")
    return max_px


def _check_flow(flow_px: np.ndarray, who: str) -> None:
    shape = np.shape(flow_px)
    if len(shape) != 3 or shape[0] != 2 or 0 in shape:
        raise ValueError(f"{who}: flow has shape {shape}; it must be (2, h, w), (dx, dy) first.")
