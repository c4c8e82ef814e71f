"""Upstream and ours side by side, with equal weights."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data.detection_utils import read_image
from detectron2.layers import batched_nms
from detectron2.modeling import build_model
from detectron2.modeling.proposal_generator import proposal_utils
from detectron2.projects import point_rend
from detectron2.projects.point_rend import point_features as upstream_point_features
from detectron2.structures import BitMasks, Instances
from pycocotools import mask as mask_util
from torch import nn

from pointrend_ext.engine import load_cfg
from pointrend_ext.model_zoo import get_config_file

CONFIG = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml"
RANDOM_MODEL = [
    *("MODEL.DEVICE", "cpu"),
    *("MODEL.WEIGHTS", ""),
    *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0),  # a random box head is sure of nothing
    *("MODEL.RPN.POST_NMS_TOPK_TRAIN", 100),
    *("MODEL.RPN.POST_NMS_TOPK_TEST", 100),
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 32),
    *("TEST.DETECTIONS_PER_IMAGE", 20),
]


@dataclass(frozen=True)
class Pair:
    """Both implementations, with equal weights."""

    ours: nn.Module
    upstream: nn.Module


def _ours_cfg(num_classes: int) -> CfgNode:
    return load_cfg(CONFIG, [*RANDOM_MODEL, "MODEL.ROI_HEADS.NUM_CLASSES", num_classes])


def _upstream_cfg(num_classes: int) -> CfgNode:
    cfg = get_cfg()
    point_rend.add_pointrend_config(cfg)
    cfg.merge_from_file(get_config_file("Base-RCNN-FPN.yaml"))
    cfg.merge_from_list(
        [
            *RANDOM_MODEL,
            *("MODEL.ROI_HEADS.NUM_CLASSES", num_classes),
            *("MODEL.POINT_HEAD.NUM_CLASSES", num_classes),
            *("MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", True),
            *("MODEL.ROI_MASK_HEAD.NAME", "PointRendMaskHead"),
            *("MODEL.ROI_MASK_HEAD.POOLER_TYPE", ""),
            *("MODEL.ROI_MASK_HEAD.POINT_HEAD_ON", True),
            *("INPUT.MASK_FORMAT", "bitmask"),
        ]
    )
    return cfg


@torch.no_grad()
def _calibrate(model: nn.Module, inputs: list[dict]) -> None:
    """Scale random weights until activations and mask logits are of the size a trained model has.

    A frozen batch norm leaves a random ResNet's residuals growing by powers of two per block, with
    a mean far larger than their variation: rounding would show in the masks as in no trained model.
    The published initialisation starts mask logits near 0.01.
    """
    for block in (m for m in model.modules() if hasattr(m, "conv3")):
        block.conv3.norm.weight.fill_(0.3)
    head = model.roi_heads.mask_head
    model.eval()
    layers = (model.backbone.fpn_output2, head.coarse_head.prediction, head.point_head.predictor)
    for layer, std in zip(layers, (1, 3, 3), strict=True):
        outputs = []
        handle = layer.register_forward_hook(lambda _m, _i, out, seen=outputs: seen.append(out))
        model(inputs)
        handle.remove()
        per_unit = outputs[0].transpose(0, 1).flatten(1)  # (units, regions x points)
        scale = std / per_unit.std(1)
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias.sub_(per_unit.mean(1)).mul_(scale)


@pytest.fixture(scope="session")
def make_pair():
    """Build both models with equal weights, loaded strictly in both directions."""

    def build(num_classes: int, calibration_inputs: list[dict]) -> Pair:
        torch.manual_seed(num_classes)
        upstream = build_model(_upstream_cfg(num_classes))
        _calibrate(upstream, calibration_inputs)
        ours = build_model(_ours_cfg(num_classes))
        ours.load_state_dict(upstream.state_dict(), strict=True)
        upstream.load_state_dict(ours.state_dict(), strict=True)
        return Pair(ours.eval(), upstream.eval())

    return build


@contextlib.contextmanager
def _float64() -> Iterator[None]:
    """Whole models in float64, which upstream supports but for two calls that mix types.

    Detectron2 keeps boxes in float32, and upstream's PointRend reads label masks in float32.
    """
    upstream_point_sample = upstream_point_features.point_sample

    def batched_nms_of_one_type(boxes, scores, idxs, iou_threshold):
        return batched_nms(boxes, scores.to(boxes.dtype), idxs, iou_threshold)

    def point_sample_of_one_type(features, coords, **kwargs):
        return upstream_point_sample(features.to(coords.dtype), coords, **kwargs)

    torch.set_default_dtype(torch.float64)
    with (
        mock.patch.object(proposal_utils, "batched_nms", batched_nms_of_one_type),
        mock.patch.object(upstream_point_features, "point_sample", point_sample_of_one_type),
    ):
        yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def float64():
    """A context in which whole models train in float64."""
    return _float64


def _as_input(image: np.ndarray, masks: np.ndarray, classes: list[int]) -> dict:
    height, width = image.shape[:2]
    bitmasks = BitMasks(torch.as_tensor(masks))
    instances = Instances((height, width))
    instances.gt_boxes = bitmasks.get_bounding_boxes()
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    instances.gt_masks = bitmasks
    pixels = torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return {"image": pixels, "height": height, "width": width, "instances": instances}


@pytest.fixture(scope="session")
def drawn_inputs() -> list[dict]:
    """Two images of different odd sizes with textured ellipses, for machines without data."""
    rng = np.random.default_rng(7)
    inputs = []
    for height, width in ((150, 201), (187, 133)):
        image = rng.integers(0, 80, (height, width, 3))
        y, x = np.mgrid[:height, :width] + 0.5
        masks = []
        for _ in range(3):
            cx, cy = rng.uniform(0.2, 0.8, 2) * (width, height)
            a, b = rng.uniform(12, 50, 2)
            masks.append(((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 < 1)
            image[masks[-1]] = rng.integers(0, 255, 3) + rng.integers(-20, 20)
        image = image.clip(0, 255).astype(np.uint8)
        inputs.append(_as_input(image, np.stack(masks), [0] * len(masks)))
    return inputs


@pytest.fixture(scope="session")
def coco_inputs(real_data: Path) -> list[dict]:
    """Real COCO val images with their masks, one class; at full size."""
    folder = real_data / "coco"
    coco = json.loads((folder / "annotations" / "instances_val2017.json").read_text())
    inputs = []
    for record in coco["images"][:40:10]:
        image = read_image(str(folder / "val2017" / record["file_name"]), format="BGR")
        masks = [
            mask_util.decode(
                mask_util.merge(mask_util.frPyObjects(a["segmentation"], *image.shape[:2]))
            )
            for a in coco["annotations"]
            if a["image_id"] == record["id"] and not a["iscrowd"]
        ]
        if masks:
            inputs.append(_as_input(image, np.stack(masks).astype(bool), [0] * len(masks)))
    return inputs
