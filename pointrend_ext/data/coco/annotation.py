"""The one check that every instance annotation passes, from a file or from a function."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pointrend_ext.data.coco import causes
from pointrend_ext.data.coco.masks import NUMBERS, Bounds, check_mask, is_finite
from pointrend_ext.data.coco.points import check_points
from pointrend_ext.data.findings import Cause

_BEYOND_PX = 1.0  # COCO's own boxes reach fractions of a pixel beyond the image
_UNLIKE_PX, _UNLIKE_SHARE = 2.0, 0.1
_FLAGS = {0: 0, 1: 1, "0": 0, "1": 1, "false": 0, "true": 1, "": 0, None: 0}
_BOX = "4 numbers [x, y, width, height]"


def check_annotation(
    annotation: dict[str, Any],
    size_hw: tuple[int, int],
    found: Callable[[Cause], None],
    *,
    corners: bool = False,
) -> bool:
    """Check one annotation and write it in the one form that the package reads.

    Afterwards ``iscrowd`` is absent, 0 or 1; ``bbox`` is 4 finite numbers of a positive size that
    touch the image; ``segmentation`` is a list of polygons or compressed run lengths, or None or
    empty; points are as ``check_points`` says. Checked a second time, nothing changes and nothing
    is left out.

    Args:
        annotation: plain values as JSON has them; changed in place.
        size_hw: (H, W) of the image as stored.
        found: is told what is found.
        corners: ``bbox`` is x0, y0, x1, y1 instead of COCO's x, y, width, height.

    Returns:
        False where it is to be left out.

    Raises:
        ValueError: it cannot be read for certain; the message goes on after its name: "has ...".
    """
    if "iscrowd" in annotation:
        annotation["iscrowd"] = is_crowd = crowd_flag(annotation["iscrowd"], found)
        if is_crowd:
            found(causes.CROWD)
    if annotation.get("ignore"):
        raise ValueError("has 'ignore' set, which Detectron2 does not know: remove it")
    mask, box = annotation.get("segmentation"), annotation.get("bbox")
    if box is not None:
        bounds = _box_bounds(box, corners)
        cause = _box_problem(bounds, size_hw)
        if cause is not None:
            found(cause)
            return False
    of_mask: Bounds | None = None
    if mask:
        mask, of_mask = check_mask(mask, size_hw, found)
        annotation["segmentation"] = mask
    if box is None:
        if of_mask is None:
            found(causes.NOWHERE)
            return False
        found(causes.BOX_FROM_MASK)
        x0, y0, x1, y1 = bounds = of_mask
        annotation["bbox"] = [x0, y0, x1, y1] if corners else [x0, y0, x1 - x0, y1 - y0]
    if of_mask is None:
        found(causes.NO_MASK)
    elif _is_unlike(bounds, of_mask):
        found(causes.UNLIKE_MASK)
    if "point_coords" in annotation or "point_labels" in annotation:
        check_points(annotation, bounds, size_hw, found)
    if _is_beyond(bounds, size_hw) or (of_mask is not None and _is_beyond(of_mask, size_hw)):
        found(causes.BEYOND)
    return True


def check_area(annotation: dict[str, Any], found: Callable[[Cause], None]) -> None:
    """Set an ``area`` to None that is not above 0; note one that a box of this size cannot have."""
    area: Any = annotation.get("area")
    if area.__class__ not in NUMBERS or not area > 0 or not is_finite(area):
        annotation["area"] = None
        found(causes.NO_AREA)
        return
    _, _, width, height = annotation["bbox"]
    if area > 1.1 * width * height + 4 or area < 1 < width * height / 16:
        found(causes.ODD_AREA)


def listed_twice(annotations: Sequence[dict[str, Any]]) -> Iterator[int]:
    """Yield the positions of checked objects that are equal to an earlier one but for ids."""
    # Of a million objects, hashes take little memory, and hardly any two are equal.
    hashes = [hash((a.get("image_id"), a.get("category_id"), *a["bbox"])) for a in annotations]
    seen: dict[int, list[Any]] = {}
    if len({*hashes}) < len(hashes):
        repeated = {value for value, count in Counter(hashes).items() if count > 1}
        for position, value in enumerate(hashes):
            if value in repeated:
                own = annotations[position]
                if own.get("iscrowd"):
                    continue
                entry = [own.get("image_id"), own.get("category_id"), own["bbox"]]
                entry.append(own.get("segmentation") or None)
                if entry in seen.setdefault(value, []):
                    yield position
                seen[value].append(entry)


def crowd_flag(value: Any, found: Callable[[Cause], None]) -> int:
    """Return a value of ``iscrowd`` as 0 or 1.

    Raises:
        ValueError: it is neither.
    """
    if value.__class__ is int and 0 <= value <= 1:
        return value
    key = value.strip().lower() if isinstance(value, str) else value
    if isinstance(key, (list, dict)) or key not in _FLAGS:
        raise ValueError(f"has iscrowd {value!r:.60}: write 0 for an object, 1 for a crowd region")
    found(causes.CROWD_FLAG)
    return _FLAGS[key]


def _box_bounds(box: Any, corners: bool) -> Bounds:
    if box.__class__ is not list or len(box) != 4 or not NUMBERS.issuperset(map(type, box)):
        raise ValueError(
            f"has bbox {box!r:.100}, not {_BOX}: correct it; without one it gets that of its mask"
        )
    x0, y0, x1, y1 = box
    return (x0, y0, x1, y1) if corners else (x0, y0, x0 + x1, y0 + y1)


def _box_problem(bounds: Bounds, size_hw: tuple[int, int]) -> Cause | None:
    x0, y0, x1, y1 = bounds
    if not (x1 > x0 and y1 > y0 and is_finite(x0 + y0 + x1 + y1)):
        return causes.BAD_BOX
    height, width = size_hw
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return causes.BOX_OUTSIDE
    if x1 <= 1.001 and y1 <= 1.001 and min(width, height) > 2:
        return causes.SHARES
    return None


def _is_beyond(bounds: Bounds, size_hw: tuple[int, int]) -> bool:
    x0, y0, x1, y1 = bounds
    low = -_BEYOND_PX
    return x0 < low or y0 < low or x1 > size_hw[1] - low or y1 > size_hw[0] - low


def _is_unlike(box: Bounds, mask: Bounds) -> bool:
    x0, y0, x1, y1 = box
    a0, b0, a1, b1 = mask
    far_x = max(_UNLIKE_PX, _UNLIKE_SHARE * (x1 - x0))
    far_y = max(_UNLIKE_PX, _UNLIKE_SHARE * (y1 - y0))
    return (
        abs(a0 - x0) > far_x or abs(a1 - x1) > far_x or abs(b0 - y0) > far_y or abs(b1 - y1) > far_y
    )
