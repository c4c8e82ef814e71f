"""The masks of one image, pasted when they are looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from detectron2.layers import paste_masks_in_image
from torch import Tensor

__all__ = ["PastedMasks"]

_KEPT_BYTES = 2**26


class PastedMasks(Sequence[np.ndarray]):
    """R masks of an image, (H, W) bool each, made one by one.

    A model predicts a small square map per box. A hundred of them pasted into an image of 12
    megapixels need 1.2 GB, so a mask is pasted when it is read, and kept only if all together are
    small. ``np.asarray`` gives all of them at once. Pixel for pixel these are the masks that
    Detectron2 puts out.
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
        self._keep = len(probabilities) * size_hw[0] * size_hw[1] <= _KEPT_BYTES
        self._pasted: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._probabilities)

    def __getitem__(self, index: int | slice | np.ndarray) -> np.ndarray | PastedMasks:
        """Paste one mask: (H, W) bool, read-only; or select several, without pasting them.

        Args:
            index: number of the mask, a slice, or an array of numbers or of truth values.
        """
        if isinstance(index, (int, np.integer)):
            number = range(len(self))[index]  # an IndexError beyond the end, as for any sequence
            if number in self._pasted:
                return self._pasted[number]
            mask = self._paste(number, 0.5)
            mask.setflags(write=False)
            if self._keep:
                self._pasted[number] = mask
            return mask
        numbers = np.arange(len(self))[index]
        return PastedMasks(self._probabilities[numbers], self._boxes_px[numbers], self.size_hw)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """Paste all masks: (R, H, W) bool."""
        masks = np.zeros((len(self), *self.size_hw), dtype=bool)
        for number in range(len(self)):
            masks[number] = self[number]
        return masks if dtype is None else masks.astype(dtype)

    def probability(self, index: int) -> np.ndarray:
        """Paste one mask without a threshold.

        Args:
            index: number of the mask.

        Returns:
            (H, W) uint8: 255 times the probability, rounded down.
        """
        return self._paste(range(len(self))[index], -1.0)

    def _paste(self, number: int, threshold: float) -> np.ndarray:
        one = slice(number, number + 1)
        pasted = paste_masks_in_image(
            self._probabilities[one], self._boxes_px[one], self.size_hw, threshold
        )
        return pasted[0].numpy()
