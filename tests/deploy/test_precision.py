"""Smaller files: what they hold, and what is said of their loss."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pointrend_ext.deploy.checks.boundary_loss import BoundaryLoss
from pointrend_ext.deploy.export import export_onnx, export_program
from pointrend_ext.deploy.precision import reduced
from pointrend_ext.deploy.running import OnnxRunner, Runner

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(64, 48)).astype(np.float32)
LARGE = (RNG.normal(size=(64, 48)) * 1e6).astype(np.float32)
INPUTS = RNG.normal(size=(5, 64)).astype(np.float32)


def product(weights, scale=2.0):
    initial = {"weights": weights, "scale": np.float32(scale)}
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["y"]),
        helper.make_node("Mul", ["y", "scale"], ["z"]),
    ]
    shapes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["R", side])
        for name, side in (("x", 64), ("z", 48))
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in initial.items()]
    graph = helper.make_graph(nodes, "product", shapes[:1], shapes[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_weights_of_16_bits_are_rounded_once_and_multiplied_in_32():
    proto = product(WEIGHTS)
    small = reduced(proto, "fp16")
    onnx.checker.check_model(small, full_check=True)
    assert small.ByteSize() < 0.55 * proto.ByteSize()
    (found,) = OnnxRunner(small)(INPUTS)
    expected = INPUTS @ WEIGHTS.astype(np.float16).astype(np.float32) * 2
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(found - INPUTS @ WEIGHTS * 2).max() > 1e-4
    assert [x.data_type for x in proto.graph.initializer] == [TensorProto.FLOAT] * 2  # untouched


def test_weights_that_16_bits_cannot_hold_stay():
    assert reduced(product(LARGE), "fp16") == product(LARGE)


def test_products_of_8_bits():
    proto = product(WEIGHTS)
    small = reduced(proto, "int8")
    assert small.ByteSize() < 0.4 * proto.ByteSize()
    (found,), (expected,) = OnnxRunner(small)(INPUTS), OnnxRunner(proto)(INPUTS)
    assert 1e-4 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert {node.domain for node in small.graph.node} == {""}


class Given(Runner):
    """Returns what it is given."""

    def __init__(self, *results):
        self.results = list(results)

    def __call__(self, *arrays):
        return self.results

    def with_choices(self, *arrays):
        return self.results, []


def squares(*lefts):
    masks = np.zeros((len(lefts), 1, 100, 100), dtype=np.float32)
    for mask, left in zip(masks, lefts, strict=True):
        mask[0, 20:60, left : left + 40] = 1
    return masks


def losses(small, full, task, *arrays):
    run = BoundaryLoss(Given(*small), Given(*full), task)
    assert run(*arrays) == [*full]
    assert run.with_choices(*arrays) == ([*full], [])  # the same call is measured once
    count, mean, largest = (x.value for x in run.figures())
    return count, pytest.approx(mean), pytest.approx(largest)


def test_the_loss_of_masks_by_hand():
    assert losses([squares(20, 30)], [squares(20, 30)], "mask_head") == (2, 0, 0)
    # A ring of 40 x 40, 3 pixels wide (of a diagonal of 141), has 444; moved by 2 it shares 38 of
    # 40 columns of its rows at the top and at the bottom, and 1 column of 3 on either side.
    common = 2 * 3 * 38 + 2 * 34
    loss = 1 - common / (2 * 444 - common)
    assert losses([squares(20, 32)], [squares(20, 30)], "mask_head") == (2, loss / 2, loss)


def test_the_loss_of_regions_is_that_of_each_class():
    full = (squares(20)[:, 0] > 0).astype(np.int64)
    empty = np.zeros_like(full)
    assert losses([full], [full], "semantic") == (2, 0, 0)
    count, _, largest = losses([empty], [full], "semantic")
    assert (count, largest) == (2, 1)
    logits = np.stack((0.5 - full[0], full[0])).astype(np.float32)
    assert losses([logits], [logits], "semantic") == (2, 0, 0)


def test_an_object_that_is_not_found_loses_all():
    boxes = np.array([[10, 10, 50, 50], [60, 20, 90, 70]], dtype=np.float32)
    found = [boxes, np.ones(2, np.float32), np.array([1, 2]), squares(20, 30)]
    image = np.zeros((3, 80, 100), dtype=np.float32)
    turned = [x[::-1].copy() for x in found]
    assert losses(turned, found, "instances", image) == (2, 0, 0)
    other_class = [*found[:2], np.array([1, 3]), found[3]]
    assert losses(other_class, found, "instances", image) == (2, 0.5, 1)
    none = [x[:0] for x in found]
    assert losses(none, found, "instances", image) == (2, 1, 1)
    with pytest.raises(ValueError, match="finds nothing in the pictures of the check"):
        losses(none, none, "instances", image)


@pytest.mark.parametrize(
    ("write", "options", "said"),
    [
        (export_onnx, {"precision": "int8"}, "precision is 'int8'.*'fp32' without pictures"),
        (export_onnx, {"precision": "fp8"}, "precision is 'fp8'.*fp32 or fp16 or int8"),
        (
            export_program,
            {"precision": "fp16", "check_images": [np.zeros((9, 9, 3), np.uint8)]},
            "precision is 'fp16'.*'fp32' for .pt2",
        ),
    ],
)
def test_what_has_no_smaller_file(detector, tmp_path, write, options, said):
    built, suffix = detector(), ".onnx" if write is export_onnx else ".pt2"
    with pytest.raises(ValueError, match=said):
        write(built.model, built.cfg, tmp_path / f"model{suffix}", part="mask_head", **options)
