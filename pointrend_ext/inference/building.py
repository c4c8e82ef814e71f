"""Builds and loads what a ``Predictor`` runs: from a configuration, or from a model's folder."""

import os
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import GeneralizedRCNN, SemanticSegmentor
from torch import nn

from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.engine.classes import find_classes
from pointrend_ext.engine.config_file import load_cfg
from pointrend_ext.engine.loading import LoadOptions
from pointrend_ext.engine.setup import check_weights, use_cpu_if_needed
from pointrend_ext.inference.pretrained import (
    check_classes,
    find_folder,
    load_exactly,
    read_pretrained,
)
from pointrend_ext.modeling.checks import check_values
from pointrend_ext.modeling.unread_keys import build_checked_model


def model_of_config(
    config_file: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None,
    device: str | torch.device | None,
    opts: Sequence[Any],
    confidence: float | None,
    load_options: LoadOptions | None,
) -> dict[str, Any]:
    """Build and load what a ``Predictor`` takes; see ``Predictor.from_config``."""
    chosen = () if weights is None else ("MODEL.WEIGHTS", os.fspath(weights))
    cfg = load_cfg(os.fspath(config_file), [*opts, *chosen])
    model = _built(cfg, device, confidence)
    checkpointer = PointRendCheckpointer(
        model,
        class_names=find_classes(cfg).by_kind(),
        cfg=cfg,
        **vars(load_options or LoadOptions()),
    )
    stored = checkpointer.load(cfg.MODEL.WEIGHTS, checkpointables=[]).get("class_names")
    return {"model": model, "cfg": cfg, "classes": find_classes(cfg, stored)}


def model_of_folder(
    path_or_repo: str | os.PathLike[str],
    revision: str | None,
    device: str | torch.device | None,
    opts: Sequence[Any],
    confidence: float | None,
) -> dict[str, Any]:
    """Build and load a model that was saved; see ``Predictor.from_pretrained``."""
    config_file, weights, classes = read_pretrained(find_folder(path_or_repo, revision))
    cfg = load_cfg(config_file, [*opts, "MODEL.WEIGHTS", os.fspath(weights)])
    model = _built(cfg, device, confidence)
    load_exactly(model, weights)
    check_classes(classes, cfg)
    return {"model": model, "cfg": cfg, "classes": classes}


def check_model(model: nn.Module, cfg: CfgNode) -> None:
    """Raise ValueError for a model without masks, or one that is wrapped by another."""
    inner = next((x for x in ("module", "_orig_mod") if hasattr(model, x)), None)
    if inner is not None:
        raise ValueError(
            f"The model is wrapped in a {type(model).__name__}: pass model.{inner} instead."
        )
    if not isinstance(model, (GeneralizedRCNN, SemanticSegmentor)) or (
        isinstance(model, GeneralizedRCNN) and not cfg.MODEL.MASK_ON
    ):
        raise ValueError(
            f"The model ({cfg.MODEL.META_ARCHITECTURE}, MODEL.MASK_ON {cfg.MODEL.MASK_ON}) has "
            "no masks. Use GeneralizedRCNN or PanopticFPN with MODEL.MASK_ON True, or a "
            "semantic segmentor."
        )


def _built(cfg: CfgNode, device: str | torch.device | None, confidence: float | None) -> nn.Module:
    """Put what the user chose into a configuration that has just been read, and build the model."""
    if not cfg.MODEL.WEIGHTS:
        raise ValueError(
            "No weights: the configuration names none in MODEL.WEIGHTS. Pass a trained model, such "
            "as output/pointrend_rcnn_toy/model_final.pth."
        )
    check_weights(cfg.MODEL.WEIGHTS)
    if device is not None:
        cfg.MODEL.DEVICE = str(device)
    else:
        use_cpu_if_needed(cfg)
    if confidence is not None:
        is_share = isinstance(confidence, Real) and 0 <= confidence <= 1
        check_values("Predictor", ("confidence", confidence, is_share, "between 0 and 1"))
        cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = confidence
        cfg.MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH = confidence
    cfg.freeze()
    return build_checked_model(cfg)
