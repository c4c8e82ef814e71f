"""From a decoded picture to the pixels that a model reads: one rule for every kind of file.

Every picture becomes RGB of 8 bits first (``rgb``), then what ``INPUT.FORMAT`` says, so that a
file, and its pixels as an array, give the same input.
"""

import numpy as np
from detectron2.data import detection_utils
from PIL import Image

from pointrend_ext.data.rgb import ANY_SIZE, ImageRules, to_rgb

__all__ = [
    "ANY_SIZE",
    "ImageRules",
    "check_image_format",
    "from_format",
    "to_format",
    "to_rgb",
]

CHANNELS = {"RGB": 3, "BGR": 3, "L": 1, "YUV-BT.601": 3, "HSV": 3, "YCbCr": 3, "LAB": 3}
"""Channels by ``INPUT.FORMAT``, of all that images can be read as."""


def check_image_format(image_format: str) -> None:
    """Raise ValueError where ``to_format`` does not know a format."""
    if image_format not in CHANNELS:
        raise ValueError(
            f"INPUT.FORMAT is {image_format!r}, which images cannot be read as. Set one of "
            f"{', '.join(CHANNELS)}."
        )


def to_format(image_rgb: np.ndarray, image_format: str) -> np.ndarray:
    """Convert to what a model reads, as Detectron2 does.

    Args:
        image_rgb: (H, W, 3) uint8, RGB.
        image_format: ``INPUT.FORMAT``.

    Returns:
        (H, W, C) uint8; float32 for ``"YUV-BT.601"``, of which Y lies in 0..1.
    """
    check_image_format(image_format)
    if image_format == "RGB":
        return image_rgb
    if image_format == "BGR":
        return image_rgb[:, :, ::-1]
    pixels = detection_utils.convert_PIL_to_numpy(Image.fromarray(image_rgb), image_format)
    # Detectron2 leaves doubles, which no model of floats accepts.
    return np.array(pixels, np.float32 if pixels.dtype == np.float64 else None)


def from_format(pixels: np.ndarray, image_format: str) -> np.ndarray:
    """Invert ``to_format``, up to rounding, also after augmentation: (H, W, 3) uint8, RGB."""
    if image_format != "YUV-BT.601":
        pixels = pixels.clip(0, 255)
    image_rgb = detection_utils.convert_image_to_rgb(pixels, image_format)
    return np.ascontiguousarray(np.rint(image_rgb).clip(0, 255).astype(np.uint8))
