"""Reading and writing pictures, with errors that name the file."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from pointrend_ext.visualization.instances import check_image

logger = logging.getLogger(__name__)

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
    bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(suffix, bgr, _ENCODE[suffix])
    if not done:
        raise OSError(f"write_image: {path} could not be encoded from shape {image_rgb.shape}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.data)


def write_gif(
    path: str | os.PathLike[str], frames: Sequence[np.ndarray], seconds: Sequence[float]
) -> None:
    """Write an animation that repeats for ever; missing folders are made.

    Args:
        path: ends in .gif.
        frames: (H, W, 3) uint8 RGB each, all of one size; 256 colours each are kept.
        seconds: how long each frame is shown.

    Raises:
        ValueError: the suffix is another one, there is no frame, or a frame is no RGB image.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif" or len(frames) == 0 or len(frames) != len(seconds):
        raise ValueError(
            f"write_gif to {path}: got {len(frames)} frames and {len(seconds)} durations; the name "
            "must end in .gif, and both be equally many, at least one."
        )
    for frame in frames:
        check_image(frame, f"write_gif to {path}")
    first, *others = (Image.fromarray(frame).quantize(256, dither=0) for frame in frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    first.save(
        path,
        save_all=True,
        append_images=others,
        duration=[round(1000 * s) for s in seconds],
        loop=0,
    )


def encode_png(picture: np.ndarray) -> bytes:
    """Encode a picture without loss.

    Args:
        picture: (H, W, 3) uint8 RGB, (H, W, 4) uint8 RGB and opacity, or (H, W) uint8 or uint16.
    """
    if picture.ndim == 3:
        order = cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        picture = cv2.cvtColor(picture, order)
    return cv2.imencode(".png", picture, _ENCODE[".png"])[1].tobytes()


def read_image_rgb(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture upright, as its EXIF orientation says.

    Grey, palette and CMYK pictures are converted to RGB, transparency is dropped, and 16-bit grey
    keeps its upper eight bits. Of an animation, or of several pages, the first picture is read, and
    a warning says so.

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
    if not data:
        raise ValueError(f"read_image_rgb: {path} is empty (0 bytes). Copy or download it again.")
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if getattr(opened, "is_animated", False) and opened.format != "MPO":
                text = "%s holds %d pictures (%s): the first one is used."
                logger.warning(text, path, opened.n_frames, opened.format)
            return image_to_rgb(opened)
    except Exception as error:  # Pillow's decoders raise many types on broken files
        raise ValueError(
            f"read_image_rgb: {path} ({len(data)} bytes) cannot be read as a picture: {error}"
        ) from error


def image_to_rgb(image: Image.Image) -> np.ndarray:
    """Convert a Pillow image as ``read_image_rgb`` does.

    Args:
        image: of any mode.

    Returns:
        (H, W, 3) uint8, RGB, writable.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(wide >> 8, 0, 255).astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        values = values * 255 if values.max(initial=0) <= 1 else values  # 0 to 1, or 0 to 255
        image = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    return np.array(image.convert("RGB"))
