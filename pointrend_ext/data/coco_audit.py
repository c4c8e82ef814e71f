"""Reading a COCO annotation file for its mistakes, before training."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any


@dataclass(frozen=True)
class CocoAudit:
    """What an annotation file holds.

    Attributes:
        num_images: number of images.
        num_annotations: number of annotations, crowds included.
        class_names: names in the order of ascending category id, the order of Detectron2's
            contiguous ids.
        dropped: what Detectron2's loader will leave out, as a number per cause.
    """

    num_images: int
    num_annotations: int
    class_names: tuple[str, ...]
    dropped: dict[str, int] = field(default_factory=dict)


def audit_coco_file(json_file: str) -> CocoAudit:
    """Check an annotation file in COCO's (or LVIS's) instance format.

    The result is remembered until the file changes.

    Args:
        json_file: path of a local file.

    Returns:
        What the file holds.

    Raises:
        ValueError: If it is not JSON, not in COCO format, or inconsistent; the message names the
            file and the first place.
    """
    stat = os.stat(json_file)
    return _audit(json_file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=16)
def _audit(json_file: str, _mtime_ns: int, _size: int) -> CocoAudit:
    content = _read_json(json_file)
    try:
        image_ids = _ids(content["images"], "image", ("id", "height", "width"))
        category_ids = _ids(content["categories"], "category", ("id", "name"))
        annotations = content.get("annotations", [])
        unique = "minival" not in json_file  # COCO 2014's minival is known to repeat ids
        needed = ("image_id", "category_id", "bbox")
        _ids(annotations, "annotation", ("id", *needed) if unique else needed, unique=unique)
        dropped = _check_annotations(annotations, set(image_ids), set(category_ids))
    except ValueError as error:
        raise ValueError(f"Annotation file {json_file!r} is not valid: {error}.") from error
    categories = sorted(content["categories"], key=lambda c: c["id"])
    return CocoAudit(
        num_images=len(image_ids),
        num_annotations=len(annotations),
        class_names=tuple(str(c["name"]) for c in categories),
        dropped=dict(dropped),
    )


def _read_json(json_file: str) -> dict[str, Any]:
    try:
        with open(json_file, encoding="utf-8") as file:
            content = json.load(file)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"Annotation file {json_file!r} is not valid JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno} of {os.path.getsize(json_file)} bytes. It may be incomplete: "
            "write or download it again."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Annotation file {json_file!r} is not valid JSON: it is no UTF-8 text ({error}). "
            "If it is an archive, unpack it."
        ) from error
    if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
        found = sorted(content)[:8] if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"Annotation file {json_file!r} is JSON, but not in COCO's format: it needs a dict "
            f"with 'images', 'annotations' and 'categories', but holds {found}."
        )
    return content


def _ids(entries: Any, what: str, needed: tuple[str, ...], *, unique: bool = True) -> list[Any]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"its list of {what} entries is not a list of dicts")
    if what != "annotation" and not entries:
        raise ValueError(f"it has no {what} entry")
    for index, entry in enumerate(entries):
        missing = [key for key in needed if key not in entry]
        if missing:
            name = f"{what} {entry['id']}" if "id" in entry else f"{what} number {index}"
            raise ValueError(f"{name} has no {missing[0]!r}")
    ids = [entry.get("id") for entry in entries]
    if unique and len(set(ids)) < len(ids):
        repeated = next(i for i, n in Counter(ids).items() if n > 1)
        raise ValueError(f"the {what} id {repeated} occurs more than once")
    return ids


def _check_annotations(
    annotations: list[dict[str, Any]], image_ids: set[Any], category_ids: set[Any]
) -> Counter[str]:
    dropped: Counter[str] = Counter()
    for annotation in annotations:
        name = f"annotation {annotation.get('id')}"
        if annotation["category_id"] not in category_ids:
            raise ValueError(
                f"{name} has category_id {annotation['category_id']}, which is not among the ids "
                f"of 'categories' ({_beginning(sorted(category_ids))})"
            )
        box = annotation["bbox"]
        if not isinstance(box, list) or len(box) != 4:
            raise ValueError(f"{name} has bbox {box}, not 4 numbers [x, y, width, height]")
        if annotation.get("ignore", 0):
            raise ValueError(f"{name} has 'ignore' set, which Detectron2 does not know: remove it")
        if annotation["image_id"] not in image_ids:
            dropped["annotations of an image that 'images' does not list"] += 1
        else:
            dropped.update(_polygon_causes(annotation.get("segmentation"), name))
    return dropped


def _polygon_causes(segmentation: Any, name: str) -> Iterable[str]:
    """Yield what ``load_coco_json`` drops of one segmentation: the same rule as there."""
    if not segmentation or isinstance(segmentation, dict):
        return
    if not isinstance(segmentation, list) or not all(isinstance(p, list) for p in segmentation):
        raise ValueError(
            f"{name} has a segmentation that is neither a list of polygons "
            "[[x1, y1, x2, y2, ...]] nor a run-length dict"
        )
    bad = [p for p in segmentation if len(p) < 6 or len(p) % 2]
    if len(bad) == len(segmentation):
        yield "annotations without a polygon of at least 3 points"
    else:
        for _ in bad:
            yield "polygons of fewer than 3 points or an odd number of coordinates"


def _beginning(values: list[Any], limit: int = 8) -> str:
    shown = ", ".join(str(v) for v in values[:limit])
    return shown + (", ..." if len(values) > limit else "")
