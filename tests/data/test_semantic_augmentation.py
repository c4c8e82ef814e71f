"""The augmentation of semantic training: order, crop size, label map in step with the image."""

import numpy as np
import pytest
from detectron2.data import transforms as T

from pointrend_ext.data import SSDColorAugmentation, build_mapper, build_semantic_augmentation
from pointrend_ext.data.semantic_augmentation import check_crop
from tests.data.builders import crop


@pytest.fixture
def semantic_cfg(cfg):
    cfg.INPUT.MIN_SIZE_TRAIN = (80,)
    crop(cfg, 32, 48)
    cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA = 0.75
    cfg.INPUT.COLOR_AUG_SSD = True
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    return cfg


def names(cfg):
    return [type(a).__name__ for a in build_semantic_augmentation(cfg, is_train=True)]


def test_the_list_that_the_original_builds(semantic_cfg):
    got = build_semantic_augmentation(semantic_cfg, is_train=True)
    color = got.pop(2)
    assert isinstance(color, SSDColorAugmentation)
    assert color.image_format == semantic_cfg.INPUT.FORMAT
    images = semantic_cfg.INPUT
    expected = [
        T.ResizeShortestEdge((80,), images.MAX_SIZE_TRAIN, images.MIN_SIZE_TRAIN_SAMPLING),
        T.RandomCrop_CategoryAreaConstraint("absolute", (32, 48), 0.75, 255),
        T.RandomFlip(),
    ]
    assert list(map(str, got)) == list(map(str, expected))


def test_parts_can_be_switched_off(semantic_cfg):
    semantic_cfg.INPUT.CROP.ENABLED = False
    semantic_cfg.INPUT.COLOR_AUG_SSD = False
    assert names(semantic_cfg) == ["ResizeShortestEdge", "RandomFlip"]
    semantic_cfg.INPUT.RANDOM_FLIP = "none"
    assert names(semantic_cfg) == ["ResizeShortestEdge"]


def test_inference_only_resizes(semantic_cfg):
    semantic_cfg.INPUT.MIN_SIZE_TEST = 64
    (resize,) = build_semantic_augmentation(semantic_cfg, is_train=False)
    assert (type(resize), resize.short_edge_length) == (T.ResizeShortestEdge, (64, 64))


def test_label_map_follows_the_image(semantic_cfg):
    # The image carries its own label in the first channel: nearest everywhere, thus no mixtures.
    semantic_cfg.INPUT.COLOR_AUG_SSD = False
    augmentations = build_semantic_augmentation(semantic_cfg, is_train=True)
    augmentations[0].interp = 0  # nearest, so that image and label map stay comparable
    labels = np.repeat(np.arange(60, dtype=np.uint8)[None], 40, axis=0)
    np.random.seed(0)  # noqa: NPY002
    for _ in range(10):
        aug_input = T.AugInput(np.stack([labels] * 3, axis=-1), sem_seg=labels)
        T.AugmentationList(augmentations)(aug_input)
        assert aug_input.sem_seg.shape == (32, 48)
        np.testing.assert_array_equal(aug_input.image[..., 0], aug_input.sem_seg)


@pytest.mark.parametrize("architecture", ["SemanticSegmentor", "GeneralizedRCNN"])
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("SINGLE_CATEGORY_MAX_AREA", 0.0, r"SINGLE_CATEGORY_MAX_AREA is 0\.0.* above 0"),
        ("SINGLE_CATEGORY_MAX_AREA", 1.5, r"SINGLE_CATEGORY_MAX_AREA is 1\.5.* at most 1"),
        ("SIZE", [32], "SIZE is .32., but it must be height and width, whole numbers"),
        ("SIZE", [0.5, 0.5], r"SIZE is \[0\.5.* whole numbers of pixels above 0 .absolute"),
        ("SIZE", [0, 8], r"SIZE is \[0, 8\].* whole numbers of pixels above 0 .absolute"),
        ("TYPE", "absolut", r"INPUT\.CROP\.TYPE is 'absolut'.* absolute, .*relative_range"),
    ],
)
def test_wrong_crop_keys(semantic_cfg, architecture, key, value, message):
    semantic_cfg.MODEL.META_ARCHITECTURE = architecture
    semantic_cfg.INPUT.CROP[key] = value
    with pytest.raises(ValueError, match=message):
        build_mapper(semantic_cfg, is_train=True)


@pytest.mark.parametrize(("size", "is_right"), [([0.5, 1.0], True), ([0.5, 1.5], False)])
def test_relative_sizes_are_shares(semantic_cfg, size, is_right):
    crop = semantic_cfg.INPUT.CROP
    crop.TYPE, crop.SIZE = "relative", size
    if is_right:
        return check_crop(semantic_cfg)
    with pytest.raises(ValueError, match=r"SIZE is .*, but it must be .*shares above 0 and at"):
        check_crop(semantic_cfg)
    return None
