"""Registered data sets in COCO's format: from a checked annotation file to Detectron2's records.

The file is not parsed again. Every annotation passes through ``_record_annotation``.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pycocotools.mask as mask_util
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import (
    load_sem_seg,
    register_coco_instances,
    register_coco_panoptic_separated,
)
from detectron2.data.datasets.coco_panoptic import merge_to_panoptic
from detectron2.structures import BoxMode

from pointrend_ext.data.coco_audit import (
    CocoAudit,
    audit_coco_file,
    is_usable_polygon,
    take_coco_content,
)

__all__ = [
    "audit_dataset",
    "class_list",
    "has_classes_in_file",
    "is_separated",
    "load_coco_records",
    "load_registered",
]

logger = logging.getLogger(__name__)

_EVALUATORS = ("coco", "lvis", "coco_panoptic_seg")
_FUNCTION_ERRORS = (ValueError, TypeError, LookupError, AttributeError, AssertionError)
_COPIED = ("iscrowd", "bbox", "category_id", "keypoints")


def audit_dataset(name: str, *, keep: bool = False) -> CocoAudit | None:
    """Audit the annotation file of a registered data set.

    Args:
        name: a registered data set.
        keep: also keep the parsed file for ``load_registered``, if that reads it.

    Returns:
        What its file holds, or None when the data set has no local file in COCO's format.

    Raises:
        ValueError: If the file is not valid, or has other classes than the data set is registered
            with.
    """
    metadata = MetadataCatalog.get(name)
    evaluator, json_file = metadata.get("evaluator_type", None), metadata.get("json_file", None)
    if evaluator not in _EVALUATORS or not json_file or not os.path.isfile(json_file):
        return None  # also a remote file, or one that only an evaluation needs
    try:
        audit = audit_coco_file(os.fspath(json_file), keep=keep and _read_by_us(name))
    except ValueError as error:
        raise ValueError(f"Data set {name!r}: {error}") from error
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
    shown = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
    return f"{len(classes)} classes ({shown})"


def has_classes_in_file(name: str) -> bool:
    """Tell whether ``load_coco_json`` takes the class names from the annotation file."""
    return MetadataCatalog.get(name).get("evaluator_type", None) == "coco" or is_separated(name)


def is_separated(name: str) -> bool:
    """Tell whether records hold instances and label maps of stuff, for Panoptic FPN."""
    metadata = MetadataCatalog.get(name)
    return bool(metadata.get("sem_seg_root", None) and metadata.get("panoptic_json", None))


def load_registered(name: str) -> Any:
    """Return what the registered function of a data set returns.

    Functions of Detectron2 that read a local COCO file are not called: ``load_coco_records`` gives
    the same without parsing a file again that was checked just before.

    Raises:
        FileNotFoundError: If a file or folder of the data set does not exist.
        ValueError: If the data set is not registered, its function fails, or see ``audit_dataset``.
    """
    if name not in DatasetCatalog or not _read_by_us(name):
        try:
            return DatasetCatalog.get(name)
        except _FUNCTION_ERRORS as error:
            raise ValueError(
                f"The data set {name!r} could not be loaded: {type(error).__name__}: {error}"
            ) from error
    records = load_coco_records(name)
    if not _was_registered_by(register_coco_panoptic_separated, name):
        return records
    metadata = MetadataCatalog.get(name)
    return merge_to_panoptic(records, load_sem_seg(metadata.sem_seg_root, metadata.image_root))


def load_coco_records(name: str) -> list[dict[str, Any]]:
    """Do what Detectron2's ``load_coco_json`` does, from a file that may be parsed already.

    What is left out is logged in one line.

    Args:
        name: a registered data set in COCO's format. Its metadata get class names and contiguous
            ids.

    Returns:
        Records by ascending image id, equal to those of ``load_coco_json``.

    Raises:
        FileNotFoundError: If there is no annotation file.
        ValueError: See ``audit_dataset``.
    """
    metadata, audit = MetadataCatalog.get(name), audit_dataset(name, keep=True)
    content = take_coco_content(os.fspath(metadata.json_file))
    if audit is not None and audit.dropped:
        listed = "; ".join(f"{number} {cause}" for cause, number in audit.dropped.items())
        total = audit.num_annotations
        logger.warning("Data set %r: left out, of %d annotations: %s.", name, total, listed)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    contiguous = {category["id"]: index for index, category in enumerate(categories)}
    metadata.thing_classes = [str(category["name"]) for category in categories]
    metadata.thing_dataset_id_to_contiguous_id = contiguous
    of_image = defaultdict(list)
    for annotation in content.get("annotations", []):
        recorded = _record_annotation(annotation, contiguous)
        if recorded is not None:
            of_image[annotation["image_id"]].append(recorded)
    return [
        {
            "file_name": os.path.join(metadata.image_root, image["file_name"]),
            "height": image["height"],
            "width": image["width"],
            "image_id": image["id"],
            "annotations": of_image[image["id"]],
        }
        for image in sorted(content["images"], key=lambda image: image["id"])
    ]


def _record_annotation(
    annotation: dict[str, Any], contiguous: dict[Any, int]
) -> dict[str, Any] | None:
    """Return an annotation in Detectron2's format; None when none of its polygons is usable."""
    recorded = {key: annotation[key] for key in _COPIED if key in annotation}
    segmentation = annotation.get("segmentation")
    if segmentation and isinstance(segmentation, list):
        segmentation = [polygon for polygon in segmentation if is_usable_polygon(polygon)]
        if not segmentation:
            return None
    elif segmentation and isinstance(segmentation["counts"], list):
        segmentation = mask_util.frPyObjects(segmentation, *segmentation["size"])
    if segmentation:
        recorded["segmentation"] = segmentation
    if annotation.get("keypoints"):
        recorded["keypoints"] = [
            # COCO's key points are indices of pixels, of which Detectron2 takes the centres.
            value if index % 3 == 2 else value + 0.5
            for index, value in enumerate(annotation["keypoints"])
        ]
    recorded["category_id"] = contiguous[annotation["category_id"]]
    recorded["bbox_mode"] = BoxMode.XYWH_ABS
    return recorded


def _read_by_us(name: str) -> bool:
    readers = (register_coco_instances, register_coco_panoptic_separated)
    return any(_was_registered_by(reader, name) for reader in readers) and os.path.isfile(
        MetadataCatalog.get(name).json_file
    )


def _was_registered_by(register: Callable[..., None], name: str) -> bool:
    """Tell whether a data set has the function that one of Detectron2's registers."""
    function = DatasetCatalog[name]
    lambda_name = f"{register.__qualname__}.<locals>.<lambda>"
    names = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return names == (register.__module__, lambda_name)
