"""What a predictor takes for an image."""

import os

import numpy as np
from PIL import Image
from torch import Tensor

from pointrend_ext.data.pixels import ImageRules
from pointrend_ext.data.reading import pillow_to_rgb, read_image_rgb
from pointrend_ext.visualization.instances import check_image

__all__ = ["ONE_IMAGE", "ImageLike", "load_image"]

ImageLike = str | os.PathLike[str] | np.ndarray | Image.Image
"""A file, (H, W, 3) uint8 RGB, or a Pillow image."""

ONE_IMAGE = (str, os.PathLike, np.ndarray, Image.Image)


def load_image(image: ImageLike, rules: ImageRules) -> tuple[np.ndarray, str]:
    """Return pixels, (H, W, 3) uint8 RGB, and the name.

    Raises:
        OSError: no such file.
        ValueError: no picture, a broken or too large one, or another array.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_image_rgb(image, rules), os.fspath(image)
    if isinstance(image, Image.Image):
        return pillow_to_rgb(image, rules), getattr(image, "filename", "")
    if isinstance(image, Tensor):
        raise ValueError(
            f"Predictor takes no tensor (here {tuple(image.shape)}, {image.dtype}): pass a NumPy "
            "array (H, W, 3) of uint8 in RGB, such as tensor.permute(1, 2, 0).byte().cpu().numpy()."
        )
    if not isinstance(image, np.ndarray):
        what = type(image).__name__
        raise ValueError(f"Predictor takes a file name, an array or a Pillow image, not a {what}.")
    check_image(image, "Predictor")
    return image, ""
