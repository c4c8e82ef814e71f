"""`tools/demo.py --runtime` and `pointrend predict --runtime` run exported files."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.deploy.runtime.models import write_instances


@pytest.fixture
def model(tmp_path):
    masks = np.ones((2, 1, 4, 4))
    boxes = [[0.1, 0.2, 0.5, 0.9], [0.5, 0.1, 0.9, 0.9]]
    Image.new("RGB", (60, 40), (90, 90, 90)).save(tmp_path / "a.png")
    return write_instances(tmp_path / "m.onnx", boxes, [0.9, 0.3], [0, 1], masks)


def test_the_demo_on_a_file(model, call_tool, tmp_path, capsys):
    words = [
        "--runtime",
        "onnx",
        "--weights",
        model,
        "--input",
        tmp_path / "a.png",
        "--no-progress",
    ]
    out = ("--output", tmp_path / "out")
    kinds = ("overlay", "json", "masks", "cutouts")
    assert call_tool("demo", *words, *out, "--save", *kinds, "--confidence", "0.2") == 0
    assert "1 images and 0 frames" in capsys.readouterr().out
    results = json.loads((tmp_path / "out/coco_results.json").read_text())
    assert [(x["category_id"], x["score"]) for x in results] == [
        (17, pytest.approx(0.9)),
        (18, pytest.approx(0.3)),
    ]
    np.testing.assert_allclose(results[0]["bbox"], [6, 8, 24, 28], rtol=1e-6)
    assert (np.asarray(Image.open(tmp_path / "out/a.png")) != 90).any()
    assert sorted(x.name for x in (tmp_path / "out/masks").iterdir()) == [
        "a_00_cat.png",
        "a_01_big-dog.png",
    ]
    assert call_tool("demo", *words, *out, "--save", "masks") == 0  # 0.5, as of the model itself
    assert [x.name for x in (tmp_path / "out/masks").iterdir()] == ["a_00_cat.png"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--runtime", "onnx"), "--runtime onnx needs --weights: an exported model"),
        (("--runtime", "onnx", "--weights", "gone.onnx"), "gone.onnx does not exist"),
        (("--runtime", "onnx", "--weights", "m.onnx", "--device", "cpu"), "leave out device"),
        (("--runtime", "onnx", "--weights", "m.onnx", "--tile", "64"), "leave out tile"),
        (("--runtime", "onnx", "--weights", "m.onnx", "--boxes", "b.json"), "--image-ids"),
        (
            ("--runtime", "onnx", "--weights", "m.onnx", "--config-file", "a.yaml"),
            "exported with its configuration: leave out config-file",
        ),
        (("--weights", "m.onnx"), "Pass --config-file, or an exported model with --runtime onnx"),
    ],
)
def test_what_does_not_go_together(model, call_tool, tmp_path, capsys, monkeypatch, words, reason):
    monkeypatch.chdir(tmp_path)
    assert call_tool("demo", "--input", "a.png", "--output", "out", *words) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
