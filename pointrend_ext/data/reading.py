"""Reading images so that a bad file is named and never half loaded.

Every image file that this package reads comes through here, whoever asks: training, evaluation,
``Predictor``, demo, inspection and reports.
"""

import logging
import math
import os
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pointrend_ext.data.pillow_files import (
    MOST_PAGES,
    RefusedImage,
    check_scans,
    exif_orientation,
    has_late_exif,
    number_of_pictures,
    opened,
    stored_size,
    upright,
)
from pointrend_ext.data.pixels import ImageRules, to_format, to_rgb

logger = logging.getLogger(__name__)

_LYING_ORIENTATIONS = (5, 6, 7, 8)  # stored turned by a quarter
_BYTES_PER_PIXEL = 10  # in memory, while a picture is read


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
    return to_format(_read_rgb(file_name, rules), image_format)


def read_image_rgb(
    path: str | os.PathLike[str],
    rules: ImageRules = ImageRules(),  # noqa: B008  (frozen)
) -> np.ndarray:
    """Read an image as ``read_image`` does; a warning tells if the file holds several pictures.

    Returns:
        (H, W, 3) uint8, RGB, writable.
    """
    return _read_rgb(os.fspath(path), rules, tell_others=True)


def pillow_to_rgb(image: Image.Image, rules: ImageRules) -> np.ndarray:
    """Return the pixels of a picture that is open already as ``read_image_rgb`` does."""
    return to_rgb(upright(image), rules.white_value, getattr(image, "filename", "") or "A picture")


def read_header(file_name: str) -> ImageHeader:
    """Read what a file says about its picture, not decoded; errors are those of ``read_image``."""
    with opened(file_name) as image:
        stored_hw = stored_size(image)
        orientation = exif_orientation(image, decode=has_late_exif(image))
        size_hw = stored_hw[::-1] if orientation in _LYING_ORIENTATIONS else stored_hw
        return ImageHeader(size_hw, stored_hw, orientation, image.mode, number_of_pictures(image))


def read_image_size(file_name: str) -> tuple[int, int]:
    """Read (height, width) of the array that ``read_image`` returns; see ``read_header``."""
    return read_header(file_name).size_hw


def check_megapixels(size_hw: tuple[int, int], rules: ImageRules, name: str) -> None:
    """Raise ValueError for a picture that is larger than is allowed."""
    megapixels = math.prod(size_hw) / 1e6
    if megapixels > rules.max_megapixels:
        raise RefusedImage(
            f"{name} is large: {size_hw[0]} x {size_hw[1]} (height x width), {megapixels:.1f} "
            f"megapixels, and INPUT.MAX_MEGAPIXELS is {rules.max_megapixels}. Set "
            f"INPUT.MAX_MEGAPIXELS {math.ceil(megapixels)} to read it (reading takes about "
            f"{megapixels * 1e6 * _BYTES_PER_PIXEL / 2**30:.1f} GiB of memory), or cut it into "
            "pieces."
        )


def _read_rgb(file_name: str, rules: ImageRules, *, tell_others: bool = False) -> np.ndarray:
    with opened(file_name) as image:
        name = f"Image {file_name!r}"
        check_megapixels(stored_size(image), rules, name)
        check_scans(image, name)
        number = number_of_pictures(image) if tell_others else 1
        if number > 1:
            more = " or more" if number == MOST_PAGES else ""
            text = "%s holds %d%s pictures (%s): the first one is used."
            logger.warning(text, name, number, more, image.format)
        decoded = upright(image)
    return to_rgb(decoded, rules.white_value, name)
