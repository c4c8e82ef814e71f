"""Boundary AP: by hand, and against pycocotools with a slow IoU written from the definition."""

import numpy as np
import pytest
from pycocotools import mask as mask_util

from pointrend_ext.evaluation.boundary import boundary_width, mask_boundary, rle_boundary
from pointrend_ext.evaluation.coco_ap import coco_precision
from tests.evaluation.oracles import SlowBoundaryEvaluation, official_precision, slow_boundary
from tests.toy_instances import ap, ap_array

# ---- the boundary of one mask


@pytest.mark.parametrize(
    ("size_hw", "width"),
    [
        ((1, 1), 1), ((5, 5), 1), ((480, 640), 16), ((1024, 2048), 46), ((1000, 1000), 28),
        ((500, 375), 12), ((75, 100), 2), ((4000, 6000), 144),
    ],
)  # fmt: skip
def test_width(size_hw, width):
    assert boundary_width(size_hw) == width  # 12.5 and 2.5 are rounded to even, as by the authors


def test_boundary_by_hand():
    full = np.ones((7, 9), np.uint8)
    ring = full.copy()
    ring[2:5, 2:7] = 0
    np.testing.assert_array_equal(mask_boundary(full, 2), ring)  # the border of the image counts
    hole = full.copy()
    hole[3, 4] = 0
    np.testing.assert_array_equal(mask_boundary(hole, 1)[2:5, 3:6], hole[2:5, 3:6])
    assert mask_boundary(hole, 1).sum() == 28 + 8
    np.testing.assert_array_equal(mask_boundary(full, 4), full)
    np.testing.assert_array_equal(mask_boundary(full.astype(bool), 2), ring)
    assert not mask_boundary(np.zeros((7, 9)), 2).any()


def test_boundary_equals_the_slow_one(instances):
    rng = np.random.default_rng(0)
    for _ in range(150):
        height, width = rng.integers(1, 40, 2)
        if rng.random() < 0.2:  # flat: faster-coco-eval's own boundary is wrong here
            height, width = rng.integers(1, 9), rng.integers(150, 300)
        mask = np.zeros((height, width), np.uint8)
        for _ in range(rng.integers(0, 4)):
            y, x = sorted(rng.integers(0, height + 1, 2)), sorted(rng.integers(0, width + 1, 2))
            mask[y[0] : y[1], x[0] : x[1]] = 1
        mask ^= (rng.random(mask.shape) < 0.01).astype(np.uint8)
        d = int(rng.choice([1, 2, 3, boundary_width(mask.shape)]))
        expected = slow_boundary(mask, d)
        np.testing.assert_array_equal(mask_boundary(mask, d), expected)
        coded = rle_boundary(instances.rle(mask), d)
        np.testing.assert_array_equal(mask_util.decode(coded), expected)


# ---- AP


def filled(size_hw, y, x):
    mask = np.zeros(size_hw, np.uint8)
    mask[slice(*y), slice(*x)] = 1
    return mask


OUTER, INNER = filled((50, 50), (5, 45), (5, 45)), filled((50, 50), (6, 44), (6, 44))
MOVED = np.roll(OUTER, 1, axis=1)
FULL = np.ones((100, 100), np.uint8)
HUGE = filled((3000, 4000), (500, 1500), (700, 1700))


@pytest.mark.parametrize(
    ("true", "predicted", "mask_iou", "boundary_iou"),
    [
        # d = 1. A square of 40 x 40 against one of 38 x 38 inside it; their outlines, 156 and 148
        # pixels, do not touch.
        (OUTER, INNER, 38**2 / 40**2, 0),
        # Moved by one pixel: of the outlines, the two long sides coincide.
        (OUTER, MOVED, 1560 / 1640, 78 / (156 + 156 - 78)),
        # d = 3. True is the whole image, boundary 10000 - 94^2 = 1164. The prediction is without
        # the 3 columns at the right; its boundary 9700 - 91 * 94 = 1146, of which 864 are in the
        # other one: all but columns 94 to 96 over the 94 rows between.
        (FULL, filled((100, 100), (0, 100), (0, 97)), 0.97, 864 / 1446),
        # A hole of 68 x 68: Boundary IoU .577 is above mask IoU .5376, and the smaller one counts.
        (FULL, FULL - filled((100, 100), (16, 84), (16, 84)), 0.5376, 0.5376),
        # d = 100. A square of 1000 has a boundary of 1000^2 - 800^2 pixels. Moved 40 to the right:
        # both outer squares share 1000 x 960 pixels; of these the union of the two insides,
        # 800 x 840, is in one boundary at most.
        (HUGE, np.roll(HUGE, 40, axis=1), 960 / 1040, 288000 / (2 * 360000 - 288000)),
        # One or two pixels high: all is boundary, both IoUs agree.
        (np.ones((1, 1), np.uint8), np.ones((1, 1), np.uint8), 1, 1),
        (np.ones((2, 3), np.uint8), np.ones((2, 3), np.uint8), 1, 1),
        (np.ones((1, 300), np.uint8), filled((1, 300), (0, 1), (75, 300)), 0.75, 0.75),
    ],
)
def test_by_hand(instances, true, predicted, mask_iou, boundary_iou):
    truth = instances.truth([true.shape], [(0, 0, true, False)])
    found = [instances.prediction(0, 0, predicted, 0.9)]
    for task, iou in (("segm", mask_iou), ("boundary", boundary_iou)):
        table = coco_precision(truth, found, task)
        for threshold in range(50, 100, 5):
            reached = pytest.approx(100) if iou >= threshold / 100 else 0
            assert ap(table, f"AP{threshold}") == reached


def test_of_a_crowd_the_mask_iou_alone_decides(instances):
    crowd = instances.truth([(50, 50)], [(0, 0, OUTER, True), (0, 0, INNER, False)])
    predictions = [instances.prediction(0, 0, m, s) for m, s in ((MOVED, 0.9), (INNER, 0.1))]
    assert ap(coco_precision(crowd, predictions, "boundary")) == pytest.approx(100)


def test_equal_to_the_definition(instances):
    rng = np.random.default_rng(11)
    sizes = [(90, 120), (60, 45), (130, 100), (8, 220)] * 3
    annotations = []
    for image, (height, width) in enumerate(sizes):
        rows, cols = np.ogrid[:height, :width]
        for _ in range(rng.integers(0, 5)):
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            a, b = rng.uniform(3, height / 1.2), rng.uniform(3, width / 2)
            mask = ((rows - y) / a) ** 2 + ((cols - x) / b) ** 2 < 1
            if mask.any():
                annotations.append((image, rng.integers(0, 2), mask, rng.random() < 0.2))
    truth = instances.truth(sizes, annotations, ("a", "b"))
    predictions = instances.spoiled(truth, rng)
    table = coco_precision(truth, predictions, "boundary")
    expected = official_precision(truth, predictions, "segm", SlowBoundaryEvaluation)
    np.testing.assert_allclose(table.precision, expected, atol=1e-6)
    found = ap_array(table)
    assert 0.05 < np.nanmean(found[..., 0]) < 0.95
    assert np.nanmin(found[:, :, 1]) < np.nanmax(found[:, :, 1])


def test_perfect_predictions(instances, toy_truth):
    sizes = toy_truth.sizes_hw
    perfect = [
        {**a, "score": 1.0, "segmentation": instances.annotation_rle(a, sizes[a["image_id"]])}
        for a in toy_truth.dataset["annotations"]
        if not a["iscrowd"]
    ]
    assert ap(coco_precision(toy_truth, perfect, "boundary")) == pytest.approx(100)


@pytest.mark.real_data
def test_faster_coco_eval_agrees_on_coco(coco_truth, coco_predictions):
    """Its own Boundary AP is right on images of usual proportions."""
    from faster_coco_eval import COCO, COCOeval_faster

    coco = COCO(coco_truth.dataset, use_deepcopy=True)
    found = coco.loadRes([{k: v for k, v in p.items() if k != "bbox"} for p in coco_predictions])
    evaluation = COCOeval_faster(coco, found, "boundary", boundary_cpu_count=1)
    image_ids = sorted(coco_truth.sizes_hw)[:40]
    evaluation.params.imgIds = image_ids
    evaluation.evaluate()
    evaluation.accumulate()
    within = [p for p in coco_predictions if p["image_id"] in image_ids]
    table = coco_precision(coco_truth.of_images(image_ids), within, "boundary")
    np.testing.assert_allclose(table.precision, evaluation.eval["precision"][..., -1], atol=1e-9)
    assert 5 < ap(table) < 95
