"""The numbers of ``layers`` in less time and memory; each says which plain form it equals."""

from pointrend_ext.layers.fast.label_grid import LabelGrid
from pointrend_ext.layers.fast.linear import Linear, linear
from pointrend_ext.layers.fast.map_rows import MapRows
from pointrend_ext.layers.fast.region_windows import RegionWindows, Window, region_window
from pointrend_ext.layers.fast.rows import copy_rows, rows_of_planes
from pointrend_ext.layers.fast.taps import bilinear_hats, bilinear_taps, read_taps, tap_cells
from pointrend_ext.layers.fast.top_two import label_dtype, top_two

__all__ = [
    "LabelGrid",
    "Linear",
    "MapRows",
    "RegionWindows",
    "Window",
    "bilinear_hats",
    "bilinear_taps",
    "copy_rows",
    "label_dtype",
    "linear",
    "read_taps",
    "region_window",
    "rows_of_planes",
    "tap_cells",
    "top_two",
]
