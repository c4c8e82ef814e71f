"""Scene -> COCO instances, panoptic segments and 8-bit label maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray

from .classes import (
    IGNORE_LABEL,
    STUFF_IDS,
    THING_IDS,
    THINGS_LABEL,
    TOY_SEM_SEG_CLASSES,
    TOY_STUFF_CLASSES,
)
from .raster import rasterize
from .scene import Scene, SceneMaps, ToyObject

POLYGON_MIN_IOU = 0.97
"""A polygon is written only when pycocotools rasterises it to the exact mask with at least this
IoU; otherwise the exact mask is written as RLE."""


def coco_categories(*, with_stuff: bool) -> list[dict[str, Any]]:
    """Return the ``categories`` of the instance file, or with stuff those of the panoptic file."""
    ids = {**THING_IDS, **STUFF_IDS} if with_stuff else THING_IDS
    return [
        {"id": id_, "name": name, "supercategory": "toy", "isthing": int(name in THING_IDS)}
        for name, id_ in ids.items()
    ]


def image_record(scene: Scene) -> dict[str, Any]:
    """Return the COCO ``images`` entry of a scene."""
    height, width = scene.size_hw
    name = f"{scene.stem}.jpg"
    return {"id": scene.image_id, "file_name": name, "height": height, "width": width}


def instance_annotations(scene: Scene, maps: SceneMaps) -> list[dict[str, Any]]:
    """Return the COCO ``annotations`` of a scene, back to front.

    Args:
        scene: the description.
        maps: its rasterisation.

    Returns:
        One entry per visible object. ``area`` and ``bbox`` (x, y, width, height; tight, integer)
        are those of the exact visible mask. ``segmentation`` is a list with one polygon where
        ``_polygon`` gives one, else compressed RLE.
    """
    annotations = []
    for index, item in enumerate(scene.objects):
        mask = maps.visible(index)
        if not mask.any():
            continue
        annotations.append(
            {
                "id": scene.image_id * 100 + index,
                "image_id": scene.image_id,
                "category_id": THING_IDS[item.category],
                "iscrowd": int(item.is_crowd),
                "area": int(mask.sum()),
                "bbox": tight_box(mask),
                "segmentation": _polygon(item, mask) or encode_rle(mask),
            }
        )
    return annotations


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the compressed COCO RLE of an (H, W) mask, ready for JSON."""
    rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(edge) for edge in rle["size"]], "counts": rle["counts"].decode("ascii")}


def tight_box(mask: NDArray[np.bool_]) -> list[int]:
    """Return [x, y, width, height] of the smallest box around all pixels of a non-empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]


def _polygon(item: ToyObject, mask: NDArray[np.bool_]) -> list[list[float]] | None:
    """Return the outline as COCO polygon, or ``None`` where RLE is needed.

    RLE is needed for crowds, objects with holes, objects cut by the border or by an object in
    front, and where pycocotools would rasterise the polygon too differently (it rounds to a fifth
    of a pixel, which matters for small objects).
    """
    if item.is_crowd or item.num_holes:
        return None
    outline = np.round(item.outlines[0], 2)
    height, width = mask.shape
    if outline.min() < 0 or (outline > [width, height]).any():
        return None
    if not np.array_equal(rasterize(item.outlines, mask.shape), mask):
        return None
    polygon = [outline.ravel().tolist()]
    drawn = mask_util.decode(mask_util.frPyObjects(polygon, height, width))[..., 0].astype(bool)
    iou = (drawn & mask).sum() / (drawn | mask).sum()
    return polygon if iou >= POLYGON_MIN_IOU else None


def semantic_labels(scene: Scene, maps: SceneMaps) -> NDArray[np.uint8]:
    """Return the (H, W) label map over ``TOY_SEM_SEG_CLASSES``; 255 is unannotated."""
    labels = maps.stuff_label.copy()
    for index, item in enumerate(scene.objects):
        labels[maps.visible(index)] = TOY_SEM_SEG_CLASSES.index(item.category)
    return labels


def panoptic_stuff_labels(maps: SceneMaps) -> NDArray[np.uint8]:
    """Return the (H, W) label map of Panoptic FPN: 0 all things, 1.. stuff, 255 unannotated."""
    stuff = maps.stuff_label
    labels = np.where(stuff == IGNORE_LABEL, stuff, stuff + np.uint8(1))
    return np.where(maps.object_index >= 0, np.uint8(THINGS_LABEL), labels)


def panoptic_segments(
    scene: Scene, maps: SceneMaps
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Return the COCO panoptic picture and its ``segments_info``.

    Args:
        scene: the description.
        maps: its rasterisation.

    Returns:
        (H, W, 3) uint8 RGB with segment id = R + 256 G + 65536 B, 0 where unannotated, and one
        entry per segment: objects (the masks of ``instance_annotations``), then stuff classes.
    """
    ids = np.zeros(scene.size_hw, dtype=np.int64)
    segments = []
    pieces = [
        (maps.visible(index), THING_IDS[item.category], int(item.is_crowd), 37_000 * (index + 1))
        for index, item in enumerate(scene.objects)
    ]
    background = maps.object_index < 0
    for label, name in enumerate(TOY_STUFF_CLASSES):
        pieces.append((background & (maps.stuff_label == label), STUFF_IDS[name], 0, 0))
    for mask, category_id, iscrowd, base in pieces:
        if not mask.any():
            continue
        ids[mask] = base + category_id
        segments.append(
            {
                "id": base + category_id,
                "category_id": category_id,
                "iscrowd": iscrowd,
                "area": int(mask.sum()),
                "bbox": tight_box(mask),
            }
        )
    picture = np.stack([ids & 255, (ids >> 8) & 255, ids >> 16], axis=-1).astype(np.uint8)
    return picture, segments
