"""How boxes that are not those of their masks, or the masks, were written, told from one another.

COCO's boxes are x, y, width, height in pixels. Files of other layouts load, and train badly.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

_NEEDED, _MARGIN = 0.9, 0.25  # share of objects explained; how far ahead of any other layout
_TOLERANCE_PX, _TOLERANCE = 2.0, 0.05  # of a side, or this share of the mask's
_MOST_OBJECTS, _MOST_RUNS = 2000, 200  # looked at
_FEWEST_TO_FIT = 3  # objects, where a number is fitted, too

# What the four numbers may be: their order as names of columns (x0, y0, x1, y1 are corners, cx and
# cy a centre, w and h a size), and what to write instead.
_STATED = "x, y, width, height"
_CORNERS, _CENTRES = "x0, y0, x1 - x0, y1 - y0", "x - width / 2, y - height / 2, width, height"
_FORMS = {
    _STATED: ("x0 y0 w h", _STATED),
    "x0, y0, x1, y1 (corners)": ("x0 y0 x1 y1", _CORNERS),
    "centre x, centre y, width, height": ("cx cy w h", _CENTRES),
    "x, y, height, width": ("x0 y0 h w", _STATED),
    "x0, x1, y0, y1": ("x0 x1 y0 y1", _CORNERS),
    "y, x, height, width (rows first), or x and y of the masks are exchanged": (
        "y0 x0 h w",
        f"{_STATED}; in masks x comes first, too",
    ),
    "y0, x0, y1, x1 (corners, rows first)": ("y0 x0 y1 x1", _CORNERS),
    "centre y, centre x, height, width (rows first)": ("cy cx h w", _CENTRES),
    "y0, y1, x0, x1": ("y0 y1 x0 x1", _CORNERS),
}
_UNITS = {
    "shares of the image": (1.0, ""),
    "per cent of the image": (100.0, " / 100"),
    "thousandths of the image": (1000.0, " / 1000"),
}
# Frames turned against that of the masks: whether x and y are exchanged, and which of the two then
# runs the other way.
_TURNS = {
    "turned by 90 degrees": (True, (True, False)),
    "turned by 180 degrees": (False, (True, True)),
    "turned by 270 degrees": (True, (False, True)),
    "mirrored left to right": (False, (True, False)),
    "mirrored top to bottom": (False, (False, True)),
}
_RUNS: tuple[tuple[Callable[[np.ndarray], np.ndarray], str], ...] = (
    (
        lambda mask: mask.reshape(-1, order="F").reshape(mask.shape),
        "the run lengths seem to go along the rows; COCO's go down the columns: encode the masks "
        "anew, such as with pycocotools.mask.encode(numpy.asfortranarray(mask))",
    ),
    (
        lambda mask: 1 - mask,
        "the run lengths seem to be those of the background, so that every mask is all but its "
        "object: COCO's begin with a length of background, 0 where there is none; encode the "
        "masks anew, 1 inside of objects",
    ),
)


def likely_mistake(
    boxes: np.ndarray, bounds_xyxy: np.ndarray, sizes_hw: np.ndarray, masks: Sequence[Any]
) -> str | None:
    """Say how boxes or masks that do not fit each other were written, and what to write instead.

    Args:
        boxes: (A, 4), the numbers of the file.
        bounds_xyxy: (A, 4), bounds of the masks in pixels: x0, y0, x1, y1.
        sizes_hw: (A, 2), the size of each object's image as the file states it.
        masks: A masks: compressed run lengths, or polygons.

    Returns:
        A clause such as "the boxes look like ..."; None where all is as stated or nothing fits.
    """
    found = _corners(boxes)
    for unit, (whole, factor) in _UNITS.items():
        in_pixels = bounds_xyxy * np.tile(sizes_hw[:, ::-1], 2) / whole
        is_large = np.median(in_pixels[:, 2:] - in_pixels[:, :2]) > 2 * _TOLERANCE_PX
        if is_large and _explains(found, in_pixels, _share_explained(found, bounds_xyxy)):
            return (
                f"the masks look like {unit}, the boxes like pixels: multiply x of the masks by "
                f"the width of the image{factor} and y by its height{factor}"
            )
    layout = likely_layout(boxes, bounds_xyxy, sizes_hw)
    if layout is not None:
        return f"the boxes look like {layout}; COCO's bbox is [x, y, width, height] in pixels"
    are_runs = [isinstance(mask, dict) for mask in masks]
    if 2 * sum(are_runs) <= len(masks):
        return None
    return _mistake_of_runs(found[are_runs], [mask for mask in masks if isinstance(mask, dict)])


def likely_layout(boxes: np.ndarray, bounds_xyxy: np.ndarray, sizes_hw: np.ndarray) -> str | None:
    """Return the layout that explains boxes which are not x, y, width, height of their masks.

    A layout has to explain nine of ten objects, and clearly more than any other does. At most 2000
    objects are looked at; those with numbers that are not finite are passed over.

    Returns:
        A phrase for "the boxes look like ...", with what to write instead; None where the boxes
        are as stated (also with coordinates from 1), and where none or more than one layout fits.
    """
    table = np.concatenate([boxes, bounds_xyxy, sizes_hw], axis=1).astype(np.float64)
    table = table[np.isfinite(table).all(axis=1)]
    table = table[:: -(-len(table) // _MOST_OBJECTS) or 1]
    if not len(table):
        return None
    boxes, bounds, sizes_wh = table[:, :4], table[:, 4:8], table[:, :7:-1]
    shares = {
        phrase: max(_share_explained(found, bounds) for found in variants)
        for phrase, variants in _exact_layouts(boxes, sizes_wh).items()
    }
    stated = shares.pop(_STATED)
    best, *others = sorted(shares, key=lambda phrase: -shares[phrase])
    if shares[best] >= _NEEDED:
        rival = max(stated, shares[others[0]])
        return best if shares[best] - rival >= _MARGIN else None
    return _fitted_scale(boxes, bounds, sizes_wh, stated)


def _exact_layouts(boxes: np.ndarray, sizes_wh: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Return the bounds that each layout gives, by phrase: (A, 4) x0, y0, x1, y1 in pixels."""
    layouts = {}
    for name, (order, remedy) in _FORMS.items():
        columns = dict(zip(order.split(), boxes.T, strict=True))
        bounds = np.stack([*_ends("x", "w", columns), *_ends("y", "h", columns)])[[0, 2, 1, 3]].T
        layouts[name if name == _STATED else f"{name}: write {remedy}"] = [bounds]
        for unit, (whole, factor) in _UNITS.items():
            phrase = f"{name} in {unit}: write {remedy} in pixels (times its size{factor})"
            layouts[phrase] = [bounds * np.tile(sizes_wh, 2) / whole]
    low, high = np.split(_corners(boxes), 2, axis=1)
    for turn, (is_swapped, is_mirrored) in _TURNS.items():
        phrase = (
            f"{_STATED} in the frame of the picture {turn} against that of the masks (an EXIF "
            "orientation?): write boxes and masks in the frame of the upright picture"
        )
        start, end = (x[:, ::-1] if is_swapped else x for x in (low, high))
        stated = np.hstack([start, end])
        layouts[phrase] = [
            np.where(2 * is_mirrored, np.hstack([sides - end, sides - start]), stated)
            for sides in (sizes_wh, sizes_wh[:, ::-1])[: 1 + is_swapped]  # of either frame
        ]
    return layouts


def _ends(axis: str, side: str, columns: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return where (A,) intervals begin and end, from both ends, a beginning or a centre."""
    if f"{axis}1" in columns:
        return columns[f"{axis}0"], columns[f"{axis}1"]
    size = columns[side]
    low = columns[f"{axis}0"] if f"{axis}0" in columns else columns[f"c{axis}"] - size / 2
    return low, low + size


def _fitted_scale(
    boxes: np.ndarray, bounds: np.ndarray, sizes_wh: np.ndarray, stated: float
) -> str | None:
    """Try boxes of a copy of each picture: resized by one factor per axis, or to one size."""
    usable = (boxes[:, 2:] > 0).all(axis=1) & (bounds[:, 2:] > bounds[:, :2]).all(axis=1)
    if usable.sum() < _FEWEST_TO_FIT:
        return None
    ratios = boxes[usable, 2:] / (bounds[usable, 2:] - bounds[usable, :2])  # (A, 2)
    scale = np.median(ratios, axis=0)
    size = np.median(ratios * sizes_wh[usable], axis=0)
    found = _corners(boxes)
    copies = {
        f"{_STATED} on copies {scale[0]:.3g} times as wide and {scale[1]:.3g} times as high: "
        "divide them by these numbers, if the masks are right": found / np.tile(scale, 2),
        f"{_STATED} on copies of {size[0]:.0f} x {size[1]:.0f} pixels: write those of the "
        "pictures themselves": found * np.tile(sizes_wh / size, 2),
    }
    best = max(copies, key=lambda phrase: _share_explained(copies[phrase], bounds))
    return best if _explains(copies[best], bounds, stated) else None


def _mistake_of_runs(found: np.ndarray, rles: Sequence[dict[str, Any]]) -> str | None:
    """Tell whether runs go along rows, or are those of the background, by (A, 4) corners.

    COCO's go down the columns: turned round, a mask is a pattern of stripes.
    """
    chosen = range(0, len(rles), -(-len(rles) // _MOST_RUNS) or 1)
    masks = {index: mask_util.decode(rles[index]) for index in chosen}  # (H, W) each
    masks = {index: mask for index, mask in masks.items() if 0 < mask.mean() < 1}
    if not masks:
        return None
    found = found[list(masks)]
    stated = _share_explained(found, _bounds(masks.values()))
    for read, phrase in _RUNS:
        if _explains(found, _bounds(map(read, masks.values())), stated):
            return phrase
    return None


def _explains(found: np.ndarray, bounds: np.ndarray, stated: float) -> bool:
    """Tell whether (A, 4) bounds are those that were found, clearly more so than as stated."""
    return _share_explained(found, bounds) >= max(_NEEDED, stated + _MARGIN)


def _share_explained(found: np.ndarray, bounds: np.ndarray) -> float:
    sides = np.tile(bounds[:, 2:] - bounds[:, :2], 2)
    tolerance = np.maximum(_TOLERANCE_PX, _TOLERANCE * sides)
    return float((np.abs(found - bounds) <= tolerance).all(axis=1).mean())


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Return x0, y0, x1, y1 of (A, 4) x, y, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _bounds(masks: Iterable[np.ndarray]) -> np.ndarray:
    """Return (A, 4) x0, y0, x1, y1 of (H, W) masks that are not empty."""
    rles = [mask_util.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    return _corners(mask_util.toBbox(rles))
