"""A mask head as ONNX and for torch.export: any number of regions, maps of any size."""

import json
from itertools import product

import numpy as np
import onnx
import pytest
import torch

from pointrend_ext.deploy.checks import CheckImages, compare_mask_head
from pointrend_ext.deploy.export import export_onnx, export_program
from pointrend_ext.deploy.graphs import MaskGraph, MasksTogether
from pointrend_ext.deploy.graphs.region import PairGraph
from pointrend_ext.deploy.running import OnnxRunner, ProgramRunner, Runner
from pointrend_ext.modeling.point_head import StandardPointHead

SIZES_PX = ((64, 64), (100, 333), (480, 320))


@pytest.fixture(scope="module")
def exported(detector, tmp_path_factory):
    built, path = detector(), tmp_path_factory.mktemp("masks") / "masks.onnx"
    return path, export_onnx(built.model, built.cfg, path, part="mask_head")


@pytest.fixture(scope="module")
def program(detector, tmp_path_factory):
    built, path = detector(), tmp_path_factory.mktemp("masks") / "masks.pt2"
    export_program(built.model, built.cfg, path, part="mask_head")
    return path


@pytest.fixture(scope="module")
def graph(detector):
    model = detector().model
    channels = {name: x.channels for name, x in model.backbone.output_shape().items()}
    return MaskGraph(MasksTogether(model.roi_heads.mask_head, channels))


def test_onnx_file(exported):
    path, report = exported
    proto = onnx.load(path)
    shapes = {
        x.name: [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim]
        for x in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes == {
        "p2": [1, 64, "H_p2", "W_p2"],
        "boxes": ["R", 4],
        "classes": ["R"],
        "masks": ["R", 1, 224, 224],
    }
    nodes = all_nodes(proto)
    assert {node.domain for node in nodes} == {x.domain for x in proto.opset_import} == {""}
    told = json.loads(proto.metadata_props[0].value)
    assert (told["task"], told["output"]) == ("mask_head", "masks")
    assert told["thresholds"] == {"score": 0.05, "nms": 0.5, "detections": 20, "mask": 0.5}
    assert report.by_name()["cells compared"] == 224 * 224 * (0 + 1 + 22 + 100 + 0)
    rules = [node for node in nodes if node.op_type == "GridSample"]
    for node in rules:  # what runtimes know: opset 16 to 18, bilinear, zeros, pixel centres
        attributes = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
        assert attributes == {"align_corners": 0, "mode": b"bilinear", "padding_mode": b"zeros"}
    assert len(rules) == 1 + 4 * 2 * 2  # once for all; in a turn 4 times 2 regions in 2 ways
    kinds = [node.op_type for node in nodes]
    assert kinds.count("Loop") == 1
    assert not {"NonZero", "Scan", "If"} & {*kinds}


def all_nodes(part):
    """Return nodes of a model or a graph, those of its loops included."""
    nodes = list(getattr(part, "graph", part).node)
    inner = [x.g for node in nodes for x in node.attribute if x.type == x.GRAPH]
    return nodes + [node for graph in inner for node in all_nodes(graph)]


@pytest.mark.parametrize("number", [0, 1, 2, 7, 22])
def test_masks_are_those_of_the_model(exported, graph, detector, masks_of, number):
    run = OnnxRunner(onnx.load(exported[0]))
    compare_with_model(run, graph, detector, masks_of, number)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 22])
def test_those_of_a_program_too(program, graph, detector, masks_of, number):
    run = ProgramRunner(torch.export.load(program))
    compare_with_model(run, graph, detector, masks_of, number)


class OwnPointHead(StandardPointHead):
    """May compute anything, so that its layers stay in their order."""


@pytest.mark.parametrize("own", [False, True])
@torch.no_grad()
def test_a_turn_gives_the_masks_of_one_and_two_objects(graph, monkeypatch, own):
    together = graph.masks
    head = together.mask_head
    if own:
        monkeypatch.setattr(head.point_head, "__class__", OwnPointHead)
    turn = PairGraph(head, together.channels)
    for number in (1, 2):
        *maps, boxes, classes = graph.example_of(number, (100, 150))
        features = dict(zip(graph.strides, maps, strict=True))
        inputs = head.region_inputs(features, [boxes], None, classes)
        found = turn(*inputs.features, boxes, classes, inputs.coarse_logits)
        off = (found - together(features, boxes, classes)).abs()
        assert found.shape == (number, 1, 224, 224)
        assert (off > 1e-4).float().mean() <= 1e-3
        assert found.std() > 0.01


def test_masks_together_need_no_loop(detector, graph, masks_of, tmp_path):
    built = detector()
    export_onnx(built.model, built.cfg, tmp_path / "m.onnx", part="mask_head", together=True)
    proto = onnx.load(tmp_path / "m.onnx")
    assert not {"NonZero", "Loop", "Scan", "If"} & {node.op_type for node in all_nodes(proto)}
    for number in (0, 1, 7):
        compare_with_model(OnnxRunner(proto), graph, detector, masks_of, number)


@pytest.mark.slow
def test_layers_of_cells_instead_of_points(detector, masks_of, tmp_path):
    """A coarse mask of fewer cells than classes; maps of fewer cells than points, and of more."""
    options = ("pointrend_mask_head_toy", "MODEL.ROI_MASK_HEAD.OUTPUT_SIDE_RESOLUTION", 2)
    built = detector(*options)
    channels = {name: x.channels for name, x in built.model.backbone.output_shape().items()}
    graph = MaskGraph(MasksTogether(built.model.roi_heads.mask_head, channels))
    export_onnx(built.model, built.cfg, tmp_path / "masks.onnx", part="mask_head")
    export_program(built.model, built.cfg, tmp_path / "masks.pt2", part="mask_head")
    proto = onnx.load(tmp_path / "masks.onnx")
    assert {node.domain for node in all_nodes(proto)} == {""}
    program = ProgramRunner(torch.export.load(tmp_path / "masks.pt2"))
    for run, number in product((OnnxRunner(proto), program), (0, 1, 2, 7, 22)):
        compare_with_model(run, graph, lambda: built, masks_of, number)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "share"), [("fp16", 0.55), ("int8", 0.6)])
def test_a_smaller_file_and_its_loss(exported, detector, make_picture, tmp_path, precision, share):
    built, path = detector(), tmp_path / "small.onnx"
    pictures = [make_picture(200, 300)]
    options = {"part": "mask_head", "precision": precision, "check_images": pictures}
    report = export_onnx(built.model, built.cfg, path, **options)
    assert report.megabytes < share * exported[1].megabytes
    assert 0 <= report.by_name()["their mean loss of Boundary IoU"] < 0.1
    (entry,) = [x for x in onnx.load(path).metadata_props if x.key == "pointrend_ext"]
    told = json.loads(entry.value)
    assert (told["precision"], told["check"]) == (precision, report.by_name())


def compare_with_model(run, graph, detector, masks_of, number):
    for size_px in SIZES_PX:
        example = graph.example_of(number, size_px, seed=number)
        (found,) = run(*(x.numpy() for x in example))
        *maps, boxes, classes = example
        expected = masks_of(
            detector().model, dict(zip(graph.strides, maps, strict=True)), boxes, classes
        ).numpy()
        assert found.shape == expected.shape == (number, *graph.outputs["masks"][1:])
        off = np.abs(found - expected)
        assert (off > 1e-4).mean() <= 1e-3 if number else found.size == 0
        assert ((found >= 0.5) != (expected >= 0.5)).sum() <= 20
    assert not number or 0.01 < expected.std() < 0.5


class Spoiled(Runner):
    def __init__(self, model, names, masks_of, spoil):
        self.model, self.names, self.masks_of, self.spoil = model, names, masks_of, spoil

    def with_choices(self, *arrays):
        raise NotImplementedError

    def __call__(self, *arrays):
        *maps, boxes, classes = map(torch.from_numpy, arrays)
        features = dict(zip(self.names, maps, strict=True))
        return [self.spoil(self.masks_of(self.model, features, boxes, classes).numpy())]


@pytest.mark.parametrize(
    ("spoil", "holds"),
    [
        (lambda masks: masks, True),
        (lambda masks: masks + np.float32(1e-4), False),
        (lambda masks: np.roll(masks, 1, axis=3), False),
        (lambda masks: masks[:, :, ::-1], False),
        (lambda masks: np.where(np.arange(224) == 0, 1 - masks, masks), False),
    ],
)
def test_the_check_can_fail(detector, masks_of, spoil, holds):
    built = detector()
    images = list(CheckImages.of(built.cfg, []))[:3]  # of 0, 1 and 22 boxes
    run = Spoiled(built.model, ["p2"], masks_of, spoil)
    figures = compare_mask_head(run, model=built.model, images=images, names=["p2"])
    assert all(figure.holds for figure in figures) == holds
