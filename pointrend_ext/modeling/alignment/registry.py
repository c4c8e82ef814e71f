"""The registry of feature alignments, and looking at the flows that they predict."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from pointrend_ext.modeling.checks import check_values, registered

FEATURE_ALIGNMENT_REGISTRY = Registry("FEATURE_ALIGNMENT")
FEATURE_ALIGNMENT_REGISTRY.__doc__ = """
Registry of modules that fuse a coarse feature map into a finer one of the same extent.

An entry is called as ``alignment(node, channels=C)``, where ``node`` is the configuration node
``cfg.MODEL.FPN.ALIGNMENT``. It returns a module with

- ``module(low, high)``: the fine map ``low`` (N, C, H, W) and the coarse map ``high`` (N, C, h, w)
  of the same part of the image become (N, C, H, W). The sum of both is included: a caller adds
  nothing. With ``ZERO_INIT`` and ``COORDS`` "pixel" a new module returns ``low`` plus ``high``
  resized bilinearly, so that it can take the place of a plain sum in a trained network.
- ``predict_flows(low, high)``: list of (N, 2, H, W), the flow by which ``high`` is read and, where
  the module moves ``low`` as well, then the flow of ``low``; (dx, dy) in pixels of ``low``. It is
  what ``record_flows`` shows.
"""


def build_feature_alignment(node: CfgNode, *, channels: int) -> nn.Module:
    """Build the alignment that ``node.NAME`` names.

    Args:
        node: ``cfg.MODEL.FPN.ALIGNMENT``.
        channels: C, of both maps.

    Raises:
        ValueError: no such name, or a width below 0; the message says what is allowed.
    """
    alignment = registered(FEATURE_ALIGNMENT_REGISTRY, "MODEL.FPN.ALIGNMENT.NAME", node.NAME)
    allowed = "at least 0, which stands for the width in the papers"
    check_values("MODEL.FPN.ALIGNMENT", ("CHANNELS", node.CHANNELS, node.CHANNELS >= 0, allowed))
    return alignment(node, channels=channels)


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
