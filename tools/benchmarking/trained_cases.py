"""The semantic head of a trained model on a photograph."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from detectron2.data import transforms as T
from detectron2.data.detection_utils import read_image
from detectron2.modeling import build_model

from benchmarking.case import Case, Forms
from benchmarking.semantic_cases import head_forms
from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.loading import build_checkpointer

__all__ = ["trained_cases"]


def trained_cases(
    config_file: str, weights: str, image_file: str, short_edge_px: int
) -> list[Case]:
    """Return logits and label map of one image.

    Args:
        config_file: of a ``PointRendSemanticSegmentor`` whose head reads p2.
        weights: its checkpoint.
        image_file: a photograph.
        short_edge_px: the size it is brought to.
    """
    name = f"a trained model's, short edge {short_edge_px}"
    options = {
        "config_file": config_file,
        "weights": weights,
        "image_file": image_file,
        "short_edge_px": short_edge_px,
    }
    logits = partial(_build, **options, as_labels=False)
    labels = partial(_build, **options, as_labels=True)
    return [
        Case("Semantic head, full logits", name, logits, min_ratio=1.6),
        Case("Semantic head, label map", name, labels, min_ratio=4, max_mib=80),
    ]


@torch.inference_mode()
def _build(
    device: str,
    *,
    config_file: str,
    weights: str,
    image_file: str,
    short_edge_px: int,
    as_labels: bool,
) -> Forms:
    cfg = load_cfg(config_file, ["MODEL.DEVICE", device])
    model = build_model(cfg).eval()
    build_checkpointer(cfg, model).load(weights)
    augmented = T.AugInput(read_image(image_file, format=cfg.INPUT.FORMAT))
    T.ResizeShortestEdge(short_edge_px, 4 * short_edge_px)(augmented)
    pixels = np.ascontiguousarray(augmented.image.transpose(2, 0, 1))
    images = model.preprocess_image([{"image": torch.as_tensor(pixels)}])
    features = model.backbone(images.tensor)
    head = model.sem_seg_head
    logits = head.coarse_sem_seg_head.layers(features)
    return head_forms(
        logits, features["p2"], head.point_head, head.subdivision, as_labels=as_labels
    )
