"""Reading images so that a bad file is named and never half loaded.

Every image file that this package reads comes through here, whoever asks: training, evaluation,
``Predictor``, demo, inspection and reports.
"""

import os
from dataclasses import dataclass
from typing import IO

import numpy as np
from detectron2.utils.file_io import PathManager

from pointrend_ext.data.pillow_files import (
    exif_orientation,
    has_late_exif,
    number_of_pictures,
    opened,
    stored_size,
)
from pointrend_ext.data.pixels import ImageRules, to_format
from pointrend_ext.data.rgb_files import check_megapixels, pillow_to_rgb, read_rgb

__all__ = [
    "ImageHeader",
    "check_megapixels",
    "open_file",
    "pillow_to_rgb",
    "read_header",
    "read_image",
    "read_image_rgb",
    "read_image_size",
]

_LYING_ORIENTATIONS = (5, 6, 7, 8)  # stored turned by a quarter


@dataclass(frozen=True)
class ImageHeader:
    """What a file says about its picture before that is decoded.

    Attributes:
        size_hw: height and width of the upright picture, as ``read_image`` returns it.
        stored_hw: height and width as they are stored.
        orientation: EXIF orientation, 1 to 8; 1 where there is none.
        mode: as Pillow calls it: "RGB", "L", "I;16", ...
        num_pictures: more than one in animations and files of several pages.
    """

    size_hw: tuple[int, int]
    stored_hw: tuple[int, int]
    orientation: int
    mode: str
    num_pictures: int


def read_image(
    file_name: str,
    image_format: str,
    rules: ImageRules = ImageRules(),  # noqa: B008  (frozen)
) -> np.ndarray:
    """Read an image, turned upright as its EXIF orientation says.

    Args:
        file_name: path of the image, in any format that Pillow reads. Of several pictures the first
            is read.
        image_format: ``INPUT.FORMAT``.
        rules: see ``ImageRules``.

    Returns:
        (H, W, C) image, uint8 in 0..255 (float32 for ``"YUV-BT.601"``).

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is empty, truncated, corrupt or no image, too large, or has samples whose
            range is not known; the message names it.
    """
    pixels = read_rgb(file_name, rules, tell_others=False, open_file=open_file)
    return to_format(pixels, image_format)


def read_image_rgb(
    path: str | os.PathLike[str],
    rules: ImageRules = ImageRules(),  # noqa: B008  (frozen)
) -> np.ndarray:
    """Read an image as ``read_image`` does; a warning tells if the file holds several pictures.

    Returns:
        (H, W, 3) uint8, RGB, writable.
    """
    return read_rgb(path, rules, open_file=open_file)


def read_header(file_name: str) -> ImageHeader:
    """Read what a file says about its picture, not decoded; errors are those of ``read_image``."""
    with opened(file_name, open_file=open_file) as image:
        stored_hw = stored_size(image)
        orientation = exif_orientation(image, decode=has_late_exif(image))
        size_hw = stored_hw[::-1] if orientation in _LYING_ORIENTATIONS else stored_hw
        return ImageHeader(size_hw, stored_hw, orientation, image.mode, number_of_pictures(image))


def read_image_size(file_name: str) -> tuple[int, int]:
    """Read (height, width) of the array that ``read_image`` returns; see ``read_header``."""
    return read_header(file_name).size_hw


def open_file(file_name: str) -> IO[bytes]:
    """Open a file; of a local one, PathManager would drop a ``..`` without following links."""
    return PathManager.open(file_name, "rb") if "://" in file_name else open(file_name, "rb")
