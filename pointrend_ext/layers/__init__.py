"""Pure tensor code: it needs torch alone, no configuration and no Detectron2.

The arithmetic of the paper. What computes the same numbers in less time and memory is in ``fast``.
"""

from pointrend_ext.layers.adaptive_average import adaptive_average
from pointrend_ext.layers.coordinates import (
    box_to_px,
    cell_centers,
    cells_to_coords,
    map_to_map,
    px_to_box,
    px_to_map,
)
from pointrend_ext.layers.device_rule import forms_for, runs_cpu_form
from pointrend_ext.layers.exporting import is_exported
from pointrend_ext.layers.flow_warp import (
    FLOW_COORDS,
    check_flow_coords,
    flow_in_px,
    flow_warp,
    resize_bilinear,
)
from pointrend_ext.layers.padding import exclude_padding, padding_scores
from pointrend_ext.layers.point_sample import (
    point_sample,
    point_sample_each,
    sample_region_features,
)
from pointrend_ext.layers.point_selection import (
    get_uncertain_point_coords_on_grid,
    get_uncertain_point_coords_with_randomness,
)
from pointrend_ext.layers.precision import at_least_float32, wide_dtype
from pointrend_ext.layers.subdivision import fold_subdivision, refine, subdivide
from pointrend_ext.layers.two_classes import two_class_logits
from pointrend_ext.layers.uncertainty import (
    class_uncertainty,
    foreground_uncertainty,
    select_class,
)

__all__ = [
    "FLOW_COORDS",
    "adaptive_average",
    "at_least_float32",
    "box_to_px",
    "cell_centers",
    "cells_to_coords",
    "check_flow_coords",
    "class_uncertainty",
    "exclude_padding",
    "flow_in_px",
    "flow_warp",
    "fold_subdivision",
    "foreground_uncertainty",
    "forms_for",
    "get_uncertain_point_coords_on_grid",
    "get_uncertain_point_coords_with_randomness",
    "is_exported",
    "map_to_map",
    "padding_scores",
    "point_sample",
    "point_sample_each",
    "px_to_box",
    "px_to_map",
    "refine",
    "resize_bilinear",
    "runs_cpu_form",
    "sample_region_features",
    "select_class",
    "subdivide",
    "two_class_logits",
    "wide_dtype",
]
