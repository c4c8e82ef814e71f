"""The predictor of exported graphs against the plain one, run without a graph."""

from itertools import product

import pytest
import torch

from pointrend_ext.modeling.point_head import (
    ImplicitInputs,
    ImplicitPointHead,
    ImplicitPointPredictor,
    RegionPointPredictor,
    StandardPointHead,
    graph_predictor,
)
from pointrend_ext.modeling.point_head.fast import GraphRegionPredictor

LAYERS = [
    {"coarse_pred_each_layer": each_layer, "num_fc": num_fc}
    for each_layer, num_fc in product([True, False], [1, 3])
]
CASES = [
    *(({"counts": (n,)}, {}) for n in (0, 1, 22)),
    *(({"names": names}, layers) for names, layers in product([("p2",), ("p3", "p2")], LAYERS)),
    *(({"side": side}, {}) for side in (1, 2, 4)),
    ({}, {"out_channels": 1}),
    ({"channels": 1, "side": 1}, {}),
]


def points(inputs, rng):
    """Points in the boxes, their corners among them."""
    coords = torch.rand(len(inputs), 13, 2, generator=rng, dtype=torch.float64)
    coords[:, :4] = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    return coords


@pytest.mark.parametrize("points_per_region", [1, 30, 10**6], ids="{} points".format)
@pytest.mark.parametrize(("given", "options"), CASES, ids=str)
@torch.no_grad()
def test_equals_the_plain_predictor(regions, rng, given, options, points_per_region):
    inputs = regions.inputs(**{"counts": (10,), "channels": 16, **given})
    head = regions.point_head(inputs, **options)
    coords = points(inputs, rng)
    expected = RegionPointPredictor(head, inputs)(coords)
    assert expected.numel() == 0 or expected.std() > 0.1
    predict = graph_predictor(head, inputs, points_per_region)
    assert type(predict) is GraphRegionPredictor
    torch.testing.assert_close(predict(coords), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("points_per_region", "wholes"),
    [(1, [False, False]), (2, [False, True]), (7, [False, True]), (8, [True, True])],
)
@torch.no_grad()
def test_the_first_layer_reads_cells_where_they_are_no_more_than_points(
    regions, points_per_region, wholes
):
    inputs = regions.inputs((10,), 16, ("p2", "p3"))
    assert [feature.shape[2:].numel() for feature in inputs.features] == [80, 20]
    head = regions.point_head(inputs)
    predict = graph_predictor(head, inputs, points_per_region)
    for whole, (rows, count), feature in zip(
        wholes, predict._projected, inputs.features, strict=True
    ):
        assert count == (10 if whole else 0)
        assert rows.shape[2:] == (feature.shape[2] if whole else 1, feature.shape[3])


class OwnPointHead(StandardPointHead):
    """May compute anything."""


@torch.no_grad()
def test_what_stays_plain(regions):
    few, many = regions.inputs((3,), 8, side=3), regions.inputs((3,), 9, side=3)
    kinds = [
        (few, StandardPointHead, RegionPointPredictor),
        (many, StandardPointHead, GraphRegionPredictor),
        (many, OwnPointHead, RegionPointPredictor),
    ]
    for inputs, cls, kind in kinds:
        head = regions.point_head(inputs, cls=cls)
        assert type(graph_predictor(head, inputs, 100)) is kind
    given = {x: getattr(few, x) for x in ("features", "strides", "boxes_px", "classes")}
    head = ImplicitPointHead(fine_channels=6, out_channels=8, fc_dim=4)
    inputs = ImplicitInputs(**given, parameters=torch.zeros(3, head.num_params))
    assert type(graph_predictor(head, inputs, 100)) is ImplicitPointPredictor
