"""Panoptic annotations in COCO's format: a picture of segment ids per image, and a JSON file."""

from pointrend_ext.data.panoptic.file import (
    Annotation,
    Category,
    PanopticFile,
    Segment,
    read_categories,
    read_panoptic_file,
    read_predictions,
)
from pointrend_ext.data.panoptic.pictures import segment_picture
from pointrend_ext.data.panoptic.records import (
    draw_segments,
    image_paths,
    load_panoptic,
    with_segment_labels,
)
from pointrend_ext.data.panoptic.register import PanopticLoader, register_panoptic
from pointrend_ext.data.panoptic.segments import (
    SegmentLabels,
    place_segments,
    read_segment_ids,
)

__all__ = [
    "Annotation",
    "Category",
    "PanopticFile",
    "PanopticLoader",
    "Segment",
    "SegmentLabels",
    "draw_segments",
    "image_paths",
    "load_panoptic",
    "place_segments",
    "read_categories",
    "read_panoptic_file",
    "read_predictions",
    "read_segment_ids",
    "register_panoptic",
    "segment_picture",
    "with_segment_labels",
]
