"""The configuration of Detectron2's own PointRend that equals one of ours."""

from __future__ import annotations

from detectron2.config import CfgNode, get_cfg
from detectron2.projects import point_rend

__all__ = ["upstream_cfg"]


def upstream_cfg(cfg: CfgNode) -> CfgNode:
    """Return what builds the original with the parameters of our ``PointRendROIMaskHead``.

    Args:
        cfg: not changed.
    """
    theirs = get_cfg()
    point_rend.add_pointrend_config(theirs)
    _copy_known(cfg, theirs)
    _copy_known(cfg.MODEL.MASK_POINT_HEAD, theirs.MODEL.POINT_HEAD)
    theirs.MODEL.POINT_HEAD.NUM_CLASSES = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    theirs.MODEL.ROI_MASK_HEAD.NAME = "PointRendMaskHead"
    theirs.MODEL.ROI_MASK_HEAD.POINT_HEAD_ON = True
    return theirs


def _copy_known(source: CfgNode, target: CfgNode) -> None:
    """Copy the values of all keys that both have."""
    for key in target.keys() & source.keys():
        if isinstance(target[key], CfgNode):
            _copy_known(source[key], target[key])
        else:
            target[key] = source[key]
