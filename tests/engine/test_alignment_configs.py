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
        (CITYSCAPES, "sfnet_R_18_cityscapes"),
        (CITYSCAPES, "sfnet_lite_R_18_cityscapes"),
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
    if "R_18" in name:  # the one width that blocks of two convolutions have
        opts = [*opts, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64]
    return build_model(load_cfg(f"{name}.yaml", opts))


@pytest.fixture
def build_backbone():
    """A backbone by the end of its name, of a depth, with further keys below MODEL.RESNETS."""

    def run(kind, depth=50, **keys):
        keys = {"DEPTH": depth, "RES2_OUT_CHANNELS": 64 if depth < 50 else 16, **keys}
        opts = [x for key, value in keys.items() for x in (f"MODEL.RESNETS.{key}", value)]
        opts += ["MODEL.BACKBONE.NAME", f"build_resnet_{kind}_backbone"]
        return build(f"{CITYSCAPES}/sfnet_R_50_cityscapes", [*TINY, *opts]).backbone.eval()

    return run


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_backbone_of_sfnet_is_dilated_at_its_strides(rng, build_backbone, depth):
    """A stage sees the same cells as without dilation, but each convolution looks farther."""
    backbone = build_backbone("sfnet", depth)
    plain = build_backbone("deeplab" if depth == 50 else "alignseg", depth)
    if depth < 50:  # DeepLab's has no such depth
        plain.stem = backbone.stem
    plain.load_state_dict(backbone.state_dict(), strict=True)
    image = torch.randn(1, 3, 64, 96, generator=rng)
    got, other = backbone(image), plain(image)
    for name in ("res2", "res3"):
        torch.testing.assert_close(got[name], other[name], rtol=0, atol=0)
    for name in ("res4", "res5"):
        assert got[name].shape == other[name].shape
        assert (got[name] - other[name]).abs().max() > 1e-3
    for i, stage in enumerate((backbone.res4, backbone.res5)):
        assert len(stage) == {18: (2, 2), 34: (6, 3), 50: (6, 3)}[depth][i]
        expected = [(2 ** (i + 1),) * 2] * len(stage)
        assert [block.conv2.dilation for block in stage] == expected
        assert [block.conv2.padding for block in stage] == expected
        strided = [getattr(block, "conv1" if depth < 50 else "conv2") for block in stage]
        assert [conv.stride[0] for conv in strided] == [2] + [1] * (len(stage) - 1)


def test_stem_of_alignseg_rounds_up(rng, build_backbone):
    """A convolution gives 64, 65, 65, 66 rows of 128 to 131; half of an even number is one more."""
    theirs, plain = (build_backbone(kind) for kind in ("alignseg", "deeplab"))
    plain.load_state_dict(theirs.state_dict(), strict=True)
    assert type(theirs.stem).__name__ == "CeilPoolStem"
    for rows, (theirs_rows, plain_rows) in {
        **{128: (33, 32), 129: (33, 33), 130: (33, 33), 131: (34, 33)}
    }.items():
        image = torch.randn(1, 3, rows, 97, generator=rng)
        got, other = theirs.stem(image), plain.stem(image)
        assert got.shape[-2:] == (theirs_rows, 25)
        assert other.shape[-2:] == (plain_rows, 25)
        torch.testing.assert_close(got[..., :plain_rows, :], other, rtol=0, atol=0)
        if rows == 128:
            with torch.no_grad():
                shapes = [x.shape[-2:] for x in theirs(image).values()]
            assert shapes == [(33, 25), (17, 13), (9, 7), (5, 4)]


def test_frozen_layers_of_these_backbones():
    opts = [*TINY, "MODEL.BACKBONE.FREEZE_AT", 2]
    for name in ("sfnet_lite_R_18_cityscapes", "alignseg_R_50_cityscapes"):
        backbone = build(f"{CITYSCAPES}/{name}", opts).backbone
        learns = {k.split(".")[0] for k, p in backbone.named_parameters() if p.requires_grad}
        assert learns == {"res3", "res4", "res5"}


@pytest.mark.parametrize(
    ("kind", "key", "value", "allowed"),
    [
        ("sfnet", "RES5_DILATION", 2, "1, since build_resnet_sfnet_backbone dilates"),
        ("alignseg", "RES4_DILATION", 2, "1, since build_resnet_alignseg_backbone dilates"),
        ("sfnet", "RES5_MULTI_GRID", [1, 2, 4], r"\[1, 1, 1\], since"),
        ("sfnet", "DEFORM_ON_PER_STAGE", [False, False, False, True], r"\[False"),
        ("alignseg", "DEPTH", 20, r"one of \(18, 34, 50, 101, 152\)"),
        ("sfnet", "STEM_TYPE", "deep", r"one of \('deeplab', 'basic'\)"),
        ("alignseg", "STEM_TYPE", "basic", "'deeplab', whose pooling"),
    ],
)
def test_what_these_backbones_do_not_build(build_backbone, kind, key, value, allowed):
    with pytest.raises(ValueError, match=rf"RESNETS\.{key} is .* must be {allowed}"):
        build_backbone(kind, **{key: value})


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


@pytest.mark.parametrize("kind", ["sfnet_lite_R_18", "alignseg_R_50"])
def test_the_segmentor_of_these_models_is_detectron2s(rng, kind):
    """But for a published grid; it can return labels, too."""
    name = f"{CITYSCAPES}/{kind}_cityscapes"
    ours = build(name, TINY).eval()
    theirs = build(name, [*TINY, "MODEL.META_ARCHITECTURE", "SemanticSegmentor"]).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    sizes_hw = [(75, 101), (70, 93)]
    records = [{"image": 255 * torch.rand(3, *hw, generator=rng)} for hw in sizes_hw]
    records[1].update(height=35, width=50)
    with torch.no_grad():
        got, expected, labels = ours(records), theirs(records), ours.predict(records, "labels")
    for one, other, label in zip(got, expected, labels, strict=True):
        torch.testing.assert_close(one["sem_seg"], other["sem_seg"], rtol=0, atol=1e-6)
        assert torch.equal(label["sem_seg"].long(), one["sem_seg"].argmax(0))
    assert [x["sem_seg"].shape for x in labels] == [(75, 101), (35, 50)]
