"""Products of matrices answer what the plain predictor answers."""

import pytest
import torch

from pointrend_ext.deploy.graphs.region_points import RegionRowPredictor
from pointrend_ext.modeling.point_head import (
    RegionInputs,
    RegionPointPredictor,
    StandardPointHead,
)


@pytest.mark.parametrize("regions", [0, 1, 3])
@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("each_layer", [True, False])
def test_equals_the_plain_predictor(regions, classes, each_layer):
    rng = torch.Generator().manual_seed(regions)
    draw = lambda *size: torch.rand(*size, generator=rng, dtype=torch.float64)  # noqa: E731
    torch.manual_seed(0)
    head = StandardPointHead(
        fine_channels=7,
        coarse_channels=classes,
        out_channels=classes,
        fc_dim=6,
        coarse_pred_each_layer=each_layer,
    ).double()
    for layer in (*head.hidden_layers, head.predictor):
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    corners = draw(regions, 2, 2) * 40 - 4  # some of them beyond the maps
    inputs = RegionInputs(
        features=[draw(1, 3, 8, 9), draw(1, 4, 4, 5)],
        strides=[4, 8],
        boxes_px=[torch.cat((corners.amin(1), corners.amax(1)), dim=1)],
        coarse_logits=draw(regions, classes, 3, 5) - 0.5,  # not square on purpose
        classes=torch.randint(classes, (regions,), generator=rng),
    )
    coords_box = draw(regions, 11, 2) * 1.5 - 0.25  # some of them beyond the boxes
    found = RegionRowPredictor(head, inputs)(coords_box)
    expected = RegionPointPredictor(head, inputs)(coords_box)
    assert found.shape == (regions, 1, 11)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert not regions or expected.std() > 0.1
