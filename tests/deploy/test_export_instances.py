"""A whole instance model as ONNX: the shipped detector of the toy data with a random mask head."""

import json

import numpy as np
import onnx
import pytest
import torch
from detectron2.modeling import build_model

from pointrend_ext.data.toy.layout import sample_scene
from pointrend_ext.data.toy.render import render_image
from pointrend_ext.deploy.checks import CheckImages, compare_instances
from pointrend_ext.deploy.export import export_onnx
from pointrend_ext.deploy.graphs import InstanceGraph
from pointrend_ext.deploy.recording import record_program, to_onnx
from pointrend_ext.deploy.running import OnnxRunner, Runner
from pointrend_ext.deploy.runtime import OnnxPredictor, Prediction
from pointrend_ext.deploy.runtime.postprocess import with_instances
from pointrend_ext.deploy.runtime.sessions import RUNTIMES
from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.modeling.roi_heads.mask_score import MASK_SCORES
from tests.tiny_models import TINY


@pytest.fixture(scope="module")
def exported(detector, tmp_path_factory):
    built = detector()
    path = tmp_path_factory.mktemp("instances") / "model.onnx"
    return path, export_onnx(built.model, built.cfg, path)


@pytest.mark.slow
def test_the_file(exported):
    path, report = exported
    figures = report.by_name()
    assert figures["detections of the model"] > 50
    assert figures["share of detections without a partner"] == 0
    # of all classes together this model finds no hundred boxes that do not overlap too much
    (name,) = (name for name in figures if name.endswith("objects: cells compared"))
    numbers = [int(number) for number in name.split(" objects")[0].split(", ")]
    assert numbers[:3] == [0, 1, 22]
    assert 22 < numbers[3] <= 100
    assert figures[name] == sum(numbers) * 224 * 224
    proto = onnx.load(path)
    shapes = {
        x.name: [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim]
        for x in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes == {
        "image": [3, "H", "W"],
        "boxes": ["R", 4],
        "scores": ["R"],
        "classes": ["R"],
        "masks": ["R", 1, 224, 224],
    }
    assert {node.domain for node in proto.graph.node} == {""}
    assert json.loads(proto.metadata_props[0].value)["task"] == "instances"


@pytest.mark.slow
def test_an_empty_picture_and_a_tiny_one(exported):
    run = OnnxRunner(onnx.load(exported[0]))
    for height, width in ((300, 200), (1, 1), (7, 500)):
        boxes, scores, classes, masks = run(np.zeros((3, height, width), dtype=np.float32))
        assert len(boxes) == len(scores) == len(classes) == len(masks) <= 20
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] <= (width, height)).all()


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_the_runtime_predicts_what_the_predictor_does(exported, detector, runtime):
    pytest.importorskip(RUNTIMES[runtime])
    built, differing, pixels = detector(), 0, 0
    ours = OnnxPredictor(exported[0], runtime=runtime, confidence=None)
    images = [x.transpose(1, 2, 0)[..., ::-1] for x in CheckImages.of(built.cfg, [])]
    for image in images:
        image = np.ascontiguousarray(image).astype(np.uint8)
        found, expected = ours(image), Predictor(built.model, built.cfg)(image)
        assert len(expected.boxes) > 5
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=1e-3)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(found.classes, expected.classes)
        differing += np.count_nonzero(np.asarray(found.masks) != np.asarray(expected.masks))
        pixels += np.asarray(expected.masks).size
    assert differing <= 5e-6 * pixels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "opts"),
    [
        ("pointrend_mask_head_toy", ["MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", True]),
        ("pointrend_mask_head_toy", ["MODEL.MASK_POINT_HEAD.IN_FEATURES", ("p2", "p3")]),
        ("pointrend_mask_head_toy", ["MODEL.MASK_POINT_HEAD.COARSE_PRED_EACH_LAYER", False]),
        ("mask_rcnn_mask_head_toy", []),
    ],
)
def test_every_kind_of_mask_head(detector, name, opts, tmp_path):
    built = detector(name, *opts)
    assert export_onnx(built.model, built.cfg, tmp_path / "model.onnx").holds


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "pointrend_rcnn_R_101_FPN_3x_coco",
        "pointrend_rcnn_X_101_32x8d_FPN_3x_coco",
        "pointrend_cascade_rcnn_R_50_FPN_3x_coco",
        "pointrend_rcnn_R_50_FAM_FPN_1x_coco",
    ],
)
def test_every_backbone_and_cascade(name):
    """Of random weights, whose detections tie; masks are compared for the boxes of the file."""
    opts = [*TINY, "MODEL.WEIGHTS", ""]
    cfg = load_cfg(f"COCO-InstanceSegmentation/{name}.yaml", opts)
    torch.manual_seed(3)
    model = build_model(cfg).eval()
    for block in (x for x in model.modules() if hasattr(x, "conv3")):  # else features explode
        block.conv3.norm.weight.fill_(0.3)
    graph = InstanceGraph(model, mask_side=224)
    run = OnnxRunner(to_onnx(record_program(graph), graph, 18))
    figures = compare_instances(run, model=model, images=CheckImages.of(cfg, []))
    found = {x.name: x for x in figures}
    assert found["cells compared"].value > 10 * 224 * 224
    assert [x.name for x in figures if "cells" in x.name and not x.holds] == []
    assert [x.name for x in figures if "probabilities" in x.name and not x.holds] == []


@torch.no_grad()
def test_a_mask_score_decides_as_in_the_predictor(detector):
    """An object goes whose score is below the confidence once its mask has lowered it."""
    opts = ["MODEL.ROI_MASK_HEAD.MASK_SCORE", "maskness", "MODEL.ROI_HEADS.SCORE_THRESH_TEST"]
    low, high = (detector("pointrend_mask_head_toy", *opts, score) for score in (0.05, 0.63))
    graph = InstanceGraph(low.model, mask_side=224, mask_score=MASK_SCORES["maskness"]).eval()
    image = render_image(sample_scene("val", 0))
    pixels = torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).astype(np.float32))
    raw = {name: x.numpy() for name, x in zip(graph.outputs, graph(pixels), strict=True)}
    found = with_instances(Prediction(image, "", Classes()), raw, image.shape[:2], 0.63)
    (expected,) = high.model.inference([{"image": pixels}], do_postprocess=False)
    scores = expected.scores.sort(descending=True).values.numpy()
    assert 0 < (scores > 0.63).sum() < len(scores)
    np.testing.assert_allclose(found.scores, scores[scores > 0.63], rtol=0, atol=1e-5)


class Spoiled(Runner):
    """Returns what the model finds, changed."""

    def __init__(self, model, spoil):
        self.model, self.spoil = model, spoil

    def with_choices(self, *arrays):
        raise NotImplementedError

    @torch.no_grad()
    def __call__(self, image):
        inputs = [{"image": torch.from_numpy(image)}]
        (found,) = self.model.inference(inputs, do_postprocess=False)
        parts = found.pred_boxes.tensor, found.scores, found.pred_classes, found.pred_masks
        return self.spoil(*(x.numpy() for x in parts))


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lambda *parts: parts, ""),
        (lambda *parts: [x[::-1].copy() for x in parts], ""),  # another order of the same
        (lambda *parts: [x[1:] for x in parts], "without a partner"),
        (lambda boxes, *rest: (boxes + np.float32(0.005), *rest), "boxes (pixels)"),
        (lambda boxes, scores, *rest: (boxes, scores * 0.999, *rest), "scores"),
        (lambda boxes, scores, classes, m: (boxes, scores, (classes + 1) % 5, m), "partner"),
        (lambda boxes, scores, c, masks: (boxes, scores, c, 1 - masks), "other side of 0.5"),
    ],
)
def test_the_check_can_fail(detector, spoil, wrong):
    built = detector()
    images = list(CheckImages.of(built.cfg, []))[1:3]
    figures = compare_instances(Spoiled(built.model, spoil), model=built.model, images=images)
    names = [figure.name for figure in figures if not figure.holds]
    assert bool(names) == bool(wrong)
    assert not wrong or any(wrong in name for name in names)


def test_pictures_without_objects_check_nothing(detector):
    built = detector("pointrend_mask_head_toy", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.999999)
    run = Spoiled(built.model, lambda *parts: parts)
    images = [np.zeros((3, 70, 80), dtype=np.float32)]
    with pytest.raises(ValueError, match=r"finds no object in the pictures of the check"):
        compare_instances(run, model=built.model, images=images)
