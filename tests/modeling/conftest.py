"""A tiny PointRend mask head with its inputs, and the loop oracle that evaluates it."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads.mask_head import build_mask_head
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from pointrend_ext.modeling import StandardPointHead
from pointrend_ext.modeling.point_head import RegionInputs
from tests.modeling.builders import mlp, model_cfg, random_maps, randomize


@pytest.fixture
def event_storage():
    """Detectron2's losses log; a training step needs a storage to log to."""
    with EventStorage() as storage:
        yield storage


# 3 classes, 4 x 4 pooled cells, coarse masks of 3 x 3 refined to 12 x 12, 5 points per step

TINY = {
    "ROI_HEADS.NUM_CLASSES": 3,
    "ROI_MASK_HEAD.NAME": "PointRendROIMaskHead",
    "ROI_MASK_HEAD.POOLER_TYPE": "",
    "ROI_MASK_HEAD.POOLER_RESOLUTION": 4,
    "ROI_MASK_HEAD.CONV_DIM": 4,
    "ROI_MASK_HEAD.FC_DIM": 8,
    "ROI_MASK_HEAD.OUTPUT_SIDE_RESOLUTION": 3,
    "MASK_POINT_HEAD.FC_DIM": 7,
    "MASK_POINT_HEAD.NUM_FC": 2,
    "MASK_POINT_HEAD.TRAIN_NUM_POINTS": 9,
    "MASK_POINT_HEAD.SUBDIVISION_STEPS": 2,
    "MASK_POINT_HEAD.SUBDIVISION_NUM_POINTS": 5,
}
SHAPES = {
    "p2": ShapeSpec(channels=6, stride=4),
    "p3": ShapeSpec(channels=5, stride=8),
}


def make_cfg(**overrides):
    """``MASK_POINT_HEAD__NUM_FC=1`` overrides MODEL.MASK_POINT_HEAD.NUM_FC."""
    return model_cfg(TINY, **overrides)


def make_head(shapes=None, std=0.5, **overrides):
    """The tiny head with random weights."""
    return randomize(build_mask_head(make_cfg(**overrides), shapes or SHAPES), std)


def make_features(num_images=2, size_hw=(32, 40), dtype=torch.float32, shapes=None):
    """Random feature maps of a batch padded to ``size_hw`` pixels."""
    generator = torch.Generator().manual_seed(8)
    return random_maps(generator, shapes or SHAPES, size_hw, num_images, dtype)


def make_detections(boxes_per_image, classes_per_image, size_hw=(32, 40)):
    detections = []
    for boxes, classes in zip(boxes_per_image, classes_per_image, strict=True):
        boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
        classes = torch.tensor(classes, dtype=torch.int64)
        detections.append(Instances(size_hw, pred_boxes=boxes, pred_classes=classes))
    return detections


def make_proposals(boxes_per_image, classes_per_image, sizes_hw=((32, 40), (32, 40))):
    """Proposals with random masks of each image's own size; no masks where no box is."""
    generator = torch.Generator().manual_seed(9)
    proposals = []
    for boxes, classes, size_hw in zip(boxes_per_image, classes_per_image, sizes_hw, strict=True):
        x = Instances(size_hw)
        x.proposal_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
        x.gt_classes = torch.tensor(classes, dtype=torch.int64)
        if boxes:
            x.gt_masks = BitMasks(torch.rand(len(boxes), *size_hw, generator=generator) > 0.5)
        proposals.append(x)
    return proposals


# inside, of no area, partly outside, far larger than the image; all exact in float32
BOXES = [
    [[4.0, 2.5, 20.0, 18.5], [7.0, 9.0, 7.0, 9.0]],
    [[-6.0, 20.0, 14.0, 44.0], [-512, -256, 768, 512]],
]
CLASSES = [[0, 2], [1, 2]]


def masks_of(head, features):
    """(R, 1, S, S) masks of all boxes."""
    found = head(features, make_detections(BOXES, CLASSES))
    return torch.cat([x.pred_masks for x in found])


@pytest.fixture
def tiny():
    """Factories of the tiny head and of what it is called with."""
    return SimpleNamespace(
        cfg=make_cfg,
        head=make_head,
        features=make_features,
        detections=make_detections,
        masks=masks_of,
        proposals=make_proposals,
        shapes=SHAPES,
        boxes=BOXES,
        classes=CLASSES,
    )


class LoopHead:
    """A ``PointRendROIMaskHead`` evaluated region by region and point by point from its weights."""

    def __init__(self, head, features, names=("p2",), *, pool_side=4, coarse_side=3, oracle):
        self.oracle = oracle
        self.weights = {k: v.detach().double().numpy() for k, v in head.state_dict().items()}
        self.maps = [features[name].detach().double().numpy() for name in names]
        self.strides = [SHAPES[name].stride for name in names]
        self.pool_side, self.coarse_side = pool_side, coarse_side

    def fine(self, image, box, x, y):
        px = box[0] + x * (box[2] - box[0]), box[1] + y * (box[3] - box[1])
        return np.array(
            [
                self.oracle.bilinear(
                    plane, px[0] / (stride * plane.shape[1]), px[1] / (stride * plane.shape[0])
                )
                for maps, stride in zip(self.maps, self.strides, strict=True)
                for plane in maps[image]
            ]
        )

    def coarse(self, image, box):
        """(C, S, S) coarse logits of one region."""
        w, n = self.weights, self.pool_side
        pooled = np.array(
            [
                [self.fine(image, box, (j + 0.5) / n, (i + 0.5) / n) for j in range(n)]
                for i in range(n)
            ]
        )  # (n, n, F)
        if "coarse_head.reduce_channel_dim_conv.weight" in w:
            kernel = w["coarse_head.reduce_channel_dim_conv.weight"][:, :, 0, 0]
            bias = w["coarse_head.reduce_channel_dim_conv.bias"]
            pooled = np.maximum(np.einsum("ijf,df->ijd", pooled, kernel) + bias, 0)
        kernel = w["coarse_head.reduce_spatial_dim_conv.weight"]  # (D, F, 2, 2)
        half = np.zeros((len(kernel), n // 2, n // 2))
        for i in range(n // 2):
            for j in range(n // 2):
                window = pooled[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                half[:, i, j] = np.einsum("ijf,dfij->d", window, kernel)
        bias = w["coarse_head.reduce_spatial_dim_conv.bias"]
        hidden = np.maximum(half + bias[:, None, None], 0).ravel()
        out = mlp(w, "prediction", hidden, prefix="coarse_head.")
        return out.reshape(-1, self.coarse_side, self.coarse_side)

    def point(self, image, box, coarse, x, y):
        """(C,) point logits."""
        coarse_here = np.array([self.oracle.bilinear(plane, x, y) for plane in coarse])
        both = np.concatenate([self.fine(image, box, x, y), coarse_here])
        return mlp(self.weights, "predictor", both, prefix="point_head.", extra=coarse_here)

    def mask(self, image, box, label, start_side, steps, num_points):
        """(S, S) probabilities after adaptive subdivision."""
        coarse = self.coarse(image, box)

        def answer(i, j, side):
            logits = self.point(image, box, coarse, (j + 0.5) / side, (i + 0.5) / side)
            return logits[0 if len(logits) == 1 else label]

        side = start_side
        mask = np.array([[answer(i, j, side) for j in range(side)] for i in range(side)])
        for _ in range(steps):
            mask, side = self.oracle.upsample(mask), 2 * side
            order = sorted(range(side * side), key=lambda c, m=mask: abs(m.flat[c]))
            for cell in order[:num_points]:
                mask.flat[cell] = answer(cell // side, cell % side, side)
        return 1 / (1 + np.exp(-mask))


@pytest.fixture
def loop_head(oracle):
    """Factory of ``LoopHead``."""
    return partial(LoopHead, oracle=oracle)


def make_region_inputs(counts=(3, 2), channels=3, names=("p2",), dtype=torch.float64, side=3):
    """Inputs of point predictors: as many regions per image as ``counts`` says, of ``BOXES`` and
    random ones, with random coarse logits of that many channels."""
    generator = torch.Generator().manual_seed(10)
    features = make_features(num_images=len(counts), dtype=dtype)
    known = torch.tensor([box for boxes in BOXES for box in boxes], dtype=torch.float64)
    drawn = torch.rand(sum(counts), 4, generator=generator, dtype=torch.float64) * 50 - 5
    boxes = torch.cat((known, drawn))[: sum(counts)]
    size = len(boxes), channels, side, side
    coarse = torch.randn(size, generator=generator, dtype=torch.float64)
    return RegionInputs(
        features=[features[name] for name in names],
        strides=[SHAPES[name].stride for name in names],
        boxes_px=boxes.to(torch.promote_types(dtype, torch.float32)).split(list(counts)),
        coarse_logits=coarse.to(dtype),
        # a class-agnostic head answers for any class
        classes=torch.randint(channels if channels > 1 else 80, (len(boxes),), generator=generator),
    )


def make_point_head(inputs, *, out_channels=None, width=7, cls=StandardPointHead, **options):
    """A point head that fits region inputs, in their type."""
    channels = inputs.coarse_logits.shape[1]
    head = cls(
        fine_channels=sum(feature.shape[1] for feature in inputs.features),
        coarse_channels=channels,
        out_channels=out_channels or channels,
        fc_dim=width,
        **options,
    )
    return randomize(head, 0.5, seed=11).to(inputs.coarse_logits.dtype)


@pytest.fixture
def regions():
    """Factories of point heads and of the regions they answer for."""
    return SimpleNamespace(inputs=make_region_inputs, point_head=make_point_head)
