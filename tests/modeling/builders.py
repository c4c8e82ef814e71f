"""What tests of models build them from."""

import math

import numpy as np
import torch
from detectron2.config import get_cfg
from detectron2.structures import BitMasks, Boxes, Instances

from pointrend_ext import add_pointrend_config

LEVELS = ["p2", "p3", "p4", "p5"]
STAGES = ["res2", "res3", "res4", "res5"]
# a ResNet-50 with an FPN, a few channels wide
RESNET_FPN = {
    "DEVICE": "cpu",
    "WEIGHTS": "",
    "BACKBONE.NAME": "build_resnet_fpn_backbone",
    "RESNETS.OUT_FEATURES": STAGES,
    "RESNETS.STEM_OUT_CHANNELS": 8,
    "RESNETS.RES2_OUT_CHANNELS": 16,
    "RESNETS.WIDTH_PER_GROUP": 4,
    "FPN.IN_FEATURES": STAGES,
    "FPN.OUT_CHANNELS": 8,
}
# an R-CNN on it, with points
RCNN = {
    **RESNET_FPN,
    "META_ARCHITECTURE": "GeneralizedRCNN",
    "MASK_ON": True,
    "ANCHOR_GENERATOR.SIZES": [[16], [32], [64], [128], [256]],
    "RPN.IN_FEATURES": [*LEVELS, "p6"],
    "RPN.POST_NMS_TOPK_TRAIN": 50,
    "RPN.POST_NMS_TOPK_TEST": 20,
    "ROI_HEADS.NAME": "StandardROIHeads",
    "ROI_HEADS.IN_FEATURES": LEVELS,
    "ROI_HEADS.NUM_CLASSES": 3,
    "ROI_HEADS.BATCH_SIZE_PER_IMAGE": 16,
    "ROI_HEADS.SCORE_THRESH_TEST": 0.0,
    "ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "ROI_BOX_HEAD.NUM_FC": 1,
    "ROI_BOX_HEAD.FC_DIM": 16,
    "ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "ROI_MASK_HEAD.NAME": "PointRendROIMaskHead",
    "ROI_MASK_HEAD.POOLER_TYPE": "",
    "ROI_MASK_HEAD.CONV_DIM": 8,
    "ROI_MASK_HEAD.FC_DIM": 16,
    "MASK_POINT_HEAD.FC_DIM": 8,
}


# a mask head that reads two levels, for the coarse masks and at points
BOTH_LEVELS = {
    "ROI_MASK_HEAD__IN_FEATURES": ("p2", "p3"),
    "MASK_POINT_HEAD__IN_FEATURES": ("p2", "p3"),
}


def model_cfg(table=None, **overrides):
    """Set keys below MODEL: ``A__B=1`` overrides "A.B" of the table."""
    cfg = get_cfg()
    add_pointrend_config(cfg)
    wanted = {**(table or {}), **{k.replace("__", "."): v for k, v in overrides.items()}}
    cfg.merge_from_list([x for key, value in wanted.items() for x in (f"MODEL.{key}", value)])
    cfg.TEST.DETECTIONS_PER_IMAGE = 5
    return cfg


def random_maps(generator, shapes, size_hw, num_images=2, dtype=torch.float32):
    """Feature maps of a batch of that many pixels, each rounded up to its own stride."""
    return {
        name: torch.randn(
            num_images,
            shape.channels,
            *(math.ceil(side / shape.stride) for side in size_hw),
            generator=generator,
            dtype=torch.float64,
        ).to(dtype)
        for name, shape in shapes.items()
    }


def picture(size_hw, boxes=None, first_class=0):
    """An input of a detector; with a list of integer boxes, which fill their masks, to learn."""
    example = {"image": torch.randint(0, 256, (3, *size_hw), dtype=torch.uint8)}
    if boxes is None:
        return example
    example["instances"] = instances = Instances(size_hw)
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.arange(len(boxes)) % 3 + first_class
    if boxes:  # as Detectron2's mapper
        masks = torch.zeros(len(boxes), *size_hw, dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
            mask[y0:y1, x0:x1] = True
        instances.gt_masks = BitMasks(masks)
    return example


def backward(model, batch):
    """Losses of a training step, whose gradients every parameter has got."""
    losses = model.train()(batch)
    assert all(loss.isfinite() for loss in losses.values()), losses
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []  # a parameter without gradient stops DistributedDataParallel
    return losses


def randomize(module, std, seed=7):
    """Give a module weights large enough for its predictions to vary."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=std, generator=generator)
    return module


def mlp(weights, last, x, *, prefix="", extra=()):
    """Run x through layers fc1, fc2, ... and the last one, from NumPy weights by name.

    Every layer but the first reads ``extra`` too, after the hidden values.
    """

    def layer(name, x):
        weight = weights[f"{prefix}{name}.weight"]
        return weight.reshape(weight.shape[:2]) @ x + weights[f"{prefix}{name}.bias"]

    number = 1
    while f"{prefix}fc{number}.weight" in weights:
        x = np.concatenate([np.maximum(layer(f"fc{number}", x), 0), extra])
        number += 1
    return layer(last, x)
