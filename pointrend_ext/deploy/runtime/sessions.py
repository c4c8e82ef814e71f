"""The packages that compute: ONNX Runtime, and OpenVINO."""

import os
from collections.abc import Sequence
from importlib import import_module
from numbers import Integral
from typing import Any, Protocol

import numpy as np

RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}
"""Names of runtimes, and the packages that they need."""


class Session(Protocol):
    """A model that is loaded; threads can share it.

    Attributes:
        metadata: ``metadata_props`` of the file.
        dims: numbers of dimensions of what it takes and puts out, by their names.
    """

    metadata: dict[str, str]
    dims: dict[str, int]

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the outputs of ``image`` (3, H, W) float32.

        Raises:
            Exception: that of the package, whose types share no other base.
        """


def open_session(
    path: str, runtime: str, *, threads: int | None, providers: Sequence[str] | None
) -> Session:
    """Load a file.

    Args:
        path: of an ONNX file.
        runtime: one of ``RUNTIMES``.
        threads: of one prediction; None for as many as the package takes.
        providers: of ONNX Runtime, or the one device of OpenVINO; None for the CPU.

    Raises:
        FileNotFoundError: no such file.
        ImportError: the package is not installed.
        ValueError: no ONNX file, an unknown runtime, or one without the providers.
    """
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime is {runtime!r}; choose from {', '.join(RUNTIMES)}.")
    if threads is not None and not (isinstance(threads, Integral) and threads >= 1):
        raise ValueError(f"threads is {threads!r}; it must be at least 1, or None.")
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise FileNotFoundError(f"The exported model {path} {what}: pass a file of .onnx.")
    try:
        package = import_module(RUNTIMES[runtime])
    except ImportError as error:
        raise ImportError(
            f"Running {path} needs {RUNTIMES[runtime]}, which cannot be imported ({error}): pip "
            f"install {RUNTIMES[runtime]}."
        ) from error
    kind = _OnnxRuntime if runtime == "onnx" else _OpenVino
    return kind(package, path, threads, [providers] if isinstance(providers, str) else providers)


class _OnnxRuntime:
    def __init__(
        self, package: Any, path: str, threads: int | None, providers: Sequence[str] | None
    ) -> None:
        wanted = list(providers or ["CPUExecutionProvider"])
        _check_known("provider of this onnxruntime", wanted, package.get_available_providers())
        options = package.SessionOptions()
        options.log_severity_level = 3  # errors
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = package.InferenceSession(path, options, providers=wanted)
        except Exception as error:  # its own types, which share no other base
            raise _not_loaded(path, error, wanted[0]) from error
        if wanted[0] not in self._session.get_providers():  # it says no more than a warning
            raise ValueError(
                f"onnxruntime could not start {wanted[0]} and would use "
                f"{self._session.get_providers()}: install what it needs, or name another provider."
            )
        self.metadata = self._session.get_modelmeta().custom_metadata_map
        self._outputs = [x.name for x in self._session.get_outputs()]
        both = (*self._session.get_inputs(), *self._session.get_outputs())
        self.dims = {x.name: len(x.shape) for x in both}

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        found = self._session.run(self._outputs, {"image": image})
        return dict(zip(self._outputs, found, strict=True))


class _OpenVino:
    def __init__(
        self, package: Any, path: str, threads: int | None, providers: Sequence[str] | None
    ) -> None:
        core = package.Core()
        device = providers[0] if providers else "CPU"
        _check_known("device of this OpenVINO", [device], core.available_devices)
        options = {"INFERENCE_PRECISION_HINT": "f32"}  # 16 bits would be a loss that nobody chose
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = str(threads)
        try:
            model = core.read_model(path)
            self._compiled = core.compile_model(model, device, options)
        except Exception as error:
            raise _not_loaded(path, error, device) from error
        # It keeps ``metadata_props`` among what it knows of the "framework".
        is_told = model.has_rt_info(["framework"])
        self.metadata = dict(model.get_rt_info("framework").value) if is_told else {}
        self._outputs = [x.get_any_name() for x in self._compiled.outputs]
        both = (*self._compiled.inputs, *self._compiled.outputs)
        self.dims = {x.get_any_name(): len(x.get_partial_shape()) for x in both}

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        request = self._compiled.create_infer_request()
        found = request.infer({"image": image})
        return {name: found[name] for name in self._outputs}


def _check_known(what: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"There is no {what} called {unknown[0]!r}; it has {list(known)}.")


def reason_of(error: Exception) -> str:
    """Return one line of what a package says, from its end: first come places in its sources."""
    return " ".join(str(error).split())[-200:]


def _not_loaded(path: str, error: Exception, where: str) -> ValueError:
    reason = reason_of(error)
    if "IR version" in reason or "opset" in reason:
        return ValueError(
            f"{path} cannot be loaded: {reason}. Where it asks for a newer version, install a "
            "newer runtime (pip install -U onnxruntime)."
        )
    if not where.startswith("CPU"):
        return ValueError(
            f"{path} cannot be loaded for {where}: {reason}. Try it without providers: where that "
            "fails, too, the file is damaged."
        )
    return ValueError(
        f"{path} is no ONNX file, or is truncated or damaged ({os.path.getsize(path)} bytes): "
        f"{reason}. Copy it again, or export the model again."
    )
