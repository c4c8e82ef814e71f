"""Which layout the boxes of an annotation file have, told from the masks of the same objects.

COCO's is x, y, width, height in pixels. Files of other layouts load, and train badly.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

__all__ = ["are_runs_row_major", "likely_layout"]

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
    "y, x, height, width (rows first)": (
        lambda a, b, c, d: (b, a, b + d, a + c),
        "x, y, width, height",
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
    stated = np.stack(_FORMS[_STATED][0](*boxes.T), axis=1)
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
    found = np.stack(_FORMS[_STATED][0](*boxes.T), axis=1)
    copies = {
        f"{_STATED} on copies {scale[0]:.3g} times as wide and {scale[1]:.3g} times as high: "
        "divide them by these numbers": found / np.tile(scale, 2),
        f"{_STATED} on copies of {size[0]:.0f} x {size[1]:.0f} pixels: write those of the "
        "pictures themselves": found * np.tile(sizes_wh / size, 2),
    }
    shares = {phrase: _share_explained(candidate, bounds) for phrase, candidate in copies.items()}
    best = max(shares, key=lambda phrase: shares[phrase])
    return best if shares[best] >= max(_NEEDED, stated + _MARGIN) else None


def are_runs_row_major(boxes: Sequence[Any] | np.ndarray, rles: Sequence[dict[str, Any]]) -> bool:
    """Tell whether run lengths go along rows: then their masks have the boxes that are stated.

    COCO's go down the columns. Turned round, a mask is a pattern of stripes.

    Args:
        boxes: (A, 4), x, y, width, height in pixels as stated.
        rles: A compressed run-length masks that fill their images; at most 200 are looked at.
    """
    chosen = range(0, len(rles), -(-len(rles) // _MOST_RUNS) or 1)
    stated, columns, rows = [], [], []
    for index in chosen:
        mask = mask_util.decode(rles[index])  # (H, W)
        if mask.any():
            x, y, width, height = boxes[index]
            stated.append((x, y, x + width, y + height))
            columns.append(_bounds(mask))
            rows.append(_bounds(mask.reshape(-1, order="F").reshape(mask.shape)))
    if not stated:
        return False
    found = np.array(stated, np.float64)
    by_columns, by_rows = (_share_explained(found, np.array(x)) for x in (columns, rows))
    return by_rows >= max(_NEEDED, by_columns + _MARGIN)


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of a mask that is not empty."""
    xs, ys = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1
