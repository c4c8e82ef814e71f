"""A tiny semantic PointRend head with its inputs, and the loop oracle that evaluates it."""

import math
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_sem_seg_head
from torch import nn

from pointrend_ext.layers import subdivision
from pointrend_ext.modeling import StandardPointHead
from tests.modeling.builders import mlp, model_cfg, random_maps
from tests.modeling.sem_seg import decoder_heads

# 3 classes, coarse cells of 4 x 4 pixels, 9 points per step
TINY = {
    "SEM_SEG_HEAD.NAME": "PointRendSemanticHead",
    "SEM_SEG_HEAD.NUM_CLASSES": 3,
    "SEM_SEG_HEAD.CONVS_DIM": 8,
    "SEM_SEG_HEAD.NORM": "",
    "SEM_SEG_HEAD.LOSS_TYPE": "cross_entropy",
    "SEM_SEG_HEAD.ASPP_CHANNELS": 4,
    "SEM_SEG_HEAD.ASPP_DILATIONS": [1, 2, 3],
    "SEM_SEG_HEAD.ASPP_DROPOUT": 0.0,
    "SEM_SEG_POINT_HEAD.FC_DIM": 16,
    "SEM_SEG_POINT_HEAD.NUM_FC": 2,
    "SEM_SEG_POINT_HEAD.TRAIN_NUM_POINTS": 40,
    "SEM_SEG_POINT_HEAD.SUBDIVISION_NUM_POINTS": 9,
}
SHAPES = {
    "p2": ShapeSpec(channels=6, stride=4),
    "p3": ShapeSpec(channels=5, stride=8),
    "p4": ShapeSpec(channels=3, stride=16),
}


def make_cfg(coarse_stride=4, **overrides):
    """``SEM_SEG_POINT_HEAD__NUM_FC=1`` overrides MODEL.SEM_SEG_POINT_HEAD.NUM_FC."""
    [level] = [name for name, shape in SHAPES.items() if shape.stride == coarse_stride]
    node = {"SEM_SEG_HEAD.IN_FEATURES": [level], "SEM_SEG_HEAD.COMMON_STRIDE": coarse_stride}
    return model_cfg(TINY | node, **overrides)


def make_head(coarse_stride=4, std=0.5, **overrides):
    """Build the tiny head with weights large enough for its predictions to vary, in float64."""
    head = build_sem_seg_head(make_cfg(coarse_stride, **overrides), SHAPES).double()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            # layers that are dead at several cells as a whole would make ties
            mean = 1 if name.endswith("bias") and "predictor" not in name else 0
            parameter.normal_(mean, std, generator=generator)
    return head


def make_plain(head):
    """Make its point head a subclass, which may compute anything: the plain predictor asks it."""
    head.point_head.__class__ = type("OwnPointHead", (StandardPointHead,), {})
    return head


def make_features(size_hw, num_images=2, dtype=torch.float64):
    """Random maps of a batch of that many pixels, each rounded up to its own stride."""
    generator = torch.Generator().manual_seed(8)
    return random_maps(generator, SHAPES, size_hw, num_images, dtype)


def make_targets(size_hw, num_classes=3):
    """Random labels, some ignored."""
    generator = torch.Generator().manual_seed(9)
    return decoder_heads.make_targets(generator, size_hw, num_classes=max(num_classes, 2))


@contextmanager
def recorded_steps():
    """The cells that inference chooses: per step the map's size and (N, P) cells."""
    choose, steps = subdivision.get_uncertain_point_coords_on_grid, []

    def record(scores, num_points):
        cells, coords = choose(scores, num_points)
        steps.append((tuple(scores.shape[-2:]), cells))
        return cells, coords

    with mock.patch.object(subdivision, "get_uncertain_point_coords_on_grid", record):
        yield steps


class StubBackbone(nn.ModuleDict):
    """Feature maps of strides 4 and 16 that see each pixel; pads images like a plain ResNet."""

    padding_constraints, size_divisibility = {}, 0

    def __init__(self):
        strides = {"p2": 4, "p4": 16}
        super().__init__({k: nn.Conv2d(3, SHAPES[k].channels, n, n) for k, n in strides.items()})

    def forward(self, images):
        height, width = images.shape[-2:]
        return {
            name: conv(nn.functional.pad(images, (0, -width % n, 0, -height % n)))
            for name, conv in self.items()
            for n in conv.stride[:1]
        }


@pytest.fixture
def semantic():
    """Factories of the tiny head and of what it is called with."""
    return SimpleNamespace(
        cfg=make_cfg,
        head=make_head,
        plain=make_plain,
        features=make_features,
        targets=make_targets,
        recorded_steps=recorded_steps,
        backbone=StubBackbone,
        shapes=SHAPES,
    )


class LoopHead:
    """A ``PointRendSemanticHead`` on one image, point by point from its weights.

    The coarse logits are taken from the coarse head, which is another's.
    """

    def __init__(self, head, features, image, names=("p2",), *, coarse_stride=4, oracle):
        self.oracle = oracle
        state = head.point_head.state_dict()
        self.weights = {name: value.numpy() for name, value in state.items()}
        self.maps = [features[name][image].numpy() for name in names]
        self.strides = [SHAPES[name].stride for name in names]
        with torch.no_grad():
            self.coarse = head.coarse_sem_seg_head.layers(features)[image].numpy()
        self.coarse_stride = coarse_stride

    def read(self, planes, stride, x_px, y_px):
        """(C,) values of (C, H, W) at a pixel position, zeros outside."""
        height, width = planes.shape[1:]
        x, y = x_px / (stride * width), y_px / (stride * height)
        return np.array([self.oracle.bilinear(plane, x, y) for plane in planes])

    def point(self, x_px, y_px):
        """(C,) point logits; the coarse logits are read by the first layer alone."""
        maps = [*zip(self.maps, self.strides, strict=True), (self.coarse, self.coarse_stride)]
        read = [self.read(planes, stride, x_px, y_px) for planes, stride in maps]
        return mlp(self.weights, "predictor", np.concatenate(read))

    @staticmethod
    def gap(logits):
        """How far the best class is ahead of the second; of one class, how far from 0."""
        ordered = sorted(logits)
        return abs(logits[0]) if len(logits) == 1 else ordered[-1] - ordered[-2]

    def refine(self, num_points, size_hw=None):
        """(C, H, W) logits, and per step the chosen cells as (row, column)."""
        logits, stride, chosen = self.coarse, self.coarse_stride, []
        while stride > 1:
            logits, stride = np.stack([self.oracle.upsample(p) for p in logits]), stride / 2
            height, width = logits.shape[1:]
            inside = [
                (i, j)
                for i in range(height)
                for j in range(width)
                if size_hw is None
                or ((i + 0.5) * stride < size_hw[0] and (j + 0.5) * stride < size_hw[1])
            ]
            gaps = {(i, j): self.gap(logits[:, i, j]) for i, j in inside}
            best = sorted(inside, key=gaps.__getitem__)[:num_points]
            # on a tie the two implementations might choose differently, both rightly
            rest = [gap for cell, gap in gaps.items() if cell not in best]
            assert min(rest, default=math.inf) - max(gaps[cell] for cell in best) > 1e-9
            for i, j in best:
                logits[:, i, j] = self.point((j + 0.5) * stride, (i + 0.5) * stride)
            chosen.append(best)
        return logits, chosen

    def cross_entropy(self, x_px, y_px, targets, ignore_value=255):
        """Loss of one point against an (H, W) label map; None if it does not count."""
        row, column = math.floor(y_px), math.floor(x_px)
        if row >= targets.shape[0] or column >= targets.shape[1]:
            return None
        label = int(targets[row, column])
        if label == ignore_value:
            return None
        logits = self.point(x_px, y_px)
        if len(logits) == 1:
            logits = np.array([0, logits[0]])
        return np.log(np.exp(logits).sum()) - logits[label]

    def training_points(self, candidates, coverage, num_important):
        """Pixel positions of the points trained on, given the uniform draws in [0, 1]."""
        frame = np.array(self.coarse.shape[:0:-1]) * self.coarse_stride  # (x, y)
        candidates, coverage = candidates.numpy() * frame, coverage.numpy() * frame
        gaps = [self.gap(self.read(self.coarse, self.coarse_stride, *c)) for c in candidates]
        important = np.argsort(gaps)[:num_important]
        return [*candidates[important], *coverage]


@pytest.fixture
def loop_head(oracle):
    """Factory of ``LoopHead``."""
    return partial(LoopHead, oracle=oracle)
