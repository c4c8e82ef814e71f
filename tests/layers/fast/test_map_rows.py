"""Reading all channels of a map at points: one value whatever the layout."""

import pytest
import torch

from pointrend_ext.layers import point_sample
from pointrend_ext.layers.fast import MapRows, map_rows


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("limit", [0, 2**25])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_equals_point_sample_in_at_least_32_bits(rng, monkeypatch, layout, limit, dtype):
    monkeypatch.setattr(map_rows, "_MAX_COPY_BYTES", limit)
    wide = torch.promote_types(dtype, torch.float32)
    feature = torch.randn(2, 5, 7, 9, generator=rng, dtype=torch.float64).to(dtype)
    feature = feature.to(memory_format=layout)
    coords = 1.4 * torch.rand(2, 50, 2, generator=rng, dtype=torch.float64).to(wide) - 0.2
    assert MapRows(feature).read(coords[:, :0]).shape == (0, 5)
    got = MapRows(feature).read(coords)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    if dtype.itemsize == 2 and not limit:  # cells are interpolated as they are stored
        tolerance = torch.finfo(dtype).eps * feature.abs().max().item()
    assert got.dtype == wide
    expected = point_sample(feature.to(wide), coords).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)


def test_a_large_map_is_not_copied(rng, monkeypatch):
    feature = torch.randn(2, 5, 7, 9, generator=rng)
    monkeypatch.setattr(map_rows, "_MAX_COPY_BYTES", 4 * feature.numel() - 1)
    assert MapRows(feature).table is None
    last = feature.to(memory_format=torch.channels_last)
    assert MapRows(last).table.data_ptr() == last.data_ptr()  # read in place
    monkeypatch.setattr(map_rows, "_MAX_COPY_BYTES", 4 * feature.numel())
    assert MapRows(feature).table is not None
