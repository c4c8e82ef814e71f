"""The benchmark of the demo: both demos run the same models, and its tables follow its data."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from pointrend_ext.engine import load_cfg
from pointrend_ext.inference.demo import DemoOptions, OutputWriter, find_inputs, run_demo
from pointrend_ext.visualization import read_image_rgb, write_image

CONFIGS = [
    *("--config-file", "Toy/pointrend_rcnn_toy.yaml"),
    *("--mask-rcnn-config", "Toy/mask_rcnn_toy.yaml"),
]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("benchmark_demo")


@pytest.fixture
def pictures(tmp_path, make_picture):
    for seed in range(2):
        write_image(tmp_path / "photos" / f"{seed}.png", make_picture(seed=seed))
    return sorted((tmp_path / "photos").iterdir())


@pytest.fixture
def weights(tmp_path, predictors):
    torch.save({"model": predictors("instance").model.state_dict()}, tmp_path / "model.pth")
    return tmp_path / "model.pth"


def test_the_command(tool, tmp_path, pictures, weights, tiny_options, monkeypatch, capsys):
    monkeypatch.setattr(tool, "set_threads", lambda count: None)
    words = [
        *CONFIGS,
        *("--weights", str(weights), "--input", str(tmp_path / "photos"), "--confidence", "0"),
        *("--rounds", "2", "--drawing-objects", "5", "--drawing-size", "90", "120"),
        *("--output", str(tmp_path / "out"), *map(str, tiny_options)),
    ]
    monkeypatch.setattr(sys, "argv", ["benchmark_demo.py", *words])
    assert tool.main() == 0
    assert "PointRend, ours, 1 threads: images/s" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["model"] for row in report["rows"]] == [
        "Mask R-CNN",
        "PointRend, original",
        "PointRend, ours",
    ]
    assert str(tmp_path) not in json.dumps(report)
    for row in report["rows"]:
        assert 2 < row["objects"] <= 10
        assert row["equality"].startswith("0 of ")
        forms = row["forms"]
        medians = {name: form["total"]["median"] for name, form in forms.items()}
        assert row["ratio"] == medians["detectron2"] / medians["ours"]
        for form in forms.values():
            assert list(form["stages"]) == ["read", "predict", "draw", "write"]
            assert form["total"]["low"] <= form["total"]["median"] <= form["total"]["high"]
            assert sum(form["stages"].values()) == pytest.approx(form["total"]["median"], rel=0.5)
    table = (tmp_path / "out" / "results.md").read_text()
    ours = report["rows"][2]["forms"]["ours"]["total"]
    assert f"{2 / ours['median']:.3f} [{2 / ours['low']:.3f}, {2 / ours['high']:.3f}]" in table
    assert "drawing and writing 5 objects on a picture of 120 x 90" in table


def test_medians_by_hand(tool):
    rounds = [{"read": 1.0, "draw": 5.0}, {"read": 2.0, "draw": 1.0}, {"read": 3.0, "draw": 4.0}]
    assert tool.summary(rounds) == {
        "total": {"median": 6.0, "low": 3.0, "high": 7.0},
        "stages": {"read": 2.0, "draw": 4.0},
    }


def test_our_pipeline_is_the_demo(tool, tmp_path, pictures, predictors):
    predictor = predictors("instance")
    found, _ = find_inputs([str(pictures[0])])
    options = DemoOptions(
        {"one": predictor}, OutputWriter(tmp_path / "out", ["overlay"]), progress=False
    )
    run_demo(found, options)
    tool.our_pipeline(predictor).run(pictures[0], tmp_path / "mine.png")
    assert (tmp_path / "mine.png").read_bytes() == (tmp_path / "out" / "0.png").read_bytes()


def test_the_other_pipeline_draws_the_same_objects(tool, tmp_path, pictures, weights, tiny_options):
    models = tool.build_models(
        CONFIGS[1], str(weights), CONFIGS[3], None, confidence=0.0, opts=tiny_options
    )
    source = read_image_rgb(pictures[0])
    for ours, theirs in models.values():
        assert ours.model is theirs.model
        pipeline = tool.detectron2_pipeline(theirs)
        seconds, predicted = pipeline.run(pictures[0], tmp_path / "theirs.png")
        assert min(seconds.values()) > 0
        masks = pipeline.found(predicted).masks
        drawn = read_image_rgb(tmp_path / "theirs.png")
        assert drawn.shape == source.shape
        changed = np.abs(drawn.astype(int) - source).max(axis=2) > 2
        assert changed[masks.any(axis=0)].mean() > 0.8
    states = [ours.model.state_dict() for name, (ours, _) in models.items() if "Point" in name]
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=0, atol=0)


def test_different_predictions_are_noticed(tool, tmp_path, pictures, predictors):
    ours = tool.our_pipeline(predictors("instance"))
    other = tool.our_pipeline(predictors("instance", "TEST.DETECTIONS_PER_IMAGE", 1))
    with pytest.raises(AssertionError):
        tool.compare({"detectron2": other, "ours": ours}, pictures, tmp_path)


def test_the_original_gets_our_keys(load_tool, tool):
    upstream_cfg = sys.modules["benchmarking_demo.models"].upstream_cfg
    options = ["MODEL.ROI_HEADS.NUM_CLASSES", 7, "MODEL.MASK_POINT_HEAD.FC_DIM", 48]
    cfg = upstream_cfg(load_cfg(CONFIGS[1], [*options, "INPUT.MIN_SIZE_TEST", 333]))
    assert cfg.MODEL.POINT_HEAD.NUM_CLASSES == 7
    assert cfg.MODEL.POINT_HEAD.FC_DIM == 48
    assert cfg.MODEL.ROI_MASK_HEAD.NAME == "PointRendMaskHead"
    assert cfg.INPUT.MIN_SIZE_TEST == 333


def test_nothing_to_measure(tool, tmp_path, monkeypatch, capsys):
    words = ["--weights", "w.pth", "--input", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmark_demo.py", *words])
    assert tool.main() == 2
    assert "has no file" in capsys.readouterr().err
