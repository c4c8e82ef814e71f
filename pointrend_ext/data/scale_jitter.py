"""Large-scale jitter: each training image at a random scale, cut to a window of one size."""

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T


class ResizeScale(T.ResizeScale):
    """Detectron2's, but that no side of a very long image becomes nothing."""

    def _get_resize(self, image: np.ndarray, scale: float) -> T.Transform:
        resize = super()._get_resize(image, scale)
        new_hw = max(resize.new_h, 1), max(resize.new_w, 1)
        return T.ResizeTransform(resize.h, resize.w, *new_hw, resize.interp)


def check_scale_jitter(cfg: CfgNode) -> None:
    """Raise ValueError when ``INPUT.LSJ`` cannot be applied."""
    jitter = cfg.INPUT.LSJ
    if not jitter.ENABLED:
        return
    is_size = all(isinstance(side, int) and side > 0 for side in jitter.SIZE)
    for key, is_valid, needed in (
        ("SIZE", len(jitter.SIZE) == 2 and is_size, "height and width in pixels above 0"),
        ("MIN_SCALE", jitter.MIN_SCALE > 0, "above 0"),
        ("MAX_SCALE", jitter.MAX_SCALE >= jitter.MIN_SCALE, "at least INPUT.LSJ.MIN_SCALE"),
    ):
        if not is_valid:
            raise ValueError(f"INPUT.LSJ.{key} is {jitter[key]!r}, but it must be {needed}.")
    if cfg.INPUT.CROP.ENABLED:
        raise ValueError(
            "INPUT.LSJ.ENABLED and INPUT.CROP.ENABLED are both True, but large-scale jitter crops "
            "by itself, to INPUT.LSJ.SIZE. Switch one of them off."
        )


def build_scale_jitter(cfg: CfgNode) -> tuple[T.Augmentation, T.Augmentation]:
    """Build what resizes and what crops.

    An image is resized to fit into a window of ``INPUT.LSJ.SIZE`` times a scale between
    ``MIN_SCALE`` and ``MAX_SCALE``, and what exceeds the window itself is cut off at random (Ghiasi
    et al., "Simple Copy-Paste", CVPR 2021, section 3.1). An image that is smaller than the window
    stays as it is: the model pads the images of a batch and knows their sizes, so that padding is
    neither labelled nor trained on. Detectron2's ``FixedSizeCrop`` makes the padding a part of the
    image instead, and draws one number for both offsets of the window; here there are two.
    """
    jitter = cfg.INPUT.LSJ
    height, width = jitter.SIZE
    return (
        ResizeScale(jitter.MIN_SCALE, jitter.MAX_SCALE, height, width),
        T.RandomCrop("absolute", (height, width)),
    )


def build_flips(cfg: CfgNode) -> list[T.Augmentation]:
    """Build what ``INPUT.RANDOM_FLIP`` asks for, as Detectron2 does."""
    kind = cfg.INPUT.RANDOM_FLIP
    if kind == "none":
        return []
    return [T.RandomFlip(horizontal=kind == "horizontal", vertical=kind == "vertical")]
