"""Drawing: every function takes and returns NumPy arrays, RGB uint8, and opens no window.

Needs NumPy, OpenCV and Pillow alone. The frame of all coordinates is documented in ``contours``.
"""

from pointrend_ext.visualization.colors import colors_of, distinct_colors, text_color_on
from pointrend_ext.visualization.compare import Column, compare_panel, mark_window, zoom_panel
from pointrend_ext.visualization.contours import mask_contours
from pointrend_ext.visualization.flow import draw_flow, flow_colors, flow_panel, flow_wheel
from pointrend_ext.visualization.instances import draw_detections, draw_instances
from pointrend_ext.visualization.io import read_image_rgb, write_image
from pointrend_ext.visualization.label_maps import draw_label_map
from pointrend_ext.visualization.panels import stack_rows, titled_columns
from pointrend_ext.visualization.zoom import pick_zoom_window

__all__ = [
    "Column",
    "colors_of",
    "compare_panel",
    "distinct_colors",
    "draw_detections",
    "draw_flow",
    "draw_instances",
    "draw_label_map",
    "flow_colors",
    "flow_panel",
    "flow_wheel",
    "mark_window",
    "mask_contours",
    "pick_zoom_window",
    "read_image_rgb",
    "stack_rows",
    "text_color_on",
    "titled_columns",
    "write_image",
    "zoom_panel",
]
