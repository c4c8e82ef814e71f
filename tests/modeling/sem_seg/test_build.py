"""Building ``PointRendSemanticHead``: what a configuration gives, and what it is refused for."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, build_sem_seg_head
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from torch import nn

from pointrend_ext import add_pointrend_config
from pointrend_ext.modeling import StandardPointHead
from pointrend_ext.modeling.point_head.plans import MapSubdivisionPlan, TrainPointPlan
from pointrend_ext.modeling.sem_seg import DeepLabV3LogitsHead


def build(semantic, coarse_stride=4, shapes=None, **overrides):
    return build_sem_seg_head(semantic.cfg(coarse_stride, **overrides), shapes or semantic.shapes)


def test_state_dict_and_plan_of_the_published_cityscapes_model():
    cfg = get_cfg()
    add_pointrend_config(cfg)
    cfg.MODEL.SEM_SEG_HEAD.NAME = "PointRendSemanticHead"
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 19
    shapes = {f"p{n}": ShapeSpec(channels=256, stride=2**n) for n in range(2, 6)}
    with torch.device("meta"):
        head = build_sem_seg_head(cfg, shapes)
    assert isinstance(head.coarse_sem_seg_head, SemSegFPNHead)
    assert isinstance(head.point_head, StandardPointHead)
    state = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    assert {n: s for n, s in state.items() if n.startswith("point_head.")} == {
        "point_head.fc1.weight": (256, 275, 1),
        "point_head.fc1.bias": (256,),
        "point_head.fc2.weight": (256, 256, 1),
        "point_head.fc2.bias": (256,),
        "point_head.fc3.weight": (256, 256, 1),
        "point_head.fc3.bias": (256,),
        "point_head.predictor.weight": (19, 256, 1),
        "point_head.predictor.bias": (19,),
    }
    assert sum(p.numel() for p in head.point_head.parameters()) == 207_123
    assert {n.split(".")[0] for n in state} == {"coarse_sem_seg_head", "point_head"}
    assert state["coarse_sem_seg_head.predictor.weight"] == (19, 128, 1, 1)
    assert head.train_points == TrainPointPlan(1024, 3, 0.75)
    assert head.subdivision == MapSubdivisionPlan(steps=2, num_points=8192)
    assert head.point_levels.names == ("p2",)
    assert (head.common_stride, head.ignore_value, head.point_loss_weight) == (4, 255, 1.0)


@pytest.mark.parametrize(("stride", "steps"), [(1, 0), (2, 1), (4, 2)])
@pytest.mark.parametrize("is_stated", [False, True])
def test_steps_follow_from_the_stride(semantic, stride, steps, is_stated):
    """``SemSegFPNHead`` can predict at a finer stride than that of the map it reads."""
    overrides = {"SEM_SEG_HEAD__COMMON_STRIDE": stride}
    if is_stated:
        overrides["SEM_SEG_POINT_HEAD__SUBDIVISION_STEPS"] = steps
    head = build(semantic, **overrides).eval()
    assert head.subdivision.steps == steps
    with torch.no_grad():
        logits, _ = head(semantic.features((20, 28), dtype=torch.float32))
    assert logits.shape == (2, 3, 20, 28)


@pytest.mark.parametrize(("stride", "steps"), [(8, 3), (16, 4)])
def test_steps_of_deeplab_follow_from_the_stride(semantic, stride, steps):
    head = build(semantic, stride, SEM_SEG_POINT_HEAD__COARSE_HEAD_NAME="DeepLabV3LogitsHead")
    assert isinstance(head.coarse_sem_seg_head, DeepLabV3LogitsHead)
    assert head.subdivision.steps == steps
    assert head.common_stride == stride


MISTAKES = {
    "too few steps": (
        {"SEM_SEG_POINT_HEAD__SUBDIVISION_STEPS": 1},
        r"SEM_SEG_POINT_HEAD\.SUBDIVISION_STEPS is 1.* stride 4.* 2 doublings.* -1",
    ),
    "too many steps": (
        {"SEM_SEG_POINT_HEAD__SUBDIVISION_STEPS": 5},
        r"SUBDIVISION_STEPS is 5; it must be 2",
    ),
    "no step, which is not -1": (
        {"SEM_SEG_POINT_HEAD__SUBDIVISION_STEPS": 0},
        r"SUBDIVISION_STEPS is 0; it must be 2",
    ),
    "a stride coarser than what is read": (
        {"SEM_SEG_HEAD__COMMON_STRIDE": 8},
        r"COMMON_STRIDE is 8, but SemSegFPNHead predicts .* 'p2', 4. Set COMMON_STRIDE to 4",
    ),
    "the finest of several maps counts": (
        {"SEM_SEG_HEAD__COMMON_STRIDE": 16, "SEM_SEG_HEAD__IN_FEATURES": ["p4", "p3"]},
        r"COMMON_STRIDE is 16.* Set COMMON_STRIDE to 8",
    ),
    "an unknown coarse head": (
        {"SEM_SEG_POINT_HEAD__COARSE_HEAD_NAME": "SemSegFpnHead"},
        r"COARSE_HEAD_NAME is 'SemSegFpnHead'.*Choose from .*'SemSegFPNHead'",
    ),
    "a coarse head without layers": (
        {"SEM_SEG_POINT_HEAD__COARSE_HEAD_NAME": "DeepLabV3Head"},
        r"'DeepLabV3Head'.*layers\(\).*DeepLabV3LogitsHead",
    ),
    "itself": (
        {"SEM_SEG_POINT_HEAD__COARSE_HEAD_NAME": "PointRendSemanticHead"},
        r"'PointRendSemanticHead', which has no separate layers\(\)",
    ),
    "a point head that does not exist": (
        {"SEM_SEG_POINT_HEAD__NAME": "MyPointHead"},
        "MyPointHead.*StandardPointHead",
    ),
    "a map that does not exist": (
        {"SEM_SEG_POINT_HEAD__IN_FEATURES": ("p2", "p5")},
        r"SEM_SEG_POINT_HEAD\.IN_FEATURES contains 'p5'.*\['p2', 'p3', 'p4'\]",
    ),
    "no map": ({"SEM_SEG_POINT_HEAD__IN_FEATURES": ()}, r"IN_FEATURES is empty"),
    "no training point": (
        {"SEM_SEG_POINT_HEAD__TRAIN_NUM_POINTS": 0},
        r"SEM_SEG_POINT_HEAD\.TRAIN_NUM_POINTS is 0",
    ),
    "no refinement point": (
        {"SEM_SEG_POINT_HEAD__SUBDIVISION_NUM_POINTS": 0},
        r"SEM_SEG_POINT_HEAD\.SUBDIVISION_NUM_POINTS is 0",
    ),
    "a share above 1": (
        {"SEM_SEG_POINT_HEAD__IMPORTANCE_SAMPLE_RATIO": 1.5},
        r"SEM_SEG_POINT_HEAD\.IMPORTANCE_SAMPLE_RATIO is 1\.5",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_found_at_build(semantic, mistake):
    overrides, message = MISTAKES[mistake]
    with pytest.raises(ValueError, match=message):
        build(semantic, **overrides)


@pytest.mark.parametrize("stride", [3, 12])
def test_a_stride_that_is_no_power_of_two(semantic, stride):
    shapes = {"p2": ShapeSpec(channels=6, stride=stride)}
    with pytest.raises(ValueError, match=rf"COMMON_STRIDE is {stride}; .*power of two"):
        build(semantic, shapes=shapes, SEM_SEG_HEAD__COMMON_STRIDE=stride)


class HeadWithoutStride(nn.Module):
    """Offers a part of what a coarse head must."""

    ignore_value = 255

    def __init__(self, cfg, input_shape):
        super().__init__()

    def layers(self, features):
        raise NotImplementedError

    def losses(self, logits, targets):
        raise NotImplementedError


def test_a_coarse_head_that_lacks_a_part(semantic):
    heads = {"HeadWithoutStride": HeadWithoutStride}
    with (
        mock.patch.dict(SEM_SEG_HEADS_REGISTRY._obj_map, heads),
        pytest.raises(ValueError, match=r"'HeadWithoutStride', which lacks \['common_stride'\]"),
    ):
        build(semantic, SEM_SEG_POINT_HEAD__COARSE_HEAD_NAME="HeadWithoutStride")


def test_the_number_of_classes_is_stated_once(semantic):
    head = build(semantic, SEM_SEG_HEAD__NUM_CLASSES=5)
    assert head.coarse_sem_seg_head.predictor.out_channels == 5
    assert head.point_head.predictor.out_channels == 5
    assert head.point_head.fc1.in_channels == 6 + 5


def test_channels_of_several_maps_add_up(semantic):
    head = build(semantic, SEM_SEG_POINT_HEAD__IN_FEATURES=("p4", "p2"))
    assert head.point_head.fc1.in_channels == 3 + 6 + 3
    assert head.point_levels.strides == (16, 4)


def test_the_ignored_label_is_that_of_the_coarse_head(semantic):
    assert build(semantic, SEM_SEG_HEAD__IGNORE_VALUE=11).ignore_value == 11
