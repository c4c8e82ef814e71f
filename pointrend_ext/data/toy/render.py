"""Paint a scene: anti-aliased outlines, textures, a little sensor noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .raster import Outline, coverage, crop_of
from .scene import Scene
from .textures import object_texture, stuff_texture


def render_image(scene: Scene) -> NDArray[np.uint8]:
    """Return the picture of a scene.

    Args:
        scene: the description.

    Returns:
        (H, W, 3) uint8 RGB. The same scene always gives the same pixels.
    """
    whole = (slice(0, scene.size_hw[0]), slice(0, scene.size_hw[1]))
    canvas = np.zeros((*scene.size_hw, 3), dtype=np.float32)
    for index, region in enumerate(scene.regions):
        rng = np.random.default_rng([scene.seed, 0, index])
        colors = (region.color, region.accent)
        paint = stuff_texture(region.category, scene.size_hw, colors, rng)
        if index == 0:
            canvas[:] = paint
        else:
            _compose(canvas, paint, whole, region.outlines)
    for index, item in enumerate(scene.objects):
        crop = crop_of(item.outlines, scene.size_hw)
        rng = np.random.default_rng([scene.seed, 1, index])
        _compose(canvas, object_texture(item.texture, crop, rng), crop, item.outlines)
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
