"""Reading and writing pictures, with errors that name the file."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from pointrend_ext.visualization.instances import check_image

_ENCODE = {
    ".png": [cv2.IMWRITE_PNG_COMPRESSION, 6],
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
}


def write_image(path: str | os.PathLike[str], image_rgb: np.ndarray) -> None:
    """Write a picture as PNG or JPEG (quality 95), as the suffix says; missing folders are made.

    Args:
        path: ends in .png, .jpg or .jpeg, in any case.
        image_rgb: (H, W, 3) uint8.

    Raises:
        ValueError: the suffix is another one, or the array is not an RGB image.
        OSError: the file cannot be written; the message names it.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _ENCODE:
        raise ValueError(
            f"write_image: {path} ends in {path.suffix!r}; use one of {', '.join(_ENCODE)}."
        )
    check_image(image_rgb, f"write_image to {path}")
    done, data = cv2.imencode(suffix, np.ascontiguousarray(image_rgb[:, :, ::-1]), _ENCODE[suffix])
    if not done:
        raise OSError(f"write_image: {path} could not be encoded from shape {image_rgb.shape}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


def read_image_rgb(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture upright, as its EXIF orientation says.

    Grey, palette and CMYK pictures are converted to RGB, transparency is dropped, 16-bit grey keeps
    its upper eight bits, and of an animation the first frame is read.

    Args:
        path: any format that Pillow reads.

    Returns:
        (H, W, 3) uint8, RGB, writable.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a picture, or broken or cut off; the message names it.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                wide = np.asarray(image).astype(np.int64)
                image = Image.fromarray(np.clip(wide >> 8, 0, 255).astype(np.uint8))
            return np.array(image.convert("RGB"))
    except Exception as error:  # Pillow's decoders raise many types on broken files
        raise ValueError(
            f"read_image_rgb: {path} ({len(data)} bytes) cannot be read as a picture: {error}"
        ) from error
