"""Converted files hold what was loaded, under our names, with class names and configuration."""

import sys
from pathlib import Path

import pytest
import torch
import torchvision
from detectron2.config import CfgNode

from pointrend_ext.checkpoint import (
    IncompleteWeightsError,
    PointRendCheckpointer,
    convert_weights,
    read_weights_file,
)
from tests.checkpoint.helpers import assert_same, with_old_names

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"instance": ["ant", "bee", "cat", "dog"]}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_old_names_become_new_ones(make_model, files, ending):
    safetensors = pytest.importorskip("safetensors")
    source, again = make_model("point_rend", seed=1).state_dict(), make_model("point_rend")
    path, target = files.zoo(with_old_names(source)), files.folder / f"new{ending}"
    report = convert_weights(
        make_model("point_rend"), path, target, class_names=NAMES, cfg=CfgNode({"VERSION": 2})
    )
    assert not report.new_parts()
    rest = PointRendCheckpointer(again).load(str(target))
    assert rest["class_names"] == NAMES
    assert_same(again.state_dict(), source)
    if ending == ".pth":
        data = torch.load(target, weights_only=True)
        assert data["model"].keys() == source.keys()
    else:
        with safetensors.safe_open(str(target), "pt") as file:
            data = file.metadata()
    assert data["config"] == "VERSION: 2\n"


def test_only_what_was_loaded_is_written(make_model, files):
    state = make_model("mask_rcnn", seed=1).state_dict()
    target = files.folder / "new.pth"
    path = files.pth(state)
    with pytest.raises(IncompleteWeightsError):
        convert_weights(make_model("point_rend"), path, target)
    assert not target.exists()
    convert_weights(make_model("point_rend"), path, target, allow_missing=True)
    written = read_weights_file(target)["model"]
    assert "backbone.fpn_output2.weight" in written
    assert not any(name.startswith("roi_heads.mask_head") for name in written)
    assert_same(written, {name: state[name] for name in written})


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_half_rounds_weights_and_keeps_vectors(make_model, files, ending):
    pytest.importorskip("safetensors")
    state = make_model("point_rend", seed=1).state_dict()
    variance = next(name for name in state if name.endswith("running_var"))
    state[variance] += 1e6  # more than 16 bits hold
    target = files.folder / f"new{ending}"
    convert_weights(make_model("point_rend"), files.pth(state), target, half=True)
    again = make_model("point_rend")
    PointRendCheckpointer(again).load(str(target))
    expected = {n: v.half().float() if v.dim() > 1 else v for n, v in state.items()}
    assert_same(again.state_dict(), expected)
    assert target.stat().st_size < 0.6 * Path(files.pth(state)).stat().st_size


def test_half_refuses_weights_that_it_would_make_infinite(make_model, files):
    state = make_model("point_rend").state_dict()
    state["backbone.fpn_output2.weight"][0, 0, 0, 0] = 7e4
    target = files.folder / "new.pth"
    with pytest.raises(ValueError, match=r"fpn_output2\.weight holds 7e\+04.*without --half"):
        convert_weights(make_model("point_rend"), files.pth(state), target, half=True)
    assert not target.exists()


def test_classes_are_reordered_by_name(make_model, files):
    state = make_model("point_rend", seed=1).state_dict()
    order = [2, 0, 3, 1]
    names = {"instance": [NAMES["instance"][i] for i in order]}
    path, target = files.pth({"model": state, "class_names": NAMES}), files.folder / "new.pth"
    convert_weights(make_model("point_rend"), path, target, class_names=names, map_classes=True)
    data = read_weights_file(target)
    assert data["class_names"] == names
    key = "roi_heads.box_predictor.cls_score.weight"  # the background is the last row
    assert torch.equal(data["model"][key], state[key][[*order, 4]])


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("new.pkl", ValueError, r"new.pkl.: give the name .* endings \.pth, \.safetensors"),
        ("no/new.pth", FileNotFoundError, "No such file .*no/new.pth"),
        ("weights.pth", ValueError, "another file than the source"),
    ],
)
def test_targets_that_cannot_be_written(make_model, files, target, error, message):
    path = files.pth(make_model("point_rend").state_dict())
    before = Path(path).read_bytes()
    with pytest.raises(error, match=message):
        convert_weights(make_model("point_rend"), path, files.folder / target)
    assert Path(path).read_bytes() == before


def test_without_safetensors_it_is_said_first(make_model, files, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ModuleNotFoundError, match="safetensors"):
        convert_weights(make_model("point_rend"), "", files.folder / "new.safetensors")


def test_the_tool_prints_the_report(tmp_path, capsys, call_tool):
    """Also: a backbone alone is written without the heads that stayed random."""
    config = tmp_path / "tiny.yaml"
    config.write_text(
        f'_BASE_: "{ROOT}/configs/Toy/pointrend_rcnn_toy.yaml"\n'
        "MODEL:\n  RESNETS:\n    DEPTH: 18\n    STEM_OUT_CHANNELS: 64\n    RES2_OUT_CHANNELS: 64\n"
    )
    source = tmp_path / "backbone.pth"
    state = torchvision.models.resnet18().state_dict()
    torch.save(state, source)
    target = str(tmp_path / "new.pth")
    arguments = ["--allow-missing", "--config-file", str(config), str(source), target]
    arguments += ["DATASETS.TRAIN", "('coco_2017_train',)", "MODEL.ROI_HEADS.NUM_CLASSES", "80"]
    call_tool("convert_checkpoint", *arguments)
    printed = capsys.readouterr().out
    assert "torchvision ResNet" in printed
    assert f"Written to {target}" in printed
    data = torch.load(target, weights_only=True)
    assert all(name.startswith("backbone.bottom_up.") for name in data["model"])
    stem = data["model"]["backbone.bottom_up.stem.conv1.weight"]
    assert torch.equal(stem, state["conv1.weight"])
    assert data["class_names"]["instance"][:2] == ["person", "bicycle"]
    assert "DEPTH: 18" in data["config"]
