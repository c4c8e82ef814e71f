"""The photometric augmentation of SSD (Liu et al., ECCV 2016), used by semantic PointRend."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from detectron2.data import transforms as T

_HUE_RANGE = 180  # OpenCV stores the hue of an 8-bit image in half degrees
# What is drawn: shifts in grey levels and in units of two degrees, and factors.
_BRIGHTNESS, _HUE = 32, 18
_CONTRAST = _SATURATION = (0.5, 1.5)

_TO_HSV = {"RGB": cv2.COLOR_RGB2HSV, "BGR": cv2.COLOR_BGR2HSV}
_FROM_HSV = {"RGB": cv2.COLOR_HSV2RGB, "BGR": cv2.COLOR_HSV2BGR}


@dataclass(frozen=True)
class ColorJitter:
    """One draw of the augmentation: the same input always gives the same output.

    Brightness comes first, then contrast before or after the pair saturation, hue. After each step
    the image is clamped to 0..255 and cut to uint8, as in the original. None leaves a step out.

    Attributes:
        image_format: ``"RGB"`` or ``"BGR"``, the channel order of the image.
        brightness: added to every value, in grey levels.
        contrast: factor of every value.
        saturation: factor of the saturation.
        hue: added to the hue modulo 180, in units of two degrees.
        contrast_first: whether contrast precedes saturation and hue.
    """

    image_format: str
    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    hue: int | None = None
    contrast_first: bool = True

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Apply the drawn steps to a (H, W, 3) uint8 image and return a new one or the same."""
        if self.brightness is not None:
            image = _scale_and_shift(image, shift=self.brightness)
        if self.contrast_first:
            return self._saturation_and_hue(self._contrast(image))
        return self._contrast(self._saturation_and_hue(image))

    def _contrast(self, image: np.ndarray) -> np.ndarray:
        return image if self.contrast is None else _scale_and_shift(image, scale=self.contrast)

    def _saturation_and_hue(self, image: np.ndarray) -> np.ndarray:
        # Two trips through HSV, not one: the original rounds to 8 bits between the two steps.
        if self.saturation is not None:
            hsv = cv2.cvtColor(image, _TO_HSV[self.image_format])
            hsv[..., 1] = _scale_and_shift(hsv[..., 1], scale=self.saturation)
            image = cv2.cvtColor(hsv, _FROM_HSV[self.image_format])
        if self.hue is not None:
            hsv = cv2.cvtColor(image, _TO_HSV[self.image_format])
            hsv[..., 0] = ((hsv[..., 0].astype(np.int32) + self.hue) % _HUE_RANGE).astype(np.uint8)
            image = cv2.cvtColor(hsv, _FROM_HSV[self.image_format])
        return image


class SSDColorAugmentation(T.Augmentation):
    """Draw brightness, contrast, saturation and hue, each with probability one half.

    The random numbers come from Detectron2's augmentation source (NumPy's global generator), so
    that a seeded worker repeats itself. Boxes and label maps are never touched.

    Args:
        image_format: ``"RGB"`` or ``"BGR"``; ValueError for another one.
    """

    def __init__(self, image_format: str) -> None:
        super().__init__()
        if image_format not in _TO_HSV:
            raise ValueError(
                f"INPUT.COLOR_AUG_SSD works on RGB or BGR images, but INPUT.FORMAT is "
                f"{image_format!r}. Set INPUT.FORMAT to one of the two or COLOR_AUG_SSD to False."
            )
        self.image_format = image_format

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """Draw the parameters for one (H, W, 3) uint8 image."""
        if image.dtype != np.uint8:
            raise ValueError(
                f"SSDColorAugmentation needs a uint8 image, but got {image.dtype}. Put it before "
                "every step that changes the type."
            )
        # Evaluated in this order, so that the sequence of random numbers is fixed.
        brightness = self._maybe(-_BRIGHTNESS, _BRIGHTNESS)
        contrast_first = self._coin()
        contrast = self._maybe(*_CONTRAST)
        saturation = self._maybe(*_SATURATION)
        drawn = self._maybe(-_HUE, _HUE + 1)
        hue = None if drawn is None else min(math.floor(drawn), _HUE)
        return T.ColorTransform(
            ColorJitter(self.image_format, brightness, contrast, saturation, hue, contrast_first)
        )

    def _coin(self) -> bool:
        return bool(self._rand_range() < 0.5)

    def _maybe(self, low: float, high: float) -> float | None:
        return float(self._rand_range(low, high)) if self._coin() else None


def _scale_and_shift(image: np.ndarray, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    changed = image.astype(np.float32) * scale + shift
    return np.clip(changed, 0, 255).astype(np.uint8)
