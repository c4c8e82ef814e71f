"""Random colours: stuff by class, objects by contrast to what is already there."""

import colorsys

import numpy as np

from .render import PATTERNS
from .scene import Color, Texture

_STUFF_HSV: dict[str | None, tuple[tuple[float, float], ...]] = {
    "sky": ((0.53, 0.61), (0.35, 0.6), (0.8, 0.98)),
    "grass": ((0.22, 0.34), (0.5, 0.75), (0.3, 0.5)),
    "water": ((0.52, 0.62), (0.6, 0.85), (0.28, 0.48)),
    "sand": ((0.09, 0.13), (0.25, 0.45), (0.68, 0.85)),
    None: ((0.0, 1.0), (0.0, 0.05), (0.03, 0.08)),
}
"""Ranges of hue, saturation and value of the main colour."""


def _rgb(hue: float, saturation: float, value: float) -> Color:
    clip = np.clip([saturation, value], 0, 1)
    return colorsys.hsv_to_rgb(hue % 1.0, float(clip[0]), float(clip[1]))


def stuff_colors(category: str | None, rng: np.random.Generator) -> tuple[Color, Color]:
    """Return main colour and accent of a background class (``None``: unannotated)."""
    hue, saturation, value = (float(rng.uniform(*span)) for span in _STUFF_HSV[category])
    if category == "sky":
        accent = _rgb(hue, saturation * 0.2, 1.0)
    else:
        accent = _rgb(hue + 0.02, saturation * 0.7, value + 0.22 * (category is not None))
    return _rgb(hue, saturation, value), accent


def object_texture_for(
    avoid: list[Color], hue: float, size_px: float, rng: np.random.Generator
) -> Texture:
    """Return a random fill whose two colours contrast with the colours in ``avoid``.

    Args:
        avoid: colours of background and neighbours.
        hue: hue in [0, 1) that the fill varies about.
        size_px: object size; small objects get a plain fill or a finer pattern.
        rng: the only source of randomness.
    """
    taken = np.array(avoid)
    best, best_gap = None, -1.0
    for _ in range(12):
        own_hue = hue + rng.normal(0, 0.025)
        saturation, value = rng.uniform(0.45, 1.0), rng.uniform(0.2, 1.0)
        color = _rgb(own_hue, saturation, value)
        accent = _rgb(own_hue + rng.uniform(-0.03, 0.03), saturation - 0.1, value + 0.12)
        gap = min(np.linalg.norm(taken - np.array(c), axis=1).min() for c in (color, accent))
        if gap > best_gap:
            best, best_gap = (color, accent), gap
        if gap > 0.27:
            break
    assert best is not None
    kind = PATTERNS[rng.integers(len(PATTERNS))] if size_px >= 40 else "plain"
    period = float(np.clip(size_px / rng.uniform(4, 9), 7, 36))
    return Texture(kind, *best, period_px=period, angle=float(rng.uniform(0, np.pi)))
