"""Paint a scene: anti-aliased outlines, procedural textures, a little sensor noise."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .raster import Outline, coverage, crop_of
from .scene import Color, Scene, StuffRegion, Texture

Field = NDArray[Any]
"""(H, W) float32."""

PATTERNS: tuple[str, ...] = ("plain", "stripes", "waves", "checks", "dots", "marble")
"""Names for ``Texture.kind``."""


def render_image(scene: Scene) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3) uint8 RGB; the same scene always gives the same pixels."""
    whole = np.s_[0 : scene.size_hw[0], 0 : scene.size_hw[1]]
    canvas = np.zeros((*scene.size_hw, 3), dtype=np.float32)
    for index, region in enumerate(scene.regions):
        rng = np.random.default_rng([scene.seed, 0, index])
        _compose(canvas, _stuff_texture(region, scene.size_hw, rng), whole, region.outlines)
    for index, item in enumerate(scene.objects):
        crop = crop_of(item.outlines, scene.size_hw)
        rng = np.random.default_rng([scene.seed, 1, index])
        _compose(canvas, _object_texture(item.texture, crop, rng), crop, item.outlines)
    noise = np.random.default_rng([scene.seed, 2]).standard_normal(canvas.shape, dtype=np.float32)
    return np.clip(canvas * 255 + 2.0 * noise + 0.5, 0, 255).astype(np.uint8)


def _compose(
    canvas: NDArray[np.float32],
    paint: NDArray[np.float32],
    crop: tuple[slice, slice],
    outlines: tuple[Outline, ...],
) -> None:
    """Blend ``paint``, which covers ``crop``, into ``canvas`` where the outlines are inside."""
    alpha = coverage(outlines, crop)[..., None]
    canvas[crop] += alpha * (paint - canvas[crop])


def _smooth_noise(
    size_hw: tuple[int, int], cell_hw: tuple[float, float], rng: np.random.Generator
) -> Field:
    """Return noise of unit variance at its nodes, smooth over cells of ``cell_hw`` pixels."""
    nodes = [int(np.ceil(size / cell)) + 2 for size, cell in zip(size_hw, cell_hw, strict=True)]
    coarse = rng.standard_normal(nodes).astype(np.float32)
    full = (int(nodes[1] * cell_hw[1]), int(nodes[0] * cell_hw[0]))
    fine = cv2.resize(coarse, full, interpolation=cv2.INTER_CUBIC)
    return fine[: size_hw[0], : size_hw[1]].astype(np.float32, copy=False)


def _blend(color: Color, accent: Color, amount: Field) -> NDArray[np.float32]:
    """Return (H, W, 3): ``color`` where ``amount`` is 0, ``accent`` where it is 1."""
    first, second = np.array(color, np.float32), np.array(accent, np.float32)
    return first + (second - first) * np.clip(amount, 0, 1)[..., None]


def _object_texture(
    texture: Texture, crop: tuple[slice, slice], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Paint (h, w, 3) float32 RGB, about [0, 1]: the fill of an object in (rows, columns)."""
    y, x = np.mgrid[crop].astype(np.float32)
    cos, sin = math.cos(texture.angle), math.sin(texture.angle)
    u = (x * cos + y * sin) * np.float32(2 * np.pi / texture.period_px) + rng.uniform(0, 6.28)
    v = (y * cos - x * sin) * np.float32(2 * np.pi / texture.period_px) + rng.uniform(0, 6.28)
    if texture.kind == "plain":
        amount = np.zeros_like(u)
    elif texture.kind == "marble":
        cell = (texture.period_px, texture.period_px)
        amount = 0.5 + 0.4 * _smooth_noise(u.shape, cell, rng)
    else:
        wave = {
            "stripes": lambda: np.sin(u),
            "waves": lambda: np.sin(u + 1.2 * np.sin(v)),
            "checks": lambda: np.sin(u) * np.sin(v) * 2,
            "dots": lambda: np.cos(u) + np.cos(v) - 0.7,
        }[texture.kind]()
        amount = 0.5 + 0.5 * np.tanh(3 * wave)
    light = u - u.mean() if texture.kind == "plain" else y - y.mean()
    shade = 1 + 0.12 * light / (np.abs(light).max() + 1e-6)
    grain = 1 + 0.03 * rng.standard_normal(u.shape, dtype=np.float32)
    return _blend(texture.color, texture.accent, amount) * (shade * grain)[..., None]


def _stuff_texture(
    region: StuffRegion, size_hw: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Paint (H, W, 3) float32 RGB, about [0, 1]: one background class over the whole image."""
    down = np.linspace(0, 1, size_hw[0], dtype=np.float32)[:, None]
    slow = _smooth_noise(size_hw, (60, 90), rng)
    if region.category == "sky":
        clouds = np.tanh(1.5 * (slow + 0.5 * _smooth_noise(size_hw, (22, 40), rng)))
        amount = 0.75 * down + 0.3 * clouds + 0.1
    elif region.category == "grass":
        blades = _smooth_noise(size_hw, (6, 2), rng) + 0.7 * _smooth_noise(size_hw, (12, 4), rng)
        amount = 0.45 + 0.22 * blades + 0.12 * slow
    elif region.category == "water":
        ripples = _smooth_noise(size_hw, (3, 18), rng) + 0.6 * _smooth_noise(size_hw, (6, 34), rng)
        amount = 0.4 + 0.25 * np.tanh(1.5 * ripples) + 0.1 * slow
    elif region.category == "sand":
        row = np.arange(size_hw[0], dtype=np.float32)[:, None]
        dunes = np.sin(row / 7 + 2.5 * slow)
        amount = 0.45 + 0.16 * _smooth_noise(size_hw, (1.5, 1.5), rng) + 0.13 * dunes
    else:
        amount = 0.5 + 0.05 * _smooth_noise(size_hw, (2, 2), rng) + 0 * down
    return _blend(region.color, region.accent, amount)
