"""How boxes that are not those of their masks, or the masks, were written, told from one another.

COCO's boxes are x, y, width, height in pixels. Files of other layouts load, and train badly.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

__all__ = ["likely_layout", "likely_mistake"]

_NEEDED, _MARGIN = 0.9, 0.25  # share of objects explained; how far ahead of any other layout
_TOLERANCE_PX, _TOLERANCE = 2.0, 0.05  # of a side, or this share of the mask's
_MOST_OBJECTS, _MOST_RUNS = 2000, 200  # looked at
_FEWEST_TO_FIT = 3  # objects, where a number is fitted, too

_Columns = tuple[np.ndarray, ...]

# What the four numbers may be: (x0, y0, x1, y1) of them, and what to write instead.
_FORMS: dict[str, tuple[Callable[..., _Columns], str]] = {
    "x, y, width, height": (lambda a, b, c, d: (a, b, a + c, b + d), "x, y, width, height"),
    "x0, y0, x1, y1 (corners)": (lambda a, b, c, d: (a, b, c, d), "x0, y0, x1 - x0, y1 - y0"),
    "centre x, centre y, width, height": (
        lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
        "x - width / 2, y - height / 2, width, height",
    ),
    "x, y, height, width": (lambda a, b, c, d: (a, b, a + d, b + c), "x, y, width, height"),
    "x0, x1, y0, y1": (lambda a, b, c, d: (a, c, b, d), "x0, y0, x1 - x0, y1 - y0"),
    "y, x, height, width (rows first), or x and y of the masks are exchanged": (
        lambda a, b, c, d: (b, a, b + d, a + c),
        "x, y, width, height; in masks x comes first, too",
    ),
    "y0, x0, y1, x1 (corners, rows first)": (
        lambda a, b, c, d: (b, a, d, c),
        "x0, y0, x1 - x0, y1 - y0",
    ),
    "centre y, centre x, height, width (rows first)": (
        lambda a, b, c, d: (b - d / 2, a - c / 2, b + d / 2, a + c / 2),
        "x - width / 2, y - height / 2, width, height",
    ),
    "y0, y1, x0, x1": (lambda a, b, c, d: (c, a, d, b), "x0, y0, x1 - x0, y1 - y0"),
}
_STATED = "x, y, width, height"
_UNITS = {
    "shares of the image": 1.0,
    "per cent of the image": 100.0,
    "thousandths of the image": 1000.0,
}
# x, y, width, height of another frame: (x0, y0, x1, y1) in that of the masks. A quarter turn swaps
# the sizes, and the file may state those of either frame.
_TURNS: dict[str, tuple[Callable[..., _Columns], ...]] = {
    "turned by 90 degrees": (
        lambda x0, y0, x1, y1, w, h: (w - y1, x0, w - y0, x1),
        lambda x0, y0, x1, y1, w, h: (h - y1, x0, h - y0, x1),
    ),
    "turned by 180 degrees": (lambda x0, y0, x1, y1, w, h: (w - x1, h - y1, w - x0, h - y0),),
    "turned by 270 degrees": (
        lambda x0, y0, x1, y1, w, h: (y0, h - x1, y1, h - x0),
        lambda x0, y0, x1, y1, w, h: (y0, w - x1, y1, w - x0),
    ),
    "mirrored left to right": (lambda x0, y0, x1, y1, w, h: (w - x1, y0, w - x0, y1),),
    "mirrored top to bottom": (lambda x0, y0, x1, y1, w, h: (x0, h - y1, x1, h - y0),),
}


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
    for unit, whole in _UNITS.items():
        in_pixels = bounds_xyxy * np.tile(sizes_hw[:, ::-1], 2) / whole
        is_large = np.median(in_pixels[:, 2:] - in_pixels[:, :2]) > 2 * _TOLERANCE_PX
        if is_large and _explains(found, in_pixels, _share_explained(found, bounds_xyxy)):
            factor = "" if whole == 1 else f" / {whole:.0f}"
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
    return _mistake_of_runs(boxes[are_runs], [mask for mask in masks if isinstance(mask, dict)])


def likely_layout(boxes: np.ndarray, bounds_xyxy: np.ndarray, sizes_hw: np.ndarray) -> str | None:
    """Return the layout that explains boxes which are not x, y, width, height of their masks.

    A layout has to explain nine of ten objects, and clearly more than any other does. At most 2000
    objects are looked at; those with numbers that are not finite are passed over.

    Args:
        boxes: (A, 4), the numbers of the file.
        bounds_xyxy: (A, 4), bounds of the masks in pixels: x0, y0, x1, y1.
        sizes_hw: (A, 2), the size of each object's image as the file states it.

    Returns:
        A phrase for "the boxes look like ...", with what to write instead; None where the boxes
        are as stated (also with coordinates from 1), and where none or more than one layout fits.
    """
    boxes, bounds, sizes = (np.asarray(x, np.float64) for x in (boxes, bounds_xyxy, sizes_hw))
    is_usable = np.isfinite(np.concatenate([boxes, bounds, sizes], axis=1)).all(axis=1)
    chosen = np.flatnonzero(is_usable)
    chosen = chosen[:: -(-len(chosen) // _MOST_OBJECTS) or 1]
    if not len(chosen):
        return None
    boxes, bounds, sizes_wh = boxes[chosen], bounds[chosen], sizes[chosen, ::-1]
    candidates = _exact_layouts(boxes, sizes_wh)
    shares = {
        phrase: max(_share_explained(found, bounds) for found in variants)
        for phrase, variants in candidates.items()
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
    sizes = np.tile(sizes_wh, 2)  # (A, 4)
    for name, (bounds_of, remedy) in _FORMS.items():
        bounds = np.stack(bounds_of(*boxes.T), axis=1)
        phrase = name if name == _STATED else f"{name}: write {remedy}"
        layouts[phrase] = [bounds]
        for unit, whole in _UNITS.items():
            factor = "" if whole == 1 else f" / {whole:.0f}"
            phrase = f"{name} in {unit}: write {remedy} in pixels (times its size{factor})"
            layouts[phrase] = [bounds * sizes / whole]
    stated = _corners(boxes)
    for turn, variants in _TURNS.items():
        phrase = (
            f"{_STATED} in the frame of the picture {turn} against that of the masks (an EXIF "
            "orientation?): write boxes and masks in the frame of the upright picture"
        )
        layouts[phrase] = [np.stack(f(*stated.T, *sizes_wh.T), axis=1) for f in variants]
    return layouts


def _share_explained(found: np.ndarray, bounds: np.ndarray) -> float:
    sides = np.tile(bounds[:, 2:] - bounds[:, :2], 2)
    tolerance = np.maximum(_TOLERANCE_PX, _TOLERANCE * sides)
    return float((np.abs(found - bounds) <= tolerance).all(axis=1).mean())


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
    shares = {phrase: _share_explained(candidate, bounds) for phrase, candidate in copies.items()}
    best = max(shares, key=lambda phrase: shares[phrase])
    return best if shares[best] >= max(_NEEDED, stated + _MARGIN) else None


def _mistake_of_runs(boxes: np.ndarray, rles: Sequence[dict[str, Any]]) -> str | None:
    """Tell whether runs go along rows, or are those of the background, by A boxes in pixels.

    COCO's go down the columns: turned round, a mask is a pattern of stripes. At most 200 masks are
    looked at.
    """
    chosen = range(0, len(rles), -(-len(rles) // _MOST_RUNS) or 1)
    masks = {index: mask_util.decode(rles[index]) for index in chosen}  # (H, W) each
    masks = {index: mask for index, mask in masks.items() if 0 < mask.mean() < 1}
    if not masks:
        return None
    found = _corners(boxes[list(masks)])
    stated = _share_explained(found, np.array([_bounds(mask) for mask in masks.values()]))
    for read, phrase in _RUNS:
        if _explains(found, np.array([_bounds(read(mask)) for mask in masks.values()]), stated):
            return phrase
    return None


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


def _explains(found: np.ndarray, bounds: np.ndarray, stated: float) -> bool:
    """Tell whether bounds are (A, 4) those that were found, clearly more so than as stated."""
    return _share_explained(found, bounds) >= max(_NEEDED, stated + _MARGIN)


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Return x0, y0, x1, y1 of (A, 4) x, y, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of a mask that is not empty."""
    xs, ys = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1
