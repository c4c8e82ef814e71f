"""Sample the description of a scene from (seed, split, index) and nothing else."""

import numpy as np

from .classes import TOY_STUFF_CLASSES, TOY_THING_CLASSES, TYPICAL_HUES
from .palette import object_texture_for, stuff_colors
from .raster import Outline, rasterize
from .scene import Color, Scene, StuffRegion, ToyObject
from .shapes import make_shape

SPLITS: tuple[str, ...] = ("train", "val")

_MIN_SIZE_PX, _MAX_SIZE_PX = 16.0, 400.0
"""Longer side of an object's bounding box before it is cut by border or occlusion."""

MIN_VISIBLE = 0.45
"""Least visible part of an object, of its area inside the image; and least part inside."""


def sample_scene(split: str, index: int, *, seed: int = 0) -> Scene:
    """Return scene ``index`` of a split.

    Train scene 3, 43, 83, ... has no object; scene 1, 13, 25, ... of either split has a crowd;
    scene 2, 8, 14, ... has an unannotated corner.

    Args:
        split: "train" or "val".
        index: number of the scene, >= 0; the result does not depend on any other scene.
        seed: seed of the data set.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    size_hw = _sample_size(rng)
    noise_seed = int(rng.integers(2**31))
    regions = _sample_regions(size_hw, rng, with_void=index % 6 == 2)
    layout = _Layout(size_hw, [color for r in regions for color in (r.color, r.accent)], rng)
    if not (split == "train" and index % 40 == 3):
        if index % 12 == 1:
            layout.add_crowd()
        layout.add_objects(int(rng.integers(3, 9)))
    return Scene(split, index, size_hw, noise_seed, tuple(regions), tuple(layout.objects))


def _sample_size(rng: np.random.Generator) -> tuple[int, int]:
    """Return (height, width), never a multiple of 32, either orientation."""
    long = int(rng.integers(400, 512 + 1))
    short = round(long * rng.uniform(0.68, 0.95))
    long, short = (edge - 3 if edge % 32 == 0 else edge for edge in (long, short))
    return (short, long) if rng.uniform() < 0.6 else (long, short)


def _sample_regions(
    size_hw: tuple[int, int], rng: np.random.Generator, *, with_void: bool
) -> list[StuffRegion]:
    """Return two to four bands with curved borders, perhaps a pond, perhaps an ignored corner."""
    height, width = size_hw
    ground = list(rng.permutation(TOY_STUFF_CLASSES[1:]))
    bands = int(rng.integers(2, 4))
    names = (["sky", *ground] if rng.uniform() < 0.8 else ground)[:bands]
    full = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    regions = [StuffRegion(names[0], (full,), *stuff_colors(names[0], rng))]
    x = np.linspace(-8, width + 8, 80)
    for number, name in enumerate(names[1:], start=1):
        base = height * (number + rng.uniform(-0.25, 0.25)) / len(names)
        y = base + (x - width / 2) * rng.uniform(-0.15, 0.15)
        for wave in (1, 2, 5):
            amplitude = height * rng.uniform(0, 0.08) / wave
            y = y + amplitude * np.sin(2 * np.pi * wave * x / width + rng.uniform(0, 6.28))
        bottom = np.array([[width + 8, height + 8], [-8, height + 8]], dtype=np.float64)
        border = np.concatenate([np.stack([x, y], axis=1), bottom])
        regions.append(StuffRegion(name, (border,), *stuff_colors(name, rng)))
    rest = [name for name in TOY_STUFF_CLASSES[1:] if name not in names]
    if rest and rng.uniform() < 0.5:
        center = np.array([rng.uniform(0.1, 0.9) * width, rng.uniform(0.75, 1.0) * height])
        pond = _pond(rng) * (0.35 * width, 0.14 * height) + center
        regions.append(StuffRegion(rest[0], (pond,), *stuff_colors(rest[0], rng)))
    if with_void:
        corner = np.array([width, height]) * rng.integers(0, 2, 2)
        shape = _pond(rng) * 0.25 * min(size_hw) + corner
        regions.append(StuffRegion(None, (shape,), *stuff_colors(None, rng)))
    return regions


def _pond(rng: np.random.Generator) -> Outline:
    """Return a wobbly disc of about radius one."""
    angle = np.arange(120) * (2 * np.pi / 120)
    radius = 1 + sum(
        rng.uniform(0, 0.2) / wave * np.cos(wave * angle + rng.uniform(0, 6.28)) for wave in (2, 3)
    )
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


class _Layout:
    """Places objects back to front and keeps every earlier one visible enough."""

    def __init__(
        self, size_hw: tuple[int, int], avoid: list[Color], rng: np.random.Generator
    ) -> None:
        self.objects: list[ToyObject] = []
        self._size_hw, self._avoid, self._rng = size_hw, avoid, rng
        self._owner = np.full(size_hw, -1, dtype=np.int32)
        self._area: list[int] = []

    def add_objects(self, number: int) -> None:
        """Add up to ``number`` objects, mostly the larger ones behind."""
        rng = self._rng
        largest = min(_MAX_SIZE_PX, 0.85 * max(self._size_hw))
        sizes = _MIN_SIZE_PX * (largest / _MIN_SIZE_PX) ** (rng.uniform(0, 1, number) ** 0.75)
        depth = np.argsort(-sizes * np.exp(rng.normal(0, 0.3, number)))
        for size in sizes[depth]:
            category = TOY_THING_CLASSES[rng.integers(len(TOY_THING_CLASSES))]
            outlines = make_shape(category, float(size), rng)
            self._place(category, outlines, float(size))

    def add_crowd(self) -> None:
        """Add one group of tiny shapes of one class, side by side on a jittered grid."""
        rng = self._rng
        category = TOY_THING_CLASSES[rng.integers(len(TOY_THING_CLASSES))]
        size = float(rng.uniform(11, 15))
        outlines: list[Outline] = []
        for row in range(int(rng.integers(2, 5))):
            for column in range(int(rng.integers(3, 6))):
                center = (np.array([column, row]) + rng.uniform(-0.1, 0.1, 2)) * size * 1.25
                outlines += [outline + center for outline in make_shape(category, size, rng)]
        middle = np.concatenate(outlines).mean(axis=0)
        centred = tuple(outline - middle for outline in outlines)
        self._place(category, centred, size, is_crowd=True)

    def _place(
        self, category: str, outlines: tuple[Outline, ...], size_px: float, is_crowd: bool = False
    ) -> None:
        """Try some positions; the object is left out when none is good."""
        texture = object_texture_for(self._avoid, TYPICAL_HUES[category], size_px, self._rng)
        least = max(24.0, (0.95 if is_crowd else MIN_VISIBLE) * _mask_area(outlines))
        for _ in range(15):
            center = self._rng.uniform(0, 1, 2) * self._size_hw[::-1]
            moved = tuple(np.round(outline + center, 2) for outline in outlines)  # as files say
            mask = rasterize(moved, self._size_hw)
            if mask.sum() >= least and self._fits(mask):
                self._owner[mask] = len(self.objects)
                self._area.append(int(mask.sum()))
                self._avoid.append(texture.color)
                self.objects.append(ToyObject(category, moved, texture, is_crowd))
                return

    def _fits(self, mask: np.ndarray) -> bool:
        """Whether all earlier objects stay visible enough behind ``mask``."""
        kept = np.bincount(self._owner[~mask] + 1, minlength=len(self._area) + 1)[1:]
        return bool(np.all(kept >= MIN_VISIBLE * np.array(self._area)))


def _mask_area(outlines: tuple[Outline, ...]) -> int:
    """Area in pixels of outlines that no image border cuts."""
    points = np.concatenate(outlines)
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    width, height = (high - low).astype(int)
    return int(rasterize([outline - low for outline in outlines], (height, width)).sum())
