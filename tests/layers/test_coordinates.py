"""Frames and their conversions, by hand."""

from __future__ import annotations

import pytest
import torch

from pointrend_ext.layers import (
    box_to_px,
    cell_centers,
    cells_to_coords,
    map_to_map,
    px_to_map,
)

CPU = torch.device("cpu")


def close(got, expected, **kwargs):
    torch.testing.assert_close(got, torch.as_tensor(expected, dtype=got.dtype), **kwargs)


def test_box_corners_and_centre():
    boxes = torch.tensor([[10.0, 20.0, 30.0, 28.0]])
    coords_box = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [0.5, 0.25]]])
    close(box_to_px(coords_box, boxes), [[[10.0, 20.0], [30.0, 28.0], [20.0, 22.0]]])


def test_each_region_uses_its_own_box():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 8.0], [-2.0, 6.0, 2.0, 6.0]])
    coords_box = torch.tensor([0.5, 0.25]).expand(2, 1, 2)
    close(box_to_px(coords_box, boxes), [[[2.0, 2.0]], [[0.0, 6.0]]])


def test_box_of_no_area_maps_every_point_to_its_corner():
    coords_px = box_to_px(torch.rand(1, 5, 2), torch.tensor([[7.0, 9.0, 7.0, 9.0]]))
    close(coords_px, [[[7.0, 9.0]] * 5])


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_no_region_and_no_point(shape):
    regions, points = shape
    assert box_to_px(torch.rand(regions, points, 2), torch.rand(regions, 4)).shape == (*shape, 2)


@pytest.mark.parametrize("stride", [1, 4, 0.5])
def test_px_to_map_divides_by_the_extent_of_the_grid(stride):
    # 3 rows, 5 columns: the far corner of the last cell lies at (5, 3) * stride pixels
    corner = torch.tensor([[5.0 * stride, 3.0 * stride], [2.5 * stride, 0.75 * stride]])
    close(px_to_map(corner, (3, 5), stride), [[1.0, 1.0], [0.5, 0.25]])


def test_px_to_map_without_stride_is_the_frame_of_a_mask():
    close(px_to_map(torch.tensor([[[4.5, 0.5]]]), (4, 6)), [[[0.75, 0.125]]])


def test_map_to_map_by_hand():
    # 40 x 56 pixels (rows, columns) of a map of stride 4, 48 x 64 of one of stride 16: the pixel
    # (x, y) = (28, 10) is half of 56 and a quarter of 40
    coords = torch.tensor([[[0.5, 0.25], [1.0, 1.0], [0.0, 0.0]]], dtype=torch.float64)
    expected = [[[28 / 64, 10 / 48], [56 / 64, 40 / 48], [0.0, 0.0]]]
    close(map_to_map(coords, (40, 56), (48, 64)), expected, rtol=1e-15, atol=0)
    beyond = map_to_map(torch.tensor([[0.5, 1.0]]), (48, 64), (24, 16))
    close(beyond, [[2.0, 2.0]])


def test_map_to_map_scales_the_axis_that_differs_alone(rng):
    coords = torch.rand(2, 50, 2, generator=rng)
    wider = map_to_map(coords, (48, 64), (48, 50))
    assert torch.equal(wider[..., 1], coords[..., 1])
    close(wider[..., 0], coords[..., 0] * 1.28)
    taller = map_to_map(coords, (48, 64), (50, 64))
    assert torch.equal(taller[..., 0], coords[..., 0])
    close(taller[..., 1], coords[..., 1] * 0.96)


def test_map_to_map_there_and_back(rng):
    coords = torch.rand(2, 50, 2, generator=rng, dtype=torch.float64)
    there = map_to_map(coords, (336, 512), (333, 500))
    close(map_to_map(there, (333, 500), (336, 512)), coords, rtol=1e-14, atol=0)


@pytest.mark.parametrize("extent_px", [(333, 500), (7, 3), (1024, 2048)])
def test_equal_extents_leave_every_bit(extent_px, rng):
    coords = torch.rand(3, 1000, 2, generator=rng)
    assert torch.equal(map_to_map(coords, extent_px, extent_px), coords)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_points_give_the_type(dtype):
    coords = torch.full((1, 2, 2), 1 / 3, dtype=dtype)
    assert map_to_map(coords, (2, 2), (4, 4)).dtype == dtype
    assert box_to_px(coords, torch.ones(1, 4)).dtype == dtype
    assert cell_centers((2, 2), dtype=dtype, device=CPU).dtype == dtype
    assert (coords == torch.tensor(1 / 3, dtype=dtype)).all()


def test_cells_are_row_major_and_coordinates_x_first():
    # 2 rows, 4 columns; cell 6 lies in row 1, column 2
    close(
        cells_to_coords(torch.tensor([[0, 3], [4, 6]]), (2, 4), torch.float64),
        [[[0.125, 0.25], [0.875, 0.25]], [[0.125, 0.75], [0.625, 0.75]]],
    )


def test_all_centers_of_a_grid():
    close(
        cell_centers((2, 3), dtype=torch.float64, device=CPU),
        [[1 / 6, 0.25], [0.5, 0.25], [5 / 6, 0.25], [1 / 6, 0.75], [0.5, 0.75], [5 / 6, 0.75]],
    )


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 7), (1024, 2048)])
def test_centers_lie_inside_and_tell_cells_apart(size_hw):
    centers = cell_centers(size_hw, dtype=torch.float32, device=CPU)
    height, width = size_hw
    cells = (centers[:, 1] * height).floor().long() * width + (centers[:, 0] * width).floor().long()
    assert torch.equal(cells, torch.arange(height * width))
