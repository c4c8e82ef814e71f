"""Rows of cells: the values of the planes, whatever the layout, type and number of channels."""

import pytest
import torch

from pointrend_ext.layers.fast import copy_rows, rows_of_planes
from pointrend_ext.layers.fast.rows import planes_of_rows


@pytest.mark.parametrize("channels", [1, 15, 16, 17, 33])
@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 4), (5, 7)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_cell_keeps_its_channels_in_at_least_32_bits(rng, channels, size, layout, dtype):
    planes = torch.randn(2, channels, *size, generator=rng).to(dtype).to(memory_format=layout)
    rows = rows_of_planes(planes)
    assert rows_of_planes(planes[:0]).shape == (0, channels)
    assert rows.dtype == torch.promote_types(dtype, torch.float32)
    if layout == torch.channels_last and rows.dtype == dtype:
        assert rows.data_ptr() == planes.data_ptr()
    cells = [plane.flatten(1).t() for plane in planes]  # image by image, row by row
    assert torch.equal(rows, torch.cat(cells).to(rows.dtype))


def test_copy_into_a_part(rng):
    planes = torch.randn(20, 6, 8, generator=rng)
    table = torch.full((13, 20), -1.0)
    copy_rows(table[1:7].view(2, 3, 20), planes[:, 4:, 5:])
    assert torch.equal(table[1:7], planes[:, 4:, 5:].reshape(20, 6).t())
    assert torch.equal(table[[0, *range(7, 13)]], torch.full((7, 20), -1.0))


@pytest.mark.parametrize("size", [(0, 3), (1, 1), (3, 0), (500, 150), (70000, 2), (1, 70000)])
def test_planes_of_rows_are_the_transpose(rng, size):
    rows = torch.randn(size, generator=rng)
    planes = planes_of_rows(rows)
    assert torch.equal(planes, rows.t())
    assert planes.is_contiguous()
    assert not len(rows) or not rows.numel() or planes.data_ptr() != rows.data_ptr()
