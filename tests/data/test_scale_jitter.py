"""Large-scale jitter: sizes, places and labels of what it makes."""

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T

from pointrend_ext.data import build_mapper
from pointrend_ext.data.scale_jitter import ResizeScale, build_scale_jitter, check_scale_jitter
from tests.data.builders import crop, square, target


@pytest.fixture
def jitter_cfg(cfg):
    cfg.INPUT.LSJ.ENABLED, cfg.INPUT.LSJ.SIZE = True, (80, 80)
    return cfg


def fixed(cfg, scale):
    cfg.INPUT.LSJ.MIN_SCALE = cfg.INPUT.LSJ.MAX_SCALE = scale
    return cfg


@pytest.mark.parametrize(
    ("scale", "size_hw"), [(0.1, (5, 8)), (0.75, (40, 60)), (1.0, (53, 80)), (2.0, (80, 80))]
)
def test_an_image_fits_into_the_scaled_window_and_is_never_padded(jitter_cfg, scale, size_hw):
    """40 x 60 pixels into 80 x 80: a scale of 1 makes it 53 x 80, of 2 a window of 107 x 160."""
    resize, cut = build_scale_jitter(fixed(jitter_cfg, scale))
    aug_input = T.AugInput(np.zeros((40, 60, 3), np.uint8))
    T.AugmentationList([resize, cut])(aug_input)
    assert aug_input.image.shape[:2] == size_hw


def test_scales_are_uniform_and_windows_anywhere(jitter_cfg):
    jitter_cfg.INPUT.LSJ.MIN_SCALE = 0.5
    resize, cut = build_scale_jitter(jitter_cfg)
    image = np.zeros((40, 60, 3), np.uint8)
    widths = np.array([resize.get_transform(image).new_w for _ in range(2000)]) / 80
    assert 0.5 <= widths.min() < 0.51
    assert 1.99 < widths.max() <= 2.0
    assert widths.mean() == pytest.approx(1.25, abs=0.03)
    large = np.zeros((120, 160, 3), np.uint8)
    offsets = np.array([(t.x0, t.y0) for t in (cut.get_transform(large) for _ in range(2000))])
    assert offsets.min(axis=0).tolist() == [0, 0]
    assert offsets.max(axis=0).tolist() == [80, 40]
    # Detectron2's FixedSizeCrop draws one number for both
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.1


def test_a_very_long_image_keeps_a_pixel():
    resize = ResizeScale(0.1, 0.1, 100, 100).get_transform(np.zeros((2, 4000, 3), np.uint8))
    assert (resize.new_h, resize.new_w) == (1, 10)


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_boxes_and_masks_follow(jitter_cfg, record, scale):
    record["annotations"] = [
        target(),
        target(segmentation=[square(50, 30, 60, 40)], bbox=[50, 30, 10, 10]),
    ]
    mapper = build_mapper(fixed(jitter_cfg, scale), is_train=True)
    for _ in range(10):
        found = mapper(record)
        instances = found["instances"]
        assert instances.image_size == tuple(found["image"].shape[1:])
        assert max(instances.image_size) <= 80
        factor = scale * 80 / 60
        for box, mask in zip(instances.gt_boxes.tensor, instances.gt_masks.tensor, strict=True):
            rows, columns = mask.nonzero().T
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == [x.item() for x in tight]  # recomputed in the crop
            assert max(box[2] - box[0], box[3] - box[1]) <= 20 * factor + 1
        if scale < 1:  # nothing is cut off
            assert instances.gt_boxes.tensor.tolist() == [[7, 3, 20, 17], [33, 20, 40, 27]]


def test_label_maps_follow(jitter_cfg, record, tmp_path):
    from PIL import Image

    labels = np.repeat(np.arange(60, dtype=np.uint8)[None], 40, axis=0) % 4
    Image.fromarray(labels).save(tmp_path / "labels.png")
    record["sem_seg_file_name"] = str(tmp_path / "labels.png")
    jitter_cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    jitter_cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 4
    jitter_cfg.INPUT.COLOR_AUG_SSD = True
    names = [type(a).__name__ for a in build_mapper(jitter_cfg, is_train=True).augmentations.augs]
    assert names == ["ResizeScale", "RandomCrop_CategoryAreaConstraint", "SSDColorAugmentation"]
    found = build_mapper(fixed(jitter_cfg, 0.75), is_train=True)(dict(record))
    assert torch.equal(found["sem_seg"], torch.from_numpy(labels).long())
    small = build_mapper(fixed(jitter_cfg, 0.1), is_train=True)(dict(record))
    assert small["sem_seg"].shape == small["image"].shape[1:] == (5, 8)
    only_resized = build_mapper(jitter_cfg, is_train=False)
    assert [type(a).__name__ for a in only_resized.augmentations.augs] == ["ResizeShortestEdge"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("SIZE", (80,), r"INPUT\.LSJ\.SIZE is \(80,\), but it must be height and width"),
        ("SIZE", (0, 80), r"INPUT\.LSJ\.SIZE is \(0, 80\)"),
        ("MIN_SCALE", 0.0, r"INPUT\.LSJ\.MIN_SCALE is 0\.0, but it must be above 0"),
        ("MAX_SCALE", 0.05, r"INPUT\.LSJ\.MAX_SCALE is 0\.05, but it must be at least INPUT\.LSJ"),
    ],
)
def test_wrong_values(jitter_cfg, key, value, message):
    check_scale_jitter(jitter_cfg)
    jitter_cfg.INPUT.LSJ[key] = value
    with pytest.raises(ValueError, match=message):
        build_mapper(jitter_cfg, is_train=True)
    jitter_cfg.INPUT.LSJ.ENABLED = False
    build_mapper(jitter_cfg, is_train=True)


def test_two_crops_are_one_too_many(jitter_cfg):
    crop(jitter_cfg, 20, 20)
    with pytest.raises(ValueError, match=r"LSJ\.ENABLED and INPUT\.CROP\.ENABLED are both True"):
        build_mapper(jitter_cfg, is_train=True)
