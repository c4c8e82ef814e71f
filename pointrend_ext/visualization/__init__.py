"""Drawing: every function takes and returns NumPy arrays, RGB uint8, and opens no window.

Needs NumPy, OpenCV and Pillow, and torchvision for flows. The frame of all coordinates is
documented in ``shapes``.
"""

from typing import Any

from pointrend_ext.visualization.colors import class_colors, colors_of, distinct_colors
from pointrend_ext.visualization.compare import Column, compare_panel, mark_window, zoom_panel
from pointrend_ext.visualization.flow import draw_flow, flow_colors, flow_panel
from pointrend_ext.visualization.instances import draw_instances
from pointrend_ext.visualization.io import encode_png, write_gif, write_image
from pointrend_ext.visualization.layers import (
    Layer,
    draw_label_map,
    label_layer,
    probability_layer,
)
from pointrend_ext.visualization.panels import stack_rows, titled_columns
from pointrend_ext.visualization.points import (
    StepPicture,
    draw_points,
    draw_training_points,
    subdivision_frames,
    subdivision_strip,
)
from pointrend_ext.visualization.segments import draw_segments
from pointrend_ext.visualization.shapes import MaskCrop, mask_contours
from pointrend_ext.visualization.zoom import pick_zoom_window

__all__ = [
    "Column",
    "Layer",
    "MaskCrop",
    "StepPicture",
    "class_colors",
    "colors_of",
    "compare_panel",
    "distinct_colors",
    "draw_flow",
    "draw_instances",
    "draw_label_map",
    "draw_points",
    "draw_segments",
    "draw_training_points",
    "encode_png",
    "flow_colors",
    "flow_panel",
    "label_layer",
    "mark_window",
    "mask_contours",
    "pick_zoom_window",
    "probability_layer",
    "stack_rows",
    "subdivision_frames",
    "subdivision_strip",
    "titled_columns",
    "write_gif",
    "write_image",
    "zoom_panel",
]


def __getattr__(name: str) -> Any:
    """Find ``read_image_rgb``, which has moved, where earlier scripts look for it."""
    if name != "read_image_rgb":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pointrend_ext.data.reading import read_image_rgb

    return read_image_rgb
