"""Copy-paste: pixels, masks, boxes and labels of what is pasted and of what is covered."""

import itertools

import numpy as np
import pytest
import torch
from detectron2.data import DatasetFromList
from detectron2.structures import Boxes, Instances

from pointrend_ext.data import build_mapper, build_train_loader
from pointrend_ext.data.coco import causes
from pointrend_ext.data.copy_paste import CopyPasteMapper, check_copy_paste, paste
from pointrend_ext.data.drops import DropCounter
from pointrend_ext.structures import CroppedMasks
from tests.data.builders import annotation, square


def example(size_hw, boxes, value, *, sem_seg=None, spare=0.0):
    """Objects that fill their boxes (x0, y0, x1, y1), on an image of one value."""
    instances = Instances(size_hw)
    masks = torch.zeros(len(boxes), *size_hw, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).view(-1, 4) + spare)
    instances.gt_classes = torch.arange(len(boxes)) + value
    instances.gt_masks = CroppedMasks(masks)
    found = {"file_name": "a.jpg", "image": torch.full((3, *size_hw), value, dtype=torch.uint8)}
    found["instances"] = instances
    if sem_seg is not None:
        found["sem_seg"] = torch.full(size_hw, sem_seg)
    return found


def everything(source):
    return torch.ones(len(source["instances"]), dtype=torch.bool)


def test_by_hand():
    """A 6 x 8 image gets two objects of a 4 x 10 one, of which one reaches beyond its border."""
    one = example((6, 8), [(0, 0, 4, 4), (1, 1, 3, 3), (5, 4, 8, 6)], 10, sem_seg=1, spare=0.25)
    other = example((4, 10), [(1, 1, 3, 4), (6, 0, 10, 2), (8, 0, 10, 4)], 50, sem_seg=2)
    untouched = one["image"]
    assert paste(one, other, everything(other)) == 1
    found = one["instances"]
    assert found.gt_classes.tolist() == [10, 12, 50, 51]  # 11 is covered, 52 is outside
    assert found.gt_boxes.tensor.tolist() == [
        [0, 0, 4, 4],  # recomputed: what is left still reaches all sides
        [5.25, 4.25, 8.0, 6.0],  # not touched, but for the border
        [1, 1, 3, 4],
        [6, 0, 8, 2],
    ]
    masks = found.gt_masks.tensor
    expected = torch.zeros(6, 8, dtype=torch.bool)
    expected[:4, :4] = True
    expected[1:4, 1:3] = False
    assert torch.equal(masks[0], expected)
    assert masks.sum(dim=(1, 2)).tolist() == [10, 6, 6, 4]
    assert masks.sum(dim=0).max() == 1
    pasted = masks[2:].any(dim=0)
    for value, own, theirs in ((one["image"], 10, 50), (one["sem_seg"][None], 1, 2)):
        assert torch.equal(value == theirs, pasted.expand_as(value))
        assert torch.equal(value == own, ~pasted.expand_as(value))
    assert (untouched == 10).all()  # memory of the file that was read


@pytest.mark.parametrize(
    ("boxes", "others", "classes"),
    [
        ([(0, 0, 4, 4)], [], [10]),
        ([], [(0, 0, 2, 2)], [50]),
        ([], [], []),
        ([(0, 0, 4, 4)], [(6, 6, 8, 8)], [10]),  # outside the image
        ([(0, 0, 4, 4)], [(0, 0, 6, 5)], [50]),
    ],
)
def test_nothing_and_everything(boxes, others, classes):
    one, other = example((5, 6), boxes, 10), example((9, 9), others, 50)
    hidden = paste(one, other, everything(other))
    assert one["instances"].gt_classes.tolist() == classes
    assert hidden == len(boxes) - classes.count(10)
    assert one["instances"].gt_masks.tensor.shape == (len(classes), 5, 6)
    assert one["instances"].image_size == (5, 6)


def test_only_the_chosen():
    one, other = example((5, 6), [], 10), example((5, 6), [(0, 0, 2, 2), (3, 3, 5, 5)], 50)
    paste(one, other, torch.tensor([False, True]))
    assert one["instances"].gt_classes.tolist() == [51]
    assert (one["image"] == 50).sum() == 3 * 4


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_how_often(probability):
    def mapper(record):
        return example((5, 6), record["boxes"], record["value"])

    mapper.drops = DropCounter()
    records = DatasetFromList([{"boxes": [(0, 0, 2, 2), (3, 3, 5, 5)], "value": 50}])
    pasting = CopyPasteMapper(mapper, records, probability)
    number = [len(pasting({"boxes": [], "value": 10})["instances"]) for _ in range(600)]
    shares = np.bincount(number, minlength=3) / 600
    expected = [1 - 0.75 * probability, 0.5 * probability, 0.25 * probability]
    assert shares == pytest.approx(expected, abs=0.06)


def test_objects_that_are_covered_are_counted():
    def mapper(record):
        return example((5, 6), [(1, 1, 2, 2)] if record else [(0, 0, 6, 5)] * 3, 10)

    mapper.drops = DropCounter()
    pasting = CopyPasteMapper(mapper, DatasetFromList([{}]), 1.0)
    hidden = 0
    for _ in range(20):
        hidden += int(pasting({"a": 1})["instances"].gt_masks.tensor[0].sum() != 1)
    assert 10 < hidden <= 20
    assert mapper.drops.counts() == {causes.PASTED_OVER: hidden}


@pytest.fixture
def pasting_cfg(cfg, coco):
    """Two images, with a star in the first one and a gear in the second."""
    second = annotation(
        2, category_id=2, segmentation=[square(15, 10, 45, 35)], bbox=[15, 10, 30, 25]
    )
    cfg.DATASETS.TRAIN = (coco([annotation(), second]).name,)
    cfg.INPUT.COPY_PASTE, cfg.SEED = 1.0, 3
    return cfg


def taken(cfg, number, workers=0):
    cfg.DATALOADER.NUM_WORKERS = workers
    loader = build_train_loader(cfg)
    return [batch[0] for batch in itertools.islice(loader, number)]


def test_a_loader_pastes_the_same_with_any_number_of_workers(pasting_cfg):
    alone = taken(pasting_cfg, 12)
    classes = [tuple(x["instances"].gt_classes.tolist()) for x in alone]
    # the image itself or the other one is drawn; by chance no object of it
    assert set(classes) <= {(0,), (1,), (0, 1), (1, 0), (0, 0), (1, 1)}
    assert {(0, 1), (1, 0)} & set(classes)
    for x in alone:
        masks = x["instances"].gt_masks.tensor
        assert masks.sum(dim=0).max() == 1
        boxes = x["instances"].gt_masks.get_bounding_boxes().tensor
        assert torch.equal(x["instances"].gt_boxes.tensor.floor(), boxes.floor())
    for one, other in zip(alone, taken(pasting_cfg, 12, workers=2), strict=True):
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["instances"].gt_masks.tensor, other["instances"].gt_masks.tensor)


def test_without_it_nothing_is_pasted(pasting_cfg):
    pasting_cfg.INPUT.COPY_PASTE = 0.0
    assert {len(x["instances"]) for x in taken(pasting_cfg, 6)} == {1}


def polygons(cfg):
    cfg.MODEL.ROI_MASK_HEAD.NAME, cfg.INPUT.MASK_FORMAT = "MaskRCNNConvUpsampleHead", "polygon"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (polygons, "COPY_PASTE is 1.0; it pastes masks, but they are polygons here. Set INPUT.MA"),
        (lambda cfg: setattr(cfg.MODEL, "MASK_ON", False), "this model learns none. Leave it out"),
    ],
)
def test_what_cannot_be_pasted(pasting_cfg, change, message):
    change(pasting_cfg)
    with pytest.raises(ValueError, match=message):
        build_train_loader(pasting_cfg)


def test_keypoints_are_not_pasted(pasting_cfg):
    mapper = build_mapper(pasting_cfg, is_train=True)
    pasting_cfg.MODEL.KEYPOINT_ON = True
    with pytest.raises(ValueError, match="no keypoints or proposals"):
        check_copy_paste(pasting_cfg, mapper, is_ordered=True)


def test_mappers_of_others_are_refused(pasting_cfg):
    with pytest.raises(ValueError, match="this mapper, or data set without a list of records"):
        build_train_loader(pasting_cfg, mapper=lambda record: record)
