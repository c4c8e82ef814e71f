"""Registered data sets: those in COCO's format are checked and loaded from one parse of a file."""

import logging
import os
from collections.abc import Callable
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import (
    load_sem_seg,
    register_coco_instances,
    register_coco_panoptic_separated,
    register_lvis_instances,
)
from detectron2.data.datasets.cityscapes import _get_cityscapes_files
from detectron2.data.datasets.coco_panoptic import merge_to_panoptic
from detectron2.data.datasets.lvis import get_lvis_instances_meta

from pointrend_ext.data.coco import (
    CocoSummary,
    check_records,
    picture_paths,
    read_coco_file,
    summarize_coco_file,
    to_lvis_records,
    to_records,
)
from pointrend_ext.data.findings import Findings, first_of
from pointrend_ext.data.image_files import ImageEntry
from pointrend_ext.data.panoptic import PanopticLoader, load_panoptic, with_segment_labels

logger = logging.getLogger(__name__)

_EVALUATORS = ("coco", "lvis", "coco_panoptic_seg")
_REGISTERS = (register_coco_instances, register_coco_panoptic_separated, register_lvis_instances)
_FUNCTION_ERRORS = (ValueError, TypeError, LookupError, AttributeError, AssertionError)


class CocoLoader:
    """A function in the catalogue that leaves its records to ``load_registered``.

    The data set has the metadata that Detectron2's functions for COCO's format give theirs.
    """

    def __init__(self, name: str, check: Callable[[], None]) -> None:
        """``check`` raises an error where the data set ``name`` is not there."""
        self.name, self.check = name, check

    def __call__(self) -> Any:
        """Return the records; see ``load_registered``."""
        return load_registered(self.name)[0]


def audit_dataset(name: str, *, keep: bool = False) -> CocoSummary | None:
    """Check the annotation file of a registered data set; None without a local one of COCO's.

    With ``keep`` the parsed file is kept for ``load_registered``, if that reads it.

    Raises:
        ValueError: the file is not valid, or has other classes than the data set is registered
            with.
    """
    metadata = MetadataCatalog.get(name)
    evaluator, json_file = metadata.get("evaluator_type", None), metadata.get("json_file", None)
    if evaluator not in _EVALUATORS or not json_file or not os.path.isfile(json_file):
        return None  # also a remote file, or one that only an evaluation needs
    audit = summarize_coco_file(os.fspath(json_file), keep=keep and bool(_read_by_us(name)))
    stated, in_file = metadata.get("thing_classes", None), list(audit.class_names)
    if has_classes_in_file(name) and stated is not None and [*stated] != in_file:
        raise ValueError(
            f"The data set {name!r} is registered with {class_list([*stated])}, but its "
            f"annotation file {json_file!r} has {class_list(in_file)}. Leave the class names out "
            "of its registration or description, or correct them."
        )
    return audit


def class_list(classes: list[str]) -> str:
    """Return the number of classes and the first names, for messages."""
    return f"{len(classes)} classes ({first_of(classes, 5)})"


def has_classes_in_file(name: str) -> bool:
    """Tell whether ``load_coco_json`` takes the class names from the annotation file."""
    return MetadataCatalog.get(name).get("evaluator_type", None) == "coco" or is_separated(name)


def is_separated(name: str) -> bool:
    """Tell whether records hold instances and label maps of stuff, for Panoptic FPN."""
    metadata = MetadataCatalog.get(name)
    return bool(metadata.get("sem_seg_root", None) and metadata.get("panoptic_json", None))


def has_label_folder(name: str) -> bool:
    """Tell whether label maps were prepared; without them panoptic pictures are read instead."""
    return os.path.isdir(MetadataCatalog.get(name).get("sem_seg_root", None) or "")


def load_registered(name: str) -> tuple[Any, Findings]:
    """Return what the registered function of a data set returns, and what was found in it.

    Functions of Detectron2 that read a local COCO or LVIS file are not called: the records are made
    from the file that was checked. As ``load_coco_json`` does, class names and contiguous ids are
    written to the metadata. Records of other functions pass the same check.

    Raises:
        FileNotFoundError: a file or folder of the data set does not exist.
        ValueError: its function fails, or see ``audit_dataset``.
    """
    function = DatasetCatalog[name]
    if isinstance(function, PanopticLoader):
        return load_panoptic(name)
    if isinstance(function, CocoLoader):
        function.check()
    register = _read_by_us(name)
    if register is None:
        try:
            loaded = DatasetCatalog.get(name)
        except _FUNCTION_ERRORS as error:
            raise ValueError(
                f"The data set {name!r} could not be loaded: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(loaded, list) or not all(isinstance(r, dict) for r in loaded):
            return loaded, Findings()
        try:
            return check_records(loaded)
        except ValueError as error:
            raise ValueError(f"The data set {name!r} {error}.") from error
    audit_dataset(name, keep=True)
    metadata = MetadataCatalog.get(name)
    json_file, image_root = os.fspath(metadata.json_file), os.fspath(metadata.image_root)
    file = read_coco_file(json_file)
    if register is register_lvis_instances:
        if metadata.get("thing_classes", None) is None:
            metadata.set(**get_lvis_instances_meta(name))
        stated = metadata.get("thing_dataset_id_to_contiguous_id", None)
        return to_lvis_records(file, image_root, stated), file.summary.findings
    metadata.thing_classes = list(file.summary.class_names)
    metadata.thing_dataset_id_to_contiguous_id = file.summary.contiguous_ids
    records = to_records(file, image_root)
    if register is register_coco_panoptic_separated:
        if has_label_folder(name):
            records = merge_to_panoptic(records, load_sem_seg(metadata.sem_seg_root, image_root))
        else:
            records = with_segment_labels(name, records)
    return records, file.summary.findings


def listed_images(name: str) -> list[ImageEntry]:
    """List the image files of a data set; the registered function is called where need be.

    That of Detectron2 for Cityscapes' instances is not: it turns all their polygons into masks.

    Raises:
        FileNotFoundError, ValueError: see ``load_registered``.
    """
    metadata = MetadataCatalog.get(name)
    has_names = _read_by_us(name) not in (None, register_lvis_instances)
    audit = audit_dataset(name) if has_names else None
    if audit is not None:
        root = os.fspath(metadata.image_root)
        paths = picture_paths(root, [file for file, _ in audit.images])
        return [ImageEntry(p, hw) for p, (_, hw) in zip(paths, audit.images, strict=True)]
    if metadata.get("evaluator_type", None) == "cityscapes_instance":
        files = _get_cityscapes_files(metadata.image_dir, metadata.gt_dir)
        return [ImageEntry(image) for image, *_ in files]
    records, _ = load_registered(name)
    if not isinstance(records, list):
        logger.info("Data set %r is no list of records: its image files are not checked.", name)
        return []
    return [
        ImageEntry(
            os.fspath(record["file_name"]),
            (record["height"], record["width"]) if {"height", "width"} <= record.keys() else None,
        )
        for record in records
        if "file_name" in record
    ]


def _read_by_us(name: str) -> Callable[..., None] | None:
    """Return what of Detectron2 registered a data set with a local file, if that or ours did."""
    function = DatasetCatalog[name]
    if isinstance(function, CocoLoader):
        return register_coco_panoptic_separated if is_separated(name) else register_coco_instances
    names = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    for register in _REGISTERS:
        if names == (register.__module__, f"{register.__qualname__}.<locals>.<lambda>"):
            return register if os.path.isfile(MetadataCatalog.get(name).json_file) else None
    return None
