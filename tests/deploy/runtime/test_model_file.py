"""Files that were changed after their export, and pictures that a runtime cannot compute."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from pointrend_ext.deploy.runtime import OnnxPredictor
from pointrend_ext.deploy.runtime.command import main
from tests.deploy.runtime.models import (
    description,
    set_description,
    write_instances,
    write_panoptic,
    write_semantic,
)

BOXES = [[0, 0, 0.5, 1], [0.5, 0, 1, 1]]
SHOWN = description()["input"]


@pytest.fixture
def instances(tmp_path):
    return write_instances(tmp_path / "a.onnx", BOXES, [0.9, 0.3], [0, 1], np.ones((2, 1, 4, 4)))


def change(path, edit):
    proto = onnx.load(str(path))
    edit(proto)
    onnx.save(proto, str(path))
    return path


def grey(height, width):
    return np.full((height, width, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"thresholds": {"score": float("nan")}}, "is damaged .ValueError: .*threshold is nan"),
        ({"thresholds": {"score": -0.1}}, "is damaged .*threshold is -0.1"),
        ({"input": {**SHOWN, "min_size": -1}}, "is damaged .*size or threshold is -1"),
        ({"versions": ["9.9"]}, "is damaged"),
        ({"format": 2, "versions": None}, r"format 2, .*pointrend_ext \?"),
        ({"output": ["masks"]}, r"with the output \"\['masks'\]\""),
        ({"task": None}, "holds 'None'"),
        ({"class_ids": [17]}, r"is damaged .*\('cat', 'big dog'\), their ids \(17,\)"),
    ],
)
def test_odd_descriptions(instances, changes, words):
    set_description(instances, json.dumps({**description(), **changes}))
    with pytest.raises(ValueError, match=words):
        OnnxPredictor(instances)


def test_a_rule_of_segments_that_is_no_number(tmp_path):
    rules = {"overlap": float("nan"), "stuff_area": 100, "score": 0.5}
    thresholds = {"score": 0.05, "panoptic": rules}
    objects = BOXES, [0.9, 0.3], [0, 1], np.ones((2, 1, 4, 4))
    path = write_panoptic(tmp_path / "a.onnx", *objects, thresholds=thresholds)
    with pytest.raises(ValueError, match=r"is damaged .*threshold is nan"):
        OnnxPredictor(path)


def square_masks(proto):
    (masks,) = (x for x in proto.graph.initializer if x.name == "masks_")
    masks.CopyFrom(numpy_helper.from_array(np.ones((2, 4, 4), np.float32), "masks_"))
    del proto.graph.output[3].type.tensor_type.shape.dim[1]


def name_input(proto):
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "picture"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (square_masks, "no output 'masks' of 4 dimensions"),
        (name_input, "no input 'image' of 3 dimensions"),
        (lambda proto: setattr(proto, "ir_version", 99), "IR version.* newer .*-U onnxruntime"),
    ],
)
def test_other_shapes_and_versions(instances, edit, words):
    with pytest.raises(ValueError, match=words):
        OnnxPredictor(change(instances, edit))


def test_a_class_without_a_name_is_called_by_its_number(instances):
    set_description(instances, json.dumps(description(classes=["cat"], class_ids=None)))
    assert OnnxPredictor(instances, confidence=None)(grey(40, 60)).class_names == ["cat", "class 1"]


def fix_height(proto):
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 40


def test_a_picture_that_cannot_be_computed_does_not_end_a_batch(instances, tmp_path, capsys):
    change(instances, fix_height)
    predictor = OnnxPredictor(instances, threads=1, providers="CPUExecutionProvider")
    assert len(predictor(grey(40, 60)).boxes) == 1
    with pytest.raises(ValueError, match=r"cannot compute a picture of 50 x 40 .*changed after"):
        predictor(grey(50, 40))
    (tmp_path / "in").mkdir()
    for name, size in (("a", (50, 40)), ("b", (40, 50)), ("c", (60, 40))):
        Image.new("RGB", size).save(tmp_path / f"in/{name}.png")
    out = tmp_path / "out"
    words = [instances, tmp_path / "in", "--output", out, "--confidence", 0.5]
    assert main([*map(str, words)]) == 1
    assert capsys.readouterr().out.startswith("2 images and 0 frames")
    assert sorted(x.name[0] for x in (out / "masks").iterdir()) == ["a", "c"]


def test_the_name_of_a_file_is_no_stream(instances):
    with pytest.raises(ValueError, match=r"OnnxPredictor\.stream goes .* a str\. One image goes"):
        OnnxPredictor(instances).stream("street.jpg")
    with pytest.raises(ValueError, match=r"threads is 2\.5; it must be"):
        OnnxPredictor(instances, threads=2.5)


@pytest.mark.parametrize(("number", "kind"), [(255, np.uint8), (256, np.uint16)])
def test_label_maps_have_one_type_whatever_a_picture_shows(tmp_path, number, kind):
    path = write_semantic(tmp_path / "a.onnx", "labels", classes=None, num_labels=number)
    assert OnnxPredictor(path)(grey(40, 40)).label_map.dtype == kind
