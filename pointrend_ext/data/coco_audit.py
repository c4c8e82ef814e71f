"""A COCO annotation file: parsed once per start, checked for mistakes, handed on to the loader."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["CocoAudit", "audit_coco_file", "is_usable_polygon", "take_coco_content"]


@dataclass(frozen=True)
class CocoAudit:
    """What an annotation file holds.

    Attributes:
        num_annotations: number of annotations, crowds included.
        class_names: names in the order of ascending category id, the order of Detectron2's
            contiguous ids.
        dropped: what a loader leaves out, as a number per cause.
    """

    num_annotations: int
    class_names: tuple[str, ...]
    dropped: dict[str, int] = field(default_factory=dict)


class _Known(NamedTuple):
    """A file that was read; its content where it is kept and was not taken yet."""

    version: tuple[int, int]  # time of change, size
    audit: CocoAudit
    content: dict[str, Any] | None


_known: dict[str, _Known] = {}  # by path


def audit_coco_file(json_file: str, *, keep: bool = False) -> CocoAudit:
    """Check an annotation file in COCO's (or LVIS's) instance format.

    The result is remembered until the file changes.

    Args:
        json_file: path of a local file.
        keep: also keep the parsed file, until ``take_coco_content`` asks for it.

    Returns:
        What the file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON, not in COCO format, or inconsistent; the message names the
            file and the first place.
    """
    return _read(json_file, keep=keep).audit


def take_coco_content(json_file: str) -> dict[str, Any]:
    """Return a checked annotation file, parsed now if it was not kept; it is kept no longer.

    Args:
        json_file: see ``audit_coco_file``.

    Raises:
        FileNotFoundError: see ``audit_coco_file``.
        ValueError: see ``audit_coco_file``.
    """
    known = _read(json_file, keep=True)
    _known[json_file] = known._replace(content=None)
    assert known.content is not None
    return known.content


def is_usable_polygon(polygon: list[float]) -> bool:
    """Tell whether Detectron2 keeps a flat list of coordinates: x and y of 3 points at least."""
    return len(polygon) >= 6 and len(polygon) % 2 == 0


def _read(json_file: str, *, keep: bool) -> _Known:
    stat = os.stat(json_file)
    version = stat.st_mtime_ns, stat.st_size
    known = _known.get(json_file)
    if known is None or known.version != version or (keep and known.content is None):
        content = _read_json(json_file)
        known = _Known(version, _audit(content, json_file), content if keep else None)
        _known[json_file] = known
    return known


def _read_json(json_file: str) -> dict[str, Any]:
    try:
        with open(json_file, encoding="utf-8") as file:
            content = json.load(file)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Annotation file {json_file!r} is not valid JSON: {error}. It has "
            f"{os.path.getsize(json_file)} bytes; if it is incomplete, write or download it again, "
            "and if it is an archive, unpack it."
        ) from error
    if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
        found = sorted(content)[:8] if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"Annotation file {json_file!r} is JSON, but not in COCO's format: it needs a dict "
            f"with 'images', 'annotations' and 'categories', but holds {found}."
        )
    return content


def _audit(content: dict[str, Any], json_file: str) -> CocoAudit:
    # COCO 2014's minival is known to repeat ids.
    problem = next(_problems(content, unique_annotations="minival" not in json_file), None)
    if problem:
        raise ValueError(f"Annotation file {json_file!r} is not valid: {problem}.")
    annotations = content.get("annotations", [])
    categories = sorted(content["categories"], key=lambda c: c["id"])
    image_ids = {image["id"] for image in content["images"]}
    return CocoAudit(
        num_annotations=len(annotations),
        class_names=tuple(str(c["name"]) for c in categories),
        dropped=dict(Counter(c for a in annotations for c in _drop_causes(a, image_ids))),
    )


def _problems(content: dict[str, Any], *, unique_annotations: bool) -> Iterator[str]:
    """Yield what is wrong; what comes after a problem relies on there being none before it."""
    yield from _entry_problems(content["images"], "image", ("id", "height", "width"))
    yield from _entry_problems(content["categories"], "category", ("id", "name"))
    annotations = content.get("annotations", [])
    needed: tuple[str, ...] = ("image_id", "category_id", "bbox")
    if unique_annotations:
        needed = ("id", *needed)
    yield from _entry_problems(annotations, "annotation", needed)
    category_ids = {category["id"] for category in content["categories"]}
    for annotation in annotations:
        problem = _annotation_problem(annotation, category_ids)
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


def _annotation_problem(annotation: dict[str, Any], category_ids: Collection[Any]) -> str | None:
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


def _drop_causes(annotation: dict[str, Any], image_ids: Collection[Any]) -> Iterator[str]:
    """Yield what ``coco_records`` drops of one annotation."""
    segmentation = annotation.get("segmentation")
    if annotation["image_id"] not in image_ids:
        yield "annotations of an image that 'images' does not list"
    elif segmentation and isinstance(segmentation, list):
        unusable = sum(not is_usable_polygon(polygon) for polygon in segmentation)
        if unusable == len(segmentation):
            yield "annotations without a polygon of at least 3 points"
        else:
            for _ in range(unusable):
                yield "polygons of fewer than 3 points or an odd number of coordinates"
