"""Packages of the ``export`` extra, imported when they are needed."""

from importlib import import_module
from typing import Any

import torch

OLDEST_TORCH = (2, 14)


def onnx() -> Any:
    """Return the package ``onnx``."""
    return import_module("onnx")


def require_torch() -> None:
    """Refuse a PyTorch that no export was tested with.

    Raises:
        ImportError: it is too old.
    """
    numbers = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if numbers < OLDEST_TORCH:
        raise ImportError(
            f"An export needs torch {'.'.join(map(str, OLDEST_TORCH))} or later; this is "
            f"{torch.__version__}: pip install -U torch torchvision."
        )


def require_onnx() -> None:
    """Import all that an export to ONNX needs besides PyTorch.

    Raises:
        ImportError: one is not installed.
    """
    try:
        for name in ("onnx", "onnxscript", "onnxruntime"):
            import_module(name)
    except ImportError as error:
        raise ImportError(
            f"An export to ONNX needs onnx, onnxruntime and onnxscript ({error}): "
            "pip install 'pointrend-ext[export]'."
        ) from error
