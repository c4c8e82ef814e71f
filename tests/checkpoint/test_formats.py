"""Weights of every known format, written by their own code where that is installed."""

import pickle
import re

import numpy as np
import pytest
import torch
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from detectron2.config import get_cfg
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from detectron2.modeling import build_model

from pointrend_ext.checkpoint import WeightsFileError, to_detectron2_names
from pointrend_ext.model_zoo import get_config_file
from tests.checkpoint.helpers import assert_same, with_old_names


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["point_rend", "semantic_point_rend"])
@pytest.mark.parametrize("container", ["zoo", "pth"])
def test_upstream_weights_fill_the_model(make_model, files, load, kind, container):
    upstream, model = make_model(kind, upstream=True).state_dict(), make_model(kind)
    report = load(
        model, files.zoo(upstream) if container == "zoo" else files.pth({"model": upstream})
    )
    assert_same(model.state_dict(), upstream)
    assert report.format == "PointRend"
    assert report.names("loaded") == [entry.name for entry in report.entries] == list(upstream)


@pytest.mark.parity
def test_legacy_names_fill_the_model(make_model, files, load, caplog):
    upstream = make_model("point_rend", upstream=True).state_dict()
    old = with_old_names(upstream)
    old["proposal_generator.anchor_generator.cell_anchors.0"] = torch.zeros(3, 4)
    old["pixel_mean"] = torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1)
    assert sum("mask_point_head" in name or "mask_coarse_head" in name for name in old) == 16
    assert "roi_heads.mask_coarse_head.coarse_mask_fc1.weight" in old
    model = make_model("point_rend")
    report = load(model, files.zoo(old))
    assert_same(model.state_dict(), upstream)
    assert report.format.startswith("PointRend, with the names of before November 2020")
    ignored = ["proposal_generator.anchor_generator.cell_anchors.0", "pixel_mean"]
    assert report.names("ignored") == ignored
    assert "PIXEL_MEAN" not in caplog.text


@pytest.mark.parametrize("theirs", [[58.0, 57.0, 57.0], [58.0, 57.0, 57.0, 1.0]])
def test_other_pixel_statistics_are_reported(make_model, files, load, caplog, theirs):
    model = make_model("point_rend")
    load(model, files.pth({**model.state_dict(), "pixel_std": torch.tensor(theirs)}))
    assert f"trained with MODEL.PIXEL_STD {theirs}" in caplog.text


def test_semantic_head_is_wrapped_and_unwrapped(make_model, files, load):
    plain, wrapped = make_model("semantic_fpn", seed=3), make_model("semantic_point_rend")
    report = load(wrapped, files.pth(plain.state_dict()), training=True)
    assert report.new_parts() == ["semantic point head"]
    assert_same(
        wrapped.sem_seg_head.coarse_sem_seg_head.state_dict(), plain.sem_seg_head.state_dict()
    )
    again = make_model("semantic_fpn")
    load(again, files.pth(wrapped.state_dict()))
    assert_same(again.state_dict(), plain.state_dict())


# ---- backbones

C2_KINDS = {"weight": "bn_s", "bias": "bn_b"}


def caffe2_name(name):
    """MSRA's name of a Detectron2 ResNet's parameter, or None."""
    name = name.removeprefix("backbone.bottom_up.")
    if "running" in name or not re.match(r"(stem|res\d)\.", name):
        return None
    name = name.replace("stem.conv1.norm", "res_conv1.norm").replace("stem.", "")
    for i, letter in ((1, "a"), (2, "b"), (3, "c")):
        name = re.sub(rf"^(res\d\.\d+)\.conv{i}", rf"\1.branch2{letter}", name)
    name = name.replace(".shortcut", ".branch1")
    name = re.sub(r"\.norm\.(weight|bias)$", lambda m: "." + C2_KINDS[m[1]], name)
    return re.sub(r"\.weight$", ".w", name).replace(".", "_")


def test_caffe2_backbone(make_model, files, load):
    model, source = make_model("point_rend"), make_model("point_rend", seed=5)
    for name, value in source.state_dict().items():
        if ".norm.weight" in name or ".norm.bias" in name:
            value.normal_()
    of_source, path = source.state_dict(), files.folder / "R-50.pkl"
    arrays = {caffe2_name(k): v.numpy() for k, v in of_source.items() if caffe2_name(k)}
    assert {"conv1_w", "res_conv1_bn_s", "res2_0_branch2a_w", "res2_0_branch1_bn_b"} <= set(arrays)
    old = {name: torch.from_numpy(array) for name, array in arrays.items()}
    expected = align_and_update_state_dicts(model.state_dict(), old)
    arrays |= {"fc1000_w": np.zeros((9, 9), "f4"), "conv1_w_momentum": np.zeros(3, "f4")}
    path.write_bytes(pickle.dumps({"blobs": arrays, "cfg": "yaml"}, protocol=2))
    report = load(model, str(path), training=True)
    assert report.format == "Caffe2 (Detectron or MSRA)"
    assert sorted(report.names("ignored")) == ["conv1_w_momentum", "fc1000_w"]
    assert report.new_parts() == ["FPN", "RPN", "box head", "mask head"]
    got = model.state_dict()
    checked = [name for name in expected if name in got]
    assert len(checked) == len(old)
    for state in (expected, of_source):
        assert_same({name: got[name] for name in checked}, {name: state[name] for name in checked})
    running_var = got["backbone.bottom_up.res3.1.conv2.norm.running_var"]
    assert running_var.unique().tolist() == [1]


def test_caffe2_detection_heads_are_reordered():
    """Background first in Detectron, last for scores and absent for boxes in Detectron2."""
    weights, expected = {"conv1_w": torch.zeros(1)}, {}
    for old, new, size, rows in (
        ("cls_score", "roi_heads.box_predictor.cls_score", 3, [1, 2, 0]),
        ("bbox_pred", "roi_heads.box_predictor.bbox_pred", 12, [*range(4, 12)]),
        ("mask_fcn_logits", "roi_heads.mask_head.predictor", 3, [1, 2]),
        ("conv_rpn_fpn2", "proposal_generator.rpn_head.conv", 5, [*range(5)]),
        ("fpn_inner_res4_5_sum_lateral", "backbone.fpn_lateral4", 6, [*range(6)]),
    ):
        weights[f"{old}_w"] = torch.arange(size)[:, None]
        expected[f"{new}.weight"] = torch.tensor(rows)[:, None]
    got = to_detectron2_names(weights, expected).state_dict
    assert_same({name: got[name] for name in expected}, expected)


def test_names_that_fit_twice_are_refused():
    with pytest.raises(WeightsFileError, match=r"res2.x of the file fits both a.res2.x and b"):
        to_detectron2_names({"res2.x": torch.zeros(1)}, ["a.res2.x", "b.res2.x"])


@pytest.fixture(scope="module")
def torchvision_detector():
    """The names and shapes of torchvision's model, with values for the predictors."""
    detection = pytest.importorskip("torchvision.models.detection")
    with torch.device("meta"):
        model = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    state = model.state_dict()
    return {k: torch.randn(v.shape) if "predictor" in k else v for k, v in state.items()}


@pytest.fixture(scope="module")
def detectron2_names():
    """Name -> shape of a Mask R-CNN of full size."""
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("Base-RCNN-FPN.yaml"))
    cfg.merge_from_list(["MODEL.DEVICE", "meta", "MODEL.MASK_ON", True])
    with torch.device("meta"):
        return {name: value.shape for name, value in build_model(cfg).state_dict().items()}


def test_torchvision_mask_rcnn(torchvision_detector, detectron2_names):
    got = to_detectron2_names(torchvision_detector, detectron2_names)
    assert got.format == "torchvision Mask R-CNN or Faster R-CNN"
    state = {k: v for k, v in got.state_dict.items() if not k.endswith("num_batches_tracked")}
    assert {name: value.shape for name, value in state.items()} == detectron2_names
    ids = [c["id"] for c in COCO_CATEGORIES if c["isthing"]]
    box = "roi_heads.box_predictor."
    for kind in ("weight", "bias"):
        new, old = (s[f"{box}cls_score.{kind}"] for s in (state, torchvision_detector))
        assert_same(new, old[[*ids, 0]])
        new, old = (s[f"{box}bbox_pred.{kind}"] for s in (state, torchvision_detector))
        assert_same(new, old.unflatten(0, (91, 4))[ids].flatten(0, 1))
    pairs = {
        "backbone.fpn.inner_blocks.1.0.weight": "backbone.fpn_lateral3.weight",
        "backbone.fpn.layer_blocks.3.0.bias": "backbone.fpn_output5.bias",
        "roi_heads.mask_head.2.0.weight": "roi_heads.mask_head.mask_fcn3.weight",
        "roi_heads.box_head.fc7.bias": "roi_heads.box_head.fc2.bias",
        "backbone.body.layer2.0.downsample.0.weight": "backbone.bottom_up.res3.0.shortcut.weight",
        "backbone.body.layer4.2.bn3.bias": "backbone.bottom_up.res5.2.conv3.norm.bias",
        "backbone.body.bn1.running_var": "backbone.bottom_up.stem.conv1.norm.running_var",
    }
    for old, new in pairs.items():
        assert state[new] is torchvision_detector[old]


def test_torchvision_resnet(torchvision_detector, detectron2_names):
    resnet = {
        name.removeprefix("backbone.body."): value
        for name, value in torchvision_detector.items()
        if name.startswith("backbone.body.")
    } | {"fc.weight": torch.zeros(1000, 2048)}
    got = to_detectron2_names(resnet, detectron2_names)
    assert got.format == "torchvision ResNet"
    assert got.ignored == ("fc.weight",)
    assert got.expects["INPUT.FORMAT"] == "RGB"
    state = {k: v for k, v in got.state_dict.items() if not k.endswith("num_batches_tracked")}
    body = {k: v for k, v in detectron2_names.items() if k.startswith("backbone.bottom_up.")}
    assert {name: value.shape for name, value in state.items()} == body
    assert state["backbone.bottom_up.res4.5.conv2.weight"] is resnet["layer3.5.conv2.weight"]


@pytest.mark.parametrize("flag", ["file", "query", None])
def test_matching_heuristics_complete_names(make_model, files, load, flag):
    """Names of a plain state dict are the ends of the model's only if the file or path says so."""
    model, source = make_model("point_rend"), make_model("point_rend", seed=5)
    state = {k.removeprefix("backbone."): v for k, v in source.state_dict().items()}
    data = {"model": state, **({"matching_heuristics": True} if flag == "file" else {})}
    path = files.pth(data) + ("?matching_heuristics=True" if flag == "query" else "")
    if flag is None:
        with pytest.raises(ValueError, match=r"do not fill.*backbone.fpn_lateral2.weight"):
            load(model, path)
        return
    load(model, path)
    assert_same(model.state_dict(), source.state_dict())
