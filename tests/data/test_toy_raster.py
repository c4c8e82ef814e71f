"""The pixel rule and the outlines of the toy shapes."""

import numpy as np
import pytest

from pointrend_ext.data.toy.classes import TOY_THING_CLASSES
from pointrend_ext.data.toy.raster import coverage, crop_of, rasterize
from pointrend_ext.data.toy.shapes import make_shape
from tests.data.builders import corners


def inside_by_loop(outlines, size_hw):
    """Slow oracle: edges left of a pixel's centre by the even-odd rule; how far the nearest is."""
    mask, distance = np.zeros(size_hw, dtype=bool), np.full(size_hw, np.inf)
    for i in range(size_hw[0]):
        for j in range(size_hw[1]):
            centre = np.array([j + 0.5, i + 0.5])
            for outline in outlines:
                for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
                    if (a[1] <= centre[1]) != (b[1] <= centre[1]):
                        x = a[0] + (centre[1] - a[1]) * (b[0] - a[0]) / (b[1] - a[1])
                        mask[i, j] ^= x <= centre[0]
                    along = np.clip((centre - a) @ (b - a) / max((b - a) @ (b - a), 1e-9), 0, 1)
                    gap = np.hypot(*(a + along * (b - a) - centre))
                    distance[i, j] = min(distance[i, j], gap)
    return mask, distance


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((1, 2, 4, 4), (2, 4), (1, 4)),  # edges between pixels: exactly the covered ones
        ((1.4, 1.4, 3.4, 3.6), (1, 4), (1, 3)),  # centres 1.5, 2.5, 3.5 in y; 1.5, 2.5 in x
        ((-5, -5, 1, 9), (0, 5), (0, 1)),  # cut by three borders
        ((1.6, 1.6, 2.4, 2.4), (0, 0), (0, 0)),  # between centres: nothing
    ],
)
def test_square_holds_the_pixels_whose_centre_is_inside(box, rows, columns):
    expected = np.zeros((5, 6), dtype=bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(rasterize([corners(*box)], (5, 6)), expected)


def test_second_outline_cuts_a_hole_whatever_its_direction():
    expected = np.ones((5, 5), dtype=bool)
    expected[2, 1:4] = False
    for hole in (corners(1, 2, 4, 3), corners(1, 2, 4, 3)[::-1]):
        np.testing.assert_array_equal(rasterize([corners(0, 0, 5, 5), hole], (5, 5)), expected)


def test_shapes_that_share_an_edge_share_no_pixel_and_leave_no_gap():
    cut = np.array([[7.3, 0.0], [2.5, 3.5], [5.5, 6.5], [1.25, 9.0]])
    left = rasterize([np.concatenate([[[0, 0]], cut, [[0, 9]]])], (9, 9))
    right = rasterize([np.concatenate([cut, [[9, 9], [9, 0]]])], (9, 9))
    np.testing.assert_array_equal(left ^ right, np.ones((9, 9), dtype=bool))
    assert not (left & right).any()


@pytest.mark.parametrize("seed", range(4))
def test_rasterize_equals_point_in_polygon_by_loop_away_from_edges(seed):
    rng = np.random.default_rng(seed)
    outlines = [rng.uniform(-4, 20, (7, 2)), rng.integers(0, 30, (5, 2)) / 2.0]
    got = rasterize(outlines, (13, 17))
    expected, distance = inside_by_loop(outlines, (13, 17))
    clear = distance > 0.3  # vertices are rounded to a fifth of a pixel
    np.testing.assert_array_equal(got[clear], expected[clear])
    assert clear.mean() > 0.5
    assert 0 < got[clear].mean() < 1


def test_coverage_is_the_covered_part_of_each_pixel():
    outline = [corners(1.25, 1.0, 3.5, 2.5)]
    crop = crop_of(outline, (4, 4))
    assert crop == (slice(1, 3), slice(1, 4))
    expected = np.array([[0.75, 1.0, 0.5], [0.375, 0.5, 0.25]], dtype=np.float32)
    np.testing.assert_allclose(coverage(outline, crop), expected, atol=1e-6)


@pytest.mark.parametrize("category", TOY_THING_CLASSES)
@pytest.mark.parametrize("size_px", [16, 60, 400])
def test_shape_has_the_size_asked_for_and_holes_inside(category, size_px):
    for seed in range(8):
        outlines = make_shape(category, size_px, np.random.default_rng(seed))
        extent = outlines[0].max(axis=0) - outlines[0].min(axis=0)
        assert extent.max() == pytest.approx(size_px)
        moved = [outline + size_px / 2 for outline in outlines]
        outer = rasterize(moved[:1], (size_px, size_px))
        for number, hole in enumerate(moved[1:], start=1):
            cut = rasterize([hole], (size_px, size_px))
            assert not (cut & ~outer).any(), "a hole leaves the shape"
            for other in moved[number + 1 :]:
                assert not (cut & rasterize([other], (size_px, size_px))).any(), "holes overlap"


@pytest.mark.parametrize("category", ["ring", "gear"])
def test_centre_of_ring_and_gear_is_a_hole(category):
    for seed in range(8):
        outlines = make_shape(category, 90, np.random.default_rng(seed))
        hole = outlines[1].mean(axis=0)
        mask = rasterize([outline - hole + 100 for outline in outlines], (200, 200))
        assert not mask[97:103, 97:103].any()
        assert mask.sum() > 300
