"""Configurations with feature alignment, as models of tiny widths that are run."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils.events import EventStorage

from pointrend_ext.engine import load_cfg
from tests.tiny_models import WIDTHS

CITYSCAPES = "Cityscapes-SemanticSegmentation"
NAMES = [
    f"{folder}/{prefix}{name}"
    for folder, name in (
        (CITYSCAPES, "sfnet_R_50_cityscapes"),
        (CITYSCAPES, "alignseg_R_50_cityscapes"),
        ("CamVid-SemanticSegmentation", "semantic_R_50_FPN_FAM_camvid"),
    )
    for prefix in ("", "pointrend_")
]
TINY = [
    *WIDTHS,
    *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.RESNETS.NORM", "BN"),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", 8, "MODEL.SEM_SEG_HEAD.NORM", "BN"),
    *("MODEL.SEM_SEG_POINT_HEAD.FC_DIM", 8, "MODEL.SEM_SEG_POINT_HEAD.TRAIN_NUM_POINTS", 16),
    *("MODEL.SEM_SEG_POINT_HEAD.SUBDIVISION_NUM_POINTS", 20),
]
TINY_INSTANCES = [
    *("MODEL.BACKBONE.NAME", "build_resnet_aligned_fpn_backbone"),
    *("MODEL.FPN.ALIGNMENT.CHANNELS", 4, "MODEL.FPN.NORM", ""),
    *("MODEL.RPN.PRE_NMS_TOPK_TRAIN", 50, "MODEL.RPN.POST_NMS_TOPK_TRAIN", 20),
    *("MODEL.RPN.PRE_NMS_TOPK_TEST", 50, "MODEL.RPN.POST_NMS_TOPK_TEST", 20),
]
LAST = {"FAM": "flow_make", "GatedFAM": "flow_make", "CAB": "delta_gen1.1"}


def build(name, opts=()):
    return build_model(load_cfg(f"{name}.yaml", opts))


def test_backbone_of_sfnet_is_dilated_at_its_strides(rng):
    """A stage sees the same cells as without dilation, but each convolution looks farther."""
    backbone = build(f"{CITYSCAPES}/sfnet_R_50_cityscapes", TINY).backbone.eval()
    plain = build(f"{CITYSCAPES}/alignseg_R_50_cityscapes", TINY).backbone.eval()
    plain.load_state_dict(backbone.state_dict(), strict=True)
    image = torch.randn(1, 3, 64, 96, generator=rng)
    got, other = backbone(image), plain(image)
    for name in ("res2", "res3"):
        torch.testing.assert_close(got[name], other[name], rtol=0, atol=0)
    for name in ("res4", "res5"):
        assert got[name].shape == other[name].shape
        assert (got[name] - other[name]).abs().max() > 1e-3
    for i, stage in enumerate((backbone.res4, backbone.res5)):
        expected = [(2 ** (i + 1),) * 2] * len(stage)
        assert [block.conv2.dilation for block in stage] == expected
        assert [block.conv2.padding for block in stage] == expected
        assert [block.conv2.stride[0] for block in stage] == [2] + [1] * (len(stage) - 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("RES5_DILATION", 2),
        ("RES5_MULTI_GRID", [1, 2, 4]),
        ("DEFORM_ON_PER_STAGE", [False, False, False, True]),
        ("DEPTH", 18),
    ],
)
def test_backbone_of_sfnet_refuses_what_it_does_not_build(key, value):
    with pytest.raises(
        ValueError, match=rf"RESNETS\.{key} is .* must be (one of 50, 101|1|\[1, 1, 1\]|\[False)"
    ):
        build(f"{CITYSCAPES}/sfnet_R_50_cityscapes", [*TINY, f"MODEL.RESNETS.{key}", value])


@pytest.mark.parametrize("alignment", ["FAM", "GatedFAM", "CAB"])
@pytest.mark.parametrize("kind", ["mask_rcnn", "pointrend", "panoptic"])
def test_instances_on_an_aligned_pyramid(rng, kind, alignment):
    """A training step reaches the alignment, and inference runs, at an odd size."""
    name = "Toy/mask_rcnn_toy.yaml" if kind == "mask_rcnn" else "Toy/pointrend_rcnn_toy.yaml"
    opts = [*TINY, *TINY_INSTANCES, "MODEL.FPN.ALIGNMENT.NAME", alignment]
    if kind == "panoptic":
        opts += ["MODEL.META_ARCHITECTURE", "PanopticFPN", "MODEL.SEM_SEG_HEAD.NORM", ""]
    model = build_model(load_cfg(name, opts))
    size_hw = (75, 101)
    mask = torch.zeros(size_hw, dtype=torch.bool)
    mask[20:60, 10:70] = True
    targets = {"gt_masks": BitMasks(mask[None]), "gt_classes": torch.tensor([1])}
    objects = Instances(size_hw, gt_boxes=targets["gt_masks"].get_bounding_boxes(), **targets)
    image = 255 * torch.rand(3, *size_hw, generator=rng)
    record = {"image": image, "instances": objects, "sem_seg": mask.long()}
    with EventStorage():
        losses = model.train()([record])
    sum(losses.values()).backward()
    for key, parameter in model.backbone.named_parameters():
        if "fpn_align" in key and parameter.dim() > 1:
            assert parameter.grad.isfinite().all(), key
    assert model.backbone.fpn_align2.get_submodule(LAST[alignment]).weight.grad.abs().max() > 0
    assert ("loss_mask_point" in losses) == (kind != "mask_rcnn")
    with torch.no_grad():
        [result] = model.eval()([record])
    assert result["instances"].image_size == size_hw
    assert ("panoptic_seg" in result) == (kind == "panoptic")


@pytest.mark.parametrize("name", NAMES)
def test_one_training_step_and_inference_at_odd_sizes(rng, name):
    model = build(name, TINY)
    sizes_hw = [(75, 101), (70, 93)]
    records = [
        {
            "image": 255 * torch.rand(3, *size_hw, generator=rng),
            "sem_seg": torch.randint(11, size_hw, generator=rng),
        }
        for size_hw in sizes_hw
    ]
    losses = model.train()(records)
    assert ("loss_sem_seg_point" in losses) == ("pointrend" in name)
    assert ("loss_sem_seg_aux" in losses) == ("alignseg" in name)
    sum(losses.values()).backward()
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
    with torch.no_grad():
        results = model.eval()(records)
    for result, size_hw in zip(results, sizes_hw, strict=True):
        assert result["sem_seg"].shape[1:] == size_hw
        assert result["sem_seg"].isfinite().all()
