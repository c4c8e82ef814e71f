"""Masks of an image that are known pixel by pixel, with the memory of their boxes."""

from collections.abc import Sequence

import numpy as np

from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.visualization import MaskCrop


class StoredMasks(PastedMasks):
    """Like ``PastedMasks``, but nothing is left to be pasted.

    Args:
        crops: of each mask, bool, and where it begins.
        size_hw: rows and columns of the image.
    """

    def __init__(self, crops: Sequence[MaskCrop], size_hw: tuple[int, int]) -> None:
        self._crops, self.size_hw = list(crops), size_hw

    def __len__(self) -> int:
        return len(self._crops)

    def _selected(self, numbers: np.ndarray) -> "StoredMasks":
        return StoredMasks([self._crops[number] for number in numbers], self.size_hw)

    def crop(self, index: int) -> MaskCrop:
        """Return the pixels of one mask, bool, and where they begin."""
        return self._crops[index]

    def probability_crop(self, index: int) -> MaskCrop:
        """Return 255 inside and 0 outside, uint8: probabilities of several tiles are not kept."""
        crop = self._crops[index]
        return crop._replace(values=crop.values.astype(np.uint8) * 255)
