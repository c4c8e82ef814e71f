"""Reading and writing pictures, with errors that name the file."""

import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pointrend_ext.visualization.canvas import check_image

logger = logging.getLogger(__name__)

_SUFFIXES = (".png", ".jpg", ".jpeg")


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
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(
            f"write_image: {path} ends in {path.suffix!r}; use one of {', '.join(_SUFFIXES)}."
        )
    check_image(image_rgb, f"write_image to {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image_rgb).save(path, quality=95)


def write_gif(
    path: str | os.PathLike[str], frames: Sequence[np.ndarray], seconds: Sequence[float]
) -> None:
    """Write an animation that repeats for ever; missing folders are made.

    Args:
        path: ends in .gif.
        frames: (H, W, 3) uint8 RGB each, all of one size, at least one; 256 colours each are kept.
        seconds: how long each frame is shown.
    """
    path = Path(path)
    first, *others = (
        Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    durations = [round(1000 * s) for s in seconds]
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0)


def encode_png(picture: np.ndarray) -> bytes:
    """Encode without loss: (H, W, 3) uint8 RGB, (H, W, 4) with opacity, (H, W) uint8 or uint16."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "png")
    return data.getvalue()


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
        ValueError: the file is not a picture, or empty, broken or cut off; the message names it.
    """
    data = Path(path).read_bytes()
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if getattr(opened, "is_animated", False) and opened.format != "MPO":
                text = "%s holds %d pictures (%s): the first one is used."
                logger.warning(text, path, getattr(opened, "n_frames", 0), opened.format)
            return image_to_rgb(opened)
    except Exception as error:  # Pillow's decoders raise many types on broken files
        raise ValueError(
            f"read_image_rgb: {path} ({len(data)} bytes) cannot be read as a picture: {error}"
        ) from error


def image_to_rgb(image: Image.Image) -> np.ndarray:
    """Convert a Pillow image of any mode as ``read_image_rgb`` does: (H, W, 3) uint8, writable."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(wide >> 8, 0, 255).astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        values = values * 255 if values.max(initial=0) <= 1 else values  # 0 to 1, or 0 to 255
        image = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    return np.array(image.convert("RGB"))
