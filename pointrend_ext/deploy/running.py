"""Calling what was recorded, as its users will: arrays in the order of the inputs."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from pointrend_ext.deploy.nms import LOWEST_SCORE
from pointrend_ext.deploy.packages import onnx, onnxruntime

__all__ = ["OnnxRunner", "ProgramRunner", "Runner"]


class Runner(ABC):
    """A recorded graph: arrays in the order of its inputs -> arrays in the order of its outputs."""

    @abstractmethod
    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Run it."""

    def limited_to(self, number: int) -> "Runner | None":
        """Return a copy that finds so many objects, however bad; None if it has no such numbers."""
        del number
        return None


class OnnxRunner(Runner):
    """Runs an ``onnx.ModelProto`` by ONNX Runtime, on the CPU."""

    def __init__(self, proto: Any) -> None:
        ort = onnxruntime()
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = torch.get_num_threads()
        self._proto = proto
        self._session = ort.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Run it."""
        names = [x.name for x in self._session.get_inputs()]
        return self._session.run(None, dict(zip(names, arrays, strict=True)))

    def limited_to(self, number: int) -> Runner:
        """Change the constants of its last suppression: see ``deploy.nms`` and its translation."""
        proto = onnx().ModelProto()
        proto.CopyFrom(self._proto)
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


class ProgramRunner(Runner):
    """Runs a program of ``torch.export``."""

    def __init__(self, program: ExportedProgram) -> None:
        # Its guards say how tensors lay in memory for the example's size, which changes no number.
        self._module = program.module(check_guards=False)

    @torch.no_grad()
    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Run it."""
        results = self._module(*map(torch.from_numpy, arrays))
        return [x.numpy() for x in ((results,) if isinstance(results, torch.Tensor) else results)]
