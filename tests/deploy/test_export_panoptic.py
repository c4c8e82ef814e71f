"""A panoptic model as ONNX: both halves, and the segments that the runtime makes of them."""

import json

import numpy as np
import onnx
import pytest
import torch

from pointrend_ext.data.toy.layout import sample_scene
from pointrend_ext.data.toy.render import render_image
from pointrend_ext.deploy.checks import CheckImages
from pointrend_ext.deploy.export import export_onnx, export_program
from pointrend_ext.deploy.graphs import PanopticGraph
from pointrend_ext.deploy.runtime import OnnxPredictor
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.predictor import Predictor

CLASSES = Classes(
    things=tuple("abcdef"),
    stuff=("things", *"wxyz"),
    stuff_colors=((1, 2, 3),) * 5,
    thing_ids=(1, 2, 3, 4, 5, 6),
)


SIZES_HW = ((96, 128), (70, 133), (65, 64))


@pytest.fixture(scope="module")
def built(detector):
    return detector("pointrend_panoptic_fpn_toy", "MODEL.SEM_SEG_HEAD.NORM", "GN")


@pytest.mark.parametrize("output", ["logits", "labels"])
@torch.no_grad()
def test_the_graph_gives_both_halves_of_the_model(built, output):
    graph = PanopticGraph(built.model, mask_side=224, output=output, num_classes=5)
    for number, size_hw in enumerate(SIZES_HW):
        scene = render_image(sample_scene("val", number))[: size_hw[0], : size_hw[1]]
        image = torch.from_numpy(scene.transpose(2, 0, 1).astype(np.float32))
        boxes, scores, classes, masks, maps = graph(image)
        raw = built.model.inference([{"image": image}], do_postprocess=False)
        (instances,), (logits,) = raw
        logits = logits[:, : size_hw[0], : size_hw[1]]
        assert len(boxes) == len(instances) > 0
        order = scores.argsort(descending=True, stable=True)
        theirs = instances.scores.argsort(descending=True, stable=True)
        torch.testing.assert_close(scores[order], instances.scores[theirs], rtol=0, atol=1e-5)
        boxes_px = instances.pred_boxes.tensor[theirs]
        torch.testing.assert_close(boxes[order], boxes_px, rtol=0, atol=1e-3)
        assert classes[order].tolist() == instances.pred_classes[theirs].tolist()
        assert masks.shape == (len(boxes), 1, 224, 224)
        if output == "labels":
            assert (maps == logits.argmax(0)).float().mean() > 0.999
            continue
        assert ((maps - logits).abs().amax(0) < 1e-4).float().mean() > 0.999


@pytest.fixture(scope="module", params=["logits", "labels"])
def exported(request, built, tmp_path_factory):
    path = tmp_path_factory.mktemp("panoptic") / "model.onnx"
    options = {"output": request.param, "classes": CLASSES}
    return path, export_onnx(built.model, built.cfg, path, **options), request.param


@pytest.mark.slow
def test_the_file(exported, built):
    path, report, output = exported
    assert report.holds
    figures = report.by_name()
    assert figures["detections of the model"] > 10
    assert figures["pixels compared"] > 100_000
    proto = onnx.load(path)
    last = {"logits": [5, "H", "W"], "labels": ["H", "W"]}[output]
    shapes = {
        x.name: [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim]
        for x in proto.graph.output
    }
    assert list(shapes) == ["boxes", "scores", "classes", "masks", output]
    assert shapes[output] == last
    assert {node.domain for node in proto.graph.node} == {""}
    told = json.loads(proto.metadata_props[0].value)
    assert (told["task"], told["output"]) == ("panoptic", output)
    assert (told["classes"], told["stuff_classes"]) == ([*"abcdef"], ["things", *"wxyz"])
    combine = built.cfg.MODEL.PANOPTIC_FPN.COMBINE
    rules = [combine.OVERLAP_THRESH, combine.STUFF_AREA_LIMIT, combine.INSTANCES_CONFIDENCE_THRESH]
    assert [told["thresholds"]["panoptic"][x] for x in ("overlap", "stuff_area", "score")] == rules


@pytest.mark.slow
def test_the_runtime_predicts_what_the_predictor_does(exported, built):
    path, _, output = exported
    ours, seen = OnnxPredictor(path, confidence=None), set()
    assert ours.classes == CLASSES
    assert ours.has_instances
    theirs = Predictor(built.model, built.cfg)
    for pixels in CheckImages.of(built.cfg, []):
        image = np.ascontiguousarray(pixels.transpose(1, 2, 0)[..., ::-1]).astype(np.uint8)
        found, expected = ours(image), theirs(image)
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=1e-3)
        if output == "logits":  # labels are resized by the nearest pixel
            assert (found.label_map != expected.label_map).mean() < 1e-3
            assert (found.panoptic.ids != expected.panoptic.ids).mean() < 1e-3
            assert len(found.panoptic.segments) == len(expected.panoptic.segments)
        seen |= {segment["isthing"] for segment in found.panoptic.segments}
    assert True in seen


@pytest.mark.slow
def test_a_program(built, tmp_path):
    assert export_program(built.model, built.cfg, tmp_path / "model.pt2", output="logits").holds


@pytest.mark.slow
def test_detectron2s_own(detector, tmp_path):
    plain = detector("panoptic_fpn_toy")
    assert export_onnx(plain.model, plain.cfg, tmp_path / "model.onnx", output="logits").holds
