"""Points of objects, ``point_coords`` and ``point_labels``: their check, and drawing them of masks.

The format is that of Detectron2's PointSup project (Cheng, Parkhi and Kirillov, "Pointly-Supervised
Instance Segmentation", CVPR 2022). A point is (x, y) on the continuous plane of pixels, as boxes
are, so the centre of the first pixel is (0.5, 0.5).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from pointrend_ext.data.coco import causes
from pointrend_ext.data.coco.masks import NUMBERS, Bounds, is_finite
from pointrend_ext.data.findings import Cause

NOT_KNOWN = -1
"""Label of a point that is neither known to be inside nor outside: no loss sees it."""

_LABELS = (0, 1, NOT_KNOWN)
_OUTSIDE_BOX_PX = 1.0  # centres of pixels that a box only touches


def check_points(
    annotation: dict[str, Any],
    box: Bounds,
    size_hw: tuple[int, int],
    found: Callable[[Cause], None],
) -> None:
    """Check the points of an annotation that has some, and write them in the one form.

    Afterwards each is a list of two finite numbers, with a label 0, 1 or -1; there may be none.
    Points of whole numbers throughout are indices of pixels, as PointSup's tool writes them: their
    centres are taken. A point outside the image gets the label -1.

    Args:
        annotation: plain values as JSON has them; changed in place.
        box: x0, y0, x1, y1 of the object.
        size_hw: (H, W) of the image as stored.
        found: is told what is found.

    Raises:
        ValueError: they cannot be read for certain; the message goes on after its name: "has ...".
    """
    coords, labels = annotation.get("point_coords"), annotation.get("point_labels")
    if not isinstance(coords, list) or not isinstance(labels, list) or len(coords) != len(labels):
        raise ValueError(
            f"has point_coords {coords!r:.60} with point_labels {labels!r:.60}: write a list of "
            "[x, y] and a list of as many labels, or neither"
        )
    wrong = next((p for p in coords if not _is_point(p)), None)
    if wrong is not None:
        raise ValueError(f"has the point {wrong!r:.60}, not [x, y] in pixels: correct it")
    unknown = next((x for x in labels if isinstance(x, list | dict) or x not in _LABELS), None)
    if unknown is not None or None in labels:
        raise ValueError(
            f"has the point label {unknown!r:.60}: write 1 for a point of the object, 0 for one "
            "beside it, -1 for one that is not known"
        )
    if coords and all(float(x).is_integer() for point in coords for x in point):
        found(causes.POINTS_OF_PIXELS)
        coords = [[x + 0.5, y + 0.5] for x, y in coords]
    height, width = size_hw
    inside = [0 <= x <= width and 0 <= y <= height for x, y in coords]
    if any(label != NOT_KNOWN and not known for label, known in zip(labels, inside, strict=True)):
        found(causes.POINT_OUTSIDE)
    labels = [int(x) if known else NOT_KNOWN for x, known in zip(labels, inside, strict=True)]
    x0, y0, x1, y1 = box
    far = _OUTSIDE_BOX_PX
    known = [point for point, x in zip(coords, labels, strict=True) if x != NOT_KNOWN]
    if not all(x0 - far <= x <= x1 + far and y0 - far <= y <= y1 + far for x, y in known):
        found(causes.POINT_OUTSIDE_BOX)
    if not known:
        found(causes.NO_POINT)
    annotation["point_coords"], annotation["point_labels"] = coords, labels


def draw_points(
    annotation: dict[str, Any], size_hw: tuple[int, int], number: int, random: np.random.Generator
) -> dict[str, list]:
    """Draw points of an object with a mask: uniformly in its box, at centres of pixels.

    Args:
        annotation: as ``check_annotation`` leaves it, with ``segmentation``.
        size_hw: (H, W) of the image.
        number: of points, at least 1.
        random: source of randomness.

    Returns:
        ``point_coords``, ``number`` times [x, y], and ``point_labels``, as many of 0 and 1.
    """
    mask = annotation["segmentation"]
    if isinstance(mask, list):
        mask = mask_util.merge(mask_util.frPyObjects(mask, *size_hw))
    x, y, width, height = annotation["bbox"]
    drawn = np.array([x, y]) + random.random((number, 2)) * (width, height)
    cells = np.floor(drawn).astype(int).clip(0, np.array(size_hw[::-1]) - 1)  # (x, y)
    labels = mask_util.decode(mask)[cells[:, 1], cells[:, 0]]
    return {"point_coords": (cells + 0.5).tolist(), "point_labels": labels.tolist()}


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and NUMBERS.issuperset(map(type, point))
        and is_finite(sum(map(abs, point)))
    )
