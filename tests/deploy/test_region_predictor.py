"""The predictor of a loop's turn against the plain one, run without a graph, and its windows."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from pointrend_ext.deploy.graphs.region_predictor import PairPredictor
from pointrend_ext.deploy.windows import cut_map, windows_of
from pointrend_ext.layers.fast import region_window
from pointrend_ext.modeling.point_head import RegionPointPredictor
from pointrend_ext.modeling.point_head.fast import SplitPointLayers
from tests.modeling.conftest import make_point_head, make_region_inputs

LAYERS = [
    {"coarse_pred_each_layer": each_layer, "num_fc": num_fc}
    for each_layer, num_fc in product([True, False], [1, 3])
]
CASES = [
    *(({"counts": (n,)}, {}) for n in (1, 2)),
    *(({"names": names}, layers) for names, layers in product([("p2",), ("p3", "p2")], LAYERS)),
    *(({"side": side}, {}) for side in (1, 2, 4)),
    ({"channels": 16, "side": 4}, {}),  # as many channels as cells
    ({"channels": 3, "side": 4}, {"coarse_pred_each_layer": False}),
    ({}, {"out_channels": 1}),
    ({"channels": 1, "side": 1}, {}),
]


def predictor(head, inputs, points_per_region=30):
    layers = SplitPointLayers.of(head, [x.shape[1] for x in inputs.features])
    return PairPredictor(layers, inputs, points_per_region)


def points(inputs):
    """Points in the boxes, their corners among them."""
    rng = torch.Generator().manual_seed(3)
    coords = torch.rand(len(inputs), 13, 2, generator=rng, dtype=torch.float64)
    coords[:, :4] = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    return coords


@pytest.mark.parametrize("points_per_region", [1, 30, 10**6], ids="{} points".format)
@pytest.mark.parametrize(("given", "options"), CASES, ids=str)
@torch.no_grad()
def test_equals_the_plain_predictor(given, options, points_per_region):
    inputs = make_region_inputs(**{"counts": (2,), "channels": 16, **given})
    head, coords = make_point_head(inputs, **options), points(inputs)
    expected = RegionPointPredictor(head, inputs)(coords)
    assert expected.std() > 0.1
    found = predictor(head, inputs, points_per_region)(coords)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_the_first_layer_reads_cells_where_they_are_no_more_than_points():
    inputs = make_region_inputs((2,), 16, ("p2", "p3"))
    head, found = make_point_head(inputs), []
    for number in (1, 12, 40, 10**6):
        maps = predictor(head, inputs, number)._maps
        for pair, feature, stride in zip(maps, inputs.features, inputs.strides, strict=True):
            for window, box in zip(pair._windows, inputs.boxes_px[0].tolist(), strict=True):
                cells = region_window(box, stride, feature.shape[2:]).num_cells
                assert (window.num_few, window.num_many) == ((1, 0) if cells <= number else (0, 1))
                found.append(window.num_few)
    assert 2 < sum(found) < len(found) - 2


@torch.no_grad()
def test_boxes_that_are_no_boxes_change_no_other():
    inputs = make_region_inputs((2,), 16)
    head, coords = make_point_head(inputs), points(inputs)
    expected = RegionPointPredictor(head, inputs)(coords)
    for odd, value in product((0, 1), (torch.nan, -torch.inf, 1e30)):
        boxes = inputs.boxes_px[0].clone()
        boxes[odd, 1:3] = value
        found = predictor(head, replace(inputs, boxes_px=[boxes]))(coords)
        torch.testing.assert_close(found[1 - odd], expected[1 - odd], rtol=1e-10, atol=1e-10)


def test_windows_are_those_of_the_model():
    rng = torch.Generator().manual_seed(5)
    corners = torch.rand(400, 4, generator=rng, dtype=torch.float64) * 200 - 60  # any order
    for stride, size_hw in ((4, (20, 25)), (8, (1, 9)), (32, (3, 2))):
        found = windows_of(corners, stride, size_hw)
        num_empty = 0
        for box, window in zip(corners.tolist(), found.tolist(), strict=True):
            expected = region_window(box, stride, size_hw)
            left, top, width, height = window
            assert 0 <= left < left + width <= size_hw[1]
            assert 0 <= top < top + height <= size_hw[0]
            if expected.num_cells:
                assert window == [expected.left, expected.top, expected.width, expected.height]
            num_empty += not expected.num_cells
        assert 0 < num_empty < 300
    infinite = torch.tensor([[-torch.inf, 0, torch.inf, 3], [torch.nan, 0, 3, 3]])
    assert windows_of(infinite, 1, (5, 6)).tolist() == [[0, 0, 6, 5], [0, 0, 5, 5]]


def test_a_part_of_a_map():
    feature = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    part = cut_map(feature, torch.tensor([1, 2, 3, 2]))
    assert torch.equal(part, feature[:, :, 2:4, 1:4])
