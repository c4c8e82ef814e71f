"""The points that a report shows are those of the detection that it shows."""

import dataclasses
import html
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
    write_evaluation,
)
from pointrend_ext.evaluation.offline.record import ObjectExample
from pointrend_ext.evaluation.report import ShownObject
from pointrend_ext.inspection.point_steps import record_object
from pointrend_ext.inspection.report_points import record_shown_points

NAMES = list("uvwxyz")
PLAIN = (
    *("MODEL.ROI_MASK_HEAD.NAME", "MaskRCNNConvUpsampleHead"),
    *("MODEL.ROI_MASK_HEAD.POOLER_TYPE", "ROIAlignV2"),
)


@pytest.fixture
def image_file(make_picture, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(make_picture()).save(path)
    return str(path)


@pytest.fixture
def show(predictors, image_file):
    """Show a detection of the model as if a report did."""
    prediction = predictors("instance")(image_file)

    def make(number, *, is_found=True, **changes):
        mask = np.asarray(prediction.masks[number])
        example = ObjectExample(7, 1, image_file, NAMES[prediction.classes[number]], is_found, {})
        masks = {"ours": mask if is_found else None}
        true = ~mask if is_found else mask  # is not looked at where a mask is shown
        return ShownObject(dataclasses.replace(example, **changes), true, masks)

    make.prediction = prediction
    return make


@pytest.mark.parametrize("is_found", [True, False])
@pytest.mark.parametrize("number", [0, -1])
def test_points_are_those_of_the_shown_detection(predictors, make_picture, show, number, is_found):
    predictor = predictors("instance")
    shown = show(number, is_found=is_found)
    found = record_shown_points(predictor, "ours", [shown], NAMES)[7]
    model_input = predictor.model_input(make_picture())
    assert tuple(model_input["image"].shape) == (3, 96, 136)  # of 120 x 170
    box = show.prediction.boxes[number]
    (raw,) = predictor.model.inference([model_input], do_postprocess=False)
    raw = raw[raw.scores.argsort(descending=True, stable=True)]  # of some the box is empty
    own = np.abs(raw.pred_boxes.tensor.detach().numpy() * 1.25 - box).max(axis=1).argmin()
    recording = record_object(predictor.model, model_input, int(own))
    x0, y0, x1, y1 = recording.box_px
    expected, sides = [], []
    for step in recording.steps[2:]:  # 14 x 14 and 28 x 28 cells are all predicted
        for x, y in step.coords.tolist():
            expected.append(((x0 + x * (x1 - x0)) * 170 / 136, (y0 + y * (y1 - y0)) * 120 / 96))
            sides.append(step.after.shape[-1])
    np.testing.assert_allclose(found.points_px, expected, atol=1e-3)
    assert found.sides.tolist() == sides
    assert (found.points_px >= box[:2] - 1e-3).all()
    assert (found.points_px <= box[2:] + 1e-3).all()


def test_without_a_matching_detection(predictors, show):
    predictor = predictors("instance")
    (absent, *_) = set(range(6)) - set(show.prediction.classes.tolist())
    other_class = show(0, class_name=NAMES[absent])
    speck = np.zeros((120, 170), bool)
    speck[0, 0] = True
    elsewhere = ShownObject(show(0).example, speck, {"ours": None})
    assert record_shown_points(predictor, "ours", [other_class, elsewhere], NAMES) == {}


def test_models_without_points(predictors, show):
    assert record_shown_points(predictors("instance", *PLAIN), "ours", [show(0)], NAMES) is None
    assert record_shown_points(predictors("semantic"), "ours", [show(0)], NAMES) is None


def test_mistakes(predictors, show):
    predictor = predictors("instance")
    with pytest.raises(ValueError, match="'ours' has 6 classes, the data set of the evaluation 2"):
        record_shown_points(predictor, "ours", [show(0)], NAMES[:2])
    with pytest.raises(ValueError, match=r"names no image files.*--images"):
        record_shown_points(predictor, "ours", [show(0, image_file=None)], NAMES)


# ---- the tool


@pytest.fixture
def evaluated(predictors, image_file, instances, tmp_path):
    """An evaluation of both models in which the first one's masks are the truth."""
    prediction = predictors("instance")(image_file)
    pairs = zip(prediction.classes, prediction.masks, strict=True)
    objects = [(0, int(k), mask) for k, mask in pairs]
    truth = instances.truth([(120, 170)], [(*o, False) for o in objects], NAMES).dataset
    truth["images"][0]["file_name"] = Path(image_file).name
    scores = prediction.scores.tolist()
    scored = [instances.prediction(*o, s) for o, s in zip(objects, scores, strict=True)]
    files = {}
    for name, content in (("truth", truth), ("rend", scored), ("plain", scored)):
        files[name] = str(tmp_path / f"{name}.json")
        Path(files[name]).write_text(json.dumps(content))
    data = data_set_of_annotations(files.pop("truth"), str(Path(image_file).parent))
    return evaluate_files(data, files, EvaluationOptions(("segm",), num_draws=0))


@pytest.fixture
def report(call_tool, evaluated, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    file = tmp_path / "evaluation.json"
    write_evaluation(evaluated, file)
    return partial(call_tool, "report", "--evaluation", file, "--output", tmp_path / "r.html")


def test_the_tool_shows_the_points(report, ready_models, predictors, tmp_path):
    built = {"rend.yaml": predictors("instance"), "plain.yaml": predictors("instance", *PLAIN)}
    asked = ready_models(built)
    models = ["--model", "rend=rend.yaml,a.pth", "--model", "plain=plain.yaml,b.pth"]
    assert report(*models, "--pictures", 2, "--device", "cpu") == 0
    options = {"device": "cpu", "confidence": None}  # the threshold of the evaluation
    assert asked == [("rend.yaml", "a.pth", options), ("plain.yaml", "b.pth", options)]
    text = html.unescape((tmp_path / "r.html").read_text(encoding="utf-8"))
    sentence = (
        "rend refines its box at 784 of 56 x 56, 784 of 112 x 112, 784 of 224 x 224 cells. "
        "plain has no points: its mask head does not refine."
    )
    assert text.count(f"{sentence}</figcaption>") == 2
    assert text.count(sentence) == 4  # also for those who do not see the picture
    assert "In the last row, the cells that the point head predicted anew" in " ".join(text.split())


def test_the_tool_names_mistakes(report, tmp_path, capsys):
    assert report("--model", "other=rend.yaml,a.pth") == 2
    error = capsys.readouterr().err
    assert error.startswith("report.py: ")
    assert error.endswith("--model other: the evaluation has the models ['rend', 'plain'].\n")
    assert not (tmp_path / "r.html").exists()
    with pytest.raises(SystemExit):
        report("--model", "rend=rend.yaml")
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    evaluation["data_set"]["kind"] = "semantic"
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    assert report("--model", "rend=rend.yaml,a.pth", "--description", "gone.yaml") == 2
    assert "gone.yaml" in capsys.readouterr().err
