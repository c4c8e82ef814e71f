"""Upstream and ours side by side, with equal weights; images with masks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data.detection_utils import read_image
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from pycocotools import mask as mask_util

from pointrend_ext.engine import load_cfg
from tests.parity.upstream import (
    Pair,
    as_input,
    below_model,
    calibrate,
    upstream_model,
    with_equal_weights,
)

CONFIG = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml"
RANDOM_MODEL = {
    "DEVICE": "cpu",
    "WEIGHTS": "",
    "ROI_HEADS.SCORE_THRESH_TEST": 0.0,  # a random box head is sure of nothing
    "RPN.POST_NMS_TOPK_TRAIN": 100,
    "RPN.POST_NMS_TOPK_TEST": 100,
    "ROI_HEADS.BATCH_SIZE_PER_IMAGE": 32,
}
UPSTREAM = {
    "ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": True,
    "ROI_MASK_HEAD.NAME": "PointRendMaskHead",
    "ROI_MASK_HEAD.POOLER_TYPE": "",
    "ROI_MASK_HEAD.POINT_HEAD_ON": True,
}
FEW = ["TEST.DETECTIONS_PER_IMAGE", 20]


@pytest.fixture(scope="session")
def make_pair():
    """Build both models with equal weights, loaded strictly in both directions."""

    def build(num_classes: int, calibration_inputs: list[dict]) -> Pair:
        common = {**RANDOM_MODEL, "ROI_HEADS.NUM_CLASSES": num_classes}
        theirs = below_model({**common, **UPSTREAM, "POINT_HEAD.NUM_CLASSES": num_classes})
        torch.manual_seed(num_classes)
        upstream = upstream_model(
            "Base-RCNN-FPN.yaml", [*theirs, *FEW, "INPUT.MASK_FORMAT", "bitmask"]
        )
        head = upstream.roi_heads.mask_head
        layers = {
            upstream.backbone.fpn_output2: 1.0,
            head.coarse_head.prediction: 3.0,
            head.point_head.predictor: 3.0,
        }
        calibrate(upstream, calibration_inputs, layers)
        ours = build_model(load_cfg(CONFIG, [*below_model(common), *FEW]))
        return with_equal_weights(ours, upstream)

    return build


def _with_masks(image: np.ndarray, masks: list[np.ndarray]) -> dict:
    """An input with masks of one class."""
    height, width = image.shape[:2]
    bitmasks = BitMasks(torch.as_tensor(np.stack(masks).astype(bool)))
    instances = Instances((height, width))
    instances.gt_boxes = bitmasks.get_bounding_boxes()
    instances.gt_classes = torch.zeros(len(masks), dtype=torch.int64)
    instances.gt_masks = bitmasks
    return as_input(image, height=height, width=width, instances=instances)


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
        inputs.append(_with_masks(image, masks))
    return inputs


@pytest.fixture(
    scope="session", params=[2, pytest.param(1, marks=pytest.mark.slow)], ids=["half", "full"]
)
def coco_inputs(request, real_data: Path) -> list[dict]:
    """Real COCO val images with their masks, one class; of every second pixel, or of all."""
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
        masks = [mask[:: request.param, :: request.param] for mask in masks]
        masks = [mask for mask in masks if mask.any()]
        if masks:
            image = image[:: request.param, :: request.param]
            inputs.append(_with_masks(np.ascontiguousarray(image), masks))
    return inputs
