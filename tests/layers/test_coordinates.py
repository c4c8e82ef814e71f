"""Frames and their conversions, by hand."""

import pytest
import torch

from pointrend_ext.layers import box_to_px, cell_centers, cells_to_coords, map_to_map, px_to_map

CPU = torch.device("cpu")


def close(got, expected, **kwargs):
    torch.testing.assert_close(got, torch.as_tensor(expected, dtype=got.dtype), **kwargs)


def test_each_box_by_hand():
    boxes = torch.tensor([[10.0, 20, 30, 28], [0, 0, 4, 8], [-2, 6, 2, 6], [7, 9, 7, 9]])
    got = box_to_px(torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.25]]).expand(4, -1, -1), boxes)
    close(got[0], [[10, 20], [30, 28], [20, 22]])
    close(got[1], [[0, 0], [4, 8], [2, 2]])
    close(got[2], [[-2, 6], [2, 6], [0, 6]])
    close(got[3], [[7, 9]] * 3)  # of no area
    for regions, points in ((0, 4), (3, 0)):
        coords = torch.rand(regions, points, 2)
        assert box_to_px(coords, torch.rand(regions, 4)).shape == coords.shape


@pytest.mark.parametrize("stride", [1, 4, 0.5])
def test_px_to_map_divides_by_the_extent_of_the_grid(stride):
    # 3 rows, 5 columns: the far corner of the last cell lies at (5, 3) * stride pixels
    corner = torch.tensor([[5.0 * stride, 3.0 * stride], [2.5 * stride, 0.75 * stride]])
    close(px_to_map(corner, (3, 5), stride), [[1.0, 1.0], [0.5, 0.25]])
    close(px_to_map(corner / stride, (3, 5)), [[1.0, 1.0], [0.5, 0.25]])  # the frame of a mask


def test_map_to_map_by_hand():
    # 40 x 56 pixels (rows, columns) of a map of stride 4, 48 x 64 of one of stride 16: the pixel
    # (x, y) = (28, 10) is half of 56 and a quarter of 40
    coords = torch.tensor([[[0.5, 0.25], [1.0, 1.0], [0.0, 0.0]]], dtype=torch.float64)
    expected = [[[28 / 64, 10 / 48], [56 / 64, 40 / 48], [0.0, 0.0]]]
    close(map_to_map(coords, (40, 56), (48, 64)), expected, rtol=1e-15, atol=0)
    beyond = map_to_map(torch.tensor([[0.5, 1.0]]), (48, 64), (24, 16))
    close(beyond, [[2.0, 2.0]])


@pytest.mark.parametrize(
    ("extent_px", "other_px", "factors"),
    [
        *(((h, w), (h, w), (1, 1)) for h, w in [(333, 500), (7, 3), (1024, 2048)]),
        ((48, 64), (48, 50), (1.28, 1)),
        ((48, 64), (50, 64), (1, 0.96)),
    ],
)
def test_equal_sides_leave_every_bit(extent_px, other_px, factors, rng):
    coords = torch.rand(3, 1000, 2, generator=rng)
    got = map_to_map(coords, extent_px, other_px)
    for axis, factor in enumerate(factors):
        tolerance = 0 if factor == 1 else 1e-6
        close(got[..., axis], coords[..., axis] * factor, rtol=tolerance, atol=0)


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
