"""From a graph to a program of PyTorch, and from that to ONNX."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from pointrend_ext.deploy.graphs import Graph, Shape
from pointrend_ext.deploy.packages import onnx
from pointrend_ext.deploy.repetition import repeat


def record_program(graph: Graph) -> ExportedProgram:
    """Record a graph whose named sizes stay free; lines and names of source files do not stay.

    Raises:
        ValueError: it does not let itself be recorded.
    """
    free = tuple(
        {axis: Dim.DYNAMIC for axis, side in enumerate(shape) if isinstance(side, str)}
        for shape in graph.inputs.values()
    )
    with _refusing("recorded by torch.export", "asks for values or sizes of tensors"):
        program = torch.export.export(
            graph.eval(), graph.example(), dynamic_shapes={"inputs": free}, strict=False
        )
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program


def to_onnx(program: ExportedProgram, graph: Graph, opset: int) -> Any:
    """Translate a recorded graph.

    Args:
        program: what ``record_program`` made of ``graph``.
        graph: gives inputs, outputs and sizes their names.
        opset: version of ONNX's standard operators.

    Returns:
        An ``onnx.ModelProto`` that holds its weights, and neither names nor lines of source files.

    Raises:
        ValueError: it has an operator that is not known.
    """
    from pointrend_ext.deploy.onnx_translations import translations

    with _refusing("translated to ONNX", "has an operator that is not known there"):
        translated = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            custom_translation_table=translations(),
            verbose=False,
        )
    assert translated is not None  # it is None where it writes a file itself
    proto = translated.model_proto
    proto.doc_string = ""
    _anonymise(proto.graph)
    _name_sizes(proto.graph.input, graph.inputs)
    _name_sizes(proto.graph.output, graph.outputs)
    if (turn := graph.repeated()) is not None:
        repeat(proto, to_onnx(record_program(turn), turn, opset), turn)
    return proto


def _anonymise(part: Any) -> None:
    """Take out what the exporter notes of sources, and the sizes between nodes, that have no names.

    Args:
        part: an ``onnx.GraphProto``, with those in it.
    """
    del part.value_info[:]
    del part.metadata_props[:]
    part.doc_string = ""
    for entry in (*part.input, *part.output, *part.initializer, *part.node):
        del entry.metadata_props[:]
        entry.doc_string = ""
    for node in part.node:
        for attribute in node.attribute:
            if attribute.type == onnx().AttributeProto.GRAPH:
                _anonymise(attribute.g)


def _name_sizes(values: Any, shapes: Mapping[str, Shape]) -> None:
    make = onnx().helper.make_tensor_value_info
    for value in values:
        name, kind = value.name, value.type.tensor_type.elem_type
        value.CopyFrom(make(name, kind, shapes[name]))


@contextlib.contextmanager
def _refusing(what: str, reason: str) -> Iterator[None]:
    """Let nothing but one sentence be heard of an exporter, and that only where it fails."""
    try:
        with torch.no_grad(), quiet():
            yield
    except Exception as error:
        said = " ".join(str(error).split("\n\n")[0].split())[:300]
        raise ValueError(
            f"The model cannot be {what}: {type(error).__name__}: {said}. A part of it {reason}; "
            "the parts of this package and of Detectron2 are known."
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep advice to developers of an exporter from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
