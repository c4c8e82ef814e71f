"""Records of Panoptic FPN from panoptic annotations alone: no folder of label maps is prepared."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import MetadataCatalog
from detectron2.structures import BoxMode

from pointrend_ext.data.coco import picture_paths
from pointrend_ext.data.findings import Cause, Findings, Kind
from pointrend_ext.data.panoptic.file import Annotation, read_panoptic_file
from pointrend_ext.data.panoptic.segments import SegmentLabels

THINGS = "things"
"""Name of label 0 of Panoptic FPN, which all things have in a label map."""

SEGMENT = "segment"
"""Key of a ``segmentation`` that is a segment of the picture, named by its id."""

_WITHOUT = Cause(Kind.LEFT_OUT, "images without panoptic annotation", of="images")


def load_panoptic(name: str) -> tuple[list[dict[str, Any]], Findings]:
    """Return a record per annotated image, whose objects are the segments of things.

    Masks and boxes of objects, and the label map, are read by the mapper from the picture.

    Args:
        name: a registered data set with ``image_root`` and what ``with_segment_labels`` needs.

    Raises:
        FileNotFoundError: there is no annotation file.
        ValueError: it cannot be used.
    """
    metadata = MetadataCatalog.get(name)
    file = read_panoptic_file(metadata.panoptic_json)
    things = metadata.thing_dataset_id_to_contiguous_id
    pictures = {image.id: image for image in file.images}
    images = [pictures[a.image_id] for a in file.annotations]
    paths = image_paths(os.fspath(metadata.image_root), [image.file_name for image in images])
    records: list[dict[str, Any]] = [
        {
            "file_name": path,
            "image_id": image.id,
            "height": image.height,
            "width": image.width,
            "annotations": _objects(annotation, things),
        }
        for path, image, annotation in zip(paths, images, file.annotations, strict=True)
    ]
    number = sum(s.category_id in things for a in file.annotations for s in a.segments_info)
    found = Findings(number, others={"images": len(pictures)})
    annotated = {a.image_id for a in file.annotations}
    absent = [image for image in file.images if image.id not in annotated]
    if absent:
        found.add(_WITHOUT, absent[0].file_name, len(absent))
    return with_segment_labels(name, records), found


def with_segment_labels(name: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to records what their label maps are read from: the panoptic pictures.

    Args:
        name: a registered data set with ``panoptic_json``, ``panoptic_root``, ``ignore_label`` and
            both tables of contiguous ids.
        records: with ``image_id``; left as they are.

    Raises:
        ValueError: an image has no panoptic annotation.
    """
    metadata = MetadataCatalog.get(name)
    file = read_panoptic_file(metadata.panoptic_json)
    annotations = {a.image_id: a for a in file.annotations}
    labels = {
        **dict.fromkeys(metadata.thing_dataset_id_to_contiguous_id, 0),
        # Label 0 is that of things, by a category 0 that there need not be.
        **{k: v for k, v in metadata.stuff_dataset_id_to_contiguous_id.items() if v},
    }
    unknown = [c.name for c in file.categories if c.id not in labels]
    if unknown:
        raise ValueError(
            f"The data set {name!r} is registered without the category {unknown[0]!r} of its "
            f"panoptic annotation file {metadata.panoptic_json!r}. Correct the registration."
        )
    missing = [r for r in records if r["image_id"] not in annotations]
    if missing:
        raise ValueError(
            f"The data set {name!r} has {len(missing)} images without panoptic annotation in "
            f"{metadata.panoptic_json!r}, such as {missing[0]['file_name']!r}. Take them out."
        )
    own = [annotations[record["image_id"]] for record in records]
    paths = picture_paths(os.fspath(metadata.panoptic_root), [a.file_name for a in own])
    readers = (
        SegmentLabels(
            tuple(s.id for s in a.segments_info),
            tuple(labels[s.category_id] for s in a.segments_info),
            metadata.ignore_label,
        )
        for a in own
    )
    return [
        {**record, "sem_seg_file_name": path, "label_encoding": reader}
        for record, path, reader in zip(records, paths, readers, strict=True)
    ]


def _objects(annotation: Annotation, things: Mapping[int, int]) -> list[dict[str, Any]]:
    """Return things as Detectron2's annotations; the mapper puts in their masks and boxes."""
    return [
        {
            "category_id": things[s.category_id],
            "iscrowd": int(s.iscrowd),
            "bbox": None,
            "bbox_mode": BoxMode.XYWH_ABS,
            "segmentation": {SEGMENT: s.id},
        }
        for s in annotation.segments_info
        if s.category_id in things
    ]


def image_paths(root: str, names: list[str]) -> list[str]:
    """Return the paths of images, which may lie in folders below the root, as Cityscapes' do.

    Cityscapes' tool names images after annotation files: their ``_gtFine`` is left out.

    Raises:
        ValueError: several images below the root have one name.
    """
    paths = picture_paths(root, names)
    if all(map(os.path.isfile, paths[:1])):
        return paths
    below: dict[str, list[str]] = defaultdict(list)
    for path in Path(root).rglob("*"):
        if path.is_file():
            below[path.name].append(str(path))
    own = [name.replace("_gtFine_leftImg8bit", "_leftImg8bit") for name in names]
    several = next((below[name] for name in own if len(below.get(name, ())) > 1), None)
    if several:
        raise ValueError(
            f"The image folder {root!r} holds {several[0]!r} and {several[1]!r}, and the panoptic "
            "annotations name an image by its mere name. Write paths below the folder into them."
        )
    return [below.get(name, [path])[0] for name, path in zip(own, paths, strict=True)]


def draw_segments(
    annotations: Iterable[dict[str, Any]], encoding: SegmentLabels, places: np.ndarray
) -> None:
    """Put in masks and boxes of objects that are segments of the picture; see ``SegmentLabels``."""
    for annotation in annotations:
        mask = annotation["segmentation"]
        if isinstance(mask, dict) and SEGMENT in mask:
            annotation["segmentation"] = rle = encoding.mask(places, mask[SEGMENT])
            annotation["bbox"] = mask_util.toBbox(rle).tolist()
