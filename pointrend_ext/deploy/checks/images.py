"""Pictures that an exported file is checked with, in sizes that the export has not seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from detectron2.config import CfgNode
from PIL import Image

from pointrend_ext.data.pixels import ImageRules, to_format
from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.data.toy.layout import sample_scene
from pointrend_ext.data.toy.render import render_image
from pointrend_ext.inference.image_input import ImageLike, load_image

_SIZES_HW = ((65, 80), (97, 131), (320, 223), (191, 403))
"""Smallest, odd, upright, wide: none is that of the export."""

_SHAPE = 4 / 3  # of a picture at the size at which a model is tested


@lru_cache(maxsize=1)
def _drawn_scenes() -> Sequence[np.ndarray]:
    return [render_image(sample_scene("val", number)) for number in range(4)]


@dataclass(frozen=True)
class CheckImages:
    """Pictures by turns, each in one of the sizes; more pictures than sizes all in the last one.

    Attributes:
        pictures: one or more.
        sizes_hw: rows and columns that they are resized to.
        image_format: "RGB" or "BGR", the order of channels that the model wants.
        rules: how files of pictures are read, whenever they are looked at.
    """

    pictures: Sequence[ImageLike]
    sizes_hw: Sequence[tuple[int, int]]
    image_format: str
    rules: ImageRules

    @classmethod
    def of(cls, cfg: CfgNode, pictures: Sequence[ImageLike]) -> "CheckImages":
        """Choose sizes, the one at which a model is tested among them.

        Args:
            cfg: ``INPUT`` is read.
            pictures: see ``ImageLike``; scenes of the toy data, if there are none.

        Raises:
            OSError: a file does not exist.
            ValueError: something else is among them.
        """
        rules = ImageRules.from_cfg(cfg)
        for picture in pictures:
            load_image(picture, rules, read_image_rgb)
        shorter, limit = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
        as_tested: tuple[tuple[int, int], ...] = ()
        if shorter > 0:
            shorter = min(shorter, int(limit / _SHAPE))
            as_tested = ((shorter, round(shorter * _SHAPE)),)
        shown = pictures or _drawn_scenes()
        return cls(shown, (*_SIZES_HW, *as_tested), cfg.INPUT.FORMAT, rules)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield what a model takes: (3, H, W) float32, 0 to 255."""
        for number in range(max(len(self.sizes_hw), len(self.pictures))):
            height, width = self.sizes_hw[min(number, len(self.sizes_hw) - 1)]
            shown = self.pictures[number % len(self.pictures)]
            picture = Image.fromarray(load_image(shown, self.rules, read_image_rgb)[0])
            resized = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
            pixels = to_format(resized, self.image_format).transpose(2, 0, 1)
            yield np.ascontiguousarray(pixels, dtype=np.float32)
