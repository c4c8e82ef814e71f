"""Calling what was recorded, as its users will: arrays in the order of the inputs."""

import copy
from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.utils._python_dispatch import TorchDispatchMode

from pointrend_ext.deploy.nms import LOWEST_SCORE
from pointrend_ext.deploy.packages import onnx

_Arrays = list[np.ndarray]


class Runner(ABC):
    """A recorded graph: arrays in the order of its inputs -> arrays in the order of its outputs."""

    @abstractmethod
    def __call__(self, *arrays: np.ndarray) -> _Arrays:
        """Run it."""

    @abstractmethod
    def with_choices(self, *arrays: np.ndarray) -> tuple[_Arrays, _Arrays]:
        """Run it, and return what each of its ``TopK`` has chosen, too: numbers of cells."""

    def limited_to(self, number: int) -> "Runner | None":
        """Return a copy that finds so many objects, however bad; None if it has no such numbers."""
        del number
        return None


class OnnxRunner(Runner):
    """Runs an ``onnx.ModelProto`` by ONNX Runtime, on the CPU."""

    def __init__(self, proto: Any) -> None:
        ort = import_module("onnxruntime")
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = torch.get_num_threads()
        self._proto = proto
        self._telling: OnnxRunner | None = None
        self._session = ort.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, *arrays: np.ndarray) -> _Arrays:
        """Run it."""
        names = [x.name for x in self._session.get_inputs()]
        return self._session.run(None, dict(zip(names, arrays, strict=True)))

    def with_choices(self, *arrays: np.ndarray) -> tuple[_Arrays, _Arrays]:
        """Run a copy of it that puts them out."""
        if self._telling is None:
            proto = copy.deepcopy(self._proto)
            chosen = [node.output[1] for node in proto.graph.node if _chooses(node)]
            make = onnx().helper.make_tensor_value_info
            kind = onnx().TensorProto.INT64
            proto.graph.output.extend(make(name, kind, None) for name in chosen)
            self._telling = OnnxRunner(proto)
        found = self._telling(*arrays)
        number = len(self._proto.graph.output)
        return found[:number], found[number:]

    def limited_to(self, number: int) -> Runner:
        """Change the constants of its last suppression: see ``deploy.nms`` and its translation."""
        proto = copy.deepcopy(self._proto)
        nodes = list(proto.graph.node)
        last = max(i for i, node in enumerate(nodes) if node.op_type == "NonMaxSuppression")
        smallest = next(node for node in nodes[last:] if node.op_type == "Min")
        limit, score = "number_of_the_check", "score_of_the_check"
        make = onnx().numpy_helper.from_array
        proto.graph.initializer.append(make(np.array([number], dtype=np.int64), limit))
        proto.graph.initializer.append(make(np.array([LOWEST_SCORE], dtype=np.float32), score))
        smallest.input[1] = nodes[last].input[2] = limit
        nodes[last].input[4] = score
        return OnnxRunner(proto)


def _chooses(node: Any) -> bool:
    """Tell whether a node takes the largest: the smallest first is how ONNX says to sort."""
    return node.op_type == "TopK" and all(x.i for x in node.attribute if x.name == "largest")


class ProgramRunner(Runner):
    """Runs a program of ``torch.export``."""

    def __init__(self, program: ExportedProgram) -> None:
        # Its guards say how tensors lay in memory for the example's size, which changes no number.
        self._module = program.module(check_guards=False)

    @torch.no_grad()
    def __call__(self, *arrays: np.ndarray) -> _Arrays:
        """Run it."""
        results = self._module(*map(torch.from_numpy, arrays))
        return [x.numpy() for x in ((results,) if isinstance(results, torch.Tensor) else results)]

    def with_choices(self, *arrays: np.ndarray) -> tuple[_Arrays, _Arrays]:
        """Run it."""
        with _Listener() as listener:
            found = self(*arrays)
        return found, listener.chosen


class _Listener(TorchDispatchMode):
    """Keeps what ``topk`` chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.chosen: list[np.ndarray] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **kwargs or {})
        if func is torch.ops.aten.topk.default:
            self.chosen.append(result[1].numpy())
        return result
