"""SFNetHead and AlignSegHead: the papers' decoders; sizes, deep supervision, PointRend."""

import math

import pytest
import torch
from detectron2.layers import NaiveSyncBatchNorm, ShapeSpec
from detectron2.modeling import build_sem_seg_head
from torch import nn
from torch.nn import functional as F

from pointrend_ext.modeling.alignment import record_flows
from pointrend_ext.modeling.sem_seg import AlignSegHead, SFNetHead
from pointrend_ext.modeling.sem_seg.alignseg import AlignCM
from pointrend_ext.modeling.sem_seg.decoder_layers import pad_to_common_extent
from tests.modeling.decoder_oracles import AlignSeg, SFNet, prepare
from tests.modeling.sem_seg.decoder_heads import (
    ALIGNED,
    EVEN,
    NUM_CLASSES,
    ODD,
    SHAPES,
    loss_history,
    make_cfg,
    make_features,
    make_head,
    make_targets,
)

# ---- the decoders of the papers


def build(kind, **arguments):
    return kind(input_shape=SHAPES, num_classes=3, common_stride=4, **arguments)


@pytest.mark.parametrize(
    ("kind", "decoder", "coords", "width", "std"),
    [
        (SFNetHead, SFNet, "pixel", 6, 0.4),
        (SFNetHead, SFNet, "sfnet", 6, 0.4),
        (AlignSegHead, AlignSeg, "pixel", 4, 0.7),
        (AlignSegHead, AlignSeg, "alignseg", 4, 0.7),
    ],
)
def test_values(rng, kind, decoder, coords, width, std):
    head = prepare(build(kind, conv_dims=width, coords=coords, aux_loss_weight=1.0), std)
    features = make_features(rng, EVEN, dtype=torch.float64)
    with torch.no_grad():
        logits, inner = head.layers_with_auxiliary(features)
        expected, expected_inner = decoder(head, coords)(list(features.values()))
        torch.testing.assert_close(head.layers(features), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(inner, expected_inner, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("coords", ["pixel", "alignseg"])
def test_context_of_any_size(rng, coords):
    module = prepare(AlignCM(5, 4, norm="BN", coords=coords), 0.7)
    x = torch.randn(2, 5, 5, 7, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        expected = AlignSeg(module, coords).context(x, name="")
        torch.testing.assert_close(module(x), expected, rtol=1e-9, atol=1e-9)


def test_training_starts_at_zero_flow():
    aligned = build(SFNetHead, conv_dims=6)
    assert all(module.flow_make.weight.abs().max() == 0 for module in aligned.fpn_align)
    head = build(AlignSegHead, conv_dims=4)
    flows = [branch[1] for m in head.cab for branch in (m.delta_gen1, m.delta_gen2)]
    assert all(x.weight.abs().max() == 0 for x in [*flows, head.context.delta_gen[1]])


# ---- sizes


def test_maps_are_continued_to_one_extent():
    maps = [torch.arange(15.0).view(1, 1, 3, 5), torch.zeros(1, 1, 2, 3)]
    fine, coarse = pad_to_common_extent(maps, [4, 8])
    assert torch.equal(
        fine[0, 0, :3], torch.tensor([0, 1, 2, 3, 4, 4]) + 5.0 * torch.arange(3)[:, None]
    )
    assert torch.equal(fine[0, 0, 3], fine[0, 0, 2])
    assert coarse is maps[1]
    assert pad_to_common_extent([fine, coarse], [4, 8])[0] is fine


@pytest.mark.parametrize("name", ALIGNED)
@pytest.mark.parametrize("size_hw", [ODD, (65, 64)])
def test_odd_sizes_are_those_of_the_padded_plane(rng, name, size_hw):
    head = make_head(name).eval()
    features = make_features(rng, size_hw)
    maps = pad_to_common_extent(list(features.values()), [4, 8, 16, 32])
    assert maps[0].shape[-2:] == tuple(8 * side for side in maps[3].shape[-2:])
    with torch.no_grad():
        got = head.layers(features)
        expected = head.layers(dict(zip(SHAPES, maps, strict=True)))
    rows, columns = features["res2"].shape[-2:]
    assert got.shape == (2, NUM_CLASSES, rows, columns)
    torch.testing.assert_close(got, expected[..., :rows, :columns], rtol=0, atol=0)


@pytest.mark.parametrize("name", ALIGNED)
@pytest.mark.parametrize("last_stride", [32, 16])  # 16: a dilated backbone; the deeper is coarser
def test_the_order_of_names_does_not_matter(rng, name, last_stride):
    shapes = {**SHAPES, "res5": ShapeSpec(channels=8, stride=last_stride)}
    head = make_head(name, shapes=shapes)
    shuffled = make_head(name, shapes=shapes, IN_FEATURES=["res5", "res2", "res4", "res3"])
    assert head.in_features == shuffled.in_features == ["res2", "res3", "res4", "res5"]
    features = make_features(rng, EVEN, shapes)
    with torch.no_grad():
        expected = head.eval().layers(features)
        torch.testing.assert_close(shuffled.eval().layers(features), expected, rtol=0, atol=0)


# ---- losses


@pytest.mark.parametrize("name", ALIGNED)
def test_the_numbers_of_mining_arrive(name):
    head = make_head(name, LOSS_TYPE="ohem", OHEM_THRESHOLD=0.2, OHEM_MIN_KEPT=5)
    assert head.loss.keywords == {"threshold": 0.2, "min_kept": 5, "ignore_value": 255}


@pytest.mark.parametrize("name", ALIGNED)
def test_no_auxiliary_layers_without_their_loss(rng, name):
    head, deep = make_head(name), make_head(name, AUX_LOSS_WEIGHT=0.1)
    assert {k for k in deep.state_dict() if k not in head.state_dict()} == {
        k for k in deep.state_dict() if k.startswith("auxiliary.")
    }
    logits, auxiliary = head.eval().layers_with_auxiliary(features := make_features(rng, EVEN))
    assert auxiliary == []
    torch.testing.assert_close(logits, head.layers(features), rtol=0, atol=0)


# ---- a training step and inference, alone and refined


@pytest.mark.parametrize("size_hw", [ODD, EVEN])
@pytest.mark.parametrize("has_points", [False, True])
@pytest.mark.parametrize("loss_type", ["ohem", "cross_entropy_lovasz"])
@pytest.mark.parametrize("name", ALIGNED)
def test_one_step_and_inference(rng, name, loss_type, has_points, size_hw):
    head = make_head(name, has_points=has_points, AUX_LOSS_WEIGHT=0.1, LOSS_TYPE=loss_type)
    features = {k: v.requires_grad_() for k, v in make_features(rng, size_hw).items()}
    targets = make_targets(rng, size_hw)
    nothing, losses = head(features, targets)
    assert nothing is None
    points = {"loss_sem_seg_point"} if has_points else set()
    assert set(losses) == {"loss_sem_seg", "loss_sem_seg_aux"} | points
    sum(losses.values()).backward()
    for key, parameter in [*head.named_parameters(), *features.items()]:
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key
    with torch.no_grad():
        logits, nothing = head.eval()(features)
    assert nothing == {}
    assert logits.shape == (2, NUM_CLASSES, *(4 * math.ceil(side / 4) for side in size_hw))
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ALIGNED)
def test_refined_it_has_the_losses_it_has_alone(rng, name):
    """The auxiliary logits pass through PointRend, of this forward pass and of no other."""
    alone = make_head(name, AUX_LOSS_WEIGHT=0.3)
    refined = make_head(name, has_points=True, AUX_LOSS_WEIGHT=0.3)
    refined.coarse_sem_seg_head.load_state_dict(alone.state_dict())
    for module in (*alone.modules(), *refined.modules()):
        if isinstance(module, torch.nn.Dropout2d):
            module.p = 0.0
    for _ in range(2):
        features, targets = make_features(rng, ODD), make_targets(rng, ODD)
        _, expected = alone(features, targets)
        _, got = refined(features, targets)
        for key, loss in expected.items():
            torch.testing.assert_close(got[key], loss, rtol=0, atol=0)


@pytest.mark.parametrize("name", ALIGNED)
def test_losses_fall_on_one_batch(rng, name):
    torch.manual_seed(1)
    head = build_sem_seg_head(make_cfg(name, AUX_LOSS_WEIGHT=0.1), SHAPES)
    features = make_features(rng, (32, 48))
    targets = F.interpolate(features["res2"][:, :NUM_CLASSES], scale_factor=4).argmax(1)
    history = loss_history(head, features, targets, lr=0.02, steps=30)  # 15 depend on the dropout
    assert sum(history[-1].values()) < 0.8 * sum(history[0].values())


@pytest.mark.parametrize(("name", "dropouts"), [("SFNetHead", 1 + 3), ("AlignSegHead", 1 + 1)])
def test_norms_and_dropout(name, dropouts):
    """Every normalisation is the one asked for, and a tenth of the channels is dropped."""
    head = make_head(name, NORM="naiveSyncBN", AUX_LOSS_WEIGHT=0.4)
    norms = [m for m in head.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) > 10
    assert all(isinstance(norm, NaiveSyncBatchNorm) for norm in norms)
    found = [m.p for m in head.modules() if isinstance(m, nn.Dropout2d)]
    assert found == [0.1] * dropouts


def test_one_image_has_no_statistics_in_a_bin_of_one_cell(rng):
    head = make_head("SFNetHead")
    one = make_features(rng, EVEN, num_images=1)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        head.train().layers(one)
    assert head.layers(make_features(rng, EVEN)).isfinite().all()
    assert head.eval().layers(one).isfinite().all()
    for norm in ("GN", "FrozenBN"):
        dims = 64 if norm == "GN" else 8
        assert make_head("SFNetHead", NORM=norm, CONVS_DIM=dims).layers(one).isfinite().all()


def test_the_flow_of_the_context_is_recorded_in_pixels(rng):
    """With the published grid a unit is half of one of the three cells."""
    head = make_head("AlignSegHead", ALIGNMENT_COORDS="alignseg").eval()
    with torch.no_grad(), record_flows(head) as flows:
        head.layers(make_features(rng, EVEN))
        module, coarsest = head.context, make_features(rng, EVEN)["res5"]
        [got] = module.predict_flows(coarsest)
        _, _, unit = module._pool_and_flow(coarsest)
    names = [f"cab.{i}.{moved}" for i in range(4) for moved in ("high", "low")]
    assert [flow.name for flow in flows] == ["context.high", *names]
    rows, columns = coarsest.shape[-2:]
    torch.testing.assert_close(got[:, 0], unit[:, 0] * (columns - 1) / 6)
    torch.testing.assert_close(got[:, 1], unit[:, 1] * (rows - 1) / 6)


PUBLISHED = [
    (
        SFNetHead,
        {
            "ppm.stages.3.weight": (256, 2048, 1, 1),
            "ppm.bottleneck.weight": (256, 3072, 1, 1),
            "fpn_in.0.bias": (256,),
            "fpn_align.2.flow_make.weight": (2, 256, 3, 3),
            "fuse.weight": (256, 1024, 3, 3),
            "auxiliary.2.conv.bias": (256,),
            "predictor.weight": (19, 256, 1, 1),
        },
        ("fpn_align", 3 * 70144),
    ),
    (
        AlignSegHead,
        {
            "context.adapt.0.weight": (2048, 2048, 1, 1),
            "context.pool.1.weight": (256, 2048, 3, 3),
            "context.delta_gen.0.weight": (256, 512, 1, 1),
            "rrb_in.3.unify.weight": (256, 2048, 1, 1),
            "rrb_in.3.residual.0.weight": (64, 256, 3, 3),
            "predictor.weight": (19, 256, 1, 1),
        },
        ("cab", 4 * 272384),
    ),
]


@pytest.mark.parametrize(("kind", "shapes", "alignment"), PUBLISHED)
def test_published_shapes(kind, shapes, alignment):
    """The layers of the released networks, at their widths (on the meta device)."""
    inputs = {f"res{i + 2}": ShapeSpec(channels=256 * 2**i, stride=4 * 2**i) for i in range(4)}
    with torch.device("meta"):
        head = kind(input_shape=inputs, num_classes=19, common_stride=4, aux_loss_weight=1.0)
    state = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    assert {name: state.get(name) for name in shapes} == shapes
    module, count = alignment
    assert sum(p.numel() for p in getattr(head, module).parameters()) == count
