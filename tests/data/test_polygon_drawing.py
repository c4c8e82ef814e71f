"""Polygons drawn in their bounding box against pycocotools on the whole image."""

import numpy as np
import pytest
from detectron2.structures import polygons_to_bitmask

from pointrend_ext.data.polygon_drawing import draw_polygons
from pointrend_ext.structures import crop_mask

GRIDS = {"whole": 1, "halves": 2, "fifths": 5, "tenths": 10, "any": None}


def placed(crop, size_hw):
    pixels, top, left = crop
    mask = np.zeros(size_hw, dtype=bool)
    mask[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return mask


def check(polygons, size_hw):
    """Compare with Detectron2's function; return the number of pixels."""
    got = draw_polygons(polygons, size_hw)
    expected = polygons_to_bitmask(polygons, *size_hw)
    np.testing.assert_array_equal(placed(got, size_hw), expected)
    tight, top, left = crop_mask(expected)
    assert got[0].dtype == bool
    assert (got[0].shape, *got[1:]) == (tight.shape, top, left)
    return expected.sum()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("corners", [3, 4, 9, 40])
def test_random_polygons(grid, corners):
    """Also self-crossing, of several parts, and partly or wholly beyond the image."""
    rng = np.random.default_rng(corners)
    sums = []
    for _ in range(150):
        size_hw = tuple(rng.integers(1, 90, 2).tolist())
        centre = rng.uniform(-30, 110, 2)
        spread = rng.choice([2, 15, 80])
        polygons = []
        for _ in range(rng.integers(1, 4)):
            points = centre + rng.uniform(-spread, spread, (corners, 2))
            if GRIDS[grid]:
                points = np.round(points * GRIDS[grid]) / GRIDS[grid]
            polygons.append(points.reshape(-1))
        sums.append(check(polygons, size_hw))
    assert 20 < np.count_nonzero(sums) < 150


SHAPES = {
    "a pixel": ([3.0, 4, 4, 4, 4, 5, 3, 5], (9, 8), 1),
    "the whole image": ([0.0, 0, 8, 0, 8, 9, 0, 9], (9, 8), 72),
    "more than the image": ([-50.0, -50, 80, -50, 80, 90, -50, 90], (9, 8), 72),
    "whole columns": ([2.0, 0, 5, 0, 5, 9, 2, 9], (9, 8), 27),
    "whole rows": ([0.0, 2, 8, 2, 8, 4, 0, 4], (9, 8), 16),
    "left of the image": ([-9.0, 2, -3, 2, -3, 6], (9, 8), 0),
    "below the image": ([2.0, 12, 5, 12, 5, 19], (9, 8), 0),
    "a point": ([2.0, 3, 2, 3, 2, 3], (9, 8), 0),
    "a line": ([0.0, 3, 8, 3, 4, 3], (9, 8), 0),
    "an image of one pixel": ([-1.0, -1, 3, -1, 3, 3, -1, 3], (1, 1), 1),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_edges(shape):
    polygon, size_hw, pixels = SHAPES[shape]
    assert check([np.array(polygon)], size_hw) == pixels


def test_parts_of_an_object_join():
    square = np.array([1.0, 1, 3, 1, 3, 3, 1, 3])
    assert check([square, square + 4, square + 1], (9, 8)) == 4 + 4 + 4 - 1
    assert draw_polygons([], (9, 8))[0].size == 0


def test_polygons_cannot_be_moved_first():
    """Why they are drawn in the image: 40 pixels to the left and up this one is another."""
    polygon = np.array([65.5, 59.1, 55.3, 48.0, 49.2, 41.2, 42.2, 40.4])
    moved = polygons_to_bitmask([polygon - 40], 60, 60)
    whole = polygons_to_bitmask([polygon], 100, 100)
    assert np.count_nonzero(whole[40:, 40:] != moved) == 2
    np.testing.assert_array_equal(placed(draw_polygons([polygon], (100, 100)), (100, 100)), whole)


def test_masks_are_cropped():
    mask = np.zeros((6, 7), dtype=bool)
    assert crop_mask(mask)[0].shape == (0, 0)
    mask[2, 3] = mask[4, 1] = True
    pixels, top, left = crop_mask(np.asfortranarray(mask))
    assert (top, left) == (2, 1)
    assert pixels.tolist() == [[False, False, True], [False] * 3, [True, False, False]]
