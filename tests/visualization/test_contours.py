"""The traced boundary is compared with a pixel-by-pixel enumeration of boundary edges."""

from __future__ import annotations

import numpy as np
import pytest

from pointrend_ext.visualization.contours import binarize, mask_contours


def signed_area(polygon):
    x, y = polygon.T
    return 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))


def boundary_edges(mask):
    """Slow oracle: every pixel edge (a pair of end points) between inside and outside."""
    padded = np.pad(mask, 1)
    edges = set()
    for i in range(mask.shape[0] + 1):
        for j in range(mask.shape[1] + 1):
            if padded[i, j + 1] != padded[i + 1, j + 1]:
                edges.add(((j, i), (j + 1, i)))
            if padded[i + 1, j] != padded[i + 1, j + 1]:
                edges.add(((j, i), (j, i + 1)))
    return edges


def unit_edges(polygons):
    """Cut polygons that follow pixel edges into edges of length one."""
    edges = []
    for polygon in polygons:
        for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            step = np.sign(end - start)
            for n in range(int(np.abs(end - start).sum())):
                ends = (start + n * step, start + (n + 1) * step)
                edges.append(tuple(sorted(tuple(int(v) for v in p) for p in ends)))
    return edges


def random_mask(seed, density, shape=(13, 21)):
    return np.random.default_rng(seed).random(shape) < density


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_pixel_edges_are_each_followed_once(seed, density):
    mask = random_mask(seed, density)
    edges = unit_edges(mask_contours(mask, midline=False))
    assert len(edges) == len(set(edges))
    assert set(edges) == boundary_edges(mask)


@pytest.mark.parametrize("seed", range(4))
def test_signed_areas_sum_to_the_number_of_pixels(seed):
    mask = random_mask(seed, 0.6)
    areas = [signed_area(p) for p in mask_contours(mask, midline=False)]
    assert sum(areas) == pytest.approx(mask.sum())


def test_single_pixel():
    mask = np.zeros((4, 6), bool)
    mask[2, 3] = True
    (square,) = mask_contours(mask, midline=False)
    assert square.tolist() == [[3, 2], [4, 2], [4, 3], [3, 3]]
    (diamond,) = mask_contours(mask)
    assert diamond.tolist() == [[3.5, 2], [4, 2.5], [3.5, 3], [3, 2.5]]


def test_full_image_mask_has_the_image_frame_as_boundary():
    (frame,) = mask_contours(np.ones((4, 7), bool), midline=False)
    assert sorted(map(tuple, frame)) == [(0, 0), (0, 4), (7, 0), (7, 4)]
    (midline,) = mask_contours(np.ones((4, 7), bool))
    assert midline.min(axis=0).tolist() == [0, 0]
    assert midline.max(axis=0).tolist() == [7, 4]


def test_hole_runs_the_other_way():
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[3:5, 3:6] = False
    outer, hole = mask_contours(mask, midline=False)
    assert signed_area(outer) == 49
    assert signed_area(hole) == -6


def test_pixels_touching_at_a_corner_are_joined():
    assert len(mask_contours(np.eye(5, dtype=bool))) == 1
    assert len(mask_contours(np.eye(5, dtype=bool)[:, ::-1])) == 1


def test_midline_stays_near_the_pixel_edges():
    mask = random_mask(5, 0.5)
    vertices = np.array([point for edge in boundary_edges(mask) for point in edge], float)
    fine = np.concatenate(
        [np.linspace(a, b, 21) for a, b in boundary_edges(mask)] + [vertices], dtype=float
    )
    for polygon in mask_contours(mask):
        along = np.concatenate(
            [np.linspace(a, b, 9) for a, b in zip(polygon, np.roll(polygon, -1, 0), strict=True)]
        )
        gaps = np.sqrt(((along[:, None] - fine[None]) ** 2).sum(axis=-1)).min(axis=1)
        assert gaps.max() < 0.36


@pytest.mark.parametrize("transpose", [False, True])
def test_probabilities_are_interpolated(transpose):
    # Values at the centres 0.5, 1.5, ... fall by 0.2 per pixel; 0.5 is reached at x = 3.25.
    ramp = np.tile(1.05 - 0.2 * np.arange(6), (4, 1))
    (polygon,) = mask_contours(ramp.T if transpose else ramp)
    across = polygon[:, 1 if transpose else 0]
    assert across.max() == pytest.approx(3.25)
    assert across.min() == 0  # beyond the image is outside: the border itself is the boundary
    assert polygon[:, 0 if transpose else 1].max() == 4


def test_soft_disc_gives_a_round_contour():
    y, x = np.mgrid[:40, :48] + 0.5
    distance = np.hypot(x - 23.3, y - 19.1)
    soft = np.clip(0.5 + (11.4 - distance) / 4, 0, 1)
    (polygon,) = mask_contours(soft.astype(np.float32))
    radius = np.hypot(*(polygon - (23.3, 19.1)).T)
    assert np.abs(radius - 11.4).max() < 0.03


def test_empty_mask_and_types():
    assert mask_contours(np.zeros((3, 5), bool)) == []
    assert mask_contours(np.full((3, 5), 0.49)) == []
    mask = random_mask(1, 0.5)
    for same in (mask.astype(np.uint8) * 255, mask.astype(np.float64)):
        for a, b in zip(mask_contours(mask), mask_contours(same), strict=True):
            np.testing.assert_array_equal(a, b)
    assert binarize(np.array([0.5, 0.49])).tolist() == [True, False]


def test_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        mask_contours(np.zeros((2, 3, 4), bool))
