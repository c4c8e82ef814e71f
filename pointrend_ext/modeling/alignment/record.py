"""Looking at the flows that a model predicts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

__all__ = ["RecordedFlow", "record_flows"]


@dataclass(frozen=True)
class RecordedFlow:
    """One flow of one forward pass.

    Attributes:
        name: of the module inside the model, then ``.high`` or ``.low``: the map that is moved.
        flow_px: (N, 2, H, W), (dx, dy) in pixels of the fused map.
    """

    name: str
    flow_px: Tensor


@contextmanager
def record_flows(model: nn.Module) -> Iterator[list[RecordedFlow]]:
    """Collect the flows of every alignment of a model while the context lasts.

    The flows are predicted a second time for it; what the model returns is unchanged.

    Args:
        model: in inference; has modules with ``predict_flows`` (``FEATURE_ALIGNMENT_REGISTRY``).

    Yields:
        A list that each forward pass extends, in the order in which the modules run.
    """
    recorded: list[RecordedFlow] = []

    def record(name: str, module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        for moved, flow in zip(("high", "low"), module.predict_flows(*inputs), strict=False):
            recorded.append(RecordedFlow(f"{name}.{moved}", flow.detach()))

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if hasattr(module, "predict_flows"):
                hooks.callback(module.register_forward_hook(partial(record, name)).remove)
        yield recorded
