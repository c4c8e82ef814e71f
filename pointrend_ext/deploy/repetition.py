"""A loop of ONNX: one graph, repeated for a few rows at a time of what another graph has found."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pointrend_ext.deploy.graphs.graph import RepeatedGraph
from pointrend_ext.deploy.packages import onnx

_INSIDE = "loop/turn/"
"""What names of what is repeated start with; others of the loop with loop/, and no further ones."""


def repeat(proto: Any, turn: Any, graph: RepeatedGraph) -> None:
    """Put a loop in the place of a node.

    What does not change from turn to turn, above all what is made of weights, is done before it.

    Args:
        proto: an ``onnx.ModelProto`` with the node; changed. The node takes what all turns share,
            then what has a row for each object, and returns a row for each.
        turn: an ``onnx.ModelProto`` that takes the same for a few objects.
        graph: what ``turn`` was made of.
    """
    nodes, names = list(proto.graph.node), [x.name for x in turn.graph.input]
    (place,) = (i for i, x in enumerate(nodes) if f"{x.domain}::{x.op_type}" == graph.node)
    shared, wholes = _split(nodes[place].input, graph.num_shared)
    shared_names, own_names = _split(names, graph.num_shared)
    _rename(turn.graph, dict(zip(shared_names, shared, strict=True)))
    before, inside = _parted(turn.graph, shared)
    (result,) = turn.graph.output
    sides = [side.dim_value for side in result.type.tensor_type.shape.dim[1:]]
    kind = result.type.tensor_type.elem_type
    given = dict(zip((_INSIDE + name for name in own_names), wholes, strict=True))
    body = _body(inside, given, _INSIDE + result.name, kind, sides)
    after = _loop(body, wholes[0], nodes[place].output[0])
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes[:place], *before, *after, *nodes[place + 1 :]])
    constants = {
        "axis": [0],
        "rows": [graph.rows],
        "rows_less_one": [graph.rows - 1],
        "sides": sides,
        "no_pads": [0] * len(sides),
    }
    make = onnx().numpy_helper.from_array
    proto.graph.initializer.extend(turn.graph.initializer)
    proto.graph.initializer.extend(
        make(np.array(values, dtype=np.int64), f"loop/{name}") for name, values in constants.items()
    )
    standard = [x for x in proto.opset_import if x.domain == ""]
    del proto.opset_import[:]
    proto.opset_import.extend(standard)


def _body(
    nodes: Sequence[Any], wholes: Mapping[str, str], result: str, kind: int, sides: Sequence[int]
) -> Any:
    """Return the graph of a turn: it takes its rows, and returns as many in every turn."""
    helper, kinds = onnx().helper, onnx().TensorProto
    make, value = helper.make_node, helper.make_tensor_value_info
    span = "loop/first", "loop/end", "loop/axis"
    pads = "loop/axis", "loop/no_pads", "loop/missing", "loop/no_pads"
    return helper.make_graph(
        [
            make("Mul", ["loop/number", "loop/rows"], ["loop/first"]),
            make("Add", ["loop/first", "loop/rows"], ["loop/end"]),
            *(make("Slice", [whole, *span], [name]) for name, whole in wholes.items()),
            *nodes,
            make("Shape", [result], ["loop/found"], start=0, end=1),
            make("Sub", ["loop/rows", "loop/found"], ["loop/missing"]),
            make("Concat", pads, ["loop/pads"], axis=0),
            make("Pad", [result, "loop/pads"], ["loop/all_rows"]),
            make("Identity", ["loop/on"], ["loop/still_on"]),
        ],
        "turn",
        [value("loop/number", kinds.INT64, []), value("loop/on", kinds.BOOL, [])],
        [
            value("loop/still_on", kinds.BOOL, []),
            value("loop/all_rows", kind, ["rows", *sides]),
        ],
    )


def _loop(body: Any, whole: str, output: str) -> list[Any]:
    """Return the nodes of a loop over the rows of ``whole``, whose results are ``output``."""
    make = onnx().helper.make_node
    return [
        make("Shape", [whole], ["loop/total"], start=0, end=1),
        make("Add", ["loop/total", "loop/rows_less_one"], ["loop/sum"]),
        make("Div", ["loop/sum", "loop/rows"], ["loop/count"]),
        make("Loop", ["loop/count", ""], ["loop/turns"], body=body),
        make("Mul", ["loop/count", "loop/rows"], ["loop/padded"]),
        make("Concat", ["loop/padded", "loop/sides"], ["loop/shape"], axis=0),
        make("Reshape", ["loop/turns", "loop/shape"], ["loop/flat"], allowzero=1),
        make("Slice", ["loop/flat", "loop/axis", "loop/total", "loop/axis"], [output]),
    ]


def _split(values: Sequence[str], number: int) -> tuple[Sequence[str], Sequence[str]]:
    return values[:number], values[number:]


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Give what is inside names of its own, but for those that are given."""

    def renamed(name: str) -> str:
        return names.get(name, _INSIDE + name if name else "")

    for node in graph.node:
        node.name = renamed(node.name)
        node.input[:] = map(renamed, node.input)
        node.output[:] = map(renamed, node.output)
    for weight in graph.initializer:
        weight.name = renamed(weight.name)


def _parted(graph: Any, shared: Collection[str]) -> tuple[list[Any], list[Any]]:
    """Part nodes that depend on nothing but weights and what is shared from the others."""
    known = {"", *shared, *(x.name for x in graph.initializer)}
    before: list[Any] = []
    inside: list[Any] = []
    for node in graph.node:
        is_known = known.issuperset(node.input)
        (before if is_known else inside).append(node)
        known.update(node.output if is_known else ())
    return before, inside
