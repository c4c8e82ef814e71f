"""The first layer from tables: the same numbers from every layout."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from pointrend_ext.layers import sample_region_features
from pointrend_ext.modeling.point_head.fast import fine_tables
from pointrend_ext.modeling.point_head.fast.fine_tables import FineTables
from pointrend_ext.modeling.point_head.fast.split_layers import SplitPointLayers

MANY, FEW = 10**6, 1  # points per region: more than a map has cells, and hardly any
# how much of the map windows may repeat, points per region, and the layout to expect of a map:
# whether it is used whole, and whether the layer has been applied to its cells
MODES = {
    "windows": (MANY, FEW, False, False),
    "projected windows": (MANY, MANY, False, True),
    "whole": (-1, FEW, True, False),
    "projected whole": (-1, MANY, True, True),
}


def plain(layers, inputs, coords_box):
    fine = sample_region_features(inputs.features, inputs.strides, inputs.boxes_px, coords_box)
    rows = fine.transpose(1, 2).flatten(0, 1)
    return rows @ torch.cat(layers.fine, dim=1).t() + layers.biases[0]


@pytest.fixture
def built(regions):
    """Region inputs, and the layers of a point head for them."""

    def build(counts=(3, 2), layout=torch.contiguous_format, **options):
        inputs = regions.inputs(counts, **options)
        for feature in inputs.features:
            feature.data = feature.data.to(memory_format=layout)
        head = regions.point_head(inputs)
        channels = [feature.shape[1] for feature in inputs.features]
        return inputs, SplitPointLayers.of(head, channels)

    return build


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("names", [("p2",), ("p3", "p2")])
@torch.no_grad()
def test_every_layout_equals_the_plain_layer(built, rng, monkeypatch, names, mode, layout):
    factor, points, is_whole, is_projected = MODES[mode]
    monkeypatch.setattr(fine_tables, "_WHOLE_MAP_FACTOR", factor)
    monkeypatch.setattr(fine_tables, "_BAND_CELLS", 7)
    inputs, layers = built(names=names, layout=layout)
    before = [feature.clone() for feature in inputs.features]
    tables = FineTables(layers, inputs, points)
    is_whole = is_whole or layout == torch.channels_last
    for _, windows, weight in tables._maps:
        assert (windows is None) == is_whole
        assert (weight is None) == (is_whole and is_projected)

    coords = torch.rand(5, 11, 2, generator=rng, dtype=torch.float64)
    expected = plain(layers, inputs, coords)
    first_layer = tables.first_layer(range(5))
    assert [weight is None for _, weight in first_layer.args[0]] == [is_projected] * len(names)
    for _ in range(2):
        got = first_layer(coords)
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
        got.fill_(7)  # it may be written into
    assert all(torch.equal(a, b) for a, b in zip(inputs.features, before, strict=True))
    for some in ([0], [1, 3], [2, 3, 4]):
        wanted = expected.view(5, 11, -1)[some].flatten(0, 1)
        some_got = tables.first_layer(some)(coords[some])
        torch.testing.assert_close(some_got, wanted, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_a_map_of_each_layout(built, rng, monkeypatch):
    monkeypatch.setattr(fine_tables, "_WHOLE_MAP_FACTOR", MANY)
    inputs, layers = built(names=("p3", "p2"))
    inputs.features[0].data = inputs.features[0].to(memory_format=torch.channels_last)
    tables = FineTables(layers, inputs, FEW)
    assert [windows is None for _, windows, _ in tables._maps] == [True, False]
    coords = torch.rand(5, 11, 2, generator=rng, dtype=torch.float64)
    got = tables.first_layer(range(5))(coords)
    torch.testing.assert_close(got, plain(layers, inputs, coords), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_the_whole_map_is_taken_once_windows_repeat_it_often(built):
    for count in (1, 200):  # of one box that covers the map of 8 x 10 cells
        inputs, layers = built(counts=(count,))
        inputs.boxes_px[0][:] = torch.tensor([0.0, 0, 40, 32])
        ((_, windows, _),) = FineTables(layers, inputs, FEW)._maps
        assert (windows is None) == (count > fine_tables._WHOLE_MAP_FACTOR)


@torch.no_grad()
def test_the_layer_moves_to_the_cells_once_there_are_more_points(built, monkeypatch):
    monkeypatch.setattr(fine_tables, "_WHOLE_MAP_FACTOR", -1)
    inputs, layers = built(counts=(2,))  # 80 cells
    for points, is_projected in [(40, False), (41, True)]:
        ((_, _, weight),) = FineTables(layers, inputs, points)._maps
        assert (weight is None) == is_projected


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (9, 8)])
@pytest.mark.parametrize("factor", [-1, MANY])
@pytest.mark.parametrize("max_regions", [1, 4, 99])
@torch.no_grad()
def test_chunks_go_from_small_to_large(built, monkeypatch, counts, factor, max_regions):
    monkeypatch.setattr(fine_tables, "_WHOLE_MAP_FACTOR", factor)
    inputs, layers = built(counts=counts, names=("p2", "p3"))
    tables = FineTables(layers, inputs, FEW)
    chunks = list(tables.chunks(max_regions))
    assert sorted(n for chunk in chunks for n in chunk) == list(range(sum(counts)))
    assert all(chunk == sorted(chunk) and 0 < len(chunk) <= max_regions for chunk in chunks)
    if factor == -1:  # no windows to bound
        assert len(chunks) == -(-sum(counts) // max_regions)
        return
    (_, small, _), (_, large, _) = tables._maps
    sizes = [[small[n].num_cells + large[n].num_cells for n in chunk] for chunk in chunks]
    assert all(max(chunk) <= min(following) for chunk, following in pairwise(sizes))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ["half", "autocast"])
@torch.no_grad()
def test_tables_have_32_bits_whatever_the_layers_compute_in(
    built, rng, monkeypatch, mode, layout, form
):
    """Else the weights of the interpolation would have 8 bits."""
    factor, points, *_ = MODES[mode]
    monkeypatch.setattr(fine_tables, "_WHOLE_MAP_FACTOR", factor)
    dtype = torch.bfloat16 if form == "half" else torch.float32
    inputs, layers = built(dtype=dtype, layout=layout)
    coords = torch.rand(5, 11, 2, generator=rng)
    expected = plain(
        replace(layers, fine=[layers.fine[0].double()], biases=[layers.biases[0].double()]),
        replace(inputs, features=[inputs.features[0].double()]),
        coords.double(),
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=form == "autocast"):
        first_layer = FineTables(layers, inputs, points).first_layer(range(5))
        got = first_layer(coords)
    assert [table.rows.dtype for table, _ in first_layer.args[0]] == [torch.float32]
    assert (got.double() - expected).abs().max() < 0.03 * expected.abs().max()


@pytest.mark.parametrize("points", [FEW, MANY])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_a_whole_map_is_converted_once_for_all_chunks(built, monkeypatch, layout, points):
    monkeypatch.setattr(fine_tables, "_WHOLE_MAP_FACTOR", -1)
    inputs, layers = built(dtype=torch.bfloat16, layout=layout)
    tables = FineTables(layers, inputs, points)
    one, other = (tables.first_layer([number]).args[0][0][0].rows for number in (0, 4))
    assert one.data_ptr() == other.data_ptr()
