"""The stages of a whole prediction are those that are recorded of each object, and of the map."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inspection.point_steps import record_map, record_object
from pointrend_ext.inspection.stages import predict_stages


def same(one, other):
    for name in ("boxes", "scores", "classes", "label_map"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.masks is None) == (other.masks is None)
    if one.masks is not None:
        np.testing.assert_array_equal(np.asarray(one.masks), np.asarray(other.masks))


def test_objects(predictors, make_picture):
    predictor, pixels = predictors("instance"), make_picture()
    stages = predict_stages(predictor, pixels)
    final = stages[-1].prediction
    same(final, predictor(pixels))
    assert [x.title for x in stages][:3] == [
        "coarse: 7 x 7 cells an object",
        "step 1: 14 x 14 cells an object, 196 of them corrected",
        "step 2: 28 x 28 cells an object, 784 of them corrected",
    ]
    model_input = predictor.model_input(pixels)
    seen = np.array(model_input["image"].shape[:0:-1])
    number = 1
    alone = record_object(predictor.model, model_input, number)
    corner, opposite = np.reshape(alone.box_px, (2, 2))
    logits = [alone.coarse, *(x.after for x in alone.steps)]
    for step, (stage, own) in enumerate(zip(stages, logits, strict=True)):
        pasted = PastedMasks(own.sigmoid(), final.boxes[[number]], final.size_hw)[0]
        assert (pasted != stage.prediction.masks[number]).mean() < 1e-3
        of_object = stage.owners == number
        if step == 0:
            assert len(stage.points) == 0
            continue
        # Rounding may choose other cells among equally uncertain ones.
        expected = (corner + alone.steps[step - 1].coords.numpy() * (opposite - corner)) / seen
        distance = np.abs(stage.points[of_object][:, None] - expected).max(2).min(1)
        assert (distance < 1e-5).mean() > 0.98
        assert len(expected) == of_object.sum()
    changed = [
        (np.asarray(a.prediction.masks) != np.asarray(b.prediction.masks)).mean()
        for a, b in pairwise(stages)
    ]
    assert min(changed[:2]) > 0
    assert set(stages[1].owners) == set(range(len(final.boxes)))


def test_given_boxes(predictors, make_picture):
    predictor, pixels = predictors("instance"), make_picture()
    boxes = [[20, 30, 150, 100], [5, 8, 60, 70]]
    stages = predict_stages(predictor, pixels, boxes, classes=["star", 2], scores=[0.5, 0.25])
    assert len(stages) == 6
    same(stages[-1].prediction, predictor(pixels, boxes, classes=["star", 2], scores=[0.5, 0.25]))
    points = stages[3].points[stages[3].owners == 1] * (170, 120)
    assert ((points > (5, 8)) & (points < (60, 70))).all()
    (alone,) = predict_stages(predictor, pixels, [])
    assert len(alone.prediction.boxes) == 0
    assert alone.title == "prediction"


def test_map(predictors, make_picture):
    predictor, pixels = predictors("semantic"), make_picture(130, 101)
    stages = predict_stages(predictor, pixels)
    same(stages[-1].prediction, predictor(pixels))
    model_input = predictor.model_input(pixels)
    height, width = model_input["image"].shape[1:]
    recording = record_map(predictor.model, model_input)
    _, _, columns, rows = recording.box_px
    for stage, logits in zip(
        stages[:-1], [recording.coarse, recording.steps[0].after], strict=True
    ):
        labels = logits.argmax(0)
        for y, x in ((0, 0), (129, 100), (64, 31), (17, 77)):
            row = int((y + 0.5) / 130 * height / rows * labels.shape[0])
            column = int((x + 0.5) / 101 * width / columns * labels.shape[1])
            assert stage.prediction.label_map[y, x] == labels[row, column]
    for stage, step in zip(stages[1:], recording.steps, strict=True):
        expected = step.coords.numpy() * (columns, rows) / (width, height)
        np.testing.assert_allclose(stage.points, expected, rtol=1e-6)
        assert set(stage.owners) == {-1}


def test_both(predictors, make_picture):
    predictor, pixels = predictors("panoptic"), make_picture()
    stages = predict_stages(predictor, pixels)
    expected = predictor(pixels)
    same(stages[-1].prediction, expected)
    assert stages[-1].prediction.panoptic.segments == expected.panoptic.segments
    assert len(stages) == 6
    assert (stages[0].prediction.panoptic.ids != expected.panoptic.ids).any()
    assert set(stages[1].owners) == set(range(-1, len(expected.boxes)))
    assert "; " in stages[0].title
    assert set(stages[5].owners) == set(range(len(expected.boxes)))  # the map ended before


@pytest.mark.parametrize("kind", ["instance", "semantic"])
def test_nothing_stays_behind_in_the_model(predictors, make_picture, kind):
    predictor = predictors(kind)
    state = torch.get_rng_state()
    predict_stages(predictor, make_picture())
    assert not predictor.model.backbone._forward_hooks
    assert not predictor.model.training
    assert torch.equal(state, torch.get_rng_state())
