"""COCO's compressed run lengths of a mask, in NumPy; the text is that of pycocotools."""

from typing import Any

import numpy as np


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """Return ``size`` and ``counts`` of a mask (H, W) bool, what COCO calls compressed RLE.

    Runs of outside and inside pixels alternate down the columns, the first one outside. From the
    fourth on, a number is the difference to the run two places earlier; it is written in groups of
    5 bits, bit 6 of a character saying that another one follows (``rleToString`` of
    cocodataset/cocoapi).
    """
    columns = np.flatnonzero(mask.any(axis=0))
    left, right = (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, 0)
    flat = np.concatenate([[False], mask[:, left:right].ravel(order="F"), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + left * len(mask)
    runs = np.diff(changes, prepend=0, append=mask.size)
    if len(runs) > 1 and runs[-1] == 0:  # the last pixel is inside
        runs = runs[:-1]
    values = runs.copy()
    values[3:] -= runs[1:-2]
    return {"size": list(mask.shape), "counts": _text(values)}


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
