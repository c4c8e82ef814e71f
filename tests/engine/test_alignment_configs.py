"""Configurations with feature alignment: published hyper-parameters, and models that run."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils.events import EventStorage

from pointrend_ext.engine import load_cfg
from pointrend_ext.modeling.alignment import FAM

CITYSCAPES = "Cityscapes-SemanticSegmentation"
CAMVID = "CamVid-SemanticSegmentation"
INSTANCE = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FAM_FPN_1x_coco"
HEADS = {"sfnet": "SFNetHead", "alignseg": "AlignSegHead"}
RECIPES = {  # images, iterations, power, weight decay, crop, loss, auxiliary weight
    "sfnet": (16, 55800, 1.0, 0.0001, (1024, 1024), "ohem", 0.0),
    "alignseg": (8, 120000, 0.9, 0.0005, (872, 872), "cross_entropy", 0.1),
}
DECODERS = [
    f"{CITYSCAPES}/{prefix}{name}_R_50_cityscapes"
    for name in HEADS
    for prefix in ("", "pointrend_")
]
PYRAMIDS = [
    f"{CAMVID}/semantic_R_50_FPN_FAM_camvid",
    f"{CAMVID}/pointrend_semantic_R_50_FPN_FAM_camvid",
]
TINY = [
    *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.RESNETS.NORM", "BN"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 4, "MODEL.RESNETS.RES2_OUT_CHANNELS", 8),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", 4, "MODEL.SEM_SEG_HEAD.NORM", "BN"),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", 8, "MODEL.FPN.OUT_CHANNELS", 8),
    *("MODEL.SEM_SEG_POINT_HEAD.FC_DIM", 8, "MODEL.SEM_SEG_POINT_HEAD.TRAIN_NUM_POINTS", 16),
    *("MODEL.SEM_SEG_POINT_HEAD.SUBDIVISION_NUM_POINTS", 20),
]
TINY_INSTANCES = [
    *("MODEL.BACKBONE.NAME", "build_resnet_aligned_fpn_backbone"),
    *("MODEL.FPN.ALIGNMENT.CHANNELS", 4, "MODEL.FPN.NORM", ""),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", 8, "MODEL.ROI_MASK_HEAD.CONV_DIM", 8),
    *("MODEL.ROI_MASK_HEAD.FC_DIM", 8, "MODEL.MASK_POINT_HEAD.FC_DIM", 8),
    *("MODEL.RPN.PRE_NMS_TOPK_TRAIN", 50, "MODEL.RPN.POST_NMS_TOPK_TRAIN", 20),
    *("MODEL.RPN.PRE_NMS_TOPK_TEST", 50, "MODEL.RPN.POST_NMS_TOPK_TEST", 20),
]
LAST = {"FAM": "flow_make", "GatedFAM": "flow_make", "CAB": "delta_gen1.1"}


def build(name, opts=()):
    return build_model(load_cfg(f"{name}.yaml", opts))


@pytest.mark.parametrize("name", HEADS)
def test_recipes(name):
    cfg = load_cfg(f"{CITYSCAPES}/pointrend_{name}_R_50_cityscapes.yaml")
    solver, head, points = cfg.SOLVER, cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.SEM_SEG_POINT_HEAD
    crop = tuple(cfg.INPUT.CROP.SIZE)
    got = (solver.IMS_PER_BATCH, solver.MAX_ITER, solver.POLY_LR_POWER, solver.WEIGHT_DECAY)
    assert (*got, crop, head.LOSS_TYPE, head.AUX_LOSS_WEIGHT) == RECIPES[name]
    assert (solver.BASE_LR, solver.LR_SCHEDULER_NAME) == (0.01, "WarmupPolyLR")
    assert (head.OHEM_THRESHOLD, head.OHEM_MIN_KEPT) == (0.7, 10000)
    assert crop[0] * crop[1] // 16**2 == points.TRAIN_NUM_POINTS
    assert solver.WEIGHT_DECAY_NORM == solver.WEIGHT_DECAY  # and None for biases: the same
    assert (solver.WARMUP_ITERS, solver.WEIGHT_DECAY_BIAS) == (0, None)
    assert cfg.INPUT.COLOR_AUG_SSD is (name == "sfnet")
    assert cfg.INPUT.FORMAT == "RGB"
    assert cfg.MODEL.PIXEL_MEAN[0] > cfg.MODEL.PIXEL_MEAN[2]


@pytest.mark.parametrize("name", HEADS)
def test_decoders_build_at_their_published_widths(name):
    with torch.device("meta"):
        model = build(
            f"{CITYSCAPES}/pointrend_{name}_R_50_cityscapes",
            ["MODEL.DEVICE", "meta", "MODEL.WEIGHTS", ""],
        )
    strides = {k: v.stride for k, v in model.backbone.output_shape().items()}
    assert strides == {"res2": 4, "res3": 8, "res4": 16, "res5": 32}
    coarse = model.sem_seg_head.coarse_sem_seg_head
    assert type(coarse).__name__ == HEADS[name]
    assert coarse.predictor.weight.shape == (19, 256, 1, 1)
    assert bool(coarse.auxiliary_strides) == (name == "alignseg")
    assert model.sem_seg_head.subdivision.steps == 2


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


@pytest.mark.parametrize(
    ("name", "opts"),
    [(INSTANCE, []), (INSTANCE, ["MODEL.META_ARCHITECTURE", "PanopticFPN"])],
    ids=["instances", "panoptic"],
)
def test_aligned_pyramids_under_instances(name, opts):
    with torch.device("meta"):
        model = build(name, [*opts, "MODEL.DEVICE", "meta", "MODEL.WEIGHTS", ""])
    modules = {k for k, m in model.named_modules() if isinstance(m, FAM)}
    assert modules == {f"backbone.fpn_align{stage}" for stage in (2, 3, 4)}
    assert type(model.roi_heads.mask_head).__name__ == "PointRendROIMaskHead"


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
    masks = torch.zeros(1, *size_hw, dtype=torch.bool)
    masks[:, 20:60, 10:70] = True
    objects = Instances(size_hw)
    objects.gt_boxes, objects.gt_classes = BitMasks(masks).get_bounding_boxes(), torch.tensor([1])
    objects.gt_masks = BitMasks(masks)
    image = 255 * torch.rand(3, *size_hw, generator=rng)
    record = {"image": image, "instances": objects, "sem_seg": masks[0].long()}
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


@pytest.mark.parametrize("name", [*DECODERS, *PYRAMIDS])
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
