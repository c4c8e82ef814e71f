"""Models with equal weights, each ready for Detectron2's ``DefaultPredictor`` and our Predictor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import DefaultPredictor
from detectron2.projects import point_rend
from torch import nn

from pointrend_ext.engine import load_cfg
from pointrend_ext.inference.predictor import Predictor

__all__ = ["ORIGINAL", "OURS", "PLAIN", "build_models", "upstream_cfg"]

PLAIN, ORIGINAL, OURS = "Mask R-CNN", "PointRend, original", "PointRend, ours"
_WHOLE_BOX_LOGIT = 3.0


def build_models(
    config_file: str,
    weights: str,
    plain_config_file: str,
    plain_weights: str | None,
    *,
    confidence: float,
    opts: Sequence[Any] = (),
) -> dict[str, tuple[Predictor, DefaultPredictor]]:
    """Build PointRend, ours and the original, and Mask R-CNN, each in both predictors.

    Args:
        config_file: of our PointRend.
        weights: its trained weights, which the original gets as well.
        plain_config_file: of Mask R-CNN.
        plain_weights: its trained weights; without, it gets all of PointRend's but the mask head,
            and that predicts whole boxes.
        confidence: lowest score of an instance.
        opts: KEY VALUE pairs that change all configurations.

    Returns:
        By the model's name our Predictor and Detectron2's, around the same module.
    """
    ours = Predictor.from_config(config_file, weights, confidence=confidence, opts=opts)
    state = ours.model.state_dict()
    plain_options = [
        *opts,
        *("MODEL.WEIGHTS", ""),
        *("MODEL.DEVICE", ours.cfg.MODEL.DEVICE),
        *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", confidence),
    ]
    if plain_weights:
        plain = Predictor.from_config(
            plain_config_file, plain_weights, confidence=confidence, opts=opts
        )
        pairs = {PLAIN: (plain, _default_predictor(plain.cfg, plain.model.state_dict()))}
    else:
        theirs = _default_predictor(load_cfg(plain_config_file, plain_options), state, strict=False)
        _predict_whole_boxes(theirs.model)
        pairs = {PLAIN: (Predictor(theirs.model, theirs.cfg, classes=ours.classes), theirs)}
    upstream = _default_predictor(upstream_cfg(ours.cfg), state)
    pairs[ORIGINAL] = (
        Predictor(upstream.model, ours.cfg, classes=ours.classes),
        upstream,
    )
    pairs[OURS] = (ours, _default_predictor(ours.cfg, state))
    # One module each, so that both predictors run the same weights for certain.
    for predictor, theirs in pairs.values():
        theirs.model = predictor.model
    return pairs


def upstream_cfg(cfg: CfgNode) -> CfgNode:
    """Return the configuration of Detectron2's own PointRend that equals one of ours.

    Args:
        cfg: of our ``PointRendROIMaskHead``; not changed.
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
    for key in target:
        if key not in source:
            continue
        if isinstance(target[key], CfgNode):
            _copy_known(source[key], target[key])
        else:
            target[key] = source[key]


def _default_predictor(
    cfg: CfgNode, state: dict[str, torch.Tensor], *, strict: bool = True
) -> DefaultPredictor:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS = ""  # they come from the state
    predictor = DefaultPredictor(cfg)
    predictor.model.load_state_dict(state, strict=strict)
    return predictor


@torch.no_grad()
def _predict_whole_boxes(model: nn.Module) -> None:
    """Make an untrained mask head predict what costs no more to draw than an object."""
    predictor = model.roi_heads.mask_head.predictor
    predictor.weight.zero_()
    predictor.bias.fill_(_WHOLE_BOX_LOGIT)
