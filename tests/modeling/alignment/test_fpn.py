"""The aligned FPN: names and start of Detectron2's, whatever is built on it."""

from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from detectron2.modeling import FPN, build_backbone
from detectron2.modeling.backbone import fpn as detectron2_fpn
from torch.nn import functional as F

from pointrend_ext.modeling.alignment import CAB, FAM, AlignedFPN, GatedFAM
from tests.modeling.builders import RESNET_FPN, model_cfg

KINDS = {"FAM": FAM, "GatedFAM": GatedFAM, "CAB": CAB}
ALIGNED, PLAIN = "build_resnet_aligned_fpn_backbone", "build_resnet_fpn_backbone"


def make_backbone(builder, opts=()):
    """A narrow ResNet-50 with an FPN, in inference."""
    cfg = model_cfg(RESNET_FPN, BACKBONE__NAME=builder, BACKBONE__FREEZE_AT=0)
    cfg.merge_from_list(list(opts))
    return build_backbone(cfg).eval()


def with_alignment(name, *opts):
    return make_backbone(ALIGNED, ["MODEL.FPN.ALIGNMENT.NAME", name, *opts])


def load(target, source):
    """Load as a checkpoint of another model is loaded; returns what is new and what is left."""
    result = target.load_state_dict(source.state_dict(), strict=False)
    return set(result.missing_keys), set(result.unexpected_keys)


def bilinear(x, *, scale_factor, mode):
    assert (scale_factor, mode) == (2.0, "nearest")
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


BILINEAR = SimpleNamespace(interpolate=bilinear, max_pool2d=F.max_pool2d)


@pytest.mark.parametrize("fuse_type", ["sum", "avg"])
@pytest.mark.parametrize("name", KINDS)
def test_a_checkpoint_loads_and_training_starts_from_a_bilinear_fpn(rng, name, fuse_type):
    opts = ["MODEL.FPN.FUSE_TYPE", fuse_type]
    plain, aligned = make_backbone(PLAIN, opts), with_alignment(name, *opts)
    new, left = load(aligned, plain)
    assert left == set()
    assert {key.split(".")[0] for key in new} == {"fpn_align2", "fpn_align3", "fpn_align4"}
    assert aligned.output_shape() == plain.output_shape()
    assert aligned.size_divisibility == plain.size_divisibility == 32
    images = torch.randn(2, 3, 64, 96, generator=rng)
    with torch.no_grad():
        got = aligned(images)
        with mock.patch.object(detectron2_fpn, "F", BILINEAR):
            expected = plain(images)
        nearest = plain(images)
    assert list(got) == list(expected) == ["p2", "p3", "p4", "p5", "p6"]
    for level, value in expected.items():
        torch.testing.assert_close(got[level], value, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(nearest["p2"], expected["p2"], atol=1e-2)
    aligned.load_state_dict(aligned.state_dict(), strict=True)


@pytest.mark.parametrize("name", KINDS)
def test_each_level_has_its_own_alignment_which_is_trained(rng, name):
    options = {"CHANNELS": 5, "NORM": "", "ZERO_INIT": False}
    opts = [x for key, value in options.items() for x in (f"MODEL.FPN.ALIGNMENT.{key}", value)]
    aligned = with_alignment(name, *(opts if name == "CAB" else opts[:2] + opts[4:])).train()
    modules = {k: m for k, m in aligned.named_modules() if isinstance(m, KINDS[name])}
    assert list(modules) == ["fpn_align2", "fpn_align3", "fpn_align4"]
    every = [p for m in modules.values() for p in m.parameters()]
    assert len({id(p) for p in every}) == len(every)
    assert any(5 in p.shape for p in every)
    assert not any("norm" in key for m in modules.values() for key in m.state_dict())
    maps = aligned(torch.randn(2, 3, 64, 96, generator=rng))
    sum(m.square().mean() for m in maps.values()).backward()
    for key, parameter in aligned.named_parameters():
        if not key.startswith("bottom_up"):
            assert parameter.grad.isfinite().all(), key
            assert parameter.grad.abs().max() > 0, key


def test_levels_are_fused_with_the_alignment_of_their_stage(rng):
    aligned = with_alignment("FAM")
    with torch.no_grad():
        for stage in (2, 3, 4):  # the flow of a stage moves its level and those below
            getattr(aligned, f"fpn_align{stage}").flow_make.weight.normal_(std=5)
            changed = aligned(images := torch.randn(1, 3, 64, 64, generator=rng))
            getattr(aligned, f"fpn_align{stage}").flow_make.weight.zero_()
            plain = aligned(images)
            moved = [k for k in plain if not torch.equal(plain[k], changed[k])]
            assert moved == [f"p{level}" for level in range(2, stage + 1)]


def test_without_a_name_it_is_detectron2s_fpn(rng):
    plain, unnamed = make_backbone(PLAIN), make_backbone(ALIGNED)
    assert type(unnamed) is FPN
    assert load(unnamed, plain) == (set(), set())
    images = torch.randn(1, 3, 64, 64, generator=rng)
    with torch.no_grad():
        torch.testing.assert_close(unnamed(images), plain(images), rtol=0, atol=0)


def test_three_levels_and_no_top_block(rng):
    bottom_up = with_alignment("FAM").bottom_up
    pyramid = AlignedFPN(
        bottom_up, ["res3", "res4", "res5"], 6, make_alignment=lambda: FAM(channels=6)
    )
    assert [k for k, _ in pyramid.named_children() if "align" in k] == ["fpn_align3", "fpn_align4"]
    maps = pyramid(torch.randn(1, 3, 64, 64, generator=rng))
    assert {k: tuple(v.shape[1:]) for k, v in maps.items()} == {
        "p3": (6, 8, 8),
        "p4": (6, 4, 4),
        "p5": (6, 2, 2),
    }


@pytest.mark.parametrize(
    ("name", "opts", "message"),
    [
        ("FAM", ["MODEL.FPN.IN_FEATURES", ["res5"]], r"IN_FEATURES is \['res5'\]"),
        ("fam", [], r"MODEL.FPN.ALIGNMENT.NAME is 'fam'.*'FAM'"),
    ],
)
def test_mistakes(name, opts, message):
    with pytest.raises(ValueError, match=message):
        with_alignment(name, *opts)
