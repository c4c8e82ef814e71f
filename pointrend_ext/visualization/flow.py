"""Flows as colours and as arrows.

A flow (2, h, w) holds (dx, dy) in pixels of its own h x w grid, x to the right and y downwards. The
colours are those of ``torchvision.utils.flow_to_image`` (Baker et al., "A database and evaluation
methodology for optical flow", 2011): the hue is the direction, red to the right and yellow
downwards, the saturation the length, so that no motion is white. Flows and images of another shape
raise ``ValueError``.
"""

from collections.abc import Mapping

import cv2
import numpy as np
import torch
from torchvision.utils import flow_to_image

from pointrend_ext.visualization.canvas import blend, check_image
from pointrend_ext.visualization.panels import INK, stack_rows, titled_columns

_OPACITY = 0.5
_SHIFT = 4  # fractional bits of OpenCV coordinates


def flow_length(flow_px: np.ndarray) -> float:
    """Return the length that all but the longest hundredth of the vectors stay below.

    It is in pixels of the flow's grid, and above 0.
    """
    shape = np.shape(flow_px)
    if len(shape) != 3 or shape[0] != 2 or 0 in shape:
        raise ValueError(f"flow has shape {shape}; it must be (2, h, w), (dx, dy) first.")
    return max(float(np.percentile(np.hypot(*flow_px), 99)), 1e-6)


def flow_colors(flow_px: np.ndarray) -> np.ndarray:
    """Return (h, w, 3) uint8, RGB: a colour for every vector, full from ``flow_length`` on."""
    full = flow_length(flow_px)
    # flow_to_image takes the longest vector as the fullest colour.
    shortened = flow_px * (full / np.maximum(np.hypot(*flow_px), full))
    colors = flow_to_image(torch.from_numpy(shortened.astype(np.float32)))
    return np.ascontiguousarray(colors.permute(1, 2, 0).numpy())


def draw_flow(image_rgb: np.ndarray, flow_px: np.ndarray) -> np.ndarray:
    """Draw a flow over the image it belongs to: colours, arrows and the colour wheel.

    An arrow begins at a pixel and ends where the map is read for it, true to scale. There is one at
    every twentieth of the shorter side where it is long enough to be seen.

    Args:
        image_rgb: (H, W, 3) uint8, of the extent of the flow, at any size; not changed.
        flow_px: (2, h, w).
    """
    check_image(image_rgb, "draw_flow")
    canvas = image_rgb.copy()
    blend(canvas, _colors_over(image_rgb, flow_px), _OPACITY)
    short_side = min(canvas.shape[:2])
    paint_arrows(canvas, flow_px, max(short_side // 20, 4))
    paint_wheel(canvas, max(short_side // 6, 8))
    return canvas


def flow_panel(image_rgb: np.ndarray, flows_px: Mapping[str, np.ndarray]) -> np.ndarray:
    """Draw several flows of one image below each other, beside their colours alone.

    Args:
        image_rgb: (H, W, 3) uint8.
        flows_px: title to (2, h, w), at least one, each scaled to its own length, which the title
            then states.
    """
    rows = []
    for title, flow in flows_px.items():
        size = f"{flow.shape[1]} x {flow.shape[2]}"
        titles = [title, f"full colour: {flow_length(flow):.2g} px of {size}"]
        cells = [draw_flow(image_rgb, flow), _colors_over(image_rgb, flow)]
        rows.append(titled_columns(titles, cells, gap_px=8))
    return stack_rows(rows)


def paint_arrows(canvas: np.ndarray, flow_px: np.ndarray, spacing_px: int) -> None:
    """Draw in place an arrow every ``spacing_px`` pixels, where it is long enough to be seen."""
    height, width = canvas.shape[:2]
    rows, columns = flow_px.shape[1:]
    scale = np.array([width / columns, height / rows])
    for y in range(spacing_px // 2, height, spacing_px):
        for x in range(spacing_px // 2, width, spacing_px):
            move = scale * flow_px[:, y * rows // height, x * columns // width]
            if np.hypot(*move) >= 1:
                start, end = (2**_SHIFT * np.array([(x, y), (x, y) + move])).astype(int).tolist()
                cv2.arrowedLine(canvas, start, end, INK, 1, cv2.LINE_AA, _SHIFT, 0.3)


def paint_wheel(canvas: np.ndarray, side_px: int) -> None:
    """Draw in place, in the lower right corner, the colours of vectors that begin in its centre."""
    axis = (2 * np.arange(side_px) + 1) / side_px - 1
    flow = np.stack(np.meshgrid(axis, axis))  # (2, side, side), (dx, dy)
    inside = np.hypot(*flow) <= 1
    canvas[-side_px:, -side_px:][inside] = flow_colors(flow * inside)[inside]


def _colors_over(image_rgb: np.ndarray, flow_px: np.ndarray) -> np.ndarray:
    size = image_rgb.shape[1::-1]
    return cv2.resize(flow_colors(flow_px), size, interpolation=cv2.INTER_NEAREST)
