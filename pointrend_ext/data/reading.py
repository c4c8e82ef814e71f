"""Reading images and label maps so that a bad file is named and never half loaded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from detectron2.data import detection_utils
from PIL import Image, ImageFile

LABEL_ENDINGS = (".bmp", ".pgm", ".png", ".tif", ".tiff")
"""Endings of files that can hold a label map; no JPEG: it changes the ids."""

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


def read_label_map(file_name: str) -> np.ndarray:
    """Read a map of class ids.

    Detectron2 converts label maps to grey values, which turns the ids of a palette PNG into
    luminances and clips 16-bit ids. Here the stored ids are returned as they are.

    Returns:
        (H, W) class ids, uint8 when they fit, else the type of the file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is unreadable or has more than one channel.
    """
    labels = read_image(file_name, None, what="Label map")
    if labels.ndim != 2:
        raise ValueError(
            f"Label map {file_name!r} has {labels.shape[-1]} channels, but a label map has one "
            "channel that holds the class id of every pixel. Convert the colours to class ids."
        )
    if labels.size == 0 or (labels.min() >= 0 and labels.max() <= 255):
        labels = labels.astype(np.uint8)
    return labels


def check_label_values(labels: np.ndarray, num_classes: int, ignore_label: int, what: str) -> None:
    """Check that every pixel is a class or ignored.

    Args:
        labels: (H, W) integers, as read from the file.
        num_classes: number of classes C; 0..C-1 are allowed.
        ignore_label: the other allowed value.
        what: the labels are, the beginning of the message.

    Raises:
        ValueError: another value occurs.
    """
    valid = ((labels >= 0) & (labels < num_classes)) | (labels == ignore_label)
    if not valid.all():
        found = np.unique(labels[~valid])
        shown = ", ".join(str(v) for v in found[:10]) + (", ..." if len(found) > 10 else "")
        raise ValueError(
            f"{what} contains the values {shown} ({np.sum(~valid)} pixels), which are neither a "
            f"class (0 to {num_classes - 1}) nor ignored ({ignore_label}). Correct the label map; "
            "or the classes, in training MODEL.SEM_SEG_HEAD.NUM_CLASSES and IGNORE_VALUE, in an "
            "evaluation stuff_classes and ignore_label of the data set's metadata."
        )


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
