"""What all drawing shares: checks of images and masks, sizes that suit an image, blending."""

from collections.abc import Sequence

import numpy as np

_AT_ONCE = 2**20  # values that are blended at once, so that memory does not grow with the image


def check_image(image_rgb: np.ndarray, who: str) -> None:
    """Raise ValueError unless the image is (H, W, 3) uint8 and not empty."""
    shape, dtype = np.shape(image_rgb), np.asarray(image_rgb).dtype
    if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8 or 0 in shape:
        raise ValueError(
            f"{who}: image has shape {shape} and type {dtype}; "
            "it must be RGB, (H, W, 3) uint8, and not empty."
        )


def check_mask_size(image_rgb: np.ndarray, shape: Sequence[int], who: str) -> None:
    """Raise ValueError, naming both sizes, unless a shape (..., H, W) has the size of the image."""
    if tuple(shape[-2:]) != image_rgb.shape[:2]:
        height, width = image_rgb.shape[:2]
        raise ValueError(
            f"{who}: masks have shape {tuple(shape)}, but the image is {height} x {width} "
            "(height x width). Masks must have the image's size."
        )


def check_alpha(alpha: float, who: str) -> None:
    """Raise ValueError unless an opacity lies in [0, 1]."""
    if not 0 <= alpha <= 1:
        raise ValueError(f"{who}: alpha is {alpha}; it must lie between 0 and 1.")


def default_contour_px(height: int, width: int) -> float:
    """Return a contour width in pixels that is visible when the whole image is looked at."""
    return float(np.clip(0.0032 * (height * width) ** 0.5, 1.25, 40.0))


def default_cap_height(height: int, width: int) -> float:
    """Return a capital height in pixels that is readable when the whole image is looked at."""
    return float(np.clip(0.0155 * (height * width) ** 0.5, 6.0, 200.0))


def blend(region: np.ndarray, color: np.ndarray, opacity: np.ndarray | float) -> None:
    """Set ``region`` in place to ``round((1 - opacity) * region + opacity * color)``.

    Args:
        region: (h, w, 3) uint8 view, or (K, 3).
        color: (3,) RGB, or one colour per pixel, of the region's shape.
        opacity: [0, 1]; a number, or an array of the region's shape without its last axis.
    """
    colors = np.broadcast_to(color, region.shape)
    weights = np.broadcast_to(opacity, region.shape[:-1])[..., None]
    step = max(_AT_ONCE * len(region) // max(region.size, 1), 1)
    for start in range(0, len(region), step):
        part = np.s_[start : start + step]
        color, weight = colors[part].astype(np.float32), weights[part].astype(np.float32)
        region[part] = np.rint(region[part] * (1 - weight) + color * weight).astype(np.uint8)
