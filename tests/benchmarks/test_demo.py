"""The benchmark of the demo: both demos run the same models on the same pictures."""

import numpy as np
import pytest
import torch

from benchmarks import demo, options
from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.visualization import write_image
from tests.tiny_models import TINY


@pytest.fixture
def pictures(tmp_path, make_picture):
    for seed in range(2):
        write_image(tmp_path / "photos" / f"{seed}.png", make_picture(seed=seed))
    return sorted((tmp_path / "photos").iterdir())


@pytest.fixture
def words(tmp_path, pictures, predictors):
    torch.save({"model": predictors("instance").model.state_dict()}, tmp_path / "model.pth")
    return [
        *("--config-file", "Toy/pointrend_rcnn_toy.yaml", "--weights", str(tmp_path / "model.pth")),
        *("--input", str(tmp_path / "photos"), "--confidence", "0"),
        *("--drawing-objects", "5", "--drawing-size", "90", "120", *map(str, TINY)),
    ]


def test_the_cases(words):
    _, cases = options.parse(demo, words)
    assert [case.title for case in cases] == [
        "Demo: PointRend, original: 2 pictures",
        "Demo: PointRend, ours: 2 pictures",
        "Demo: PointRend, original / PointRend, ours: 2 pictures",
        "Drawing: 5 objects on 120 x 90, pasted and written",
    ]
    for case, found in zip(cases[2:], ("objects, 0 of ", "not compared"), strict=True):
        forms = case.build("cpu")
        assert found in forms.check({name: run() for name, run in forms.run.items()})


def test_the_other_demo_draws_the_same_objects(tmp_path, pictures, words):
    arguments, _ = options.parse(demo, words)
    models = demo.build_predictors(arguments, "cpu")
    source = read_image_rgb(pictures[0])
    for ours, theirs in models.values():
        assert ours.model is theirs.model
        demo.run_detectron2(theirs, pictures[:1], tmp_path / "theirs.png")
        drawn = read_image_rgb(tmp_path / "theirs.png")
        changed = np.abs(drawn.astype(int) - source).max(axis=2) > 2
        masks = theirs(source[:, :, ::-1])["instances"].pred_masks.numpy()
        assert changed[masks.any(axis=0)].mean() > 0.8
    first, second = (ours.model.state_dict() for ours, _ in models.values())
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_different_predictions_are_noticed(pictures, words):
    arguments, _ = options.parse(demo, words)
    ours, _ = demo.build_predictors(arguments, "cpu")[demo.OURS]
    arguments.opts += ["TEST.DETECTIONS_PER_IMAGE", "1"]
    _, other = demo.build_predictors(arguments, "cpu")[demo.OURS]
    with pytest.raises(AssertionError):
        demo.compare(ours, other, pictures)


def test_nothing_to_measure(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        options.parse(demo, ["--weights", "w.pth", "--input", str(tmp_path)])
    assert "has no file" in capsys.readouterr().err
