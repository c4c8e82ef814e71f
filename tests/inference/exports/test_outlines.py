"""Outlines: exact with all corners, of few with the Boundary IoU that was asked for."""

import cv2
import numpy as np
import pytest

from pointrend_ext.evaluation.boundary import boundary_width, mask_boundary
from pointrend_ext.evaluation.masks import mask_iou
from pointrend_ext.inference.exports.outlines import (
    boundary_of,
    draw_parts,
    joined_ring,
    simplified,
)
from pointrend_ext.inference.exports.rings import mask_parts
from tests.inference.exports.predictions import SIZE_HW, masks, prediction


def drawn(parts, size_hw):
    canvas = np.zeros(size_hw, bool)
    mask, top, left = draw_parts(parts, size_hw)
    canvas[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return canvas


def boundary_iou(first, second):
    """The Boundary IoU of two whole masks, as the paper has it."""
    width = boundary_width(first.shape)
    a, b = (mask_boundary(mask, width).astype(bool) for mask in (first, second))
    return (a & b).sum() / max((a | b).sum(), 1)


def num_corners(parts):
    return sum(len(ring) for part in parts for ring in part)


def test_a_pixel_and_an_l_by_hand():
    (part,) = mask_parts(np.ones((1, 1), bool))
    assert [ring.tolist() for ring in part] == [[[0, 0], [1, 0], [1, 1], [0, 1]]]
    (part,) = mask_parts(np.array([[1, 0], [1, 1]], bool))
    assert part[0].tolist() == [[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [0, 2]]


def test_a_hole_runs_the_other_way():
    mask = np.ones((3, 3), bool)
    mask[1, 1] = False
    ((outer, hole),) = mask_parts(mask)
    assert outer.tolist() == [[0, 0], [3, 0], [3, 3], [0, 3]]
    assert hole.tolist() == [[1, 2], [2, 2], [2, 1], [1, 1]]


def test_an_island_that_touches_the_ring_around_it_at_a_corner():
    mask = np.ones((6, 6), bool)
    mask[1:5, 1:5] = False
    mask[1, 1] = mask[2, 2] = True
    ring, island = mask_parts(mask)
    assert [len(ring), len(island)] == [2, 1]
    assert island[0].tolist() == [[2, 2], [3, 2], [3, 3], [2, 3]]
    np.testing.assert_array_equal(drawn([ring, island], mask.shape), mask)


@pytest.mark.parametrize("seed", range(60))
def test_rings_are_those_of_any_mask(seed):
    rng = np.random.default_rng(seed)
    size_hw = tuple(rng.integers(1, 14, 2))
    mask = rng.random(size_hw) < rng.random()
    parts = mask_parts(mask)
    pieces, _ = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    holes, _ = cv2.connectedComponents(outside, connectivity=8)
    assert len(parts) == pieces - 1
    assert sum(len(part) - 1 for part in parts) == holes - 2
    if mask.any():
        np.testing.assert_array_equal(drawn(parts, size_hw), mask)
    for ring in (ring for part in parts for ring in part):
        steps = np.diff(ring, axis=0, append=ring[:1])
        assert ((steps == 0).sum(axis=1) == 1).all()  # along the axes, and no corner for nothing
        assert (np.diff(steps[:, 0] == 0, append=steps[0, 0] == 0)).all()


@pytest.mark.parametrize("asked", [0.5, 0.8, 0.9, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("name", [n for n in masks() if n != "empty"])
def test_as_many_corners_as_the_boundary_iou_needs(name, asked):
    mask = masks()[name]
    parts = mask_parts(mask)
    few = simplified(parts, SIZE_HW, asked)
    measured = boundary_iou(drawn(few, SIZE_HW), mask)
    assert measured >= asked
    assert measured == pytest.approx(
        mask_iou(*(boundary_of(x, parts, SIZE_HW) for x in (parts, few)))
    )
    if asked == 1:
        np.testing.assert_array_equal(drawn(few, SIZE_HW), mask)
    least, most = (num_corners(simplified(parts, SIZE_HW, a)) for a in (0.8, 0.99))
    assert least <= most <= num_corners(parts)
    if name in ("blob", "ring", "holes"):
        assert least < 0.3 * num_corners(parts)


@pytest.mark.parametrize("name", ["ring", "parts", "touching", "holes"])
def test_a_joined_ring_draws_the_same(name):
    mask = masks()[name]
    ring = joined_ring([ring for part in mask_parts(mask) for ring in part])
    np.testing.assert_array_equal(drawn([[ring]], SIZE_HW), mask)


def test_outlines_of_a_prediction():
    found = prediction().outlines(0.9)
    assert [x.name for x in found] == ["disc", "star", "disc", "star", "disc", "star", "star"]
    assert [len(x.parts) for x in found] == [1, 1, 2, 2, 1, 1, 2]
    assert [x.has_holes for x in found] == [False, True, True, False, False, False, True]
    assert found[0].score == pytest.approx(0.9)
    assert found[4].box == (9, 7, 10, 8)
    assert prediction(()).outlines() == []


@pytest.mark.parametrize("value", [0, -1, 1.01, float("nan")])
def test_a_boundary_iou_that_cannot_be(value):
    with pytest.raises(ValueError, match=r"boundary IoU of outlines .* not above 0 and at most 1"):
        prediction().outlines(value)


def test_a_semantic_prediction_has_no_outlines():
    labels = np.zeros(SIZE_HW, np.uint8)
    semantic = prediction(boxes=None, scores=None, classes=None, masks=None, label_map=labels)
    others = semantic.to_supervision, lambda: semantic.to_coco(1)  # not as if nothing was found
    for method in (semantic.to_yolo, semantic.to_labelme, semantic.to_geojson, *others):
        with pytest.raises(ValueError, match="semantic model has no instances"):
            method()
