"""The registry of point heads."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.utils.registry import Registry
from torch import nn

from pointrend_ext.modeling.checks import registered

POINT_HEAD_REGISTRY = Registry("POINT_HEAD")
POINT_HEAD_REGISTRY.__doc__ = """
Registry of point heads.

An entry is called as ``head(node, fine_channels=F, coarse_channels=K, out_channels=C)``, where
``node`` is the configuration node of the task, ``cfg.MODEL.MASK_POINT_HEAD`` for instances. It
returns a module that maps ``(fine (R, F, P), coarse (R, K, P))`` to logits (R, C, P), for
any R, 0 included. It may offer ``class_logits(fine, coarse, classes (R,))`` too, which returns the
channel (R, 1, P) of each region's class without computing the others.

``ImplicitPointHead`` alone is another kind: it is called with ``coarse_channels=0``, has
``num_params`` n, and maps ``(fine, coords_box (R, P, 2), parameters (R, n), classes (R,))`` to
(R, 1, P). ``ImplicitPointRendROIMaskHead`` needs it, and no other head takes it.

It is an object of its own: Detectron2's PointRend project has a registry of the same name, which
this one never touches.
"""


def build_point_head(
    node: CfgNode, *, fine_channels: int, coarse_channels: int, out_channels: int, **options: Any
) -> nn.Module:
    """Build the point head that ``node.NAME`` names.

    Args:
        node: a point head's configuration node.
        fine_channels: F, channels of the fine-grained features.
        coarse_channels: K, channels of the coarse prediction; 0 without one.
        out_channels: C, channels of the point logits.
        options: more arguments of its constructor.

    Raises:
        ValueError: no such name; the message lists the known ones.
    """
    return registered(POINT_HEAD_REGISTRY, "The point head's NAME", node.NAME)(
        node,
        fine_channels=fine_channels,
        coarse_channels=coarse_channels,
        out_channels=out_channels,
        **options,
    )
