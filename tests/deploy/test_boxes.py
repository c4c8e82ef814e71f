"""The box branch of graphs finds what Detectron2's finds; graphs give the model's own masks."""

import pytest
import torch
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes

from pointrend_ext.deploy.boxes import pool
from pointrend_ext.deploy.checks import CheckImages
from pointrend_ext.deploy.graphs import Graph, InstanceGraph
from pointrend_ext.deploy.recording import record_program, to_onnx
from pointrend_ext.deploy.running import OnnxRunner
from pointrend_ext.modeling.roi_heads.mask_score import maskness

KINDS = {
    "over all classes": (),
    "by class": ("MODEL.ROI_HEADS.NMS_CLASS_AGNOSTIC", False),
    "scored by masks": ("MODEL.ROI_MASK_HEAD.MASK_SCORE", "maskness"),
    "one mask for all classes": ("MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", True),
    "several maps": (
        *("MODEL.MASK_POINT_HEAD.IN_FEATURES", "['p2', 'p3']"),
        *("MODEL.ROI_MASK_HEAD.IN_FEATURES", "['p2', 'p4']"),
    ),
    "few proposals": ("MODEL.RPN.PRE_NMS_TOPK_TEST", 50, "MODEL.RPN.POST_NMS_TOPK_TEST", 20),
    "no limit": ("TEST.DETECTIONS_PER_IMAGE", -1),
}


@torch.no_grad()
def compared(model, graph, image):
    """Detections of both, which have to be the same in number and order."""
    theirs = model.inference([{"image": image}], do_postprocess=False)[0]
    return graph.eval()(image), theirs


def graph_of(model, side=224, **options):
    return InstanceGraph(model, mask_side=side, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_finds_the_same(detector, kind):
    built = detector("pointrend_mask_head_toy", *KINDS[kind])
    score = {"mask_score": maskness} if kind == "scored by masks" else {}
    images = [torch.from_numpy(image) for image in CheckImages.of(built.cfg, [])]
    found = 0
    for image in images[1:3]:
        (boxes, scores, classes, masks), theirs = compared(
            built.model, graph_of(built.model, **score), image
        )
        found += len(theirs)
        torch.testing.assert_close(boxes, theirs.pred_boxes.tensor, rtol=0, atol=1e-4)
        torch.testing.assert_close(scores, theirs.scores, rtol=0, atol=1e-5)
        assert torch.equal(classes, theirs.pred_classes)
        is_near = (masks - theirs.pred_masks).abs() < 1e-5
        assert is_near.float().mean() > 0.999
    assert found > 4


@pytest.mark.parametrize("name", ["mask_rcnn_mask_head_toy", "pointrend_cascade_rcnn_toy"])
def test_plain_mask_heads_and_cascades(detector, name):
    built = detector(name, *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0))
    side = 28 if name.startswith("mask") else 224
    image = torch.from_numpy(list(CheckImages.of(built.cfg, []))[1])
    (boxes, scores, _, masks), theirs = compared(built.model, graph_of(built.model, side), image)
    assert len(theirs) == 20
    assert masks.shape == theirs.pred_masks.shape
    if name.startswith("mask"):  # random boxes of a cascade that was not trained tie
        torch.testing.assert_close(boxes, theirs.pred_boxes.tensor, rtol=0, atol=1e-4)
        torch.testing.assert_close(masks, theirs.pred_masks, rtol=0, atol=1e-5)
    torch.testing.assert_close(scores, theirs.scores, rtol=0, atol=1e-5)


def test_an_image_without_objects_gives_empty_results(detector):
    built = detector("pointrend_mask_head_toy", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.999999)
    with torch.no_grad():
        boxes, scores, classes, masks = graph_of(built.model).eval()(torch.zeros(3, 70, 90))
    assert (boxes.shape, scores.shape, classes.shape) == ((0, 4), (0,), (0,))
    assert masks.shape == (0, 1, 224, 224)


@torch.no_grad()
def test_regions_are_pooled_from_the_level_of_their_size():
    pooler = ROIPooler(7, [1 / 4, 1 / 8, 1 / 16, 1 / 32], 0, "ROIAlignV2")
    maps = [torch.randn(1, 2, 512 // s, 512 // s) for s in (4, 8, 16, 32)]
    sides = [0.0, 1.0, 55.9, 111.9, 112.0, 112.1, 223.9, 224.0, 300.0, 448.0, 511.0]
    boxes = torch.tensor([[1.0, 1.0, 1.0 + side, 1.0 + side] for side in sides])
    expected = pooler(maps, [Boxes(boxes)])
    torch.testing.assert_close(pool(pooler, maps, boxes), expected)
    assert pool(pooler, maps, boxes[:0]).shape == (0, 2, 7, 7)
    graph = Pooling(pooler)
    run = OnnxRunner(to_onnx(record_program(graph), graph, 18))
    for number in (11, 1, 0):
        (found,) = run(*(x.numpy() for x in (*maps, boxes[:number])))
        torch.testing.assert_close(torch.from_numpy(found), expected[:number])
    one = ROIPooler(7, [1 / 4], 0, "ROIAlignV2")
    torch.testing.assert_close(pool(one, maps[:1], boxes), one(maps[:1], [Boxes(boxes)]))


class Pooling(Graph):
    def __init__(self, pooler):
        super().__init__()
        self.pooler = pooler
        maps = {f"p{level}": (1, 2, f"H{level}", f"W{level}") for level in range(2, 6)}
        self.inputs, self.outputs = {**maps, "boxes": ("R", 4)}, {"pooled": ("R", 2, 7, 7)}

    def predict(self, *inputs):
        *maps, boxes = inputs
        return pool(self.pooler, maps, boxes)

    def example(self):
        maps = [torch.zeros(1, 2, 48 // side, 64 // side) for side in (1, 2, 4, 8)]
        return *maps, torch.tensor([[0.0, 0, 30, 20], [5, 5, 150, 140], [1, 1, 190, 250]])
