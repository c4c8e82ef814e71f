"""A graph repeated for a few rows at a time against a loop of Python."""

import numpy as np
import onnx
import pytest
from onnx import parser

from pointrend_ext.deploy.graphs.graph import RepeatedGraph
from pointrend_ext.deploy.repetition import repeat
from pointrend_ext.deploy.running import OnnxRunner

HEADER = '<ir_version: 10, opset_import: ["" : 18, "own" : 1]>'
MAIN = """
main (float[N] shared, float[R, 3] found, float[R] bias) => (float[R, 2] doubled) {
    two = Constant <value = float {2.0}> ()
    rows = Mul (found, two)
    parts = own.ForEach (shared, rows, bias)
    doubled = Mul (parts, two)
}
"""
# (B, 3) @ (3, 2) + the sum of what is shared, which has names of the main graph
TURN = """
turn (float[N] map, float[B, 3] rows, float[B] two) => (float[B, 2] parts)
    <float[3, 2] weight = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, int64[1] last = {1}> {
    shared = ReduceSum <keepdims = 0> (map)
    weights = Add (weight, shared)
    product = MatMul (rows, weights)
    column = Unsqueeze (two, last)
    parts = Add (product, column)
}
"""


def a_turn(rows):
    turn = RepeatedGraph()
    turn.node, turn.num_shared, turn.rows = "own::ForEach", 1, rows
    return turn


@pytest.fixture(params=[1, 3, 4])
def repeated(request):
    main, turn = parser.parse_model(HEADER + MAIN), parser.parse_model(HEADER + TURN)
    repeat(main, turn, a_turn(request.param))
    onnx.checker.check_model(main, full_check=True)
    return main


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 7, 8, 9])
def test_every_row_comes_once_and_in_order(repeated, number):
    rng = np.random.default_rng(0)
    shared, found = rng.random(5, np.float32), rng.random((number, 3), np.float32)
    bias = rng.random(number, np.float32)
    (doubled,) = OnnxRunner(repeated)(shared, found, bias)
    weight = np.arange(1, 7, dtype=np.float32).reshape(3, 2) + shared.sum()
    expected = [2 * ((2 * row) @ weight + one) for row, one in zip(found, bias, strict=True)]
    assert doubled.shape == (number, 2)
    np.testing.assert_allclose(doubled, np.reshape(expected, (number, 2)), rtol=1e-5)


def test_what_does_not_change_is_done_once(repeated):
    nodes = list(repeated.graph.node)
    (loop,) = [node for node in nodes if node.op_type == "Loop"]
    inside = [node.op_type for node in loop.attribute[0].g.node]
    outside = [node.op_type for node in nodes[: nodes.index(loop)]]
    assert (outside.count("ReduceSum"), inside.count("ReduceSum")) == (1, 0)
    assert (outside.count("MatMul"), inside.count("MatMul")) == (0, 1)
    assert [x.domain for x in repeated.opset_import] == [""]
    names = [name for node in nodes for name in node.output]
    assert len(names) == len({*names})
