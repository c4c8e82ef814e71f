"""The masks of annotations: polygons and run lengths, their bounds and their area.

Plain Python is used where a file has a million polygons of 30 numbers: NumPy takes longer.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import pycocotools.mask as mask_util

from pointrend_ext.data.coco import causes
from pointrend_ext.data.findings import Cause
from pointrend_ext.data.polygon_holes import has_polygon_inside
from pointrend_ext.data.rle import compress_rle

NUMBERS: frozenset[Any] = frozenset({int, float})
Bounds = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


def check_mask(
    mask: Any, size_hw: tuple[int, int], found: Callable[[Cause], None]
) -> tuple[Any, Bounds | None]:
    """Check one ``segmentation`` that is not empty, of an image of (H, W); it is not changed.

    Returns:
        The mask as a list of polygons (lists of at least 6 finite numbers) or as compressed run
        lengths, and its bounds; None and None where there is none, or one without area. What needs
        no change is returned as it is.

    Raises:
        ValueError: it cannot be read for certain; what follows the name of the annotation.
    """
    if isinstance(mask, dict):
        try:
            mask = compress_rle(mask, size_hw)
        except ValueError as error:
            raise ValueError(
                f"has a mask that cannot be read: {error}; encode it "
                "anew, such as with pycocotools.mask.encode, or leave it out"
            ) from error
        bounds = mask_bounds(mask)
    else:
        clean = mask_bounds(mask)
        if clean is None:
            mask = _polygons(mask, found)
            clean = mask_bounds(mask) if mask else (0, 0, 0, 0)
            assert clean is not None
        bounds = clean
        if has_polygon_inside(mask):
            found(causes.HOLE)
    assert bounds is not None
    height, width = size_hw
    x0, y0, x1, y1 = bounds
    if x0 < -width or y0 < -height or x1 > 2 * width or y1 > 2 * height:
        raise ValueError(
            f"has a mask from x {x0:g} to {x1:g} and y {y0:g} to {y1:g}, further outside its image "
            f"of {width} x {height} pixels (width x height) than that is large: correct the "
            "coordinates, or the size of the image"
        )
    if x1 <= x0 or y1 <= y0 or x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return None, None
    return mask, bounds


def mask_bounds(mask: Any) -> Bounds | None:
    """Return the bounds of a checked mask; None of polygons that need a closer look."""
    if isinstance(mask, dict):
        x, y, width, height = mask_util.toBbox(mask).tolist()
        return x, y, x + width, y + height
    if mask.__class__ is not list:
        return None
    x0 = y0 = math.inf
    x1 = y1 = -math.inf
    for polygon in mask:
        if polygon.__class__ is not list or not NUMBERS.issuperset(map(type, polygon)):
            return None
        if len(polygon) < 6 or len(polygon) % 2 or not is_finite(sum(polygon)):
            return None
        xs, ys = polygon[::2], polygon[1::2]
        x0, y0 = min(x0, min(xs)), min(y0, min(ys))
        x1, y1 = max(x1, max(xs)), max(y1, max(ys))
    return x0, y0, x1, y1


def is_finite(number: float) -> bool:
    """Tell whether a number is neither NaN nor infinite."""
    return -sys.float_info.max <= number <= sys.float_info.max  # also of a number of any length


def fill_areas(annotations: list[dict[str, Any]], sizes_hw: dict[Any, tuple[int, int]]) -> None:
    """Write the ``area`` of annotations without one: pixels of the mask, or else of the box."""
    for annotation in annotations:
        if annotation.get("area") is not None:
            continue
        mask, size_hw = annotation.get("segmentation"), sizes_hw[annotation["image_id"]]
        if isinstance(mask, list) and mask:
            mask = mask_util.merge(mask_util.frPyObjects(mask, *size_hw))
        box = annotation["bbox"]
        annotation["area"] = float(mask_util.area(mask)) if mask else float(box[2] * box[3])


def _polygons(mask: Any, found: Callable[[Cause], None]) -> list[list[float]]:
    """Read what is not yet a list of lists of numbers, as far as it has one meaning."""
    if not isinstance(mask, list):
        raise ValueError(
            f"has a segmentation {mask!r:.60} that is neither {_FORMS}: correct it, or leave it out"
        )
    if not any(isinstance(part, list) for part in mask):
        found(causes.FLAT)
        mask = [mask]
    elif len(mask) > 2 and all(_is_point(part) for part in mask):
        found(causes.POINTS)
        mask = [_joined(mask)]
    polygons = []
    for part in mask:
        if isinstance(part, list) and part and all(isinstance(inner, list) for inner in part):
            if all(_is_point(inner) for inner in part):
                found(causes.POINTS)
                part = _joined(part)
            elif len(part) == 1:
                found(causes.NESTED)
                part = part[0]
        if not isinstance(part, list) or not all(map(_is_number, part)):
            wrong = next(x for x in part if not _is_number(x)) if isinstance(part, list) else part
            raise ValueError(
                f"has a segmentation with {wrong!r:.60} where a finite number is due; it is "
                f"neither {_FORMS}: correct it, or leave the mask out"
            )
        if len(part) < 6 or len(part) % 2:
            found(causes.BAD_POLYGON)
        else:
            polygons.append(part)
    return polygons


_FORMS = (
    "a list of polygons [[x1, y1, x2, y2, ...]] nor a run-length dict {'size': [height, width], "
    "'counts': ...}"
)


def _is_point(part: Any) -> bool:
    return isinstance(part, list) and len(part) == 2 and NUMBERS.issuperset(map(type, part))


def _is_number(value: Any) -> bool:
    return value.__class__ in NUMBERS and is_finite(value)


def _joined(points: list[list[float]]) -> list[float]:
    return [coordinate for point in points for coordinate in point]
