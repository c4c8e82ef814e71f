"""Building ``PointRendSemanticHead``: what a configuration gives, and what it is refused for."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_sem_seg_head
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead

from pointrend_ext.modeling import StandardPointHead
from pointrend_ext.modeling.point_head.plans import MapSubdivisionPlan, TrainPointPlan
from tests.modeling.builders import model_cfg


def build(semantic, coarse_stride=4, shapes=None, **overrides):
    return build_sem_seg_head(semantic.cfg(coarse_stride, **overrides), shapes or semantic.shapes)


def test_state_dict_and_plan_of_the_published_cityscapes_model():
    cfg = model_cfg(SEM_SEG_HEAD__NAME="PointRendSemanticHead", SEM_SEG_HEAD__NUM_CLASSES=19)
    shapes = {f"p{n}": ShapeSpec(channels=256, stride=2**n) for n in range(2, 6)}
    with torch.device("meta"):
        head = build_sem_seg_head(cfg, shapes)
    assert isinstance(head.coarse_sem_seg_head, SemSegFPNHead)
    assert isinstance(head.point_head, StandardPointHead)
    state = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    assert {n: s for n, s in state.items() if n.startswith("point_head.")} == {
        "point_head.fc1.weight": (256, 275, 1),
        **{f"point_head.fc{i}.weight": (256, 256, 1) for i in (2, 3)},
        **{f"point_head.fc{i}.bias": (256,) for i in (1, 2, 3)},
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


@pytest.mark.parametrize(("stride", "steps"), [(1, 0), (2, 1), (4, 2), (8, 3), (16, 4)])
@pytest.mark.parametrize("is_stated", [False, True])
def test_steps_follow_from_the_stride(semantic, stride, steps, is_stated):
    """``SemSegFPNHead`` can predict at a finer stride than that of the map it reads."""
    overrides = {"SEM_SEG_HEAD__COMMON_STRIDE": stride}
    if is_stated:
        overrides["SEM_SEG_POINT_HEAD__SUBDIVISION_STEPS"] = steps
    if stride > 4:
        overrides["SEM_SEG_POINT_HEAD__COARSE_HEAD_NAME"] = "DeepLabV3LogitsHead"
    head = build(semantic, max(stride, 4), **overrides).eval()
    assert head.subdivision.steps == steps
    with torch.no_grad():
        logits, _ = head(semantic.features((32, 48), dtype=torch.float32))
    assert logits.shape == (2, 3, 32, 48)


POINTS, HEAD = "SEM_SEG_POINT_HEAD__", "SEM_SEG_HEAD__"
MISTAKES = {
    "too few steps": ({f"{POINTS}SUBDIVISION_STEPS": 1}, r"_STEPS is 1.* stride 4.* 2 doub.* -1"),
    "too many steps": ({f"{POINTS}SUBDIVISION_STEPS": 5}, r"_STEPS is 5; it must be 2"),
    "no step, which is not -1": ({f"{POINTS}SUBDIVISION_STEPS": 0}, r"_STEPS is 0; it must be 2"),
    "a stride coarser than what is read": (
        {f"{HEAD}COMMON_STRIDE": 8},
        r"COMMON_STRIDE is 8, but SemSegFPNHead predicts .* 'p2', 4. Set COMMON_STRIDE to 4",
    ),
    "the finest of several maps counts": (
        {f"{HEAD}COMMON_STRIDE": 16, f"{HEAD}IN_FEATURES": ["p4", "p3"]},
        r"COMMON_STRIDE is 16.* Set COMMON_STRIDE to 8",
    ),
    "an unknown coarse head": (
        {f"{POINTS}COARSE_HEAD_NAME": "SemSegFpnHead"},
        r"COARSE_HEAD_NAME is 'SemSegFpnHead'.*Choose from .*'SemSegFPNHead'",
    ),
    "a coarse head without layers": (
        {f"{POINTS}COARSE_HEAD_NAME": "DeepLabV3Head"},
        r"'DeepLabV3Head'.*layers\(\).*DeepLabV3LogitsHead",
    ),
    "itself": (
        {f"{POINTS}COARSE_HEAD_NAME": "PointRendSemanticHead"},
        r"'PointRendSemanticHead', which has no separate layers\(\)",
    ),
    "an unknown point head": ({f"{POINTS}NAME": "MyPointHead"}, "MyPointHead.*StandardPointHead"),
    "an unknown map": (
        {f"{POINTS}IN_FEATURES": ("p2", "p5")},
        r"SEM_SEG_POINT_HEAD\.IN_FEATURES contains 'p5'.*\['p2', 'p3', 'p4'\]",
    ),
    "one map twice": (
        {f"{POINTS}IN_FEATURES": ("p2", "p2")},
        r"IN_FEATURES is \['p2', 'p2'\], but.*each once",
    ),
    "no map": ({f"{POINTS}IN_FEATURES": ()}, r"IN_FEATURES is empty"),
    **{
        f"{key} {value}": ({POINTS + key: value}, rf"SEM_SEG_POINT_HEAD\.{key} is {value}")
        for key, value in (
            ("TRAIN_NUM_POINTS", 0),
            ("SUBDIVISION_NUM_POINTS", 0),
            ("IMPORTANCE_SAMPLE_RATIO", 1.5),
        )
    },
}


@pytest.mark.parametrize(("overrides", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_found_at_build(semantic, overrides, message):
    with pytest.raises(ValueError, match=message):
        build(semantic, **overrides)


@pytest.mark.parametrize("stride", [3, 12])
def test_a_stride_that_is_no_power_of_two(semantic, stride):
    shapes = {"p2": ShapeSpec(channels=6, stride=stride)}
    with pytest.raises(ValueError, match=rf"COMMON_STRIDE is {stride}; .*power of two"):
        build(semantic, shapes=shapes, SEM_SEG_HEAD__COMMON_STRIDE=stride)


def test_the_ignored_label_is_that_of_the_coarse_head(semantic):
    assert build(semantic, SEM_SEG_HEAD__IGNORE_VALUE=11).ignore_value == 11


def test_a_coarse_head_that_does_not_tell_its_stride(semantic, monkeypatch):
    class Head(torch.nn.Module):
        layers = losses = None

        def __init__(self, cfg, input_shape):
            super().__init__()

    where = "pointrend_ext.modeling.sem_seg.coarse_head.registered"
    monkeypatch.setattr(where, lambda *_: Head)
    with pytest.raises(ValueError, match=r"'MyHead', whose instances have no common_stride"):
        build(semantic, SEM_SEG_POINT_HEAD__COARSE_HEAD_NAME="MyHead")
