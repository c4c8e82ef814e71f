"""SFNetHead and AlignSegHead are the decoders of the papers, written anew from their weights."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ShapeSpec

from pointrend_ext.modeling.sem_seg import AlignSegHead, SFNetHead
from pointrend_ext.modeling.sem_seg.alignseg import AlignCM
from tests.modeling.decoder_oracles import AlignSeg, SFNet, prepare
from tests.modeling.sem_seg.decoder_heads import EVEN, SHAPES, make_features


def build(kind, shapes=SHAPES, num_classes=3, **arguments):
    return kind(input_shape=shapes, num_classes=num_classes, common_stride=4, **arguments)


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


PUBLISHED = {
    SFNetHead: {
        "ppm.stages.3.weight": (256, 2048, 1, 1),
        "ppm.bottleneck.weight": (256, 3072, 1, 1),
        "fpn_in.0.bias": (256,),
        "fpn_align.2.flow_make.weight": (2, 256, 3, 3),
        "fuse.weight": (256, 1024, 3, 3),
        "auxiliary.2.conv.bias": (256,),
    },
    AlignSegHead: {
        "context.adapt.0.weight": (2048, 2048, 1, 1),
        "context.pool.1.weight": (256, 2048, 3, 3),
        "context.delta_gen.0.weight": (256, 512, 1, 1),
        "rrb_in.3.unify.weight": (256, 2048, 1, 1),
        "rrb_in.3.residual.0.weight": (64, 256, 3, 3),
    },
}
BIASES = {
    SFNetHead: {"predictor", *(f"fpn_in.{i}" for i in range(3))}
    | {f"auxiliary.{i}.{part}" for i in range(3) for part in ("conv", "predictor")},
    AlignSegHead: {"conv", "predictor", "auxiliary.conv", "auxiliary.predictor"},
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_shapes(kind):
    shapes = {f"res{i}": ShapeSpec(channels=64 * 2**i, stride=2**i) for i in (2, 3, 4, 5)}
    with torch.device("meta"):
        head = build(kind, shapes, 19, aux_loss_weight=1.0)
    state = {k: tuple(v.shape) for k, v in head.state_dict().items()}
    assert {k: state[k] for k in PUBLISHED[kind]} == PUBLISHED[kind]
    biases = {k.removesuffix(".bias") for k in state if k.endswith("bias") and "norm" not in k}
    assert biases == BIASES[kind]
    alignments, parameters = (head.fpn_align, 70144) if kind is SFNetHead else (head.cab, 272384)
    assert sum(p.numel() for p in alignments.parameters()) == len(alignments) * parameters


def test_training_starts_at_zero_flow():
    aligned = build(SFNetHead, conv_dims=6)
    assert all(module.flow_make.weight.abs().max() == 0 for module in aligned.fpn_align)
    head = build(AlignSegHead, conv_dims=4)
    flows = [branch[1] for m in head.cab for branch in (m.delta_gen1, m.delta_gen2)]
    assert all(x.weight.abs().max() == 0 for x in [*flows, head.context.delta_gen[1]])
