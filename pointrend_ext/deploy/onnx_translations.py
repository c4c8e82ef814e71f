"""How operators are said in ONNX that PyTorch's exporter does not know, or not exactly enough."""

from collections.abc import Callable
from typing import Any

__all__ = ["translations"]


def translations() -> dict[Any, Callable[..., Any]]:
    return {}
