"""The masks of one image, pasted when they are looked at; no torch is needed."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from pointrend_ext.visualization.mask_crop import MaskCrop

__all__ = ["PastedMasks"]


class PastedMasks(Sequence[np.ndarray]):
    """R masks of an image, (H, W) bool each, made one by one.

    A model predicts a small square map per box. A hundred of them pasted into an image of 12
    megapixels need 1.2 GB, so a mask is pasted whenever it is read. ``np.asarray`` gives all of
    them at once. Pixel for pixel these are the masks that Detectron2 puts out on a CPU.
    """

    def __init__(self, probabilities: Any, boxes_px: Any, size_hw: tuple[int, int]) -> None:
        """Keep what is needed to paste.

        Args:
            probabilities: (R, S, S) in [0, 1], an array or a tensor on the CPU.
            boxes_px: (R, 4) left, top, right, bottom in pixels of the image, likewise.
            size_hw: rows and columns of the image.
        """
        self._probabilities = np.asarray(probabilities, np.float32)
        self._boxes_px = np.asarray(boxes_px, np.float32)
        self.size_hw = size_hw

    def __len__(self) -> int:
        return len(self._probabilities)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice | np.ndarray) -> "PastedMasks": ...

    def __getitem__(self, index: int | slice | np.ndarray) -> "np.ndarray | PastedMasks":
        """Paste one mask, (H, W) bool; or select several, as of an array, without pasting them."""
        if isinstance(index, (int, np.integer)):
            mask, (crop, top, left) = np.zeros(self.size_hw, dtype=bool), self.crop(index)
            mask[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
            return mask
        numbers = np.arange(len(self))[index]
        return PastedMasks(self._probabilities[numbers], self._boxes_px[numbers], self.size_hw)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """Paste all masks: (R, H, W) bool."""
        masks = np.zeros((len(self), *self.size_hw), dtype=bool)
        for number in range(len(self)):
            masks[number] = self[number]
        return masks if dtype is None else masks.astype(dtype)

    def crop(self, index: int) -> MaskCrop:
        """Paste one mask around its box alone: bool, and where it begins."""
        values, top, left = self._paste(index)
        return MaskCrop(values >= 0.5, top, left)

    def probability_crop(self, index: int) -> MaskCrop:
        """Paste one mask without a threshold: uint8, 255 times the probability, rounded down."""
        values, top, left = self._paste(index)
        return MaskCrop((values * np.float32(255)).astype(np.uint8), top, left)

    def _paste(self, index: int) -> MaskCrop:
        """Return float32 probabilities in the box and a pixel beyond, as Detectron2 pastes."""
        number = range(len(self))[index]  # an IndexError beyond the end, as for any sequence
        box, (height, width) = self._boxes_px[number], self.size_hw
        left, top = (max(int(v) - 1, 0) for v in np.floor(box[:2]))
        right, bottom = (
            min(int(v) + 1, side) for v, side in zip(np.ceil(box[2:]), (width, height), strict=True)
        )
        map_ = self._probabilities[number]
        rows, row_shares = _sources(top, bottom, box[1], box[3], len(map_))
        columns, column_shares = _sources(left, right, box[0], box[2], len(map_))
        padded = np.pad(map_, 1)
        pasted = np.zeros((len(rows[0]), len(columns[0])), np.float32)
        for row, share in zip(rows, row_shares, strict=True):
            values = padded[row].astype(np.float64)
            for column, own in zip(columns, column_shares, strict=True):
                weights = share[:, None] * own
                pasted = (values[:, column] * weights + pasted).astype(np.float32)
        return MaskCrop(pasted, top, left)


def _sources(
    start: int, stop: int, low: np.float32, high: np.float32, side: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Tell between which cells of a map the centres of pixels lie, along one axis.

    The numbers are those of PyTorch's ``grid_sample`` on a CPU, rounding for rounding: float32, of
    which products and the sum that follows them are rounded once (fused multiply-add).

    Args:
        start: the first pixel.
        stop: the one behind the last.
        low: edge of the box, in pixels.
        high: its other edge.
        side: of the map.

    Returns:
        Places of the lower and of the upper cells in the map with a margin of 1, and their weights.
    """
    one, half = np.float32(1), np.float32(0.5)
    centres = np.arange(start, stop, dtype=np.float32) + half
    with np.errstate(all="ignore"):  # of a box without extent nothing is inside
        relative = (centres - low) / (high - low) * np.float32(2) - one
        position = ((relative + one).astype(np.float64) * (side / 2) - 0.5).astype(np.float32)
        lower = np.floor(position)
        upper_share = position - lower
        places = np.nan_to_num(lower.clip(-2, side), nan=-2).astype(np.int64)
    places = places + 1
    cells = np.clip(places, 0, side + 1), np.clip(places + 1, 0, side + 1)
    return cells, (one - upper_share, upper_share)
