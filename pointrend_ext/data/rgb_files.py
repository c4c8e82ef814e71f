"""Pictures to RGB pixels, so that a bad file is named and never half loaded; no torch is needed."""

import logging
import math
import os
from collections.abc import Callable
from typing import IO

import numpy as np
from PIL import Image

from pointrend_ext.data.pillow_files import (
    MOST_PAGES,
    RefusedImage,
    check_scans,
    number_of_pictures,
    opened,
    stored_size,
    upright,
)
from pointrend_ext.data.rgb import ImageRules, to_rgb

logger = logging.getLogger(__name__)

_BYTES_PER_PIXEL = 10  # in memory, while a picture is read


def read_rgb(
    path: str | os.PathLike[str],
    rules: ImageRules = ImageRules(),  # noqa: B008  (frozen)
    *,
    tell_others: bool = True,
    open_file: Callable[[str], IO[bytes]] | None = None,
) -> np.ndarray:
    """Read an image, turned upright as its EXIF orientation says.

    Args:
        path: of the image, in any format that Pillow reads. Of several pictures the first is read.
        rules: see ``ImageRules``.
        tell_others: whether a warning tells if the file holds several pictures.
        open_file: as of ``opened``.

    Returns:
        (H, W, 3) uint8, RGB, writable.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is empty, truncated, corrupt or no image, too large, or has samples whose
            range is not known; the message names it.
    """
    file_name = os.fspath(path)
    with opened(file_name, open_file=open_file) as image:
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


def pillow_to_rgb(image: Image.Image, rules: ImageRules) -> np.ndarray:
    """Return the pixels of a picture that is open already as ``read_image_rgb`` does."""
    return to_rgb(upright(image), rules.white_value, getattr(image, "filename", "") or "A picture")


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
