"""Random outlines of the six toy classes, around the origin with a bounding box of side one.

All but the first outline of a shape are holes. ``size_px`` limits the detail: a shape of 16 pixels
gets fewer points, teeth and holes than one of 400, but the same character.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .letters import LETTERS
from .raster import Outline


def make_shape(category: str, size_px: float, rng: np.random.Generator) -> tuple[Outline, ...]:
    """Return random outlines of one class, ``size_px`` long, centred at the origin.

    Args:
        category: one of ``TOY_THING_CLASSES``.
        size_px: longer side of the axis-aligned bounding box, in pixels.
        rng: the only source of randomness.

    Returns:
        Outlines in pixels, (V, 2) float64; outer outline first, then holes.
    """
    outlines = _MAKERS[category](size_px, rng)
    limit = np.deg2rad(35) if category == "letter" else np.pi  # letters stay nearly upright
    angle = rng.uniform(-limit, limit)
    squeeze = np.diag([1.0, rng.uniform(0.72, 1.0)])
    shear = np.array([[1.0, rng.uniform(-0.15, 0.15)], [0.0, 1.0]])
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ shear @ squeeze
    turned = [outline @ matrix.T for outline in outlines]
    low, high = turned[0].min(axis=0), turned[0].max(axis=0)
    scale = size_px / (high - low).max()
    return tuple((outline - (low + high) / 2) * scale for outline in turned)


def _polar(radius: NDArray[np.float64], angle: NDArray[np.float64]) -> Outline:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _circle_angles(size_px: float) -> NDArray[np.float64]:
    vertices = int(np.clip(size_px * 1.5, 24, 240))
    return np.arange(vertices, dtype=np.float64) * (2 * np.pi / vertices)


def _star(size_px: float, rng: np.random.Generator) -> list[Outline]:
    """Many thin points."""
    points = int(rng.integers(5, 6 + np.clip(size_px / 10, 0, 11)))
    inner = rng.uniform(0.34, 0.5) + 0.012 * max(points - 8, 0)
    angle = np.arange(2 * points) * (np.pi / points)
    angle = angle + rng.uniform(-0.15, 0.15, 2 * points) * (np.pi / points)
    radius = np.where(np.arange(2 * points) % 2, inner, 1.0)
    return [_polar(radius * rng.uniform(0.88, 1.0, 2 * points), angle)]


def _gear(size_px: float, rng: np.random.Generator) -> list[Outline]:
    """Teeth with straight flanks around a disc with one round hole in its centre."""
    teeth = int(rng.integers(6, 7 + np.clip(size_px / 14, 1, 14)))
    root = 1 - np.clip(rng.uniform(2.2, 3.2) / teeth, 0.14, 0.32)
    tooth = np.arange(teeth)[:, None] * (2 * np.pi / teeth)
    half_root, half_tip = rng.uniform(0.26, 0.3), rng.uniform(0.14, 0.22)
    profile = np.array([-half_root, -half_tip, half_tip, half_root]) * (2 * np.pi / teeth)
    radius = np.tile([root, 1.0, 1.0, root], teeth)
    hole = root * rng.uniform(0.25, 0.5)
    angles = _circle_angles(size_px * hole)
    return [
        _polar(radius, (tooth + profile).ravel()),
        _polar(np.full(angles.shape, hole), angles),
    ]


def _blob(size_px: float, rng: np.random.Generator) -> list[Outline]:
    """Rounded arms, bent by a twist that grows with the radius."""
    angle = _circle_angles(size_px * 1.6)
    arms = int(rng.integers(3, 4 + np.clip(size_px / 30, 1, 5)))
    radius = 1 + rng.uniform(0.32, 0.45) * np.cos(arms * angle + rng.uniform(0, 6.28))
    for wave in (1, 2, arms + 1):
        radius = radius + rng.uniform(0.02, 0.14) * np.cos(wave * angle + rng.uniform(0, 6.28))
    radius = np.maximum(radius, 0.3)
    return [_polar(radius, angle + rng.uniform(-0.7, 0.7) * radius)]


def _ring(size_px: float, rng: np.random.Generator) -> list[Outline]:
    """A thin wavy annulus, at least about 2.5 pixels thick."""
    angle = _circle_angles(size_px)
    wave = rng.uniform(0.0, 0.09) * np.cos(rng.integers(2, 6) * angle + rng.uniform(0, 6.28))
    thickness = max(rng.uniform(0.1, 0.24), 6.0 / size_px)
    return [_polar(1 + wave, angle), _polar((1 + wave) * (1 - thickness), angle)]


def _letter(size_px: float, rng: np.random.Generator) -> list[Outline]:
    """One of the hand-drawn letters."""
    return list(LETTERS[sorted(LETTERS)[rng.integers(len(LETTERS))]])


def _plate(size_px: float, rng: np.random.Generator) -> list[Outline]:
    """A rounded rectangle perforated by a grid of round holes."""
    angle = _circle_angles(size_px)
    power = 2 / rng.uniform(3.5, 7.0)
    cos, sin = np.cos(angle), np.sin(angle)
    half = np.array([1.0, rng.uniform(0.55, 0.95)])
    outer = np.stack([np.sign(cos) * abs(cos) ** power, np.sign(sin) * abs(sin) ** power], axis=1)
    columns = int(rng.integers(2, 3 + np.clip(size_px / 60, 0, 3)))
    rows = int(rng.integers(1 if columns > 2 else 2, columns + 1))
    pitch = 2 * half / (np.array([columns, rows]) + 0.25)
    radius = pitch.min() * rng.uniform(0.26, 0.36)
    hole = _polar(np.full(angle.shape, radius), angle)[:: max(columns, 2)]
    centers = [
        (np.array([column, row]) - (np.array([columns, rows]) - 1) / 2) * pitch
        for row in range(rows)
        for column in range(columns)
    ]
    return [outer * half] + [hole + center for center in centers]


_MAKERS: dict[str, Callable[[float, np.random.Generator], list[Outline]]] = {
    "star": _star,
    "gear": _gear,
    "blob": _blob,
    "ring": _ring,
    "letter": _letter,
    "plate": _plate,
}
