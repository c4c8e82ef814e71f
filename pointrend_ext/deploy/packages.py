"""Packages of the ``export`` extra, imported when they are needed."""

from importlib import import_module
from typing import Any

__all__ = ["onnx", "onnxruntime", "require_packages"]


def onnx() -> Any:
    """Return the package ``onnx``."""
    return _imported("onnx")


def onnxruntime() -> Any:
    """Return the package ``onnxruntime``."""
    return _imported("onnxruntime")


def require_packages() -> None:
    """Import all that an export to ONNX needs.

    Raises:
        ImportError: one is not installed.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        _imported(name)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"An export to ONNX needs onnx, onnxruntime and onnxscript ({error}): "
            "pip install 'pointrend-ext[export]'."
        ) from error
