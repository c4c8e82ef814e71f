"""What is refused although names fit, what is said of the configuration, class names in a file."""

import re

import pytest
import torch
from torch import nn

from pointrend_ext.checkpoint import (
    INSTANCE,
    SEMANTIC,
    IncompleteWeightsError,
    PointRendCheckpointer,
    WeightsFileError,
)
from pointrend_ext.checkpoint.class_names import names_by_kind
from pointrend_ext.checkpoint.name_tables import FORMATS
from pointrend_ext.checkpoint.requirements import compare_input
from pointrend_ext.checkpoint.weights_format import TORCHVISION_INPUT
from pointrend_ext.engine import load_cfg

STEM = "backbone.bottom_up.stem.conv1.weight"


# ---- nothing fits, or another network


@pytest.mark.parametrize("training", [True, False])
def test_nothing_that_fits_is_an_error_whatever_may_be_missing(
    make_model, files, load, call_tool, training
):
    model = make_model("mask_rcnn")
    path = files.pth({"state_dict": {f"blocks.{i}.w": torch.ones(2) for i in range(9)}})
    text = r"No tensor of the file fits .*9 tensors, blocks.0.w, blocks.1.w, .*blocks.4.w, \.\.\."
    with pytest.raises(IncompleteWeightsError, match=text):
        load(model, path, training=training, allow_missing=True)
    target = files.folder / "new.pth"
    arguments = ["--allow-missing", "--config-file", "Toy/mask_rcnn_toy.yaml", path, target]
    assert call_tool("convert_checkpoint", *arguments) == 2
    assert not target.exists()


@pytest.mark.parametrize(
    "extra",
    [
        "backbone.bottom_up.res2.0.se.fc1.weight",  # a SE-ResNet
        "backbone.bottom_up.res4.22.conv1.weight",  # a ResNet-101
        "backbone.bottom_up.stem.conv2.weight",  # a deep stem
        "backbone.bottom_up.res3.0.conv2_offset.weight",  # deformable convolutions
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_a_backbone_with_more_in_it_is_another_network(make_model, files, load, extra, training):
    state = make_model("mask_rcnn", seed=2).state_dict()
    path = files.pth({**state, extra: torch.ones(3)})
    text = rf"backbone is another network.*: 1 tensors, {re.escape(extra)}\. "
    with pytest.raises(IncompleteWeightsError, match=text):
        load(make_model("mask_rcnn"), path, training=training)
    load(make_model("mask_rcnn"), path, training=training, allow_missing=True)


def test_a_se_resnet_of_imagenet_is_another_network(make_model, files, load):
    state = make_model("mask_rcnn", seed=2).state_dict()
    prefix = "backbone.bottom_up."
    bare = {n[len(prefix) :]: v for n, v in state.items() if n.startswith(prefix)}
    bare["res2.0.se_module.fc1.weight"] = torch.ones(3)
    with pytest.raises(IncompleteWeightsError, match="another network"):
        load(make_model("mask_rcnn"), files.pth(bare), training=True)


def test_stages_that_the_model_does_not_have_are_no_fault(make_model, files, load):
    state = make_model("mask_rcnn", seed=2).state_dict()
    state["backbone.bottom_up.res6.0.conv1.weight"] = torch.ones(3)
    state["backbone.fpn_lateral6.weight"] = torch.ones(3)
    report = load(make_model("mask_rcnn"), files.pth(state), training=True)
    assert len(report.names("unexpected")) == 2


def test_what_the_file_has_instead_is_said(make_model, files, load):
    state = make_model("mask_rcnn", seed=2).state_dict()
    mask = {n: v for n, v in state.items() if "mask_head" in n}
    state = {n: v for n, v in state.items() if n not in mask}
    state |= {n.replace("mask_head", "mask_foo"): v for n, v in mask.items()}
    text = r"with \d+ tensors of other names, roi_heads.mask_foo.*"
    with pytest.raises(IncompleteWeightsError, match=text):
        load(make_model("mask_rcnn"), files.pth(state))


# ---- numbers


@pytest.mark.parametrize(
    ("value", "ours", "is_sound"),
    [
        (1e300, torch.float32, False),
        (3.5e38, torch.float32, False),
        (3.4e38, torch.float32, True),
        (-1e39, torch.float32, False),
        (7e4, torch.float16, False),
        (6e4, torch.float16, True),
        (1e300, torch.float64, True),
        (1.7e308, torch.float64, True),  # two of them have no finite sum
    ],
)
def test_numbers_that_become_infinite_are_refused(files, load, value, ours, is_sound):
    model = nn.Linear(2, 1).to(ours)
    weight = torch.tensor([[value, value]], dtype=torch.float64)
    path = files.pth({"weight": weight, "bias": torch.zeros(1)})
    if is_sound:
        load(model, path)
        assert model.weight.tolist() == weight.to(ours).tolist()
        return
    with pytest.raises(WeightsFileError, match="1 tensors hold values too large for the model's"):
        load(model, path)


# ---- the configuration


def test_notes_name_only_what_differs():
    toy = "Toy/pointrend_rcnn_toy.yaml"
    same = [part for key, value in TORCHVISION_INPUT.items() for part in (key, value)]
    assert compare_input(TORCHVISION_INPUT, load_cfg(toy, [*same, "MODEL.RESNETS.DEPTH", 50])) == []
    assert compare_input({}, load_cfg(toy)) == []
    changed = [*same, "MODEL.PIXEL_STD", [1.0, 1.0, 1.0], "INPUT.FORMAT", "BGR"]
    (note,) = compare_input(TORCHVISION_INPUT, load_cfg(toy, changed))
    assert note == (
        'These weights expect INPUT.FORMAT RGB, MODEL.PIXEL_STD "[58.395, 57.12, 57.375]", and the '
        "configuration has BGR, [1.0, 1.0, 1.0]. Add: INPUT.FORMAT RGB MODEL.PIXEL_STD "
        '"[58.395, 57.12, 57.375]"'
    )


def test_the_place_of_a_stride_counts_where_there_is_one():
    toy, key = "Toy/pointrend_rcnn_toy.yaml", "MODEL.RESNETS.STRIDE_IN_1X1"
    for depth, says in ((50, True), (18, False)):
        cfg = load_cfg(toy, [key, True, "MODEL.RESNETS.DEPTH", depth])
        assert bool(compare_input({key: False}, cfg)) is says


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("SFNet", "sfnet_R_18"),
        ("SFNet", "sfnet_R_50"),
        ("SFNet-Lite", "sfnet_lite_R_18"),
        ("AlignSeg", "alignseg_R_50"),
    ],
)
def test_the_shipped_configuration_of_a_decoder_differs_in_what_the_page_says(name, config):
    (expects,) = (known.expects for known in FORMATS if known.name == name)
    cfg = load_cfg(f"Cityscapes-SemanticSegmentation/{config}_cityscapes.yaml")
    (note,) = compare_input(expects, cfg)
    command = note.partition(" Add: ")[2]
    grid = name.partition("-")[0].lower()
    assert f"MODEL.SEM_SEG_HEAD.ALIGNMENT_COORDS {grid}" in command
    assert "BACKBONE.NAME" not in command
    assert "META_ARCHITECTURE" not in command
    assert ("INPUT.FORMAT" in command) is (name == "AlignSeg")
    assert "STRIDE_IN_1X1" not in command


def test_the_loader_looks_at_the_configuration(make_model, files, load, caplog):
    state = {
        n.removeprefix("backbone.bottom_up."): v
        for n, v in make_model("mask_rcnn", seed=2).state_dict().items()
        if n.startswith("backbone.bottom_up.")
    }
    data = {"model": state, "__author__": "torchvision", "matching_heuristics": True}
    cfg = load_cfg("Toy/pointrend_rcnn_toy.yaml", ["INPUT.FORMAT", "BGR"])
    load(make_model("mask_rcnn"), files.pth(data), training=True, cfg=cfg)
    assert "Add: INPUT.FORMAT RGB" in caplog.text
    caplog.clear()
    same = [part for key, value in TORCHVISION_INPUT.items() for part in (key, value)]
    cfg = load_cfg("Toy/pointrend_rcnn_toy.yaml", same)
    load(make_model("mask_rcnn"), files.pth(data), training=True, cfg=cfg)
    assert "expect" not in caplog.text


# ---- class names

HEADS = {
    "roi_heads.box_predictor.cls_score.weight": torch.zeros(4, 1),
    "sem_seg_head.predictor.weight": torch.zeros(2, 1),
}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (["a", "b", "c"], {INSTANCE: ["a", "b", "c"]}),
        (("a", "b", "c"), {INSTANCE: ["a", "b", "c"]}),
        ({0: "a", 1: "b", 2: "c"}, {INSTANCE: ["a", "b", "c"]}),
        (["x", "y"], {SEMANTIC: ["x", "y"]}),
        ({INSTANCE: ["a"], SEMANTIC: ("x", "y")}, {INSTANCE: ["a"], SEMANTIC: ["x", "y"]}),
        (["a"], {}),
        ([1, 2, 3], {}),
        ("abc", {}),
        (7, {}),
        ({INSTANCE: 3}, {}),
        ({1: "a", 2: "b", 3: "c"}, {}),
        ({"a": 0}, {}),
        (None, {}),
    ],
)
def test_class_names_in_a_file(caplog, stored, expected):
    assert names_by_kind(stored, HEADS) == expected
    assert bool(caplog.text) is (not expected and stored is not None)


def test_a_list_of_names_is_mapped(make_model, files, load):
    state = make_model("point_rend", seed=3).state_dict()
    path = files.pth({"model": state, "class_names": ["ant", "bee", "cat", "dog"]})
    model = make_model("point_rend", 2)
    load(model, path, map_classes=True, class_names={INSTANCE: ["dog", "ant"]})
    name = "roi_heads.mask_head.point_head.predictor.bias"
    assert torch.equal(model.state_dict()[name], state[name][[3, 0]])


@pytest.mark.parametrize("map_classes", [True, False])
def test_names_that_differ_in_case_alone_are_refused(make_model, files, load, map_classes):
    """Taken in their order, "A" would silently become "a"."""
    data = {"model": make_model("point_rend").state_dict(), "class_names": ["A", "b", "a", "c"]}
    model, path = make_model("point_rend"), files.pth(data)
    with pytest.raises(ValueError, match="Classes 'A' and 'a' of the checkpoint have the same"):
        load(model, path, map_classes=map_classes, class_names={INSTANCE: ["a", "b", "A", "c"]})
    load(model, path, class_names={INSTANCE: ["A", "b", "a", "c"]})


# ---- names of any kind, and a training that is resumed


def test_names_in_messages_are_short_and_move_no_cursor(make_model, files, load):
    state = make_model("mask_rcnn", seed=2).state_dict()
    names = ["evil\x1b[2J\nname", "long" * 10_000]
    report = load(make_model("mask_rcnn"), files.pth(state | dict.fromkeys(names, torch.ones(1))))
    assert report.names("unexpected") == names
    lines = report.table().splitlines()
    assert all(line.isprintable() and len(line) < 300 for line in lines)
    assert r"evil\x1b[2J\nname" in report.table()
    with pytest.raises(IncompleteWeightsError, match=r"evil\\x1b\[2J\\nname, longlong") as error:
        load(make_model("mask_rcnn"), files.pth(dict.fromkeys(names, torch.ones(1))))
    assert len(str(error.value)) < 600


def test_a_resumed_training_has_its_own_weights(tmp_path):
    options = {"for_training": True, "weights_key": "ema"}
    checkpointer = PointRendCheckpointer(nn.Linear(2, 1), str(tmp_path), **options)
    checkpointer.save("model_1", iteration=1)
    again = PointRendCheckpointer(nn.Linear(2, 1), str(tmp_path), **options)
    assert again.resume_or_load("", resume=True)["iteration"] == 1
    assert torch.equal(again.model.weight, checkpointer.model.weight)
    with pytest.raises(WeightsFileError, match="no weights of a known kind under 'ema'"):
        again.resume_or_load(str(tmp_path / "model_1.pth"), resume=False)
