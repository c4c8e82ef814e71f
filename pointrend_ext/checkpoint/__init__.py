"""Weights in and out: no code execution, many formats, other classes, atomic writing."""

from pointrend_ext.checkpoint.checkpointer import PointRendCheckpointer
from pointrend_ext.checkpoint.class_axes import INSTANCE, SEMANTIC
from pointrend_ext.checkpoint.class_names import ClassMap, known_class_names, map_by_name
from pointrend_ext.checkpoint.convert import convert_weights
from pointrend_ext.checkpoint.errors import (
    IncompleteWeightsError,
    UnsafeWeightsError,
    WeightsFileError,
)
from pointrend_ext.checkpoint.formats import Conversion, to_detectron2_names
from pointrend_ext.checkpoint.locating import Located, find_weights
from pointrend_ext.checkpoint.reading import read_weights_file
from pointrend_ext.checkpoint.report import Entry, LoadReport
from pointrend_ext.checkpoint.surgery import adapt_classes

__all__ = [
    "INSTANCE",
    "SEMANTIC",
    "ClassMap",
    "Conversion",
    "Entry",
    "IncompleteWeightsError",
    "LoadReport",
    "Located",
    "PointRendCheckpointer",
    "UnsafeWeightsError",
    "WeightsFileError",
    "adapt_classes",
    "convert_weights",
    "find_weights",
    "known_class_names",
    "map_by_name",
    "read_weights_file",
    "to_detectron2_names",
]
