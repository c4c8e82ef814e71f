"""A COCO annotation file: parsed once per start, checked, and turned into Detectron2's records.

Every instance annotation in COCO's format passes through ``_problem_of`` and ``_record_of``.
"""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pycocotools.mask as mask_util
from detectron2.structures import BoxMode

__all__ = ["CocoAudit", "audit_coco_file", "take_coco_records"]

_COPIED = ("iscrowd", "bbox", "category_id", "keypoints")


@dataclass(frozen=True)
class CocoAudit:
    """What an annotation file holds.

    Attributes:
        num_annotations: number of annotations, crowds included.
        class_names: names in the order of ascending category id, the order of Detectron2's
            contiguous ids.
        contiguous_ids: that order, by category id.
        dropped: what the records leave out, as a number per cause.
        images: file name, as the file states it, and (height, width) of every image.
        records: Detectron2's records, with the file names of the file, where they are kept.
    """

    num_annotations: int
    class_names: tuple[str, ...]
    contiguous_ids: dict[Any, int]
    dropped: dict[str, int]
    images: tuple[tuple[str, tuple[int, int]], ...]
    records: list[dict[str, Any]] | None = None


_known: dict[str, tuple[tuple[int, int], CocoAudit]] = {}  # by path: time of change and size


def audit_coco_file(json_file: str, *, keep: bool = False) -> CocoAudit:
    """Check an annotation file in COCO's (or LVIS's) instance format.

    The result is remembered until the file changes.

    Args:
        json_file: path of a local file.
        keep: also keep the records, until ``take_coco_records`` asks for them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, not in COCO's format, or inconsistent; the message names the
            file and the first place.
    """
    stat = os.stat(json_file)
    version = stat.st_mtime_ns, stat.st_size
    known_version, audit = _known.get(json_file, (None, None))
    if audit is None or known_version != version or (keep and audit.records is None):
        audit = _audit(_read_json(json_file), json_file)
        _known[json_file] = version, audit if keep else replace(audit, records=None)
    return audit


def take_coco_records(json_file: str) -> list[dict[str, Any]]:
    """Return the records of a file, read now if they were not kept; they are kept no longer.

    They are sorted by image id, and equal to those of Detectron2's ``load_coco_json`` but for the
    file names, which start from the image folder.
    """
    records = audit_coco_file(json_file, keep=True).records
    version, audit = _known[json_file]
    _known[json_file] = version, replace(audit, records=None)
    return records or []


def _read_json(json_file: str) -> Any:
    try:
        with open(json_file, encoding="utf-8") as file:
            return json.load(file)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Annotation file {json_file!r} is not valid JSON: {error}. It has "
            f"{os.path.getsize(json_file)} bytes; if it is incomplete, write or download it again, "
            "and if it is an archive, unpack it."
        ) from error


def _audit(content: Any, json_file: str) -> CocoAudit:
    # COCO 2014's minival is known to repeat ids.
    problem = next(_problems(content, unique_annotations="minival" not in json_file), None)
    if problem:
        raise ValueError(f"Annotation file {json_file!r} is not valid: {problem}.")
    annotations, dropped = content.get("annotations", []), Counter[str]()
    categories = sorted(content["categories"], key=lambda category: category["id"])
    contiguous_ids = {category["id"]: index for index, category in enumerate(categories)}
    of_image: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for annotation in annotations:
        if annotation["image_id"] not in of_image:
            dropped["annotations of an image that 'images' does not list"] += 1
        elif (record := _record_of(annotation, contiguous_ids, dropped)) is not None:
            of_image[annotation["image_id"]].append(record)
    return CocoAudit(
        num_annotations=len(annotations),
        class_names=tuple(str(category["name"]) for category in categories),
        contiguous_ids=contiguous_ids,
        dropped=dict(dropped),
        images=tuple(
            (image.get("file_name", ""), (image["height"], image["width"]))
            for image in content["images"]
        ),
        records=[
            {
                "file_name": image.get("file_name", ""),  # LVIS has none
                "height": image["height"],
                "width": image["width"],
                "image_id": image["id"],
                "annotations": of_image[image["id"]],
            }
            for image in sorted(content["images"], key=lambda image: image["id"])
        ],
    )


def _record_of(
    annotation: dict[str, Any], contiguous_ids: dict[Any, int], dropped: Counter[str]
) -> dict[str, Any] | None:
    """Return an annotation in Detectron2's format; None when none of its polygons is usable."""
    record = {key: annotation[key] for key in _COPIED if key in annotation}
    segmentation = annotation.get("segmentation")
    if segmentation and isinstance(segmentation, list):
        usable = [p for p in segmentation if len(p) >= 6 and len(p) % 2 == 0]
        if not usable:
            dropped["annotations without a polygon of at least 3 points"] += 1
            return None
        if len(usable) < len(segmentation):
            cause = "polygons of fewer than 3 points or an odd number of coordinates"
            dropped[cause] += len(segmentation) - len(usable)
        segmentation = usable
    elif segmentation and isinstance(segmentation["counts"], list):
        segmentation = mask_util.frPyObjects(segmentation, *segmentation["size"])
    if segmentation:
        record["segmentation"] = segmentation
    if annotation.get("keypoints"):
        record["keypoints"] = [
            # COCO's key points are indices of pixels, of which Detectron2 takes the centres.
            value if index % 3 == 2 else value + 0.5
            for index, value in enumerate(annotation["keypoints"])
        ]
    record["category_id"] = contiguous_ids[annotation["category_id"]]
    record["bbox_mode"] = BoxMode.XYWH_ABS
    return record


def _problems(content: Any, *, unique_annotations: bool) -> Iterator[str]:
    """Yield what is wrong; what comes after a problem relies on there being none before it."""
    if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
        found = sorted(content)[:8] if isinstance(content, dict) else type(content).__name__
        yield (
            "it is JSON, but not in COCO's format, which needs a dict with 'images', 'annotations' "
            f"and 'categories', but holds {found}"
        )
    yield from _entry_problems(content["images"], "image", ("id", "height", "width"))
    yield from _entry_problems(content["categories"], "category", ("id", "name"))
    annotations = content.get("annotations", [])
    with_id = ("id",) if unique_annotations else ()
    needed = (*with_id, "image_id", "category_id", "bbox")
    yield from _entry_problems(annotations, "annotation", needed)
    category_ids = {category["id"] for category in content["categories"]}
    for annotation in annotations:
        problem = _problem_of(annotation, category_ids)
        if problem:
            yield f"annotation {annotation.get('id')} has {problem}"


def _entry_problems(entries: Any, what: str, needed: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        yield f"its list of {what} entries is not a list of dicts"
    if what != "annotation" and not entries:
        yield f"it has no {what} entry"
    for index, entry in enumerate(entries):
        missing = next((key for key in needed if key not in entry), None)
        if missing:
            name = f"{what} {entry['id']}" if "id" in entry else f"{what} number {index}"
            yield f"{name} has no {missing!r}"
    ids = [entry["id"] for entry in entries] if "id" in needed else []
    if len(set(ids)) < len(ids):
        repeated = next(i for i, n in Counter(ids).items() if n > 1)
        yield f"the {what} id {repeated} occurs more than once"


def _problem_of(annotation: dict[str, Any], category_ids: Collection[Any]) -> str | None:
    box, segmentation = annotation["bbox"], annotation.get("segmentation")
    if annotation["category_id"] not in category_ids:
        known = sorted(category_ids)
        shown = ", ".join(map(str, known[:8])) + (", ..." if len(known) > 8 else "")
        return (
            f"category_id {annotation['category_id']}, which is not among the ids of 'categories' "
            f"({shown})"
        )
    if not isinstance(box, list) or len(box) != 4:
        return f"bbox {box}, not 4 numbers [x, y, width, height]"
    if annotation.get("ignore", 0):
        return "'ignore' set, which Detectron2 does not know: remove it"
    if segmentation and not isinstance(segmentation, dict):
        is_list = isinstance(segmentation, list)
        if not is_list or not all(isinstance(polygon, list) for polygon in segmentation):
            return (
                "a segmentation that is neither a list of polygons [[x1, y1, x2, y2, ...]] nor a "
                "run-length dict"
            )
    return None
