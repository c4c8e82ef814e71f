"""Which predictor answers, and in which chunks."""

import copy
from unittest import mock

import pytest
import torch

from pointrend_ext.layers import forms_for
from pointrend_ext.modeling import StandardPointHead
from pointrend_ext.modeling.point_head import (
    MapInputs,
    MapPointPredictor,
    RegionPointPredictor,
    inference_predictors,
    map_inference_predictor,
    predictors,
    training_predictor,
)
from pointrend_ext.modeling.point_head.fast import (
    MapRowPredictor,
    ProjectedRegionPredictor,
    map_row_predictor,
)
from tests.modeling.builders import BOTH_LEVELS


class OwnPointHead(StandardPointHead):
    """May compute anything."""

    def forward(self, fine, coarse):
        return super().forward(fine, coarse) + 1

    def class_logits(self, fine, coarse, classes):
        return super().class_logits(fine, coarse, classes) + 1


def map_inputs(regions):
    inputs = regions.inputs()
    coarse = torch.randn(2, 3, 8, 10, dtype=torch.float64)
    return MapInputs(inputs.features, inputs.strides, coarse, 4)


def chunks(head, inputs, points_per_step=13):
    return list(
        inference_predictors(head, inputs, points_per_step=points_per_step, points_per_region=10**6)
    )


def answer(head, inputs, coords):
    got = torch.full((len(inputs), 1, coords.shape[1]), torch.nan, dtype=coords.dtype)
    for numbers, predict in chunks(head, inputs, coords.shape[1]):
        got[numbers] = predict(coords[numbers])
    return got


@pytest.mark.parametrize(
    ("cls", "region_kind", "map_kind"),
    [
        (StandardPointHead, ProjectedRegionPredictor, MapRowPredictor),
        (OwnPointHead, RegionPointPredictor, MapPointPredictor),
    ],
)
@torch.no_grad()
def test_a_subclass_is_asked_itself(regions, monkeypatch, cls, region_kind, map_kind):
    monkeypatch.setattr(predictors, "PROJECT_TRAINING_CLASSES", 1)
    inputs = regions.inputs()
    head = regions.point_head(inputs, cls=cls)
    assert {type(predict) for _, predict in chunks(head, inputs)} == {region_kind}
    assert type(training_predictor(head, inputs)) is region_kind
    assert type(map_inference_predictor(head, map_inputs(regions))) is map_kind
    coords = torch.rand(5, 9, 2, dtype=torch.float64)
    expected = RegionPointPredictor(head, inputs)(coords)
    for got in (
        answer(head, inputs, coords),
        training_predictor(head, inputs)(coords),
        answer(lambda fine, coarse: head(fine, coarse), inputs, coords),  # without class_logits
    ):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("limit", [1, 5, 2**20])
@torch.no_grad()
def test_points_of_maps_are_predicted_in_bounded_chunks(regions, monkeypatch, limit):
    inputs = map_inputs(regions)
    head = regions.point_head(regions.inputs())
    coords = torch.rand(2, 13, 2, dtype=torch.float64)
    expected = MapPointPredictor(head, inputs)(coords)
    monkeypatch.setitem(map_row_predictor._MAX_POINTS, True, limit)
    got = map_inference_predictor(head, inputs)(coords)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("channels", "kind"),
    [(80, RegionPointPredictor), (399, RegionPointPredictor), (400, ProjectedRegionPredictor)],
)
def test_training_projects_from_400_classes_on(regions, channels, kind):
    inputs = regions.inputs(channels=channels)
    assert type(training_predictor(regions.point_head(inputs), inputs)) is kind


@pytest.mark.parametrize(
    ("points_per_step", "sizes"), [(784, [4, 4, 4, 1]), (1, [13]), (10**7, [1] * 13)]
)
@torch.no_grad()
def test_chunks_are_bounded_by_the_points_asked_for_at_once(regions, points_per_step, sizes):
    inputs = regions.inputs((6, 7))
    found = chunks(regions.point_head(inputs, cls=OwnPointHead), inputs, points_per_step)
    assert [len(numbers) for numbers, _ in found] == sizes


@pytest.mark.parametrize("cls", [StandardPointHead, OwnPointHead])
@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 7), (40, [3, 3, 1]), (10**6, [7])])
@torch.no_grad()
def test_chunks_change_nothing(regions, monkeypatch, cls, limit, sizes):
    inputs = regions.inputs((3, 0, 4), channels=5, names=("p2", "p3"))
    head = regions.point_head(inputs, cls=cls)
    assert chunks(head, regions.inputs((0, 0), channels=5, names=("p2", "p3"))) == []
    coords = torch.rand(7, 13, 2, dtype=torch.float64)
    expected = RegionPointPredictor(head, inputs)(coords)
    monkeypatch.setitem(predictors.POINTS_PER_CHUNK, "cpu", limit)
    numbers = [numbers for numbers, _ in chunks(head, inputs)]
    assert [len(chunk) for chunk in numbers] == sizes
    assert all([*chunk] == sorted(chunk) for chunk in numbers)
    assert sorted(n for chunk in numbers for n in chunk) == list(range(7))
    got = answer(head, inputs, coords)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_elsewhere_chunks_follow_one_another_and_nothing_is_sent_for_them(regions, monkeypatch):
    inputs = regions.inputs((3, 0, 4))
    monkeypatch.setitem(predictors.POINTS_PER_CHUNK, "cuda", 3 * 13)
    with forms_for("cuda"):
        found = [numbers for numbers, _ in chunks(regions.point_head(inputs), inputs, 13)]
    assert found == [range(3), range(3, 6), range(6, 7)]
    part = inputs.select(found[1])
    assert part.classes.data_ptr() == inputs.classes[3:].data_ptr()  # a view
    assert [len(boxes) for boxes in part.boxes_px] == [0, 0, 3]
    assert torch.equal(torch.cat(part.boxes_px), torch.cat(inputs.boxes_px)[3:6])


@pytest.mark.parametrize("limit", [1, 40, 10**6])
@pytest.mark.parametrize("plain", [False, True])
def test_masks_do_not_depend_on_the_chunks(tiny, monkeypatch, limit, plain):
    head = tiny.head().double().eval()
    features = tiny.features(dtype=torch.float64)
    with torch.inference_mode():
        expected = tiny.masks(head, features)
        monkeypatch.setitem(predictors.POINTS_PER_CHUNK, "cpu", limit)
        with mock.patch.object(predictors, "can_project", return_value=not plain):
            got = tiny.masks(head, features)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


# ---- masks in every way inference is run


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("features_in", "head_in", "autocast_to"),
    [
        (torch.float32, torch.float32, None),
        (torch.float32, torch.float32, torch.bfloat16),
        (torch.float32, torch.float32, torch.float16),
        (torch.bfloat16, torch.float32, torch.bfloat16),
        (torch.float16, torch.float32, torch.float16),
        (torch.bfloat16, torch.bfloat16, None),
        (torch.float16, torch.float16, None),
    ],
    ids=str,
)
def test_inference_mode_and_every_precision(tiny, layout, features_in, head_in, autocast_to):
    # all cells are evaluated: which points are chosen may depend on rounding
    head = tiny.head(MASK_POINT_HEAD__SUBDIVISION_NUM_POINTS=144, std=0.3).eval()
    with torch.inference_mode():
        exact = tiny.masks(copy.deepcopy(head).double(), tiny.features(dtype=torch.float64))
        features = {
            name: feature.to(features_in).to(memory_format=layout)
            for name, feature in tiny.features().items()
        }
        with torch.autocast("cpu", autocast_to or torch.bfloat16, enabled=bool(autocast_to)):
            got = tiny.masks(head.to(head_in), features)
    # Detectron2 pastes with coordinates in the masks' own type: 16 bits tear them apart
    assert got.dtype == torch.float32
    lowest = {features_in, head_in, autocast_to}
    tolerance = 2e-2 if torch.bfloat16 in lowest else 3e-3 if torch.float16 in lowest else 1e-5
    assert exact.std() > 0.05
    assert (got - exact).abs().max() < tolerance


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float16, 0.01)], ids=str
)
def test_half_precision_is_close_where_points_are_chosen(tiny, dtype, tolerance):
    head = tiny.head(**BOTH_LEVELS).eval()
    with torch.no_grad():
        expected = tiny.masks(head, tiny.features())
        got = tiny.masks(head.to(dtype), tiny.features(dtype=dtype))
    difference = (got - expected).abs()
    assert difference.max() < tolerance
    assert difference.mean() < tolerance / 10


def test_inference_outside_no_grad_gives_the_same_masks(tiny):
    head, features = tiny.head().eval(), tiny.features()
    with torch.no_grad():
        expected = tiny.masks(head, features)
    got = tiny.masks(head, features).detach()
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
