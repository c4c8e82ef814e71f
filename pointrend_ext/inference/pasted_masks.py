"""The masks of one image, pasted when they are looked at."""

from collections.abc import Sequence
from typing import overload

import numpy as np
from detectron2.layers import paste_masks_in_image
from torch import Tensor

from pointrend_ext.visualization import MaskCrop

__all__ = ["PastedMasks"]


class PastedMasks(Sequence[np.ndarray]):
    """R masks of an image, (H, W) bool each, made one by one.

    A model predicts a small square map per box. A hundred of them pasted into an image of 12
    megapixels need 1.2 GB, so a mask is pasted whenever it is read. ``np.asarray`` gives all of
    them at once. Pixel for pixel these are the masks that Detectron2 puts out.
    """

    def __init__(self, probabilities: Tensor, boxes_px: Tensor, size_hw: tuple[int, int]) -> None:
        """Keep what is needed to paste.

        Args:
            probabilities: (R, S, S) in [0, 1], on the CPU.
            boxes_px: (R, 4) left, top, right, bottom in pixels of the image.
            size_hw: rows and columns of the image.
        """
        self._probabilities, self._boxes_px = probabilities, boxes_px
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
        return self._paste(index, 0.5)

    def probability_crop(self, index: int) -> MaskCrop:
        """Paste one mask without a threshold: uint8, 255 times the probability, rounded down."""
        return self._paste(index, -1.0)

    def _paste(self, index: int, threshold: float) -> MaskCrop:
        number = range(len(self))[index]  # an IndexError beyond the end, as for any sequence
        box = self._boxes_px[number]
        left, top = (max(int(v) - 1, 0) for v in box[:2].floor())
        right, bottom = (
            min(int(v) + 1, side)
            for v, side in zip(box[2:].ceil(), self.size_hw[::-1], strict=True)
        )
        one = slice(number, number + 1)
        # Detectron2 computes these pixels and no others, but returns them in a whole image. Without
        # what is right of them and below they come out the same.
        pasted = paste_masks_in_image(
            self._probabilities[one], self._boxes_px[one], (bottom, right), threshold
        )
        return MaskCrop(pasted[0, top:, left:].numpy(), top, left)
