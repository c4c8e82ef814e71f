"""Smaller files: weights in 16 bits, or products in 8; what that costs is measured, not judged."""

import copy
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pointrend_ext.deploy.packages import onnx
from pointrend_ext.deploy.recording import quiet

_LEAST_WEIGHTS = 1024
"""Smaller constants, such as thresholds and scales of images, keep their 32 bits."""


def reduced(proto: Any, precision: str) -> Any:
    """Return a smaller copy of an ``onnx.ModelProto``, by one of ``PRECISIONS``."""
    return PRECISIONS[precision](proto)


def _with_half_weights(proto: Any) -> Any:
    """Store weights in 16 bits; what is computed with them stays in 32, as CPUs want it."""
    helper, arrays, kinds = onnx().helper, onnx().numpy_helper, onnx().TensorProto
    copied = copy.deepcopy(proto)
    casts, graph = [], copied.graph
    for weight in graph.initializer:
        values = arrays.to_array(weight)
        if values.dtype != np.float32 or values.size < _LEAST_WEIGHTS:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = weight.name
        weight.CopyFrom(arrays.from_array(values.astype(np.float16), f"{name}_in_16_bits"))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=kinds.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return copied


def _with_int8_products(proto: Any) -> Any:
    """Multiply by weights of 8 bits in fully connected layers; inputs are scaled each time."""
    quantization = import_module("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder, quiet():
        source, target = Path(folder) / "full.onnx", Path(folder) / "small.onnx"
        onnx().save(proto, source)
        quantization.quantize_dynamic(source, target, op_types_to_quantize=["MatMul", "Gemm"])
        return onnx().load(target)


PRECISIONS: dict[str, Callable[[Any], Any]] = {
    "fp32": lambda proto: proto,
    "fp16": _with_half_weights,
    "int8": _with_int8_products,
}
"""How a file is made smaller; "fp32" is the file as it is."""
