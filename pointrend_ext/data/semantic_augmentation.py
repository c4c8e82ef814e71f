"""The augmentation with which PointRend trains semantic segmentation."""

from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.data.detection_utils import build_augmentation

from pointrend_ext.data.color_augmentation import SSDColorAugmentation
from pointrend_ext.data.scale_jitter import build_flips, build_scale_jitter, check_scale_jitter

_CROP_TYPES = ("absolute", "absolute_range", "relative", "relative_range")


def check_crop(cfg: CfgNode) -> None:
    """Raise ValueError when ``INPUT.CROP`` or ``LSJ`` has a value that no crop can have."""
    crop, area = cfg.INPUT.CROP, "SINGLE_CATEGORY_MAX_AREA"
    if not (crop.ENABLED or cfg.INPUT.LSJ.ENABLED):
        return
    share = "the largest share of one class in a crop, above 0 and at most 1 (1 switches it off)"
    check_scale_jitter(cfg)
    if crop.TYPE.startswith("relative"):
        is_size, size = all(0 < side <= 1 for side in crop.SIZE), "shares above 0 and at most 1"
    else:
        is_size = all(isinstance(side, int) and side > 0 for side in crop.SIZE)
        size = "whole numbers of pixels above 0"
    for key, is_valid, needed in (
        ("TYPE", crop.TYPE in _CROP_TYPES, f"one of {', '.join(_CROP_TYPES)}"),
        ("SIZE", len(crop.SIZE) == 2 and is_size, f"height and width, {size} ({crop.TYPE})"),
        (area, 0.0 < crop[area] <= 1.0, share),
    ):
        if not is_valid:
            raise ValueError(f"INPUT.CROP.{key} is {crop[key]!r}, but it must be {needed}.")


def build_semantic_augmentation(cfg: CfgNode, *, is_train: bool) -> list[T.Augmentation]:
    """Build the augmentation of a semantic model, in the order of the original recipe.

    Resize, then crop with at most ``INPUT.CROP.SINGLE_CATEGORY_MAX_AREA`` of one class, then SSD
    colour, then flip (PointRend, section 4.2; facebookresearch/detectron2,
    projects/PointRend/train_net.py). Detectron2's default mapper crops before it resizes, which
    leaves a crop of another size; here the network sees exactly the crop. Inference resizes only.

    Args:
        cfg: ``INPUT.*`` and ``MODEL.SEM_SEG_HEAD.IGNORE_VALUE`` are read.
        is_train: whether for training.

    Returns:
        Augmentations to apply one after the other.
    """
    if not is_train:
        return build_augmentation(cfg, is_train)
    crop, jitter = cfg.INPUT.CROP, cfg.INPUT.LSJ
    if jitter.ENABLED:
        resize, _ = build_scale_jitter(cfg)
        window = ("absolute", jitter.SIZE)
    else:
        resize, *_ = build_augmentation(cfg, is_train)
        window = (crop.TYPE, crop.SIZE)
    augmentations = [resize]
    if crop.ENABLED or jitter.ENABLED:
        area, ignored = crop.SINGLE_CATEGORY_MAX_AREA, cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
        augmentations.append(T.RandomCrop_CategoryAreaConstraint(*window, area, ignored))
    if cfg.INPUT.COLOR_AUG_SSD:
        augmentations.append(SSDColorAugmentation(cfg.INPUT.FORMAT))
    return augmentations + build_flips(cfg)
