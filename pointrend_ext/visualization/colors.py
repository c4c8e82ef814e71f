"""Deterministic, well distinguishable colours for instances and classes.

Hues advance by the golden angle, so any first N colours are spread evenly over the circle;
lightness cycles through three levels so that neighbours of equal hue still differ. The colour space
is OKLCH (Ottosson, "A perceptual color space for image processing", 2020), in which equal steps
look equally large.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

_GOLDEN_TURN = (5**0.5 - 1) / 2  # fraction of a full turn between consecutive hues
_FIRST_HUE_TURN = 0.70  # azure: rare in skin, wood and grass, so the commonest colour stands out
_LIGHTNESS = (0.70, 0.78, 0.62)
_CHROMA = 0.19
_CHROMA_STEPS = np.linspace(1.0, 0.0, 65)

_OKLAB_TO_LMS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_LMS_TO_LINEAR_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def distinct_colors(count: int) -> np.ndarray:
    """Return the first ``count`` colours, (count, 3) uint8 RGB, of one fixed, endless sequence."""
    return colors_of(np.arange(count))


def colors_of(ids: np.ndarray) -> np.ndarray:
    """Return the colours, (R, 3) uint8 RGB, of class ids or instance numbers (R,), 0 or more.

    They are those of ``distinct_colors``: a number always has the same colour.
    """
    return np.array([_color(int(index)) for index in ids], dtype=np.uint8).reshape(len(ids), 3)


def class_colors(count: int, stated: Sequence[Sequence[int]] | None) -> np.ndarray:
    """Return the colours of a data set's classes.

    Args:
        count: C.
        stated: RGB per class as the data set states them; ours are taken unless there are C.

    Returns:
        (C, 3) uint8, RGB.
    """
    if stated is None or len(stated) != count:
        return distinct_colors(count)
    return np.array(stated, dtype=np.uint8).reshape(count, 3)


def text_color_on(background: np.ndarray) -> np.ndarray:
    """Return near-black or white, whichever reads better on a colour; all are (3,) uint8 RGB."""
    srgb = np.asarray(background, dtype=np.float64) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ np.array([0.2126, 0.7152, 0.0722]))
    # Equal contrast ratio (WCAG 2) with black and with white lies at luminance 0.179; white looks
    # crisper, so it is preferred a little longer than that.
    return np.array([255] * 3 if luminance < 0.26 else [16] * 3, dtype=np.uint8)


@lru_cache(maxsize=4096)
def _color(index: int) -> tuple[int, int, int]:
    hue = 2 * np.pi * ((_FIRST_HUE_TURN + index * _GOLDEN_TURN) % 1.0)
    lightness = _LIGHTNESS[index % len(_LIGHTNESS)]
    for fraction in _CHROMA_STEPS:  # the strongest chroma that a screen can show
        chroma = _CHROMA * fraction
        lab = np.array([lightness, chroma * np.cos(hue), chroma * np.sin(hue)])
        linear = _LMS_TO_LINEAR_RGB @ (_OKLAB_TO_LMS @ lab) ** 3
        if linear.min() >= 0 and linear.max() <= 1:
            break
    linear = np.clip(linear, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = np.round(255 * srgb).astype(int).tolist()
    return red, green, blue
