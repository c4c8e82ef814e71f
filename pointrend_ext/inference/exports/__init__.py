"""Predictions in the formats of other tools: arrays in, text and dictionaries out.

Nothing else of ``inference`` imports this room at its top: it needs OpenCV and pycocotools.
"""

from pointrend_ext.inference.exports.outlines import Outlined, outlined
from pointrend_ext.inference.exports.supervision import supervision_detections
from pointrend_ext.inference.exports.tools import (
    cvat_image,
    geojson,
    label_studio_task,
    labelme_file,
    yolo_lines,
)

__all__ = [
    "Outlined",
    "cvat_image",
    "geojson",
    "label_studio_task",
    "labelme_file",
    "outlined",
    "supervision_detections",
    "yolo_lines",
]
