"""Reading tables by taps: against a loop, against the plain sampler, and its gradient."""

import pytest
import torch

from pointrend_ext.layers import point_sample
from pointrend_ext.layers.fast import bilinear_hats, bilinear_taps, read_taps, tap_cells

INF, NAN = float("inf"), float("nan")
# edges, corners, centres and between the cells of a map of 3 x 4 or 4 x 4
SPECIAL = torch.tensor([-0.25, -0.125, 0, 0.125, 0.25, 0.5, 0.875, 1, 1.125, 1.25]).double()


def read(planes, coords_map):
    """(P, C) values of (C, H, W) planes at (P, 2) points."""
    size_hw = tuple(planes.shape[1:])
    columns, rows, weights = bilinear_taps(coords_map, size_hw)
    table = planes.flatten(1).t().contiguous()
    return read_taps(table, tap_cells(columns, rows, size_hw[1]), weights.to(table.dtype))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 6), (3, 4), (5, 7)])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.5, 1.5), (-3, 4)])
def test_equals_a_loop(oracle, rng, size_hw, low, high):
    planes = torch.randn(3, *size_hw, generator=rng, dtype=torch.float64)
    anywhere = low + (high - low) * torch.rand(60, 2, generator=rng, dtype=torch.float64)
    coords = torch.cat((anywhere, torch.cartesian_prod(SPECIAL, SPECIAL)))
    before = coords.clone()
    got = read(planes, coords)
    assert torch.equal(coords, before)
    assert read(planes, coords[:0]).shape == (0, 3)
    dense = planes.flatten(1) @ bilinear_hats(coords[None], size_hw)[0]  # (C, P)
    torch.testing.assert_close(dense.t(), got, rtol=1e-12, atol=1e-12)
    for point, (x, y) in enumerate(coords.tolist()):
        expected = [oracle.bilinear(plane, x, y) for plane in planes.numpy()]
        assert got[point].tolist() == pytest.approx(expected, abs=1e-12)


def test_hats_by_hand():
    # 2 rows, 4 columns; the point lies 1/4 to the right of column 1, and 1/4 above row 0
    hats = bilinear_hats(torch.tensor([[[(1.5 + 0.25) / 4, 0.25 / 2]]]), (2, 4))
    expected = [0, 0.75 * 0.75, 0.25 * 0.75, 0, 0, 0, 0, 0]
    assert hats.flatten().tolist() == expected
    assert bilinear_hats(torch.zeros(0, 5, 2), (2, 4)).shape == (0, 8, 5)


def test_taps_by_hand():
    # 2 rows, 4 columns; the point lies 1/4 to the right of column 1 and on row 0
    columns, rows, weights = bilinear_taps(torch.tensor([[(1.5 + 0.25) / 4, 0.25]]), (2, 4))
    assert columns.tolist() == [[1, 2]]
    assert rows.tolist() == [[0, 1]]
    assert weights.tolist() == [[0.75, 0.25, 0, 0]]
    assert tap_cells(columns, rows, 4).tolist() == [[1, 2, 5, 6]]
    assert tap_cells(columns, rows, torch.tensor([[10]])).tolist() == [[1, 2, 11, 12]]
    # beside the map the nearest cell is named without weight: above-right alone is inside
    columns, rows, weights = bilinear_taps(torch.tensor([[0.0, 1.0]]), (2, 4))
    assert (columns.tolist(), rows.tolist()) == ([[0, 0]], [[1, 1]])
    assert weights.tolist() == [[0, 0.25, 0, 0]]


@pytest.mark.parametrize("value", [1e9, -1e9, 1e30, -1e30, INF, -INF, NAN])
def test_far_outside_there_is_nothing_and_nan_gives_nan(value):
    coords = torch.tensor([[value, 0.5], [0.5, value], [value, value], [0.5, 0.5]])
    expected = torch.tensor([NAN if value != value else 0.0] * 3 + [1.0])
    got = read(torch.ones(2, 3, 4), coords)
    torch.testing.assert_close(got, expected[:, None].expand(4, 2), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("size_hw", [(200, 336), (50, 84), (7, 7), (7, 9), (1, 1)])
def test_rounds_as_point_sample_does(rng, size_hw):
    planes = torch.randn(4, *size_hw, generator=rng)
    coords = 1.2 * torch.rand(20_000, 2, generator=rng) - 0.1
    expected = point_sample(planes[None], coords[None])[0].t()
    torch.testing.assert_close(read(planes, coords), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_types(dtype):
    columns, rows, weights = bilinear_taps(torch.rand(2, 5, 2).to(dtype), (3, 4))
    assert weights.dtype == dtype
    assert columns.dtype == rows.dtype == tap_cells(columns, rows, 4).dtype == torch.int32
    assert tap_cells(columns, rows, 4).shape == weights.shape == (2, 5, 4)


def test_a_slice_of_a_wider_table(rng):
    wide = torch.randn(12, 9, generator=rng)
    columns, rows, weights = bilinear_taps(torch.rand(30, 2, generator=rng), (3, 4))
    cells = tap_cells(columns, rows, 4)
    expected = read_taps(wide[:, 2:5].contiguous(), cells, weights)
    assert torch.equal(read_taps(wide[:, 2:5], cells, weights), expected)


def test_gradient_with_respect_to_the_table_is_that_of_point_sample(rng):
    planes = torch.randn(3, 5, 7, generator=rng, dtype=torch.float64)
    coords = 1.4 * torch.rand(200, 2, generator=rng, dtype=torch.float64) - 0.2
    upstream = torch.randn(200, 3, generator=rng, dtype=torch.float64)
    by_taps, by_planes = planes.clone().requires_grad_(), planes.clone().requires_grad_()
    read(by_taps, coords).backward(upstream)
    point_sample(by_planes[None], coords[None])[0].t().backward(upstream)
    torch.testing.assert_close(by_taps.grad, by_planes.grad, rtol=1e-12, atol=1e-12)
