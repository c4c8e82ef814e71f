"""Pure tensor code: it needs torch alone, no configuration and no Detectron2."""

from pointrend_ext.layers.coordinates import (
    box_to_px,
    cell_centers,
    cells_to_coords,
    px_to_map,
)
from pointrend_ext.layers.point_sample import point_sample, sample_region_features
from pointrend_ext.layers.point_selection import (
    get_uncertain_point_coords_on_grid,
    get_uncertain_point_coords_with_randomness,
)
from pointrend_ext.layers.precision import at_least_float32
from pointrend_ext.layers.subdivision import fold_subdivision, subdivide
from pointrend_ext.layers.uncertainty import foreground_uncertainty, select_class

__all__ = [
    "at_least_float32",
    "box_to_px",
    "cell_centers",
    "cells_to_coords",
    "fold_subdivision",
    "foreground_uncertainty",
    "get_uncertain_point_coords_on_grid",
    "get_uncertain_point_coords_with_randomness",
    "point_sample",
    "px_to_map",
    "sample_region_features",
    "select_class",
    "subdivide",
]
