"""The commands that draw what a model does, on tiny models."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.modeling import build_model
from PIL import Image

from pointrend_ext.engine import load_cfg
from pointrend_ext.modeling.alignment import record_flows
from pointrend_ext.visualization import flow_panel, read_image_rgb, write_image

CONFIG = "Toy/pointrend_rcnn_toy.yaml"
ALIGNED = [
    *("MODEL.BACKBONE.NAME", "build_resnet_aligned_fpn_backbone"),
    *("MODEL.FPN.ALIGNMENT.NAME", "FAM"),
]


@pytest.fixture
def run(load_tool, monkeypatch, tmp_path, make_picture):
    """Run a command on a picture and the weights of a tiny model."""
    write_image(tmp_path / "a.png", make_picture())

    def run(name, output, options, *words, options_of_weights=None):
        cfg = load_cfg(CONFIG, [*(options_of_weights or options), "MODEL.WEIGHTS", ""])
        torch.manual_seed(3)
        torch.save({"model": build_model(cfg).state_dict()}, tmp_path / "model.pth")
        given = ["--config-file", CONFIG, "--image", str(tmp_path / "a.png"), "--output", output]
        options = [*options, "MODEL.WEIGHTS", tmp_path / "model.pth"]
        monkeypatch.setattr(sys, "argv", [name, *map(str, [*given, *words, *options])])
        return load_tool(name).main()

    return run


def test_flows(run, tiny_options, tmp_path, capsys):
    output = tmp_path / "new" / "flow.png"
    assert run("visualize_flow", output, [*tiny_options, *ALIGNED]) == 0
    assert capsys.readouterr().out == f"3 flows in {output}\n"
    assert read_image_rgb(output).std() > 10


@pytest.mark.parametrize("image_format", ["BGR", "RGB"])
def test_flows_are_those_of_the_image_in_the_models_format(
    run, tiny_options, tmp_path, image_format
):
    """The drawing equals that of the model run here, whose flows depend on the colours."""
    options = [*tiny_options, *ALIGNED, "MODEL.FPN.ALIGNMENT.ZERO_INIT", "False"]
    options += ["INPUT.FORMAT", image_format]
    output = tmp_path / "flow.png"
    assert run("visualize_flow", output, options) == 0
    cfg = load_cfg(CONFIG, [*options, "MODEL.WEIGHTS", ""])
    torch.manual_seed(3)
    model = build_model(cfg).eval()
    image = read_image_rgb(tmp_path / "a.png")
    resize = ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
    image = resize.get_transform(image).apply_image(image)
    height, width = (side // 32 * 32 for side in image.shape[:2])
    image = np.ascontiguousarray(image[:height, :width])
    pixels = {"RGB": image, "BGR": image[:, :, ::-1]}[image_format].copy()
    with torch.no_grad(), record_flows(model) as flows:
        model.backbone(
            model.preprocess_image([{"image": torch.from_numpy(pixels).permute(2, 0, 1)}]).tensor
        )
    expected = flow_panel(image, {flow.name: flow.flow_px[0].numpy() for flow in flows})
    difference = np.abs(read_image_rgb(output).astype(int) - expected)
    assert (difference > 3).mean() < 0.01


def test_an_image_too_narrow_for_the_coarsest_map(run, tiny_options, tmp_path, capsys):
    options = [*tiny_options, *ALIGNED, "INPUT.MIN_SIZE_TEST", 20]
    assert run("visualize_flow", tmp_path / "f.png", options) == 2
    assert "32 are needed on each side" in capsys.readouterr().err


def test_flows_of_a_model_without_any(run, tiny_options, tmp_path, capsys):
    assert run("visualize_flow", tmp_path / "flow.png", tiny_options) == 2
    assert "no feature alignment" in capsys.readouterr().err


def test_flows_need_weights_that_fill_the_model(run, tiny_options, tmp_path, capsys):
    options = [*tiny_options, *ALIGNED]
    assert run("visualize_flow", tmp_path / "f.png", options, options_of_weights=tiny_options) == 2
    assert "weights do not fill the model" in capsys.readouterr().err
    assert not (tmp_path / "f.png").exists()


def test_points(run, tiny_options, tmp_path, capsys):
    words = ("--confidence", "0", "--object", "1")
    assert run("visualize_points", tmp_path / "points", tiny_options, *words) == 0
    assert "Object 1: " in capsys.readouterr().out
    with Image.open(tmp_path / "points" / "steps.gif") as animation:
        assert animation.n_frames == 1 + 3 * 5
    assert np.std(read_image_rgb(tmp_path / "points" / "steps.png")) > 10
    assert run("visualize_points", tmp_path, tiny_options, "--class", "ster") == 2
    assert "knows no class ['ster']" in capsys.readouterr().err
