"""The plain predictor: what it reads, and what it answers.

A loop in ``test_mask_head_training.py`` and ``test_mask_head_inference.py`` knows its values.
"""

from unittest.mock import Mock

import pytest
import torch

from pointrend_ext.modeling.point_head import RegionPointPredictor


@pytest.mark.parametrize("names", [("p2",), ("p3", "p2")])
def test_point_head_reads_fine_features_then_coarse_logits(regions, oracle, rng, names):
    inputs = regions.inputs((1, 0, 1), names=names)
    coords = torch.rand(2, 7, 2, generator=rng, dtype=torch.float64)
    head = Mock(spec=[], return_value=torch.arange(3).view(1, 3, 1).expand(2, 3, 7))
    got = RegionPointPredictor(head, inputs)(coords)
    assert torch.equal(got, inputs.classes.view(2, 1, 1).expand(2, 1, 7))  # of the own class

    ((fine, coarse),) = [call.args for call in head.call_args_list]
    for region, image in enumerate((0, 2)):
        x0, y0, x1, y1 = torch.cat(list(inputs.boxes_px))[region].tolist()
        for point, (u, v) in enumerate(coords[region].tolist()):
            x, y = (x0 + u * (x1 - x0)) / 40, (y0 + v * (y1 - y0)) / 32
            expected = [
                oracle.bilinear(plane, x, y) for maps in inputs.features for plane in maps[image]
            ]
            assert fine[region, :, point].tolist() == pytest.approx(expected, abs=1e-10)
            expected = [oracle.bilinear(plane, u, v) for plane in inputs.coarse_logits[region]]
            assert coarse[region, :, point].tolist() == pytest.approx(expected, abs=1e-10)


@torch.no_grad()
def test_mutating_the_answer_does_not_change_the_next_one(regions):
    inputs = regions.inputs()
    predict = RegionPointPredictor(regions.point_head(inputs), inputs)
    coords = torch.rand(5, 4, 2).double()
    first = predict(coords)
    expected = first.clone()
    first.fill_(77.0)
    assert torch.equal(predict(coords), expected)


def test_gradient_reaches_features_and_coarse_logits(regions):
    inputs = regions.inputs((1, 0, 1))
    (feature,), coarse = inputs.features, inputs.coarse_logits.requires_grad_()
    feature.requires_grad_()
    predict = RegionPointPredictor(regions.point_head(inputs), inputs)
    predict(torch.rand(2, 50, 2).double()).sum().backward()
    assert feature.grad[[0, 2]].abs().sum() > 0
    assert not feature.grad[1].any()  # no region in this image
    assert coarse.grad.abs().sum() > 0
