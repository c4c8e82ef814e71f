"""Checking one instance annotation before Detectron2 transforms it."""

from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from pointrend_ext.data.drops import DropCause, DropCounter
from pointrend_ext.data.rle import compress_rle

_CLIP_TOLERANCE = 1.0  # px; COCO's own boxes reach fractions of a pixel beyond the image


def clean_annotation(
    annotation: dict[str, Any],
    size_hw: tuple[int, int],
    drops: DropCounter,
    file_name: str,
    *,
    need_mask: bool,
) -> dict[str, Any] | None:
    """Return the annotation ready for the transforms, or None when it is no training target.

    Boxes and polygons become floating point: Detectron2 scales integer coordinates in place and
    would cut them to integers.

    Args:
        annotation: in Detectron2's format; not changed.
        size_hw: (H, W) of the image as stored, before any augmentation.
        drops: counts what is dropped from ``file_name``.
        file_name: path of the image.
        need_mask: whether an annotation without segmentation is useless.

    Returns:
        A copy with checked ``bbox`` (in its ``bbox_mode``) and ``segmentation``, or None.

    Raises:
        ValueError, KeyError: it cannot be understood; the message does not name the file.
    """
    if annotation.get("iscrowd", 0):
        drops.add(DropCause.CROWD, file_name)
        return None
    box = np.asarray(annotation["bbox"], dtype=np.float64).reshape(1, -1)
    cause = _box_problem(BoxMode.convert(box, annotation["bbox_mode"], BoxMode.XYXY_ABS), size_hw)
    if cause is not None:
        drops.add(cause, file_name, f"bbox {box[0].tolist()}")
        if cause is not DropCause.BOX_CLIPPED:
            return None
    cleaned = {**annotation, "bbox": box[0].tolist()}
    if not need_mask:
        cleaned.pop("segmentation", None)
        return cleaned
    segmentation = annotation.get("segmentation")
    if segmentation is None or len(segmentation) == 0:
        drops.add(DropCause.NO_MASK, file_name)
        return None
    if isinstance(segmentation, dict):
        cleaned["segmentation"] = compress_rle(segmentation, size_hw)
        return cleaned
    cleaned["segmentation"] = _valid_polygons(segmentation, drops, file_name)
    if not cleaned["segmentation"]:
        drops.add(DropCause.NO_POLYGON_LEFT, file_name)
        return None
    return cleaned


def _box_problem(box_xyxy: np.ndarray, size_hw: tuple[int, int]) -> DropCause | None:
    ((x0, y0, x1, y1),) = box_xyxy
    if not np.isfinite(box_xyxy).all() or x1 <= x0 or y1 <= y0:
        return DropCause.BAD_BOX
    height, width = size_hw
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return DropCause.BOX_OUTSIDE
    beyond = max(-x0, -y0, x1 - width, y1 - height)
    return DropCause.BOX_CLIPPED if beyond > _CLIP_TOLERANCE else None


def _valid_polygons(
    segmentation: list[Any], drops: DropCounter, file_name: str
) -> list[np.ndarray]:
    if np.ndim(segmentation[0]) == 0:
        raise ValueError(
            "its segmentation is a flat list of numbers, not a list of polygons: write "
            "[[x1, y1, x2, y2, ...]]"
        )
    polygons = []
    for points in segmentation:
        polygon = np.asarray(points, dtype=np.float64).reshape(-1)
        if polygon.size >= 6 and polygon.size % 2 == 0 and np.isfinite(polygon).all():
            polygons.append(polygon)
        else:
            drops.add(DropCause.BAD_POLYGON, file_name, f"{polygon.size} coordinates")
    return polygons
