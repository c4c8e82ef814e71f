"""Calling what was recorded, as its users will: arrays in the order of the inputs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from pointrend_ext.deploy.packages import onnxruntime

__all__ = ["Run", "run_onnx", "run_program"]

Run = Callable[..., list[np.ndarray]]
"""Arrays in the order of the inputs -> arrays in the order of the outputs."""


def run_onnx(proto: Any) -> Run:
    """Run an ``onnx.ModelProto`` by ONNX Runtime, on the CPU."""
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    session = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [x.name for x in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def run_program(program: ExportedProgram) -> Run:
    """Run a program of ``torch.export``."""
    module = program.module()

    @torch.no_grad()
    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        results = module(*map(torch.from_numpy, arrays))
        return [x.numpy() for x in ((results,) if isinstance(results, torch.Tensor) else results)]

    return run
