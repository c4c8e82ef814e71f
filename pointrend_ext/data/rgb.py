"""From a decoded picture of any mode to RGB of 8 bits; NumPy and Pillow alone.

Grey, palette and CMYK pictures, and those of one bit, are converted as Pillow does, and
transparency is dropped. Wider samples have a range:

- whole numbers of 16 or 32 bits are grey values from black, 0, to white, ``white_value``; 4095 in a
  TIFF file of 12 bits a sample. They are scaled to 256 steps: of 16 bits the upper eight are kept.
  The range is never taken from the pixels, because brightness would then jump between images.
- floats are grey values from 0 to 1, or to 255 where one is 2 or more.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

logger = logging.getLogger(__name__)

_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF tags
_DARK = 4095  # a grey picture of 16 bits without a value above is nearly black
_ROUNDING = 1e-3  # by how much floats may leave their range
_MOST_AMBIGUOUS = 2  # a float above 1, but below this, may belong to either range

_told_dark: list[str] = []  # the first dark picture of the process


@dataclass(frozen=True)
class ImageRules:
    """How files of images are read, the same in training, evaluation and prediction.

    Attributes:
        max_megapixels: larger pictures are refused; see ``INPUT.MAX_MEGAPIXELS``.
        white_value: white in files of grey whole numbers; see ``INPUT.WHITE_VALUE``.
    """

    max_megapixels: int = 179
    white_value: int = 65535

    @classmethod
    def from_cfg(cls, cfg: Any) -> "ImageRules":
        """Read the rules of a configuration, a Detectron2 ``CfgNode``.

        Raises:
            ValueError: a number that cannot be.
        """
        rules = cls(cfg.INPUT.MAX_MEGAPIXELS, cfg.INPUT.WHITE_VALUE)
        if rules.max_megapixels < 1 or not 255 <= rules.white_value < 2**31:
            raise ValueError(
                f"INPUT.MAX_MEGAPIXELS is {rules.max_megapixels}, INPUT.WHITE_VALUE "
                f"{rules.white_value}: the first is at least 1, the second at least 255, such as "
                "65535 for 16 bits or 4095 for 12."
            )
        return rules


ANY_SIZE = ImageRules(max_megapixels=10**6)
"""For pictures that are only shown, after a training or an evaluation has read them."""


def to_rgb(image: Image.Image, white_value: int, name: str) -> np.ndarray:
    """Convert a picture of any mode.

    Args:
        image: decoded and upright.
        white_value: see ``ImageRules``.
        name: what messages call it.

    Returns:
        (H, W, 3) uint8, RGB, writable.

    Raises:
        ValueError: grey values of more than 8 bits lie outside of their range.
    """
    if image.mode.startswith("I"):
        image = Image.fromarray(_whole_to_grey(image, white_value, name))
    elif image.mode == "F":
        image = Image.fromarray(_floats_to_grey(np.asarray(image), name))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns where this step is left out
    return np.array(image.convert("RGB"))


def _whole_to_grey(image: Image.Image, white_value: int, name: str) -> np.ndarray:
    """Scale (H, W) whole numbers to uint8."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    white = 4095 if tags.get(_BITS_PER_SAMPLE) == (12,) else white_value
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > white:
        raise ValueError(
            f"{name} holds grey values from {low} to {high}, but black is 0 and white is {white} "
            "(INPUT.WHITE_VALUE). Correct the key, or save the picture with 8 bits."
        )
    if white == ImageRules.white_value and 0 < high <= _DARK and not _told_dark:
        _told_dark.append(name)
        logger.warning(
            f"{name} has 16 bits, but no grey value above {high}: it is read as nearly black, "
            f"because white is {white}. If all values of such files end at 4095 (12 bits), 1023 or "
            "255, set INPUT.WHITE_VALUE to that, in training and afterwards. (Said once.)",
        )
    grey = (values.astype(np.uint64) * 256 // (white + 1)).astype(np.uint8)
    return 255 - grey if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey


def _floats_to_grey(values: np.ndarray, name: str) -> np.ndarray:
    """Scale (H, W) floats to uint8."""
    low, high = float(values.min()), float(values.max())  # NaN is handed on
    scale = 255 if high <= 1 + _ROUNDING else 1
    is_certain = scale == 255 or _MOST_AMBIGUOUS <= high <= 255 * (1 + _ROUNDING)
    if not is_certain or low < -_ROUNDING:
        raise ValueError(
            f"{name} holds floats from {low:g} to {high:g}, but a picture of floats goes from 0 to "
            "1, or from 0 to 255. Save it with 8 bits."
        )
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)
