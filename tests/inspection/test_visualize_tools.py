"""The commands that draw what a model does, on tiny models."""

import numpy as np
import pytest
import torch
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.modeling import build_model

from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.engine import load_cfg
from pointrend_ext.modeling.alignment import record_flows
from pointrend_ext.visualization import flow_panel, write_image
from tests.tiny_models import TINY

CONFIG = "Toy/pointrend_rcnn_toy.yaml"
ALIGNED = [
    *("MODEL.BACKBONE.NAME", "build_resnet_aligned_fpn_backbone"),
    *("MODEL.FPN.ALIGNMENT.NAME", "FAM"),
]


@pytest.fixture
def run(call_tool, tmp_path, make_picture):
    """Run a command on a picture and the weights of a tiny model."""
    write_image(tmp_path / "a.png", make_picture())

    def run(name, output, options, *words, options_of_weights=None):
        cfg = load_cfg(CONFIG, [*(options_of_weights or options), "MODEL.WEIGHTS", ""])
        torch.manual_seed(3)
        torch.save({"model": build_model(cfg).state_dict()}, tmp_path / "model.pth")
        given = ["--config-file", CONFIG, "--input", tmp_path / "a.png", "--output", output]
        return call_tool(name, *given, *words, *options, "MODEL.WEIGHTS", tmp_path / "model.pth")

    return run


@pytest.mark.parametrize("image_format", ["BGR", "RGB"])
def test_flows_are_those_of_the_image_in_the_models_format(run, tmp_path, capsys, image_format):
    """The drawing equals that of the model run here, whose flows depend on the colours."""
    options = [*TINY, *ALIGNED, "MODEL.FPN.ALIGNMENT.ZERO_INIT", "False"]
    options += ["INPUT.FORMAT", image_format]
    output = tmp_path / "new" / "flow.png"
    assert run("visualize_flow", output, options) == 0
    assert capsys.readouterr().out == f"3 flows in {output}\n"
    cfg = load_cfg(CONFIG, [*options, "MODEL.WEIGHTS", ""])
    torch.manual_seed(3)
    model = build_model(cfg).eval()
    image = read_image_rgb(tmp_path / "a.png")
    resize = ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
    image = resize.get_transform(image).apply_image(image)
    height, width = (side // 32 * 32 for side in image.shape[:2])
    image = np.ascontiguousarray(image[:height, :width])
    pixels = {"RGB": image, "BGR": image[:, :, ::-1]}[image_format].copy()
    inputs = [{"image": torch.from_numpy(pixels).permute(2, 0, 1)}]
    with torch.no_grad(), record_flows(model) as flows:
        model.backbone(model.preprocess_image(inputs).tensor)
    expected = flow_panel(image, {flow.name: flow.flow_px[0].numpy() for flow in flows})
    difference = np.abs(read_image_rgb(output).astype(int) - expected)
    assert (difference > 3).mean() < 0.01


@pytest.mark.parametrize(
    ("options", "of_weights", "reason"),
    [
        ([*ALIGNED, "INPUT.MIN_SIZE_TEST", 20], ALIGNED, "32 are needed on each side"),
        ([], [], "no feature alignment"),
        (ALIGNED, [], "weights do not fill the model"),
    ],
)
def test_flows_that_cannot_be_drawn(run, tmp_path, capsys, options, of_weights, reason):
    options, of_weights = [*TINY, *options], [*TINY, *of_weights]
    output = tmp_path / "f.png"
    assert run("visualize_flow", output, options, options_of_weights=of_weights) == 2
    assert reason in capsys.readouterr().err
    assert not output.exists()


def test_points(run, tmp_path, capsys):
    words = ("--confidence", "0", "--object", "1")
    assert run("visualize_points", tmp_path / "points", TINY, *words) == 0
    assert "Object 1: " in capsys.readouterr().out
    assert len(list((tmp_path / "points").iterdir())) == 3
    assert run("visualize_points", tmp_path, TINY, "--class", "ster") == 2
    assert "knows no class ['ster']" in capsys.readouterr().err
