"""Files as an export writes them, of a few nodes, whose predictions are known by hand."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

KEY = "pointrend_ext"


def description(task="instances", output="masks", **changes):
    content = {
        "format": 1,
        "task": task,
        "output": output,
        "versions": {"pointrend_ext": "9.9"},
        "input": {"min_size": 40, "max_size": 60, "format": "BGR", "divisibility": 32},
        "classes": ["cat", "big dog"] if task == "instances" else ["sky", "road", "sea"],
        "class_ids": [17, 18] if task == "instances" else None,
        "thresholds": {"score": 0.05} if task == "instances" else {},
        "weights_sha256": "0",
        "check": {},
    }
    return {**content, **changes}


def write_instances(path, *objects, **changes):
    """Boxes are shares of the input's width and height, and nothing else depends on it."""
    return _write(path, *_instances(*objects), description(**changes))


def write_panoptic(path, *objects, **changes):
    """Objects are as of ``write_instances``; the label is the largest channel of the input."""
    nodes, outputs, constants = _instances(*objects)
    node = helper.make_node("ArgMax", ["image"], ["labels"], axis=0, keepdims=0)
    labels = helper.make_tensor_value_info("labels", TensorProto.INT64, ["H", "W"])
    rules = {"overlap": 0.5, "stuff_area": 100, "score": 0.5}
    content = description(
        **{
            "task": "panoptic",
            "output": "labels",
            "classes": ["cat", "big dog"],
            "class_ids": [17, 18],
            "stuff_classes": ["things", "road", "sea"],
            "thresholds": {"score": 0.05, "panoptic": rules},
            **changes,
        }
    )
    return _write(path, [*nodes, node], [*outputs, labels], constants, content)


def _instances(shares, scores, classes, masks):
    constants = {
        "shares": np.asarray(shares, np.float32).reshape(-1, 4),
        "scores_": np.asarray(scores, np.float32),
        "classes_": np.asarray(classes, np.int64),
        "masks_": np.asarray(masks, np.float32),
        "order": np.array([2, 1, 2, 1]),
    }
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Gather", ["shape", "order"], ["sides"]),
        helper.make_node("Cast", ["sides"], ["sides_"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["shares", "sides_"], ["boxes"]),
        *(helper.make_node("Identity", [f"{x}_"], [x]) for x in ("scores", "classes", "masks")),
    ]
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["R", 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["R"]),
        helper.make_tensor_value_info("classes", TensorProto.INT64, ["R"]),
        helper.make_tensor_value_info("masks", TensorProto.FLOAT, ["R", 1, "S", "S"]),
    ]
    return nodes, outputs, constants


def write_semantic(path, output, **changes):
    """Logits are the three channels of the input; the label is the largest channel."""
    kind = TensorProto.FLOAT if output == "logits" else TensorProto.INT64
    shape = [3, "H", "W"] if output == "logits" else ["H", "W"]
    node = helper.make_node("ArgMax", ["image"], [output], axis=0, keepdims=0)
    if output == "logits":
        node = helper.make_node("Identity", ["image"], [output])
    outputs = [helper.make_tensor_value_info(output, kind, shape)]
    return _write(path, [node], outputs, {}, description("semantic", output, **changes))


def _write(path, nodes, outputs, constants, content):
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [3, "H", "W"])
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "model", [image], outputs, initial)
    opset = helper.make_opsetid("", 18)
    proto = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    if content is not None:
        entry = proto.metadata_props.add()
        entry.key, entry.value = KEY, content if isinstance(content, str) else json.dumps(content)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, str(path))
    return path


def set_description(path, text):
    """Replace the description of a file by a text; None takes it out."""
    proto = onnx.load(str(path))
    del proto.metadata_props[:]
    if text is not None:
        entry = proto.metadata_props.add()
        entry.key, entry.value = KEY, text
    onnx.save(proto, str(path))
    return path
