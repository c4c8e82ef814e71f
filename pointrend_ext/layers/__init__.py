"""Pure tensor code: it needs torch alone, no configuration and no Detectron2."""

from pointrend_ext.layers.coordinates import (
    box_to_px,
    cell_centers,
    cells_to_coords,
    map_to_map,
    px_to_map,
)
from pointrend_ext.layers.flow_warp import (
    FLOW_COORDS,
    check_flow_coords,
    flow_in_px,
    flow_warp,
    resize_bilinear,
)
from pointrend_ext.layers.label_grid import LabelGrid
from pointrend_ext.layers.linear import Linear, linear
from pointrend_ext.layers.map_rows import MapRows
from pointrend_ext.layers.point_sample import point_sample, sample_region_features
from pointrend_ext.layers.point_selection import (
    get_uncertain_point_coords_on_grid,
    get_uncertain_point_coords_with_randomness,
)
from pointrend_ext.layers.precision import at_least_float32
from pointrend_ext.layers.region_windows import RegionWindows, Window, region_window
from pointrend_ext.layers.rows import copy_rows, rows_of_planes
from pointrend_ext.layers.subdivision import fold_subdivision, refine, subdivide
from pointrend_ext.layers.taps import bilinear_taps, read_taps, tap_cells
from pointrend_ext.layers.top_two import label_dtype, top_two
from pointrend_ext.layers.uncertainty import (
    class_uncertainty,
    exclude_padding,
    foreground_uncertainty,
    select_class,
)

__all__ = [
    "FLOW_COORDS",
    "LabelGrid",
    "Linear",
    "MapRows",
    "RegionWindows",
    "Window",
    "at_least_float32",
    "bilinear_taps",
    "box_to_px",
    "cell_centers",
    "cells_to_coords",
    "check_flow_coords",
    "class_uncertainty",
    "copy_rows",
    "exclude_padding",
    "flow_in_px",
    "flow_warp",
    "fold_subdivision",
    "foreground_uncertainty",
    "get_uncertain_point_coords_on_grid",
    "get_uncertain_point_coords_with_randomness",
    "label_dtype",
    "linear",
    "map_to_map",
    "point_sample",
    "px_to_map",
    "read_taps",
    "refine",
    "region_window",
    "resize_bilinear",
    "rows_of_planes",
    "sample_region_features",
    "select_class",
    "subdivide",
    "tap_cells",
    "top_two",
]
