"""Writing pictures, with errors that name the file."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pointrend_ext.visualization.canvas import check_image

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
