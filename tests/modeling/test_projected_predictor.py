"""The rearranged predictor against the plain one: values in inference, gradients in training."""

import copy
from dataclasses import replace
from itertools import product

import pytest
import torch

from pointrend_ext.layers import runs_cpu_form
from pointrend_ext.modeling.point_head import (
    RegionPointPredictor,
    inference_predictors,
    predictors,
    training_predictor,
)
from pointrend_ext.modeling.point_head.fast import (
    PlaneRegionPredictor,
    ProjectedRegionPredictor,
    SplitPointLayers,
)

LAYERS = [
    {"coarse_pred_each_layer": each_layer, "num_fc": num_fc}
    for each_layer, num_fc in product([True, False], [1, 2, 3])
]
LEVELS = [("p2",), ("p2", "p3"), ("p3", "p2")]
COUNTS = [(0, 0), (1, 0), (10, 11), (0, 22)]
CASES = [
    *(({"channels": k, "counts": n}, {}) for k, n in product([1, 2, 15, 16, 80], COUNTS)),
    *(({"channels": 16, "names": names}, layers) for names, layers in product(LEVELS, LAYERS)),
    *(({"channels": 1}, layers) for layers in LAYERS),
    *(({"side": side}, {}) for side in (1, 2, 7)),  # of the coarse mask
    ({"channels": 5}, {"out_channels": 1}),
]


def draw_coords(inputs, rng, num_points=13):
    """Points in the boxes, their corners among them."""
    coords = torch.rand(len(inputs), num_points, 2, generator=rng, dtype=torch.float64)
    coords[:, :4] = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    return coords.to(inputs.boxes_px[0].dtype)


def infer(head, inputs, coords, points_per_region=10**6):
    """What the predictors of all chunks answer, (R, 1, P)."""
    got = torch.full((len(inputs), 1, coords.shape[1]), torch.nan, dtype=coords.dtype)
    kinds = set()
    for regions, predict in inference_predictors(
        head, inputs, points_per_step=coords.shape[1], points_per_region=points_per_region
    ):
        got[regions] = predict(coords[regions]).to(got.dtype)
        tables = predict._coarse if isinstance(predict, PlaneRegionPredictor) else [predict._table]
        for table in tables:
            assert table.dtype in (torch.float32, torch.float64)  # it is interpolated
        kinds.add(type(predict))
    on_cpu = runs_cpu_form(coords.device)
    assert kinds <= {ProjectedRegionPredictor if on_cpu else PlaneRegionPredictor}
    return got


@pytest.mark.usefixtures("device_form")
@pytest.mark.parametrize(("given", "options"), CASES, ids=str)
@torch.no_grad()
def test_equals_the_plain_predictor(regions, rng, given, options):
    inputs = regions.inputs(**given)
    head = regions.point_head(inputs, **options)
    coords = draw_coords(inputs, rng)
    expected = RegionPointPredictor(head, inputs)(coords)
    assert expected.numel() == 0 or expected.std() > 0.1
    for points_per_region in (1, 10**6):
        got = infer(head, inputs, coords, points_per_region)
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("device_form")
@torch.no_grad()
def test_float32_is_close(regions, rng):
    inputs = regions.inputs((10, 11), 80, dtype=torch.float32)
    head = regions.point_head(inputs)
    coords = draw_coords(inputs, rng)
    expected = RegionPointPredictor(head, inputs)(coords)
    got = infer(head, inputs, coords)
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.usefixtures("device_form")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", ["half", "autocast"])
def test_16_bits_are_as_close_as_those_of_the_plain_predictor(regions, rng, form, dtype):
    inputs = regions.inputs((10, 11), 16)
    exact_head = regions.point_head(inputs)
    coords = draw_coords(inputs, rng)
    wide = torch.float32 if form == "autocast" else dtype
    rounded = replace(
        inputs,
        features=[feature.to(wide) for feature in inputs.features],
        boxes_px=[boxes.float() for boxes in inputs.boxes_px],
        coarse_logits=inputs.coarse_logits.to(wide),
    )
    head = copy.deepcopy(exact_head).to(wide)
    with torch.inference_mode():
        exact = RegionPointPredictor(exact_head, inputs)(coords)
        with torch.autocast("cpu", dtype, enabled=form == "autocast"):
            got = infer(head, rounded, coords.float())
            plain = RegionPointPredictor(head, rounded)(coords.float())
    scale = exact.abs().max()
    tolerance = 2e-2 if dtype == torch.bfloat16 else 2.5e-3
    assert (got - exact).abs().max() < tolerance * scale
    assert (got - exact).square().mean() < 2 * (plain - exact).square().mean()


# ---- training


def gradients(predict_of, head, inputs, coords):
    """Gradients of all parameters, the features and the coarse logits."""
    leaves = [x.detach().requires_grad_() for x in (*inputs.features, inputs.coarse_logits)]
    inputs = replace(inputs, features=leaves[:-1], coarse_logits=leaves[-1])
    logits = predict_of(head, inputs)(coords)
    wanted = torch.sin(torch.arange(logits.numel(), dtype=logits.dtype)).view_as(logits)
    loss = (logits * wanted).sum()
    return logits.detach(), torch.autograd.grad(loss, [*head.parameters(), *leaves])


@pytest.mark.parametrize("names", LEVELS[:2])
@pytest.mark.parametrize("layers", LAYERS, ids=str)
@pytest.mark.parametrize("channels", [1, 5])
def test_training_gradients(regions, rng, monkeypatch, channels, layers, names):
    monkeypatch.setattr(predictors, "PROJECT_TRAINING_CLASSES", 1)
    inputs = regions.inputs((3, 0, 4), channels, names)
    head = regions.point_head(inputs, **layers)
    coords = draw_coords(inputs, rng, 40)
    assert isinstance(training_predictor(head, inputs), ProjectedRegionPredictor)
    logits, got = gradients(training_predictor, head, inputs, coords)
    expected_logits, expected = gradients(RegionPointPredictor, head, inputs, coords)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-12, atol=1e-12)
    for one, other in zip(got, expected, strict=True):
        assert other.abs().max() > 0
        assert (one - other).abs().max() <= 1e-12 * other.abs().max()


@pytest.mark.parametrize("names", LEVELS[:2])
def test_training_under_autocast(regions, rng, monkeypatch, names):
    monkeypatch.setattr(predictors, "PROJECT_TRAINING_CLASSES", 1)
    inputs = regions.inputs((3, 4), 5, names, dtype=torch.float32)
    head = regions.point_head(inputs, num_fc=2)
    coords = draw_coords(inputs, rng, 40)
    _, expected = gradients(RegionPointPredictor, head, inputs, coords)
    with torch.autocast("cpu", torch.bfloat16):
        logits, got = gradients(training_predictor, head, inputs, coords)
    assert logits.isfinite().all()
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.1 * other.norm()


@pytest.mark.parametrize("channels", [2, 400])
def test_training_without_regions_connects_every_parameter(regions, channels):
    inputs = regions.inputs((0, 0), channels)
    head = regions.point_head(inputs)
    training_predictor(head, inputs)(torch.zeros(0, 5, 2).double()).sum().backward()
    for parameter in head.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()


def test_matrices_that_are_multiplied_with_many_rows_are_contiguous(regions):
    inputs = regions.inputs(names=("p2", "p3"))
    layers = SplitPointLayers.of(regions.point_head(inputs), [6, 5])
    assert all(part.is_contiguous() for part in (*layers.fine, *layers.hidden, layers.coarse))
