"""The description of a toy scene, from which pictures and all annotations are made."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .classes import IGNORE_LABEL, TOY_STUFF_CLASSES
from .raster import Outline, rasterize

Color = tuple[float, float, float]
"""RGB in [0, 1]."""


@dataclass(frozen=True)
class Texture:
    """Fill of an object: a pattern that blends ``color`` into ``accent``.

    Attributes:
        kind: one of ``render.PATTERNS``.
        color: main colour.
        accent: second colour.
        period_px: pattern period in pixels.
        angle: pattern direction in radians.
    """

    kind: str
    color: Color
    accent: Color
    period_px: float
    angle: float


@dataclass(frozen=True, eq=False)
class ToyObject:
    """One object, or one crowd of tiny objects of the same class.

    Attributes:
        category: one of ``TOY_THING_CLASSES``.
        outlines: (V, 2) polygons in image pixels, inside by the even-odd rule, so that all but the
            first of a single object are holes; not clipped to the image, not cut by objects in
            front.
        texture: the fill.
        is_crowd: whether this is a group that is annotated as a whole (COCO ``iscrowd``).
    """

    category: str
    outlines: tuple[Outline, ...]
    texture: Texture
    is_crowd: bool = False


@dataclass(frozen=True, eq=False)
class StuffRegion:
    """One background region.

    Attributes:
        category: one of ``TOY_STUFF_CLASSES``; ``None`` is an unannotated region (ignore label).
        outlines: as in ``ToyObject``.
        color: main colour.
        accent: second colour of the texture.
    """

    category: str | None
    outlines: tuple[Outline, ...]
    color: Color
    accent: Color


@dataclass(frozen=True, eq=False)
class Scene:
    """A whole image.

    Attributes:
        split: "train" or "val".
        index: number of the scene in its split.
        size_hw: height and width in pixels.
        seed: seeds the texture noise, nothing else.
        regions: background; a later region covers earlier ones; the first fills the image.
        objects: in depth order, back to front; a later object covers earlier ones.
    """

    split: str
    index: int
    size_hw: tuple[int, int]
    seed: int
    regions: tuple[StuffRegion, ...]
    objects: tuple[ToyObject, ...]

    @property
    def image_id(self) -> int:
        """COCO image id: unique over both splits, with gaps, independent of other scenes."""
        return (1000 if self.split == "train" else 5_000_000) + 7 * self.index + 3 * self.index % 5

    @property
    def stem(self) -> str:
        """File name without extension of image and label maps, as in COCO."""
        return f"{self.image_id:012d}"


@dataclass(frozen=True, eq=False)
class SceneMaps:
    """Exact per-pixel truth of a scene; see ``raster`` for the pixel rule.

    Attributes:
        object_index: (H, W) int32, index of the visible object, -1 where the background shows.
        stuff_label: (H, W) uint8, contiguous stuff id of the background, also behind objects;
            255 where unannotated.
    """

    object_index: NDArray[np.int32]
    stuff_label: NDArray[np.uint8]

    def visible(self, index: int) -> NDArray[np.bool_]:
        """Return the (H, W) mask of what is seen of an object."""
        return self.object_index == index


def scene_maps(scene: Scene) -> SceneMaps:
    """Rasterise a scene; masks of different objects are disjoint by construction."""
    stuff_label = np.full(scene.size_hw, IGNORE_LABEL, dtype=np.uint8)
    for region in scene.regions:
        name = region.category
        label = IGNORE_LABEL if name is None else TOY_STUFF_CLASSES.index(name)
        stuff_label[rasterize(region.outlines, scene.size_hw)] = label
    object_index = np.full(scene.size_hw, -1, dtype=np.int32)
    for index, item in enumerate(scene.objects):
        object_index[rasterize(item.outlines, scene.size_hw)] = index
    return SceneMaps(object_index, stuff_label)
