"""Annotation files in COCO's format: one parse, one check and one conversion, whoever asks."""

from pointrend_ext.data.coco.annotation import check_annotation
from pointrend_ext.data.coco.entries import in_order
from pointrend_ext.data.coco.file import (
    CocoFile,
    CocoSummary,
    read_coco_file,
    release_coco_files,
    share_summaries,
    summarize_coco_file,
)
from pointrend_ext.data.coco.lvis import lvis_class_ids, to_lvis_records
from pointrend_ext.data.coco.masks import fill_areas
from pointrend_ext.data.coco.records import check_records, picture_path, picture_paths, to_records

__all__ = [
    "CocoFile",
    "CocoSummary",
    "check_annotation",
    "check_records",
    "fill_areas",
    "in_order",
    "lvis_class_ids",
    "picture_path",
    "picture_paths",
    "read_coco_file",
    "release_coco_files",
    "share_summaries",
    "summarize_coco_file",
    "to_lvis_records",
    "to_records",
]
