"""What is recorded is what the model did."""

import numpy as np
import pytest
import torch
from PIL import Image

from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inspection.point_pictures import write_refinement
from pointrend_ext.inspection.point_steps import record_map, record_object
from pointrend_ext.inspection.stages import predict_stages
from pointrend_ext.layers import class_uncertainty, foreground_uncertainty


@pytest.mark.parametrize("number", [0, 2])
def test_object_ends_in_the_mask_of_the_model(predictors, make_picture, number):
    predictor = predictors("instance")
    model_input = predictor.model_input(make_picture())
    recording = record_object(predictor.model, model_input, number)
    with torch.no_grad():
        (raw,) = predictor.model.inference([model_input], do_postprocess=False)
    index = raw.scores.argsort(descending=True, stable=True)[number]
    assert recording.class_id == raw.pred_classes[index]
    torch.testing.assert_close(torch.tensor(recording.box_px), raw.pred_boxes.tensor[index])
    final = recording.steps[-1].after.sigmoid()
    # Rounding may choose other cells among equally uncertain ones.
    differs = (final - raw.pred_masks[index]).abs()
    assert (differs > 1e-4).float().mean() < 1e-3
    assert differs.max() < 0.02
    assert [s.after.shape[-1] for s in recording.steps] == [14, 28, 56, 112, 224]
    assert [len(s.coords) for s in recording.steps] == [196, 784, 784, 784, 784]


def test_implicit_object_ends_in_the_mask_of_the_model(predictors, make_picture, tmp_path):
    """The first grid takes the place of the coarse mask, and training points are uniform."""
    predictor = predictors(
        "instance",
        *("MODEL.ROI_MASK_HEAD.NAME", "ImplicitPointRendROIMaskHead"),
        *("MODEL.MASK_POINT_HEAD.NAME", "ImplicitPointHead"),
        *("MODEL.MASK_POINT_HEAD.SUBDIVISION_STEPS", 2),
        *("MODEL.MASK_POINT_HEAD.SUBDIVISION_NUM_POINTS", 196),
    )
    predicted = predictor(make_picture())
    number = int(np.asarray(predicted.masks).mean((1, 2)).argmax())
    paths, recording = write_refinement(predictor, make_picture(), tmp_path, number=number)
    assert [path.is_file() for path in paths] == [True] * 3
    assert recording.class_id == predicted.classes[number]
    assert recording.coarse.shape == (1, 14, 14)
    assert [s.after.shape for s in recording.steps] == [(1, 28, 28), (1, 56, 56)]
    final = recording.steps[-1].after.sigmoid()
    mask = PastedMasks(final, predicted.boxes[[number]], predicted.size_hw)[0]
    assert (mask != predicted.masks[number]).mean() < 1e-3
    assert 0 < mask.mean() < 1
    assert (recording.training_coords.shape, recording.num_important) == ((196, 2), 0)
    stages = predict_stages(predictor, make_picture())
    assert [stage.title for stage in stages] == [
        "coarse: 14 x 14 cells an object",
        "step 1: 28 x 28 cells an object, 196 of them corrected",
        "step 2: 56 x 56 cells an object, 196 of them corrected",
    ]
    coarse = PastedMasks(recording.coarse.sigmoid(), predicted.boxes[[number]], predicted.size_hw)[
        0
    ]
    np.testing.assert_array_equal(stages[0].prediction.masks[number], coarse)


def test_steps_hold_together(predictors, make_picture):
    predictor = predictors("instance")
    recording = record_object(predictor.model, predictor.model_input(make_picture()))
    previous = recording.coarse
    for step in recording.steps:
        doubled = torch.nn.functional.interpolate(
            previous[None], scale_factor=2, mode="bilinear", align_corners=False
        )[0]
        torch.testing.assert_close(step.before, doubled)
        side = step.before.shape[-1]
        cells = (step.coords * side).long()
        torch.testing.assert_close(cells + 0.5, step.coords * side)
        scores = foreground_uncertainty(step.before[0])
        torch.testing.assert_close(step.scores, scores[cells[:, 1], cells[:, 0]])
        chosen = torch.zeros(side, side, dtype=torch.bool)
        chosen[cells[:, 1], cells[:, 0]] = True
        assert chosen.sum() == len(cells)
        if not chosen.all():
            assert scores[chosen].min() >= scores[~chosen].max()
            assert torch.equal(step.after[0][~chosen], step.before[0][~chosen])
        previous = step.after


def test_map_ends_in_the_logits_of_the_model(predictors, make_picture):
    predictor = predictors("semantic")
    predictor.model.output = "labels"
    model_input = predictor.model_input(make_picture())
    recording = record_map(predictor.model, model_input)
    assert predictor.model.output == "labels"
    predictor.model.output = "logits"
    with torch.no_grad():
        expected = predictor.model([model_input])[0]["sem_seg"]
    rows, columns = expected.shape[1:]
    final = recording.steps[-1].after[:, :rows, :columns]
    torch.testing.assert_close(final, expected, atol=1e-4, rtol=1e-4)
    assert recording.box_px == (0, 0, *recording.steps[-1].after.shape[:0:-1])
    for step in recording.steps:  # nothing is asked in the padding
        x, y = (step.coords * torch.tensor(recording.box_px[2:])).unbind(1)
        assert x.max() < columns
        assert y.max() < rows


def test_training_points_are_reproducible_and_important_ones_first(predictors, make_picture):
    predictor = predictors("semantic")
    model_input = predictor.model_input(make_picture())
    one, other = (
        record_map(predictor.model, model_input, generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    torch.testing.assert_close(one.training_coords, other.training_coords)
    scores = torch.nn.functional.grid_sample(
        class_uncertainty(one.coarse[None]), 2 * one.training_coords[None, None] - 1
    ).flatten()
    important = one.num_important
    assert important == int(0.75 * len(scores))
    assert scores[:important].mean() > scores[important:].mean()


@pytest.mark.parametrize("kind", ["instance", "semantic", "panoptic"])
def test_pictures(predictors, make_picture, tmp_path, kind):
    predictor = predictors(kind)
    paths, recording = write_refinement(
        predictor, make_picture(), tmp_path, semantic=kind != "instance"
    )
    assert [path.name for path in paths] == ["steps.png", "steps.gif", "training_points.png"]
    with Image.open(paths[1]) as animation:
        assert animation.n_frames == 1 + 3 * len(recording.steps)
    if kind == "semantic":
        before = [path.read_bytes() for path in paths]
        write_refinement(predictor, make_picture(), tmp_path, semantic=True)
        assert before == [path.read_bytes() for path in paths]
    assert np.array(Image.open(paths[0])).std() > 10


def test_mistakes(predictors, make_picture):
    instance, semantic = predictors("instance"), predictors("semantic")
    pixels = make_picture()
    with pytest.raises(ValueError, match=r"Object 9 was asked for, but \d objects"):
        record_object(instance.model, instance.model_input(pixels), 9)
    with pytest.raises(ValueError, match="0 objects of the chosen class"):
        record_object(instance.model, instance.model_input(pixels), keep=lambda c: c == 77)
    with pytest.raises(ValueError, match="mask head is NoneType"):
        record_object(semantic.model, semantic.model_input(pixels))
    with pytest.raises(ValueError, match="semantic head is NoneType"):
        record_map(instance.model, instance.model_input(pixels))
