"""Calling what was recorded, as its users will: arrays in the order of the inputs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from pointrend_ext.deploy.packages import onnx, onnxruntime

__all__ = ["OnnxRunner", "ProgramRunner", "Runner"]


class Runner(ABC):
    """A recorded graph: arrays in the order of its inputs -> arrays in the order of its outputs."""

    @abstractmethod
    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Run it."""

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> "Runner | None":
        """Return the part between inputs or outputs and outputs; None where it has no parts."""
        del inputs, outputs
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

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Runner:
        """Return the part that computes outputs from inputs, some of which may be outputs, too."""
        extractor = onnx().utils.Extractor(self._proto)
        return OnnxRunner(extractor.extract_model(list(inputs), list(outputs)))


class ProgramRunner(Runner):
    """Runs a program of ``torch.export``."""

    def __init__(self, program: ExportedProgram) -> None:
        self._module = program.module()

    @torch.no_grad()
    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Run it."""
        results = self._module(*map(torch.from_numpy, arrays))
        return [x.numpy() for x in ((results,) if isinstance(results, torch.Tensor) else results)]
