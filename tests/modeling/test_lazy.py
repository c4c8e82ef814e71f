"""Heads from keyword arguments and plain values, as a LazyConfig gives them."""

from functools import partial

import pytest
import torch
from detectron2.config import LazyCall, instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from omegaconf import OmegaConf

from pointrend_ext.modeling.alignment import CAB, FAM, AlignedFPN, GatedFAM
from pointrend_ext.modeling.feature_levels import FeatureLevels
from pointrend_ext.modeling.lazy import get_config, ignore_padding, refine_masks
from pointrend_ext.modeling.padding import PaddingBlindRPN
from pointrend_ext.modeling.point_head import StandardPointHead
from pointrend_ext.modeling.point_head.plans import (
    MapSubdivisionPlan,
    SubdivisionPlan,
    TrainPointPlan,
)
from pointrend_ext.modeling.proposal_generator import GivenBoxes
from pointrend_ext.modeling.sem_seg.alignseg import AlignSegHead
from pointrend_ext.modeling.sem_seg.deeplab import DeepLabV3LogitsHead, DeepLabV3PlusLogitsHead
from pointrend_ext.modeling.sem_seg.point_rend_head import PointRendSemanticHead
from pointrend_ext.modeling.sem_seg.sfnet import SFNetHead, SFNetLiteHead
from pointrend_ext.modeling.unread_keys import build_checked_model
from tests.modeling.builders import LEVELS, RCNN, model_cfg, picture, random_maps
from tests.modeling.sem_seg.decoder_heads import SHAPES


def lists(node):
    """What instantiating a LazyConfig makes of lists and dictionaries."""
    return instantiate(OmegaConf.create({"_target_": "builtins.dict", **node}))


def test_levels_and_plans_of_plain_values():
    levels = FeatureLevels(**lists({"names": ["p2", "p3"], "strides": [4, 8], "channels": 24}))
    assert levels == FeatureLevels(("p2", "p3"), (4, 8), 24)
    assert isinstance(levels.names, tuple)
    for names, strides in ((["p2"], [4, 8]), ([], [])):
        with pytest.raises(ValueError, match="one stride per name, and one name or more"):
            FeatureLevels(names, strides, 8)
    folded = SubdivisionPlan.from_coarse(coarse_side=7, steps=5, num_points=784)
    assert folded == SubdivisionPlan(28, 3, 784)
    assert MapSubdivisionPlan.from_stride(coarse_stride=8, num_points=5) == MapSubdivisionPlan(3, 5)
    with pytest.raises(ValueError, match=r"MapSubdivisionPlan\.SUBDIVISION_STEPS is 2.*3 doublin"):
        MapSubdivisionPlan.from_stride(coarse_stride=8, num_points=5, steps=2)
    with pytest.raises(ValueError, match=r"SubdivisionPlan\.SUBDIVISION_NUM_POINTS is 0"):
        SubdivisionPlan.from_coarse(coarse_side=7, steps=5, num_points=0)


@pytest.fixture
def pair():
    """The mask head of a YAML file, and the same one by keywords with its weights."""
    by_cfg = build_checked_model(model_cfg(RCNN)).roi_heads.mask_head
    model = get_config("common/models/mask_rcnn_fpn.py").model
    model.roi_heads.num_classes = 3
    refine_masks(model, channels=8)
    head = model.roi_heads.mask_head
    head.coarse_head.update(conv_dim=8, fc_dims=[16, 16])
    head.point_head.fc_dim = 8
    by_keywords = instantiate(model.roi_heads).mask_head
    by_keywords.load_state_dict(by_cfg.state_dict())
    return by_cfg, by_keywords


def test_the_mask_head_is_that_of_the_yaml_file(pair):
    shapes = {name: ShapeSpec(channels=8, stride=4 * 2**i) for i, name in enumerate(LEVELS)}
    features = random_maps(torch.Generator().manual_seed(0), shapes, (64, 96), num_images=1)
    truth = picture((64, 96), [[4, 4, 60, 50], [30, 10, 90, 60]])["instances"]
    truth.proposal_boxes = truth.gt_boxes
    losses, masks = [], []
    for head in pair:
        torch.manual_seed(1)
        with EventStorage():
            losses.append(head.train()(features, [truth]))
        found = Instances((64, 96))
        found.pred_boxes = Boxes(truth.gt_boxes.tensor)
        found.pred_classes = truth.gt_classes
        with torch.no_grad():
            masks.append(head.eval()(features, [found])[0].pred_masks)
    assert {name: x.item() for name, x in losses[0].items()} == {
        name: x.item() for name, x in losses[1].items()
    }
    assert masks[0].shape == (2, 1, 224, 224)
    assert torch.equal(*masks)


def test_the_padding_is_ignored():
    model = get_config("common/models/mask_rcnn_fpn.py").model
    ignore_padding(model)
    assert type(instantiate(model.proposal_generator)) is PaddingBlindRPN


def read(*names):
    return {
        name: LazyCall(ShapeSpec)(channels=SHAPES[name].channels, stride=SHAPES[name].stride)
        for name in names
    }


COMMON = {"num_classes": 4, "common_stride": 4, "norm": "BN", "loss_weight": 0.5}
DEEPLAB = {"aspp_dilations": [1, 2, 3], "aspp_dropout": 0.1, "loss_type": "cross_entropy"}
ALL = ("res2", "res3", "res4", "res5")
DECODERS = {
    "SFNetHead": LazyCall(SFNetHead)(input_shape=read(*ALL), conv_dims=8, **COMMON),
    "SFNetLiteHead": LazyCall(SFNetLiteHead)(
        input_shape=read("res2", "res4", "res5"), conv_dims=8, **COMMON
    ),
    "AlignSegHead": LazyCall(AlignSegHead)(input_shape=read(*ALL), conv_dims=8, **COMMON),
    "DeepLabV3LogitsHead": LazyCall(DeepLabV3LogitsHead)(
        input_shape=read("res5"), aspp_channels=8, **{**COMMON, "common_stride": 32}, **DEEPLAB
    ),
    "DeepLabV3PlusLogitsHead": LazyCall(DeepLabV3PlusLogitsHead)(
        input_shape=read("res2", "res5"),
        project_channels=[3],
        decoder_channels=[8, 8],
        train_size=None,
        **COMMON,
        **DEEPLAB,
    ),
}


def lazy_points(coarse, stride):
    return LazyCall(PointRendSemanticHead)(
        coarse_sem_seg_head=coarse,
        point_head=LazyCall(StandardPointHead)(
            fine_channels=SHAPES["res2"].channels, coarse_channels=4, out_channels=4, fc_dim=8
        ),
        point_levels=LazyCall(FeatureLevels)(
            names=["res2"], strides=[4], channels=SHAPES["res2"].channels
        ),
        train_points=LazyCall(TrainPointPlan)(
            num_points=24, oversample_ratio=3, importance_sample_ratio=0.75
        ),
        subdivision=LazyCall(MapSubdivisionPlan.from_stride)(coarse_stride=stride, num_points=9),
        point_loss_weight=0.5,
        skip_padding=True,
    )


@pytest.mark.parametrize("name", [*DECODERS, "SemSegFPNHead"])
def test_semantic_heads(name):
    coarse = DECODERS.get(name) or LazyCall(SemSegFPNHead)(
        input_shape=read(*ALL), conv_dims=8, ignore_value=255, **{**COMMON, "norm": ""}
    )
    head = instantiate(lazy_points(coarse, 32 if name == "DeepLabV3LogitsHead" else 4))
    features = random_maps(torch.Generator().manual_seed(0), SHAPES, (64, 96))
    targets = torch.randint(4, (2, 64, 96))
    _, losses = head.train()(features, targets)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None for p in head.parameters())
    with torch.no_grad():
        logits, _ = head.eval()(features)
    assert logits.shape == (2, 4, 64, 96)


@pytest.mark.parametrize("alignment", [FAM, GatedFAM, CAB])
def test_an_aligned_pyramid(alignment):
    model = get_config("common/models/mask_rcnn_fpn.py").model
    model.backbone._target_ = AlignedFPN
    model.backbone.out_channels = 16
    model.backbone.make_alignment = partial(alignment, channels=16)
    pyramid = instantiate(model.backbone)
    assert [type(getattr(pyramid, f"fpn_align{i}")) for i in (2, 3, 4)] == [alignment] * 3
    with torch.no_grad():
        maps = pyramid(torch.rand(1, 3, 64, 96))
    assert [tuple(x.shape[-2:]) for x in maps.values()] == [
        (16, 24),
        (8, 12),
        (4, 6),
        (2, 3),
        (1, 2),
    ]


def test_given_boxes():
    generator = instantiate(LazyCall(GivenBoxes)(jitter=0.0, copies=2, max_boxes=8))
    truth = picture((64, 96), [[4, 4, 60, 50]])["instances"]
    proposals, losses = generator.train()(None, None, [truth])
    assert losses == {}
    assert proposals[0].proposal_boxes.tensor.tolist() == [[4, 4, 60, 50]] * 2
