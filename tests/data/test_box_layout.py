"""Layouts of boxes: each is told from the others, and doubt is None."""

import re

import numpy as np
import pycocotools.mask as mask_util
import pytest

from pointrend_ext.data.box_layout import likely_layout, likely_mistake

# Two masks by hand: x0, y0, x1, y1 in pictures of 120 x 200 (height x width) and 90 x 64.
BOUNDS = np.array([[20, 30, 120, 70], [5, 40, 35, 85]])
SIZES = np.array([[120, 200], [90, 64]])
SAME_SIZE = np.array([[120, 200], [120, 200]])
HAND = {
    "x0, y0, x1, y1 (corners): write x0, y0, x1 - x0, y1 - y0": [
        [20, 30, 120, 70],
        [5, 40, 35, 85],
    ],
    "centre x, centre y, width, height: write x -": [[70, 50, 100, 40], [20, 62.5, 30, 45]],
    "x, y, height, width: write x, y, width, height": [[20, 30, 40, 100], [5, 40, 45, 30]],
    "x0, x1, y0, y1: write": [[20, 120, 30, 70], [5, 35, 40, 85]],
    "y, x, height, width (rows first), or x and y of the masks are exchanged: write x, y": [
        [30, 20, 40, 100],
        [40, 5, 45, 30],
    ],
    "y0, x0, y1, x1 (corners, rows first): write": [[30, 20, 70, 120], [40, 5, 85, 35]],
    "y0, y1, x0, x1: write": [[30, 70, 20, 120], [40, 85, 5, 35]],
    "centre y, centre x, height, width (rows first): write": [
        [50, 70, 40, 100],
        [62.5, 20, 45, 30],
    ],
    "x, y, width, height in shares of the image: write x, y, width, height in pixels": [
        [0.1, 0.25, 0.5, 1 / 3],
        [5 / 64, 4 / 9, 30 / 64, 0.5],
    ],
    "centre x, centre y, width, height in shares of the image: write": [  # YOLO's
        [0.35, 50 / 120, 0.5, 1 / 3],
        [20 / 64, 62.5 / 90, 30 / 64, 0.5],
    ],
    "x, y, width, height in per cent of the image: write": [  # Label Studio's own
        [10, 25, 50, 100 / 3],
        [500 / 64, 400 / 9, 3000 / 64, 50],
    ],
    "y0, x0, y1, x1 (corners, rows first) in thousandths of the image: write": [
        [250, 100, 583, 600],
        [444, 78, 944, 547],
    ],
    "frame of the picture mirrored top to bottom": [[20, 50, 100, 40], [5, 5, 30, 45]],
    "frame of the picture mirrored left to right": [[80, 30, 100, 40], [29, 40, 30, 45]],
    "frame of the picture turned by 180 degrees": [[80, 50, 100, 40], [29, 5, 30, 45]],
}


@pytest.mark.parametrize(("phrase", "boxes"), HAND.items(), ids=str)
def test_layouts_by_hand(phrase, boxes):
    found = likely_layout(np.array(boxes), BOUNDS, SIZES)
    assert found is not None
    assert phrase in found


@pytest.mark.parametrize(
    "boxes",
    [
        [[20, 30, 100, 40], [5, 40, 30, 45]],  # as stated
        [[21, 31, 100, 40], [6, 41, 30, 45]],  # from 1
        [[22, 28, 104, 42], [5, 40, 30, 45]],  # within 2 px or 5 %
        [[20, 30, 120, 70], [50, 1, 3, 3]],  # each another
        [[1, 2, 3, 4], [5, 6, 7, 8]],
        [[np.nan, 1, 2, 3], [np.inf, 1, 2, 3]],
    ],
)
def test_no_other_layout(boxes):
    assert likely_layout(np.array(boxes), BOUNDS, SIZES) is None


def test_nothing_and_one_object():
    nothing = np.zeros((0, 4))
    assert likely_layout(nothing, nothing, np.zeros((0, 2))) is None
    (found,) = [likely_layout(BOUNDS[:1], BOUNDS[:1], SIZES[:1])]
    assert found.startswith("x0, y0, x1, y1 (corners)")


def test_two_layouts_that_fit_are_doubt():
    """On the diagonal of its picture x and y cannot be told apart."""
    bounds = np.array([[30, 30, 70, 70], [10, 10, 90, 90]])
    assert likely_layout(bounds, bounds, np.full((2, 2), 200)) is None


def scene(number=60, seed=0, sizes=((90, 160), (200, 110), (128, 128))):
    """Random bounds (number, 4) and sizes (number, 2)."""
    rng = np.random.default_rng(seed)
    sizes_hw = np.array(sizes)[rng.integers(0, len(sizes), number)]
    corners = np.sort(rng.uniform(0, 1, (number, 2, 2)), axis=1)
    corners[:, 1] = np.minimum(corners[:, 1] + 0.1, 1)
    return (corners * sizes_hw[:, None, ::-1]).reshape(number, 4), sizes_hw


def xyxy(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def xywh(bounds):
    return np.concatenate([bounds[:, :2], bounds[:, 2:] - bounds[:, :2]], axis=1)


@pytest.mark.parametrize("stated", ["of the masks", "of the boxes"])
@pytest.mark.parametrize("degrees", [90, 270])
def test_quarter_turns_follow_the_pixels(degrees, stated):
    """Pixels turned with ``rot90``: the mask's bounds are those of the turned box."""
    boxes, bounds, sizes = [], [], []
    for (x0, y0, x1, y1), (height, width) in zip(*scene(20, seed=2), strict=True):
        drawn = np.zeros((height, width), bool)
        drawn[int(y0) : int(y1), int(x0) : int(x1)] = True
        turned = np.rot90(drawn, k={90: -1, 270: 1}[degrees])  # clockwise is negative
        ys, xs = np.nonzero(turned)
        boxes.append([int(x0), int(y0), int(x1) - int(x0), int(y1) - int(y0)])
        bounds.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        sizes.append(turned.shape if stated == "of the masks" else drawn.shape)
    found = likely_layout(np.array(boxes), np.array(bounds), np.array(sizes))
    assert f"turned by {degrees} degrees" in found


def test_a_few_bad_boxes_change_nothing_many_do():
    bounds, sizes = scene()
    boxes = bounds.copy()
    boxes[:5] = 1
    assert likely_layout(boxes, bounds, sizes).startswith("x0, y0, x1, y1 (corners)")
    boxes[:9] = 1
    assert likely_layout(boxes, bounds, sizes) is None


def test_a_few_other_boxes_among_stated_ones_are_no_layout():
    bounds, sizes = scene()
    boxes = xywh(bounds)
    boxes[:6] = bounds[:6]
    assert likely_layout(boxes, bounds, sizes) is None


def test_copies_of_the_pictures():
    bounds, sizes = scene()
    half = likely_layout(0.5 * xywh(bounds), bounds, sizes)
    assert half.startswith("x, y, width, height on copies 0.5 times as wide and 0.5 times as high")
    copied = xywh(bounds) / np.tile(sizes[:, ::-1], 2) * (640, 512, 640, 512)
    assert "on copies of 640 x 512 pixels" in likely_layout(copied, bounds, sizes)
    assert likely_layout(0.5 * xywh(bounds)[:2], bounds[:2], sizes[:2]) is None  # too few to fit


def test_many_objects_are_sampled_evenly():
    bounds, sizes = scene(50_000)
    boxes = bounds.copy()
    boxes[:40_000] = xywh(bounds)[:40_000]
    assert likely_layout(boxes, bounds, sizes) is None  # the first 2000 are not what decides
    assert "corners" in likely_layout(bounds, bounds, sizes)


@pytest.mark.parametrize(
    ("whole", "phrase"),
    [
        (1, "shares of the image, .* by the width of the image and y by its height$"),
        (
            100,
            "per cent of the image, .* by the width of the image / 100 and y by its height / 100$",
        ),
        (1000, "thousandths of the image"),
    ],
)
def test_masks_in_other_units(whole, phrase):
    bounds, sizes = scene()
    shares = bounds / np.tile(sizes[:, ::-1], 2) * whole
    polygons = [[[0] * 6]] * len(bounds)
    assert re.match(
        f"the masks look like {phrase}", likely_mistake(xywh(bounds), shares, sizes, polygons)
    )
    assert likely_mistake(xywh(bounds), bounds, sizes, polygons) is None
    both = xywh(shares)  # equal, so that neither contradicts the other
    assert likely_mistake(both, shares, sizes, polygons) is None


def rles_of(change):
    """Ten rectangles in 40 x 70 pictures: boxes, bounds of the masks that runs give, and runs."""
    boxes, rles = [], []
    for i in range(10):
        mask = np.zeros((40, 70), np.uint8)
        mask[3 + i : 12 + 2 * i, 2 * i : 30 + i] = 1
        boxes.append([2 * i, 3 + i, 30 - i, 9 + i])
        rles.append(mask_util.encode(np.asfortranarray(change(mask))))
    return np.array(boxes), xyxy(mask_util.toBbox(rles)), np.full((10, 2), (40, 70)), rles


def along_rows(mask):
    return mask.reshape(-1).reshape(mask.shape, order="F")


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (along_rows, "the run lengths seem to go along the rows; COCO's go down the columns"),
        (lambda mask: 1 - mask, "the run lengths seem to be those of the background"),
    ],
)
def test_mistaken_runs(change, phrase):
    boxes, bounds, sizes, rles = rles_of(change)
    assert likely_mistake(boxes, bounds, sizes, rles).startswith(phrase)
    empty = mask_util.encode(np.zeros((40, 70), np.uint8, order="F"))
    full = mask_util.encode(np.ones((40, 70), np.uint8, order="F"))
    assert likely_mistake(boxes, bounds, sizes, [empty, *rles[1:9], full]).startswith(phrase)
    assert likely_mistake(boxes, bounds, sizes, [empty] * 5 + [full] * 5) is None
    assert likely_mistake(boxes, bounds, sizes, [[[0] * 6]] * 5 + rles[5:]) is None  # too few
    assert likely_mistake(boxes * 0 + 9, bounds, sizes, rles) is None


def test_right_runs():
    assert likely_mistake(*rles_of(lambda mask: mask)) is None
