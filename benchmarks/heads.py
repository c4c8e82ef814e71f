"""Our mask head and upstream's with equal weights, and what they are given."""

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads.mask_head import build_mask_head
from detectron2.projects import point_rend
from detectron2.structures import Boxes, Instances
from torch import Tensor

from pointrend_ext.config import add_pointrend_config

__all__ = [
    "IMAGE_HW",
    "build_heads",
    "random_boxes",
    "random_detections",
    "random_map",
    "upstream_cfg",
]

IMAGE_HW = (800, 1344)
SHAPES = {"p2": ShapeSpec(channels=256, stride=4)}


def upstream_cfg(cfg: CfgNode) -> CfgNode:
    """Return what builds Detectron2's own PointRend with the parameters of ours."""
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


def build_heads(num_classes: int, device: str, steps: int = 5) -> tuple[Any, Any]:
    """Build our mask head and upstream's with equal weights, and logits of a few units."""
    cfg = get_cfg()
    add_pointrend_config(cfg)
    cfg.MODEL.ROI_MASK_HEAD.NAME = "PointRendROIMaskHead"
    cfg.MODEL.ROI_MASK_HEAD.POOLER_TYPE = ""
    cfg.MODEL.MASK_POINT_HEAD.SUBDIVISION_STEPS = steps
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = num_classes
    torch.manual_seed(0)
    theirs = build_mask_head(upstream_cfg(cfg), SHAPES).to(device).eval()
    _scale_logits(theirs, num_classes, device)
    ours = build_mask_head(cfg, SHAPES).to(device).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


@torch.no_grad()
def _scale_logits(head: Any, num_classes: int, device: str) -> None:
    """Scale the last layers to logits of standard deviation 3, as a trained model has.

    No unit reads the mean of its inputs: it is far larger than their variation in a random network,
    and would turn rounding into errors that no trained model shows.
    """
    features, detections = random_map(device), [random_detections(8, num_classes, device)]
    for layer in (head.coarse_head.prediction, head.point_head.predictor):
        calls: list[Tensor] = []
        handle = layer.register_forward_hook(lambda _m, i, _o, seen=calls: seen.append(i[0]))
        head(features, detections)
        handle.remove()
        inputs = calls[0].transpose(0, 1).flatten(1)  # (channels, regions x points)
        weight, mean = layer.weight.flatten(1), inputs.mean(1)
        weight = weight - torch.outer(weight @ mean, mean) / (mean @ mean)
        weight = weight * (3 / (weight @ inputs).std(1))[:, None]
        layer.weight.copy_(weight.view_as(layer.weight))
        layer.bias.zero_()


def random_map(device: str) -> dict[str, Tensor]:
    """Draw p2 of one image."""
    generator = torch.Generator().manual_seed(2)
    size_hw = [side // 4 for side in IMAGE_HW]
    return {"p2": torch.randn(1, 256, *size_hw, generator=generator).to(device)}


def random_boxes(num_regions: int) -> Tensor:
    """Draw boxes (R, 4) with sides from 16 to 640 pixels, evenly on a logarithmic scale."""
    rng = np.random.default_rng(0)
    height, width = IMAGE_HW
    w, h = np.exp(rng.uniform(np.log(16), np.log(640), (2, num_regions)))
    x, y = rng.uniform(0, 1, (2, num_regions)) * np.maximum([width - w, height - h], 0)
    corners = [x, y, np.minimum(x + w, width), np.minimum(y + h, height)]
    return torch.tensor(np.stack(corners, axis=1), dtype=torch.float32)


def random_detections(num_regions: int, num_classes: int, device: str) -> Instances:
    """Draw detections of one image."""
    detections = Instances(IMAGE_HW)
    detections.pred_boxes = Boxes(random_boxes(num_regions).to(device))
    generator = torch.Generator().manual_seed(1)
    classes = torch.randint(0, num_classes, (num_regions,), generator=generator)
    detections.pred_classes = classes.to(device)
    return detections
