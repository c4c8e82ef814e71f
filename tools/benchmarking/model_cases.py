"""Whole models on one image: upstream's PointRend, ours, and Mask R-CNN with its own mask head."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import transforms as T
from detectron2.data.detection_utils import read_image
from detectron2.modeling import build_model
from detectron2.projects import point_rend
from torch import nn

from benchmarking.case import Case, Forms
from pointrend_ext.engine import load_cfg
from pointrend_ext.model_zoo import get_config_file

__all__ = ["model_cases"]

FOLDER = "COCO-InstanceSegmentation"


def model_cases(image_file: str) -> list[Case]:
    """Return the case of one image.

    Args:
        image_file: a photograph; "" for noise.
    """
    what = "a photograph" if image_file else "noise"
    return [
        Case(
            "Whole model",
            f"R50-FPN, C=80, 800x1333, 100 detections on {what}",
            partial(_build, image_file=image_file),
        )
    ]


def _build(device: str, *, image_file: str) -> Forms:
    options = ["MODEL.DEVICE", device, "MODEL.WEIGHTS", ""]
    options += ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0]  # a random box head is sure of nothing
    inputs = [_input(image_file)]
    torch.manual_seed(0)
    theirs = build_model(_upstream_cfg(options)).eval()
    _scale(theirs, inputs)
    ours = build_model(load_cfg(f"{FOLDER}/pointrend_rcnn_R_50_FPN_1x_coco.yaml", options)).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    plain = build_model(load_cfg(f"{FOLDER}/mask_rcnn_R_50_FPN_1x_coco.yaml", options)).eval()
    plain.load_state_dict(theirs.state_dict(), strict=False)  # all but its mask head

    @torch.inference_mode()
    def run(model: nn.Module) -> Any:
        (instances,) = model.inference(inputs, do_postprocess=False)
        return instances

    models = {"ours": ours, "upstream": theirs, "Mask R-CNN": plain}
    return Forms({name: partial(run, model) for name, model in models.items()}, _check)


def _input(image_file: str) -> dict[str, Any]:
    if image_file:
        image = read_image(image_file, format="BGR")
    else:
        image = np.random.default_rng(0).integers(0, 256, (800, 1333, 3)).astype(np.uint8)
    augmentation = T.AugInput(image)
    T.ResizeShortestEdge(800, 1333)(augmentation)
    pixels = np.ascontiguousarray(augmentation.image.transpose(2, 0, 1))
    return {"image": torch.as_tensor(pixels)}


def _upstream_cfg(options: list[Any]) -> CfgNode:
    cfg = get_cfg()
    point_rend.add_pointrend_config(cfg)
    cfg.merge_from_file(get_config_file("Base-RCNN-FPN.yaml"))
    cfg.merge_from_list(options)
    cfg.MODEL.POINT_HEAD.NUM_CLASSES = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    cfg.MODEL.ROI_MASK_HEAD.NAME = "PointRendMaskHead"
    cfg.MODEL.ROI_MASK_HEAD.POOLER_TYPE = ""
    cfg.MODEL.ROI_MASK_HEAD.POINT_HEAD_ON = True
    cfg.MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES = True
    return cfg


@torch.no_grad()
def _scale(model: nn.Module, inputs: list[dict[str, Any]]) -> None:
    """Scale random weights to activations and mask logits of the size a trained model has."""
    for block in (module for module in model.modules() if hasattr(module, "conv3")):
        block.conv3.norm.weight.fill_(0.3)
    head = model.roi_heads.mask_head
    layers = (model.backbone.fpn_output2, head.coarse_head.prediction, head.point_head.predictor)
    for layer, std in zip(layers, (1, 3, 3), strict=True):
        outputs: list[torch.Tensor] = []
        handle = layer.register_forward_hook(lambda _m, _i, out, seen=outputs: seen.append(out))
        model.inference(inputs, do_postprocess=False)
        handle.remove()
        per_unit = outputs[0].transpose(0, 1).flatten(1)
        scale = std / per_unit.std(1)
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias.sub_(per_unit.mean(1)).mul_(scale)


def _check(results: Mapping[str, Any]) -> str:
    ours, theirs = results["ours"], results["upstream"]
    assert torch.equal(ours.pred_boxes.tensor, theirs.pred_boxes.tensor), "boxes differ"
    assert torch.equal(ours.pred_classes, theirs.pred_classes), "classes differ"
    difference = (ours.pred_masks - theirs.pred_masks).abs()
    share = (difference > 1e-5).float().mean().item()
    assert share < 1e-3, f"{share:.1e} of the mask pixels differ by more than 1e-5"
    return f"{len(ours)} detections; {share:.0e} of the mask pixels differ by more than 1e-5"
