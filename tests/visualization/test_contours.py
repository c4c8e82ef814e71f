"""The traced boundary against a pixel-by-pixel enumeration of boundary edges and corners."""

from __future__ import annotations

import numpy as np
import pytest

from pointrend_ext.visualization.shapes import binarize, mask_contours


def signed_area(polygon):
    x, y = polygon.T
    return 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))


def expected_area(mask):
    """Slow oracle: the pixels, less the corners that are cut and the notches that are filled."""
    padded, eighths = np.pad(mask, 1).astype(int), 8 * int(mask.sum())
    for i in range(mask.shape[0] + 1):
        for j in range(mask.shape[1] + 1):
            corner = padded[i : i + 2, j : j + 2]
            is_diagonal = corner.sum() == 2 and corner[0, 0] == corner[1, 1]
            eighths += {1: -1, 3: 1, 2: 2 * is_diagonal}.get(int(corner.sum()), 0)
    return eighths / 8


def edge_middles(mask):
    """Slow oracle: the middle of every pixel edge between inside and outside."""
    padded = np.pad(mask, 1)
    for i in range(mask.shape[0] + 1):
        for j in range(mask.shape[1] + 1):
            if padded[i, j + 1] != padded[i + 1, j + 1]:
                yield (j + 0.5, i)
            if padded[i + 1, j] != padded[i + 1, j + 1]:
                yield (j, i + 0.5)


def middles_passed(polygons):
    """Cut polygons into steps from the middle of one edge to the next."""
    for polygon in polygons:
        for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            steps = round(2 * np.abs(end - start).max())
            for n in range(steps):
                x, y = start + (end - start) * n / steps
                if x % 1 != y % 1:  # not the corner between two edges of a straight stretch
                    yield (x, y)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_polygons_join_the_middles_of_all_boundary_edges(seed, density):
    mask = np.random.default_rng(seed).random((13, 21)) < density
    polygons = mask_contours(mask)
    passed, expected = sorted(middles_passed(polygons)), sorted(edge_middles(mask))
    assert passed == expected
    assert abs(sum(map(signed_area, polygons))) == pytest.approx(expected_area(mask))


def test_single_pixel():
    mask = np.zeros((4, 6), bool)
    mask[2, 3] = True
    (diamond,) = mask_contours(mask)
    assert sorted(map(tuple, diamond)) == [(3, 2.5), (3.5, 2), (3.5, 3), (4, 2.5)]


def test_full_image_mask_is_bounded_by_the_image():
    (midline,) = mask_contours(np.ones((4, 7), bool))
    assert midline.min(axis=0).tolist() == [0, 0]
    assert midline.max(axis=0).tolist() == [7, 4]
    assert len(midline) == 8  # points on straight stretches are left out


def test_hole_runs_the_other_way():
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[3:5, 3:6] = False
    areas = [signed_area(polygon) for polygon in mask_contours(mask)]
    assert sorted(np.abs(areas)) == [5.5, 48.5]
    assert areas[0] * areas[1] < 0


def test_pixels_touching_at_a_corner_are_joined():
    assert len(mask_contours(np.eye(5, dtype=bool))) == 1
    assert len(mask_contours(np.eye(5, dtype=bool)[:, ::-1])) == 1


def test_empty_mask_and_types():
    assert mask_contours(np.zeros((3, 5), bool)) == []
    assert mask_contours(np.full((3, 5), 0.49)) == []
    mask = np.random.default_rng(1).random((13, 21)) < 0.5
    for same in (mask.astype(np.uint8) * 255, mask.astype(np.float64)):
        for a, b in zip(mask_contours(mask), mask_contours(same), strict=True):
            np.testing.assert_array_equal(a, b)
    assert binarize(np.array([0.5, 0.49])).tolist() == [True, False]
