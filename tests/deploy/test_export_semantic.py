"""A semantic model as ONNX: its numbers at other sizes, its names, its check, its metadata."""

import copy
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from detectron2.modeling import SemanticSegmentor, build_model

from pointrend_ext.deploy.checks import CheckImages, compare_semantic
from pointrend_ext.deploy.checks.replay import Replay
from pointrend_ext.deploy.export import export_onnx, export_program
from pointrend_ext.deploy.graphs import SemanticGraph, semantic
from pointrend_ext.deploy.recording import record_program
from pointrend_ext.deploy.running import OnnxRunner, ProgramRunner
from pointrend_ext.deploy.runtime import OnnxPredictor
from pointrend_ext.deploy.runtime.sessions import RUNTIMES
from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.classes import Classes
from pointrend_ext.layers import class_uncertainty
from pointrend_ext.modeling.sem_seg import label_map
from tests.tiny_models import TINY

SMALL_HW = ((65, 80), (97, 131))
CERTAINTY = "certainty of corrected points beyond that of others (logits)"
CLASSES = Classes(stuff=tuple("abcdefghij"), stuff_colors=((1, 2, 3),) * 10)


@pytest.fixture(scope="module")
def built(predictors):
    predictor = predictors("semantic", "OUTPUT_DIR", "own")  # not the one of other tests
    head = predictor.model.sem_seg_head
    with torch.no_grad():  # random features are large, and so would be their logits
        head.coarse_sem_seg_head.predictor.weight.mul_(1e-4)
        head.point_head.predictor.weight.mul_(1e-4)
    return predictor


@pytest.fixture(scope="module")
def exported(built, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "new" / "model.onnx"
    report = export_onnx(built.model, built.cfg, path, output="logits", classes=CLASSES)
    return path, report


def test_the_report_holds_and_is_in_the_file(exported, built):
    path, report = exported
    assert report.holds
    assert report.megabytes == path.stat().st_size / 1e6
    proto = onnx.load(path)
    (entry,) = proto.metadata_props
    assert entry.key == "pointrend_ext"
    told = json.loads(entry.value)
    assert told["check"] == report.by_name()
    assert told["check"]["pixels compared"] == 65 * 80 + 97 * 131 + 320 * 223 + 191 * 403 + 96 * 128
    assert (told["format"], told["task"], told["output"]) == (1, "semantic", "logits")
    rule = {"min_size": 96, "max_size": 160, "format": "BGR", "divisibility": 32, "batch_size": 1}
    assert told["input"].items() >= rule.items()
    assert (told["classes"], told["class_ids"]) == (list("abcdefghij"), None)
    assert told["colors"] == [[1, 2, 3]] * 10
    assert {"torch", "onnx", "onnxruntime", "pointrend_ext"} <= told["versions"].keys()
    digest = hashlib.sha256()
    for name, value in sorted(built.model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    assert told["weights_sha256"] == digest.hexdigest()


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_the_runtime_predicts_what_the_predictor_does(exported, built, make_picture, runtime):
    pytest.importorskip(RUNTIMES[runtime])
    predictor = OnnxPredictor(exported[0], runtime=runtime)
    assert predictor.classes == CLASSES
    assert predictor.image_rules == built.image_rules
    images = [make_picture(*size) for size in ((96, 128), (120, 170), (75, 61), (64, 200))]
    found = [x.label_map for x in built(images)]
    assert [len(np.unique(labels)) > 1 for labels in found] == [True] * 4
    differing = [
        np.count_nonzero(x.label_map != labels)
        for x, labels in zip(predictor(images), found, strict=True)
    ]
    assert sum(differing) <= 1e-4 * sum(labels.size for labels in found)  # of swapped points


def test_the_file_has_standard_operators_named_sizes_and_no_paths(exported):
    path, _ = exported
    proto = onnx.load(path)
    assert {node.domain for node in proto.graph.node} == {""}
    assert [(x.domain, x.version) for x in proto.opset_import] == [("", 18)]
    assert not proto.functions
    (image,), (logits,) = proto.graph.input, proto.graph.output
    shapes = [
        [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] for x in (image, logits)
    ]
    assert [image.name, logits.name] == ["image", "logits"]
    assert shapes == [[3, "H", "W"], [10, "H", "W"]]
    raw = path.read_bytes()
    for text in (str(Path.cwd()), sys.prefix, "site-packages", ".py", str(Path.home())):
        assert text.encode() not in raw, text


@torch.no_grad()
def test_logits_and_labels_are_those_of_the_model(exported, built, make_picture):
    path, _ = exported
    run = OnnxRunner(onnx.load(path))
    labels = SemanticGraph(built.model, output="labels", num_classes=10).eval()
    for height, width in ((33, 47), (64, 64), (250, 130)):
        image = make_picture(height, width).transpose(2, 0, 1).astype(np.float32)
        inputs = [{"image": torch.from_numpy(image)}]
        expected = built.model.predict(inputs, "logits")[0]["sem_seg"]
        found = torch.from_numpy(run(image)[0])
        assert found.shape == expected.shape
        is_near = (found - expected).abs().amax(0) < 1e-3 * expected.abs().max()
        assert is_near.float().mean() > 0.999
        own = labels(torch.from_numpy(image))
        assert own.dtype == torch.int64
        assert (own != label_map(expected[None])[0]).sum() <= 2
    assert expected.abs().max() > 1


def test_points_are_not_spent_on_the_padding(exported, built, make_picture):
    """97 columns are padded to 128: with them the file would correct other cells."""
    path, _ = exported
    proto = onnx.load(path)
    assert sum(node.op_type == "TopK" for node in proto.graph.node) == 2 * 2  # each is sorted
    image = make_picture(97, 97).transpose(2, 0, 1).astype(np.float32)
    logits = torch.from_numpy(OnnxRunner(proto)(image)[0])
    with torch.no_grad():
        expected = built.model.predict([{"image": torch.from_numpy(image)}], "logits")
        features = built.model.backbone(
            SemanticGraph(built.model, output="logits", num_classes=10).image_input(
                torch.from_numpy(image)[None]
            )
        )
        everywhere, _ = built.model.sem_seg_head(features)
    off = [
        int(((x - logits).abs().amax(0) > 1e-3 * logits.abs().max()).sum())
        for x in (expected[0]["sem_seg"], everywhere[0, :, :97, :97])
    ]
    assert off[0] <= 5 < 50 < off[1]


@torch.no_grad()
def test_a_segmentor_of_detectron2_corrects_the_padding_and_so_does_its_file(built, make_picture):
    model = copy.copy(built.model)
    model.__class__ = SemanticSegmentor  # it tells its head no sizes
    image = torch.from_numpy(make_picture(97, 97).transpose(2, 0, 1).astype(np.float32))
    (expected,) = model([{"image": image}])
    logits = SemanticGraph(model, output="logits", num_classes=10).eval()(image)
    scale = logits.abs().max()
    torch.testing.assert_close(logits, expected["sem_seg"], rtol=0, atol=float(scale) * 1e-5)
    ours = built.model.predict([{"image": image}], "logits")[0]["sem_seg"]
    assert ((ours - logits).abs().amax(0) > 1e-3 * scale).sum() > 50


class Spoiled(ProgramRunner):
    """Returns the logits of a graph, some of them changed."""

    def __init__(self, graph, spoil):
        self._module, self.spoil = graph, spoil

    def __call__(self, image):
        return [self.spoil(x) for x in super().__call__(image)]


def compared(built, spoil, sizes_hw=SMALL_HW):
    graph = SemanticGraph(built.model, output="logits", num_classes=10).eval()
    images = replace(CheckImages.of(built.cfg, []), sizes_hw=sizes_hw)
    figures = compare_semantic(
        Spoiled(graph, spoil), model=built.model, images=images, output="logits", batch_size=1
    )
    return {figure.name: figure for figure in figures}


def changed_corner(logits):
    logits = logits.copy()
    logits[0, :9, :9] += 100 * np.abs(logits).max()
    return logits


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lambda logits: logits, []),
        (lambda logits: logits + np.abs(logits).max() * 1e-4, ["logits off"]),
        (changed_corner, ["logits off", "labels"]),
        (lambda logits: np.roll(logits, 1, axis=1), ["logits off", "labels"]),
        (lambda logits: logits * np.nan, ["logits off"]),
    ],
)
def test_the_check_can_fail(built, spoil, wrong):
    names = [figure.name for figure in compared(built, spoil).values() if not figure.holds]
    assert len(names) >= len(wrong)
    assert all(any(word in name for name in names) for word in wrong)
    assert bool(names) == bool(wrong)


def test_points_that_are_not_the_most_uncertain_ones_are_seen(built, monkeypatch):
    everywhere = lambda cells, extent_px, side_px: torch.ones(cells, dtype=torch.bool)  # noqa: E731
    monkeypatch.setattr(semantic, "_inside", everywhere)
    found = compared(built, lambda logits: logits)
    assert [name for name, x in found.items() if not x.holds] == [CERTAINTY]


def test_other_points_of_the_same_uncertainty_are_no_mistake(built, monkeypatch):
    """The gap of each pixel changes by less than the tolerance, and so do other ones get chosen."""
    larger_hw = ((320, 223), (191, 403))
    noise = torch.Generator().manual_seed(0)

    def rounded(logits):
        scores = class_uncertainty(logits)
        scale = max(float(logits.abs().max()) / 32, 1.0)
        return scores + scale * 3e-4 * (torch.rand(scores.shape, generator=noise) - 0.5)

    monkeypatch.setattr(semantic, "class_uncertainty", rounded)
    found = compared(built, lambda logits: logits, larger_hw)
    assert [name for name, x in found.items() if not x.holds] == []
    assert 1e-5 < found[CERTAINTY].value < 4e-4


def test_scores_of_a_replay_by_hand():
    replay = Replay([np.array([[3, 0]]), np.array([[1, 2]])])
    scores = [torch.tensor([[[[-1.0, -2.0], [-3.0, -3.5]]]]), torch.tensor([[[[-4.0, -1, -2]]]])]
    got = [replay.scores_of(lambda x: x, x).flatten().tolist() for x in scores[:1]]
    assert (got, replay.slack) == ([[0, -np.inf, -np.inf, 0]], 1.5)  # 1 is surer than 3 is
    replay.scores_of(lambda x: x, scores[1])
    assert replay.slack == 1.5  # the second choice is the right one


def test_a_file_that_predicts_otherwise_is_not_written(built, tmp_path, monkeypatch):
    monkeypatch.setattr(SemanticGraph, "predict", lambda self, image: image[:1].expand(10, -1, -1))
    with pytest.raises(ValueError, match="corrects points 0 times, and the model 2 times"):
        export_onnx(built.model, built.cfg, tmp_path / "model.onnx", output="logits")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_batch_of_a_fixed_number(built, make_picture, tmp_path):
    target = tmp_path / "model.pt2"
    report = export_program(built.model, built.cfg, target, output="labels", batch_size=2)
    assert report.holds
    extra = {"pointrend_ext": ""}
    program = torch.export.load(target, extra_files=extra)
    assert json.loads(extra["pointrend_ext"])["input"]["batch_size"] == 2
    pictures = [make_picture(70, 99, seed).transpose(2, 0, 1) for seed in (1, 2)]
    batch = np.stack(pictures).astype(np.float32)
    labels = torch.from_numpy(ProgramRunner(program)(batch)[0])
    with torch.no_grad():
        for image, found in zip(torch.from_numpy(batch), labels, strict=True):
            logits = built.model.predict([{"image": image}], "logits")[0]["sem_seg"]
            assert (label_map(logits[None])[0] != found).sum() <= 2


def test_what_cannot_be_recorded_is_said(built, monkeypatch):
    graph = SemanticGraph(built.model, output="logits", num_classes=10)
    monkeypatch.setattr(graph, "predict", lambda image: image if image.sum() > 0 else -image)
    with pytest.raises(ValueError, match=r"cannot be recorded by torch\.export: \w+: .*guard"):
        record_program(graph)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "Toy/semantic_fpn_toy.yaml",
        "Toy/pointrend_semantic_FAM_toy.yaml",
        "Toy/sfnet_toy.yaml",
        "Toy/pointrend_alignseg_toy.yaml",
        "Cityscapes-SemanticSegmentation/deeplab_v3_R_103_os8_cityscapes.yaml",
        "Cityscapes-SemanticSegmentation/pointrend_deeplab_v3_plus_R_103_os16_cityscapes.yaml",
        "Cityscapes-SemanticSegmentation/pointrend_sfnet_lite_R_18_cityscapes.yaml",
    ],
)
def test_every_decoder(name, tmp_path):
    opts = [*TINY, "MODEL.SEM_SEG_HEAD.CONVS_DIM", 32, "MODEL.RESNETS.DEPTH", 50]
    cfg = load_cfg(name, [*opts, "MODEL.SEM_SEG_HEAD.ASPP_CHANNELS", 32, "MODEL.WEIGHTS", ""])
    torch.manual_seed(3)
    report = export_onnx(build_model(cfg), cfg, tmp_path / "model.onnx", output="logits")
    assert report.holds
