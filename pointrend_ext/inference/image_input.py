"""What a predictor takes for an image; no torch is needed."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from pointrend_ext.data.rgb import ImageRules
from pointrend_ext.data.rgb_files import pillow_to_rgb, read_rgb
from pointrend_ext.visualization.canvas import check_image

ImageLike = str | os.PathLike[str] | np.ndarray | Image.Image
"""A file, (H, W, 3) uint8 RGB, or a Pillow image."""

_ONE_IMAGE = (str, os.PathLike, np.ndarray, Image.Image, bytes, type(None))


def is_one_image(images: Any, who: str) -> bool:
    """Tell one image, or what is meant for one and refused later, from a list of them.

    Raises:
        ValueError: neither; ``who`` names the predictor.
    """
    if isinstance(images, _ONE_IMAGE) or _is_tensor(images):
        return True
    if isinstance(images, Sequence):
        return False
    raise ValueError(
        f"{who} was given a {type(images).__name__}, not an image or a list of images. "
        f"What can be gone through once, or is too long to keep, goes to {who}.stream(images)."
    )


def check_stream(images: Any, who: str) -> None:
    """Raise ValueError unless images can be gone through; the name of a file could, by letters."""
    if isinstance(images, (str, bytes, os.PathLike)) or not isinstance(images, Iterable):
        raise ValueError(
            f"{who}.stream goes through images, and was given a {type(images).__name__}. "
            f"One image goes to the {who} itself."
        )


def load_image(
    image: ImageLike,
    rules: ImageRules,
    read: Callable[[str | os.PathLike[str], ImageRules], np.ndarray] = read_rgb,
) -> tuple[np.ndarray, str]:
    """Return pixels, (H, W, 3) uint8 RGB, and the name.

    Args:
        image: see ``ImageLike``.
        rules: see ``ImageRules``.
        read: reads a file.

    Raises:
        OSError: no such file.
        ValueError: no picture, a broken or too large one, or another array.
    """
    if isinstance(image, (str, os.PathLike)):
        return read(image, rules), os.fspath(image)
    if isinstance(image, Image.Image):
        return pillow_to_rgb(image, rules), getattr(image, "filename", "")
    if _is_tensor(image):
        shape, dtype = tuple(image.shape), image.dtype
        raise ValueError(
            f"A picture is no tensor (here {shape}, {dtype}): pass a NumPy "
            "array (H, W, 3) of uint8 in RGB, such as tensor.permute(1, 2, 0).byte().cpu().numpy()."
        )
    if not isinstance(image, np.ndarray):
        what = type(image).__name__
        raise ValueError(f"A picture is a file name, an array or a Pillow image, not a {what}.")
    check_image(image, "A picture")
    return image, ""


def _is_tensor(image: Any) -> bool:
    """Tell a tensor of PyTorch, which need not be installed."""
    return type(image).__module__.split(".")[0] == "torch" and hasattr(image, "dtype")
