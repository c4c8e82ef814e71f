"""COCO run-length masks: the checks that pycocotools leaves out.

A run-length mask whose runs do not add up to the image is decoded by pycocotools without an error,
the rest being whatever lay in the memory.
"""

from typing import Any

import numpy as np
import pycocotools.mask as mask_util


def compress_rle(rle: dict[str, Any], size_hw: tuple[int, int]) -> dict[str, Any]:
    """Return the compressed form of a run-length mask, checked.

    Args:
        rle: ``{"size": [H, W], "counts": ...}`` with a list of run lengths (uncompressed) or a
            string or bytes (compressed).
        size_hw: (H, W) of the image.

    Returns:
        The same mask with compressed ``counts``.

    Raises:
        ValueError: the size is not that of the image, or the runs do not fill it.
    """
    if not {"size", "counts"} <= rle.keys():
        raise ValueError(f"the run-length mask has the keys {sorted(rle)}, not 'size' and 'counts'")
    size, counts = rle["size"], rle["counts"]
    if not isinstance(size, (list, tuple)) or tuple(size) != tuple(size_hw):
        is_swapped = isinstance(size, (list, tuple)) and tuple(size[::-1]) == tuple(size_hw)
        hint = ": width and height are swapped" if is_swapped else ""
        shown = tuple(size) if isinstance(size, (list, tuple)) else size
        raise ValueError(
            f"the run-length mask has (height, width) {shown!r}, the image {tuple(size_hw)}{hint}"
        )
    uncompressed = not isinstance(counts, (str, bytes))
    runs = _listed_runs(counts) if uncompressed else run_lengths(counts)
    num_pixels = size_hw[0] * size_hw[1]
    if (runs < 0).any() or (runs > num_pixels).any():  # whose sum may overflow, to the right one
        raise ValueError(
            f"the run lengths of the mask add up to no {num_pixels} pixels of the image: one is "
            "below 0 or above that"
        )
    if runs.sum() != num_pixels:
        raise ValueError(
            f"the run lengths of the mask add up to {runs.sum()}, not to the {num_pixels} pixels "
            "of the image"
        )
    if uncompressed:
        rle = {"size": list(size_hw), "counts": runs.tolist()}
        return mask_util.frPyObjects(rle, *size_hw)
    if not all(side.__class__ is int for side in size):
        return {"size": list(size_hw), "counts": counts}
    return rle


def _listed_runs(counts: Any) -> np.ndarray:
    runs = np.asarray(counts) if isinstance(counts, (list, tuple, np.ndarray)) else np.array("")
    if runs.ndim != 1 or runs.dtype.kind not in "iuf" or (runs % 1 != 0).any():
        raise ValueError(
            f"the counts of the run-length mask are {counts!r:.60}, neither a list of whole "
            "numbers nor COCO's compressed text"
        )
    return runs.astype(np.int64)


def run_lengths(counts: str | bytes) -> np.ndarray:
    """Decode COCO's compressed counts: 5 bits per character, bit 6 continues a number.

    The format is that of ``rleFrString`` in cocodataset/cocoapi: from the fourth on, a number is
    the difference to the run two places earlier.
    """
    data = counts.encode() if isinstance(counts, str) else counts  # no other than ASCII is valid
    codes = np.frombuffer(data, dtype=np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 0x20) == 0)
    lengths = np.diff(ends, prepend=-1)
    is_complete = len(ends) > 0 and ends[-1] == len(codes) - 1
    if not is_complete or codes.min() < 0 or codes.max() > 63 or lengths.max() > 7:  # of 32 bits
        raise ValueError("the counts of the run-length mask are not in COCO's compressed format")
    starts = ends - lengths + 1
    shift = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    values = np.add.reduceat((codes & 0x1F) << shift, starts)
    negative = (codes[ends] & 0x10) != 0
    values[negative] -= 1 << (5 * lengths[negative])
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
