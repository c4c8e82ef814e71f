"""Run lengths of a mask, in NumPy; those that COCO compresses are the text of pycocotools."""

import math
from typing import Any

import numpy as np


def encode_mask(crop: tuple[np.ndarray, int, int], size_hw: tuple[int, int]) -> dict[str, Any]:
    """Return ``size`` and ``counts`` of a mask, what COCO calls compressed RLE.

    Runs go down the columns. From the fourth on, a number is the difference to the run two places
    earlier; it is written in groups of 5 bits, bit 6 of a character saying that another one follows
    (``rleToString`` of cocodataset/cocoapi).

    Args:
        crop: its pixels (h, w) bool, and their top and left edges; beyond them none is inside.
        size_hw: of the image.
    """
    pixels, top, left = crop
    columns = np.zeros((pixels.shape[1], size_hw[0]), bool)
    columns[:, top : top + len(pixels)] = pixels.T
    runs = runs_of(columns.ravel(), left * size_hw[0], math.prod(size_hw))
    values = runs.copy()
    values[3:] -= runs[1:-2]
    return {"size": [*size_hw], "counts": _text(values)}


def runs_of(pixels: np.ndarray, start: int, number: int) -> np.ndarray:
    """Return the lengths of runs outside and inside, which alternate, the first one outside.

    Args:
        pixels: (K,) bool.
        start: how many pixels outside come before them.
        number: of all pixels; those that are left are outside.
    """
    runs = np.diff(np.flatnonzero(np.diff(np.pad(pixels, 1))) + start, prepend=0, append=number)
    return runs if runs[-1] or len(runs) == 1 else runs[:-1]  # the last pixel is inside


def _text(values: np.ndarray) -> str:
    groups = 1  # of 5 bits, whose uppermost is the sign
    lengths = np.ones(len(values), np.int64)
    while (too_large := (values >> (5 * groups - 1)) != (values >> 62)).any():
        groups += 1
        lengths[too_large] = groups
    shifts = 5 * np.arange(groups)
    codes = (values[:, None] >> shifts) & 0x1F
    codes[np.arange(groups) < lengths[:, None] - 1] |= 0x20
    return (codes[np.arange(groups) < lengths[:, None]] + 48).astype(np.uint8).tobytes().decode()
