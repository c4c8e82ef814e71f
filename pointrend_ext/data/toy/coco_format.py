"""Scene -> COCO instances, panoptic segments and 8-bit label maps."""

from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray

from pointrend_ext.data.panoptic.pictures import segment_picture

from .classes import (
    IGNORE_LABEL,
    STUFF_IDS,
    THING_IDS,
    TOY_SEM_SEG_CLASSES,
    TOY_STUFF_CLASSES,
)
from .raster import rasterize
from .scene import Scene, SceneMaps, ToyObject


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

    One entry per visible object, with its exact visible mask: a list with one polygon where
    ``_polygon`` gives one, else compressed RLE.
    """
    annotations = []
    for index, item in enumerate(scene.objects):
        mask = maps.visible(index)
        if mask.any():
            annotations.append(
                {
                    "id": scene.image_id * 100 + index,
                    "image_id": scene.image_id,
                    **_description(mask, THING_IDS[item.category], item.is_crowd),
                    "segmentation": _polygon(item, mask) or _encode(mask),
                }
            )
    return annotations


def _description(mask: NDArray[np.bool_], category_id: int, is_crowd: bool) -> dict[str, Any]:
    """Return what COCO says of a non-empty mask; ``bbox`` is (x, y, width, height), tight."""
    rle = _encode(mask)
    return {
        "category_id": category_id,
        "iscrowd": int(is_crowd),
        "area": int(mask_util.area(rle)),
        "bbox": [int(v) for v in mask_util.toBbox(rle)],
    }


def _encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the compressed COCO RLE of an (H, W) mask, ready for JSON."""
    rle = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}


def _polygon(item: ToyObject, mask: NDArray[np.bool_]) -> list[list[float]] | None:
    """Return the outline as COCO polygon, or ``None`` where RLE is needed.

    RLE is needed for crowds, objects with holes, and objects cut by the border or by an object in
    front.
    """
    outline, (height, width) = item.outlines[0], mask.shape
    is_cut = outline.min() < 0 or (outline > (width, height)).any()
    if item.is_crowd or len(item.outlines) > 1 or is_cut:
        return None
    is_whole = np.array_equal(rasterize([outline], (height, width)), mask)
    return [outline.ravel().tolist()] if is_whole else None


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
    return np.where(maps.object_index >= 0, np.uint8(0), labels)


def panoptic_segments(
    scene: Scene, maps: SceneMaps
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Return the COCO panoptic picture and its ``segments_info``.

    Returns:
        (H, W, 3) uint8 RGB with segment id = R + 256 G + 65536 B, 0 where unannotated, and one
        entry per segment: objects (the masks of ``instance_annotations``), then stuff classes.
    """
    ids = np.zeros(scene.size_hw, dtype=np.int64)
    segments = []
    pieces = [
        (maps.visible(index), THING_IDS[item.category], item.is_crowd, 37_000 * (index + 1))
        for index, item in enumerate(scene.objects)
    ]
    background = maps.object_index < 0
    for label, name in enumerate(TOY_STUFF_CLASSES):
        pieces.append((background & (maps.stuff_label == label), STUFF_IDS[name], False, 0))
    for mask, category_id, is_crowd, base in pieces:
        if mask.any():
            ids[mask] = base + category_id
            description = _description(mask, category_id, is_crowd)
            segments.append({"id": base + category_id, **description})
    return segment_picture(ids), segments
