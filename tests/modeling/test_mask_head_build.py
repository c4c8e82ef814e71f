"""Building ``PointRendROIMaskHead``: what a configuration gives, and what it is refused for."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads.mask_head import build_mask_head

from pointrend_ext.modeling import PointRendROIMaskHead, StandardPointHead
from pointrend_ext.modeling.point_head.plans import SubdivisionPlan, TrainPointPlan
from tests.modeling.builders import BOTH_LEVELS, model_cfg

COCO_SHAPES = {f"p{n}": ShapeSpec(channels=256, stride=2**n) for n in range(2, 6)}


def build(tiny, shapes=None, **overrides):
    return build_mask_head(tiny.cfg(**overrides), tiny.shapes if shapes is None else shapes)


def coco_head(num_classes, **overrides):
    """The head of the published models, without memory for its weights."""
    needed = {"ROI_MASK_HEAD.NAME": "PointRendROIMaskHead", "ROI_MASK_HEAD.POOLER_TYPE": ""}
    cfg = model_cfg(needed, ROI_HEADS__NUM_CLASSES=num_classes, **overrides)
    with torch.device("meta"):
        return build_mask_head(cfg, COCO_SHAPES)


def test_the_published_head_is_the_default():
    head = coco_head(80)
    assert head.train_points == TrainPointPlan(196, 3, 0.75)
    assert head.subdivision == SubdivisionPlan(start_side=28, steps=3, num_points=784)
    assert head.subdivision.final_side == 224
    assert head.point_loss_weight == 1.0
    assert head.point_levels.names == head.coarse_levels.names == ("p2",)
    assert head.point_levels.strides == (4,)


def test_state_dict_of_the_published_weights():
    head = coco_head(80)
    assert sum(p.numel() for p in head.coarse_head.parameters()) == 18_176_080
    assert sum(p.numel() for p in head.point_head.parameters()) == 285_776
    assert {name: tuple(value.shape) for name, value in head.state_dict().items()} == {
        f"{layer}.{kind}": shape if kind == "weight" else shape[:1]
        for layer, shape in {
            "coarse_head.reduce_spatial_dim_conv": (256, 256, 2, 2),
            "coarse_head.fc1": (1024, 12544),
            "coarse_head.fc2": (1024, 1024),
            "coarse_head.prediction": (3920, 1024),
            "point_head.fc1": (256, 336, 1),
            "point_head.fc2": (256, 336, 1),
            "point_head.fc3": (256, 336, 1),
            "point_head.predictor": (80, 336, 1),
        }.items()
        for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("num_classes", [1, 8, 80])
def test_one_switch_makes_both_heads_class_agnostic(num_classes):
    agnostic = coco_head(num_classes, ROI_MASK_HEAD__CLS_AGNOSTIC_MASK=True)
    shapes = {name: value.shape for name, value in agnostic.state_dict().items()}
    assert shapes == {n: v.shape for n, v in coco_head(1).state_dict().items()}
    assert shapes["coarse_head.prediction.bias"] == (49,)
    assert shapes["point_head.fc1.weight"] == (256, 257, 1)
    assert shapes["point_head.predictor.weight"] == (1, 257, 1)


def test_several_levels_add_up(tiny):
    head = build(tiny, **{**BOTH_LEVELS, "MASK_POINT_HEAD__IN_FEATURES": ("p3", "p2")})
    assert head.point_levels.strides == (8, 4)
    assert head.point_head.fc1.in_channels == 11 + 3
    assert head.coarse_head.reduce_channel_dim_conv.in_channels == 11


def test_the_configuration_is_not_changed(tiny):
    cfg = tiny.cfg()
    before = cfg.dump()
    build_mask_head(cfg, tiny.shapes)
    assert cfg.dump() == before
    cfg.freeze()
    build_mask_head(cfg, tiny.shapes)


def test_built_without_a_configuration(tiny):
    like = build(tiny)
    head = PointRendROIMaskHead(
        coarse_head=like.coarse_head,
        coarse_levels=like.coarse_levels,
        coarse_pool_side=4,
        point_head=StandardPointHead(fine_channels=6, coarse_channels=3, out_channels=3),
        point_levels=like.point_levels,
        train_points=TrainPointPlan(9, 3, 0.75),
        subdivision=SubdivisionPlan(start_side=3, steps=1, num_points=4),
    ).eval()
    detections = head(tiny.features(), tiny.detections(tiny.boxes, tiny.classes))
    assert detections[1].pred_masks.shape == (2, 1, 6, 6)


COARSE, POINTS = "ROI_MASK_HEAD", "MASK_POINT_HEAD"


@pytest.mark.parametrize(
    ("node", "key", "value", "message"),
    [
        (POINTS, "IN_FEATURES", ("p2", "p1"), r"contains 'p1'.*\['p2', 'p3'\]"),
        (POINTS, "IN_FEATURES", (), "is empty.*'p2'"),
        (COARSE, "IN_FEATURES", ("res4",), "contains 'res4'.*'p2'"),
        (COARSE, "POOLER_RESOLUTION", 7, "is 7; it must be an even number"),
        (COARSE, "POOLER_RESOLUTION", 1, "is 1; it must be an even number"),
        (COARSE, "POOLER_RESOLUTION", 0, "is 0; it must be an even number"),
        (COARSE, "NUM_FC", 0, "is 0; it must be at least 1"),
        (COARSE, "FC_DIM", 0, "is 0; it must be at least 1"),
        (COARSE, "CONV_DIM", 0, "is 0; it must be at least 1"),
        (COARSE, "OUTPUT_SIDE_RESOLUTION", 0, "is 0; it must be at least 1"),
        (POINTS, "NAME", "Standard", "is 'Standard'.*'StandardPointHead'"),
        (POINTS, "NUM_FC", 0, "is 0; it must be at least 1"),
        (POINTS, "FC_DIM", 0, "is 0; it must be at least 1"),
        (POINTS, "TRAIN_NUM_POINTS", 0, "is 0; it must be at least 1"),
        (POINTS, "OVERSAMPLE_RATIO", 0, "is 0; it must be at least 1"),
        (POINTS, "IMPORTANCE_SAMPLE_RATIO", 1.5, r"is 1\.5; it must be a share in \[0, 1\]"),
        (POINTS, "IMPORTANCE_SAMPLE_RATIO", -0.1, r"is -0\.1; it must be a share in \[0, 1\]"),
        (POINTS, "SUBDIVISION_STEPS", -1, "is -1; it must be at least 0"),
        (POINTS, "SUBDIVISION_NUM_POINTS", 0, "is 0; it must be at least 1"),
    ],
)
def test_a_value_out_of_range_is_refused_at_build(tiny, node, key, value, message):
    with pytest.raises(ValueError, match=f"{key} {message}") as error:
        build(tiny, **{f"{node}__{key}": value})
    assert f"MODEL.{node}." in str(error.value) or "StandardPointHead" in str(error.value)


def test_a_pooler_is_refused(tiny):
    pooled = ShapeSpec(channels=256, width=14, height=14)
    with pytest.raises(ValueError, match=r"POOLER_TYPE is 'ROIAlignV2'.*StandardROIHeads"):
        build(tiny, pooled, ROI_MASK_HEAD__POOLER_TYPE="ROIAlignV2")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TrainPointPlan(0, 3, 0.75), "TrainPointPlan.TRAIN_NUM_POINTS is 0"),
        (lambda: TrainPointPlan(196, 0.5, 0.75), "TrainPointPlan.OVERSAMPLE_RATIO is 0.5"),
        (lambda: TrainPointPlan(196, 3, 7.5), "TrainPointPlan.IMPORTANCE_SAMPLE_RATIO is 7.5"),
        (lambda: SubdivisionPlan(28, -1, 784), "SubdivisionPlan.SUBDIVISION_STEPS is -1"),
        (lambda: SubdivisionPlan(28, 3, 0), "SubdivisionPlan.SUBDIVISION_NUM_POINTS is 0"),
    ],
)
def test_plans_built_without_a_configuration_are_checked(build, message):
    with pytest.raises(ValueError, match=message):
        build()
