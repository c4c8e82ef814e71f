"""The masks of the mapper: bit for bit those of Detectron2's, in the memory of the objects."""

import time

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper
from detectron2.data.datasets import load_coco_json
from detectron2.structures import BitMasks, polygons_to_bitmask

from pointrend_ext.data import build_mapper, build_train_loader
from pointrend_ext.engine import load_cfg
from pointrend_ext.structures import CroppedMasks, crop_mask
from tests.data.builders import square, target


def stored_bytes(masks):
    return masks.bits.nbytes + masks.windows.nbytes


def test_many_small_objects_take_little(cfg, record):
    """On whole images these masks would take 320 MB."""
    cfg.INPUT.MIN_SIZE_TRAIN = (400,)
    corners = np.random.default_rng(0).uniform(0, (59, 39), (1000, 2)).tolist()
    record["annotations"] = [
        target(segmentation=[square(x, y, x + 1, y + 1)], bbox=[x, y, 1, 1]) for x, y in corners
    ]
    begin = time.process_time()
    masks = build_mapper(cfg, is_train=True)(record)["instances"].gt_masks
    assert time.process_time() - begin < 5
    assert isinstance(masks, CroppedMasks)
    assert len(masks) == 1000
    assert stored_bytes(masks) < 500_000
    areas = [int(mask.sum()) for mask in masks]
    assert min(areas) >= 81
    assert max(areas) <= 121


def test_objects_without_a_pixel_are_left_out_and_others_keep_their_masks(cfg, record):
    names = {"tiny": square(3.1, 3.1, 3.2, 3.2), "wide": square(1, 1, 50, 3), "tall": square()}
    record["annotations"] = [target(segmentation=[polygon]) for polygon in names.values()]
    mapper = build_mapper(cfg, is_train=True)
    masks = mapper(record)["instances"].gt_masks
    assert [int(mask.sum()) for mask in masks] == [98, 400]
    assert sum(mapper.drops.counts().values()) == 1


def test_the_loader_hands_them_over_with_workers(cfg, coco):
    cfg.DATASETS.TRAIN = (coco(num_images=2).name,)
    cfg.DATALOADER.NUM_WORKERS = 1
    for _, (item,) in zip(range(2), build_train_loader(cfg), strict=False):
        masks = item["instances"].gt_masks
        assert isinstance(masks, CroppedMasks)
        assert masks.tensor.flatten(1).sum(1).tolist() == [400] * len(masks)


@pytest.fixture
def coco_records(real_data):
    folder = real_data / "coco"
    file = folder / "annotations" / "instances_val2017.json"
    return load_coco_json(str(file), str(folder / "val2017"))[:25]


def coco_cfg(*opts):
    config = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml"
    return load_cfg(config, ["INPUT.MIN_SIZE_TRAIN", (800,), *opts])


def mapped(mapper, records):
    for number, record in enumerate(records):
        np.random.seed(number)  # noqa: NPY002
        yield mapper(record)["instances"]


@pytest.mark.real_data
def test_equals_detectron2_on_coco(coco_records):
    cfg = coco_cfg()
    ours = mapped(build_mapper(cfg, is_train=True), coco_records)
    theirs = mapped(DatasetMapper(cfg, True), coco_records)
    small = large = 0
    for got, expected in zip(ours, theirs, strict=True):
        assert torch.equal(got.gt_boxes.tensor, expected.gt_boxes.tensor)
        if len(got):
            masks, whole = got.gt_masks, expected.gt_masks
            assert (type(masks), type(whole)) == (CroppedMasks, BitMasks)
            assert torch.equal(masks.tensor, whole.tensor)
            boxes = got.gt_boxes.tensor + torch.randn(len(got), 4) * 4
            pooled = masks.crop_and_resize(boxes, 28)
            assert torch.equal(pooled, whole.crop_and_resize(boxes, 28))
            small += stored_bytes(masks)
            large += whole.tensor.nbytes
    assert large > 5 * small > 0


@pytest.mark.real_data
def test_crops_of_coco_are_as_if_drawn_on_whole_images(coco_records, monkeypatch):
    """Detectron2's mapper clips the polygons of crops first, which moves their outlines."""
    cfg = coco_cfg("INPUT.CROP.ENABLED", True)
    found = list(mapped(build_mapper(cfg, is_train=True), coco_records))

    def slow(polygons, size_hw):
        return crop_mask(polygons_to_bitmask(polygons, *size_hw))

    monkeypatch.setattr("pointrend_ext.data.mapper.draw_polygons", slow)
    expected = mapped(build_mapper(cfg, is_train=True), coco_records)
    for got, wanted in zip(found, expected, strict=True):
        assert torch.equal(got.gt_masks.tensor, wanted.gt_masks.tensor)
        assert torch.equal(got.gt_boxes.tensor, wanted.gt_boxes.tensor)
