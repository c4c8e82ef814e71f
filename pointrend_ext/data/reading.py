"""Reading images so that a bad file is named and never half loaded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from detectron2.data import detection_utils
from PIL import Image, ImageFile

_ORIENTATION_TAG = 274
_LYING_ORIENTATIONS = (5, 6, 7, 8)  # EXIF: stored turned by a quarter
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def read_image(file_name: str, image_format: str | None, *, what: str = "Image") -> np.ndarray:
    """Read an image, turned upright as its EXIF orientation says.

    Args:
        file_name: path of the image.
        image_format: ``"BGR"``, ``"RGB"`` or another format of Detectron2's ``INPUT.FORMAT``; None
            for the channels of the file.
        what: how messages call the file.

    Returns:
        (H, W, C) image, uint8 in 0..255 (float for ``"YUV-BT.601"``).

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is empty, truncated, corrupt or no image.
    """
    before = ImageFile.LOAD_TRUNCATED_IMAGES  # other code may have switched it on
    with _named_errors(what, file_name):
        try:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
            return detection_utils.read_image(file_name, format=image_format)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def read_image_size(file_name: str) -> tuple[int, int]:
    """Read the size of an image from its header, without decoding it.

    Returns:
        (height, width) of the array that ``read_image`` returns.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is empty or no image.
    """
    with _named_errors("Image", file_name), Image.open(file_name) as image:
        width, height = image.size
        # Of the base class: that of PNG decodes the image, to look for a tag behind the pixels.
        orientation = Image.Image.getexif(image).get(_ORIENTATION_TAG)
    return (width, height) if orientation in _LYING_ORIENTATIONS else (height, width)


@contextmanager
def _named_errors(what: str, file_name: str) -> Iterator[None]:
    """Turn Pillow's errors into ones that name the file; those of the file system do already."""
    try:
        yield
    except _DECODING_ERRORS as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise ValueError(
            f"{what} {file_name!r} is truncated or corrupt or no image "
            f"({os.path.getsize(file_name)} bytes): {error}. Copy or download it again, or take it "
            "out."
        ) from error
