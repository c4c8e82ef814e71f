"""The point predictor: what it reads, and that it keeps reading the same during a refinement."""

from __future__ import annotations

import pytest
import torch

from pointrend_ext.layers import foreground_uncertainty, subdivide
from pointrend_ext.modeling.point_head import RegionInputs, RegionPointPredictor

BOXES = [torch.tensor([[4.0, 2.5, 20.0, 18.5]]), torch.zeros(0, 4), torch.tensor([[8.0, 0, 24, 8]])]
CLASSES = torch.tensor([2, 0])


class Recorder(torch.nn.Module):
    """Stands for a point head: answers with a constant and remembers its input."""

    def __init__(self, channels, answer=-5.0):
        super().__init__()
        self.channels, self.answer, self.seen = channels, answer, []

    def forward(self, fine, coarse):
        self.seen.append((fine, coarse))
        return torch.full((len(fine), self.channels, fine.shape[2]), self.answer).double()


@pytest.fixture
def predictor(tiny):
    def make(point_head, channels=3, names=("p2",), features=None, coarse=None):
        features = features or tiny.features(num_images=3, dtype=torch.float64)
        generator = torch.Generator().manual_seed(3)
        if coarse is None:
            coarse = torch.randn(2, channels, 3, 3, generator=generator, dtype=torch.float64)
        inputs = RegionInputs(
            features=[features[name] for name in names],
            strides=[tiny.shapes[name].stride for name in names],
            boxes_px=BOXES,
            coarse_logits=coarse,
            classes=CLASSES,
        )
        return RegionPointPredictor(point_head, inputs)

    return make


@pytest.mark.parametrize("names", [("p2",), ("p3", "p2")])
def test_point_head_reads_fine_features_then_coarse_logits(predictor, tiny, oracle, rng, names):
    head = Recorder(3)
    coarse = torch.randn(2, 3, 3, 3, generator=rng, dtype=torch.float64)
    coords = torch.rand(2, 7, 2, generator=rng, dtype=torch.float64)
    predictor(head, names=names, coarse=coarse)(coords)
    ((fine_seen, coarse_seen),) = head.seen

    maps = tiny.features(num_images=3, dtype=torch.float64)
    for region, image in enumerate((0, 2)):
        x0, y0, x1, y1 = torch.cat(BOXES)[region].tolist()
        for point, (u, v) in enumerate(coords[region].tolist()):
            x, y = (x0 + u * (x1 - x0)) / 40, (y0 + v * (y1 - y0)) / 32
            planes = [plane for name in names for plane in maps[name][image].numpy()]
            fine = torch.tensor([oracle.bilinear(p, x, y) for p in planes], dtype=torch.float64)
            torch.testing.assert_close(fine_seen[region, :, point], fine, rtol=0, atol=1e-10)
            for channel, plane in enumerate(coarse[region].numpy()):
                expected = oracle.bilinear(plane, u, v)
                got = coarse_seen[region, channel, point].item()
                assert got == pytest.approx(expected, abs=1e-10)


def test_returns_each_regions_own_class(predictor):
    class PerClass(torch.nn.Module):
        def forward(self, fine, coarse):
            return torch.arange(3.0).view(1, 3, 1).expand(len(fine), 3, fine.shape[2])

    got = predictor(PerClass())(torch.rand(2, 4, 2).double())
    assert got.shape == (2, 1, 4)
    assert got[:, 0, 0].tolist() == CLASSES.tolist()


def test_class_agnostic_head_answers_for_every_class(predictor):
    got = predictor(Recorder(1), channels=1)(torch.rand(2, 4, 2).double())
    assert torch.equal(got, torch.full((2, 1, 4), -5.0).double())


def test_coarse_features_come_from_the_original_logits_in_every_step(predictor, oracle):
    # the running map becomes -5 everywhere; the coarse features stay those of the coarse logits
    head = Recorder(3)
    coarse = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    subdivide(
        torch.zeros(2, 1, 3, 3).double(),
        predictor(head, coarse=coarse),
        steps=3,
        num_points=10**6,
        uncertainty=foreground_uncertainty,
    )
    assert [seen.shape[2] for _, seen in head.seen] == [36, 144, 576]
    for side, (_, seen) in zip((6, 12, 24), head.seen, strict=True):
        cells = [((j + 0.5) / side, (i + 0.5) / side) for i in range(side) for j in range(side)]
        for region in range(2):
            for channel in range(3):
                plane = coarse[region, channel].numpy()
                expected = sorted(oracle.bilinear(plane, x, y) for x, y in cells)
                got = sorted(seen[region, channel].tolist())
                assert got == pytest.approx(expected, abs=1e-12)


def test_mutating_the_answer_does_not_change_the_next_one(predictor, tiny):
    predict = predictor(tiny.head().point_head.double())
    coords = torch.rand(2, 5, 2).double()
    with torch.no_grad():
        first = predict(coords)
        expected = first.clone()
        first.fill_(77.0)
        assert torch.equal(predict(coords), expected)


def test_gradient_reaches_features_and_coarse_logits(predictor, tiny):
    features = tiny.features(num_images=3, dtype=torch.float64)
    features["p2"].requires_grad_()
    coarse = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    predict = predictor(tiny.head().point_head.double(), features=features, coarse=coarse)
    predict(torch.rand(2, 50, 2).double()).sum().backward()
    assert features["p2"].grad[[0, 2]].abs().sum() > 0
    assert not features["p2"].grad[1].any()  # no region in this image
    assert coarse.grad.abs().sum() > 0
