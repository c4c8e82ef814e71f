"""SFNetHead and AlignSegHead are the decoders of the papers, written anew from their weights."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ShapeSpec
from torch.nn import functional as F

from pointrend_ext.layers import flow_warp
from pointrend_ext.modeling.sem_seg import AlignSegHead, SFNetHead
from pointrend_ext.modeling.sem_seg.alignseg import AlignCM
from tests.modeling.builders import randomize
from tests.modeling.sem_seg.decoder_heads import EVEN, SHAPES, make_features


def prepare(module, std):
    """Random weights and statistics, in inference and float64."""
    generator = torch.Generator().manual_seed(3)
    for name, buffer in randomize(module, std).named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5, generator=generator)
    return module.double().eval()


def build(kind, shapes=SHAPES, num_classes=3, **arguments):
    return kind(input_shape=shapes, num_classes=num_classes, common_stride=4, **arguments)


class Decoder:
    """The layers by name; every resize holds the corners unless ``coords`` is "pixel"."""

    slope = 0.0
    """Of the activation below 0."""

    def __init__(self, head, coords):
        self.w = head.state_dict()
        self.coords = coords

    def up(self, x, other):
        keeps_corners = self.coords != "pixel"
        return F.interpolate(x, other.shape[-2:], mode="bilinear", align_corners=keeps_corners)

    def warp(self, x, flow):
        return flow_warp(x, flow, coords=self.coords)

    def conv(self, name, x, *, active=False):
        """A convolution, the normalisation if it has one, and the activation if asked for."""
        weight = self.w[f"{name}.weight"]
        x = F.conv2d(x, weight, self.w.get(f"{name}.bias"), padding=weight.shape[-1] // 2)
        x = self.norm(f"{name}.norm", x) if f"{name}.norm.weight" in self.w else x
        return self.act(x) if active else x

    def norm(self, name, x):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.w[f"{name}.{key}"] for key in keys))

    def act(self, x):
        return torch.where(x > 0, x, self.slope * x)


class SFNet(Decoder):
    def pyramid_pooling(self, x):
        pooled = []
        for i, side in enumerate((1, 2, 3, 6)):
            pooled.append(self.up(self.conv(f"ppm.stages.{i}", F.adaptive_avg_pool2d(x, side)), x))
        return self.conv("ppm.bottleneck", torch.cat([*pooled, x], 1), active=True)

    def align(self, level, low, high):
        name = f"fpn_align.{level}"
        h = self.up(self.conv(f"{name}.down_h", high), low)
        flow = self.conv(f"{name}.flow_make", torch.cat([h, self.conv(f"{name}.down_l", low)], 1))
        assert flow.abs().max() > 0.5
        return low + self.warp(high, flow)

    def __call__(self, maps):
        top = f = self.pyramid_pooling(maps[3])
        sums = {}
        for level in (2, 1, 0):
            lateral = self.conv(f"fpn_in.{level}", maps[level], active=True)
            f = sums[level] = self.align(level, lateral, f)
        outputs = [self.conv(f"fpn_out.{i}", sums[i], active=True) for i in range(3)] + [top]
        fused = torch.cat([outputs[0]] + [self.up(x, outputs[0]) for x in outputs[1:]], 1)
        logits = self.conv("predictor", self.conv("fuse", fused, active=True))
        inner = []
        for level in range(3):
            hidden = self.conv(f"auxiliary.{level}.conv", sums[level], active=True)
            inner.append(self.conv(f"auxiliary.{level}.predictor", hidden))
        return logits, inner


class AlignSeg(Decoder):
    slope = 0.01

    def flow(self, name, x):
        flow = self.conv(f"{name}.1", self.conv(f"{name}.0", x, active=True))
        assert flow.abs().max() > 0.3
        return flow

    def rrb(self, name, x):
        x = self.conv(f"{name}.unify", x)
        narrow = self.conv(f"{name}.residual.0", x, active=True)
        return self.act(self.norm(f"{name}.norm", x + self.conv(f"{name}.residual.1", narrow)))

    def cab(self, name, low, high):
        high = self.up(high, low)
        both = torch.cat([low, high], 1)
        warped = self.warp(high, self.flow(f"{name}.delta_gen1", both))
        return warped + self.warp(low, self.flow(f"{name}.delta_gen2", both))

    def context(self, x, name="context."):
        def body(branch, x):
            hidden = self.conv(f"{name}{branch}.0", x, active=True)
            return self.conv(f"{name}{branch}.1", hidden, active=True)

        adapted, pooled = body("adapt", x), body("pool", F.adaptive_avg_pool2d(x, 3))
        both = torch.cat([adapted, self.up(pooled, adapted)], 1)
        return adapted + self.warp(pooled, self.flow(f"{name}delta_gen", both))

    def predict(self, prefix, x):
        return self.conv(f"{prefix}predictor", self.conv(f"{prefix}conv", x, active=True))

    def __call__(self, maps):
        res2, res3, res4, res5 = maps
        d1 = self.rrb("rrb_in.0", res2)
        d2 = self.rrb("rrb_out.0", self.cab("cab.0", d1, self.rrb("rrb_in.1", res3)))
        d3 = self.rrb("rrb_out.1", self.cab("cab.1", d2, self.rrb("rrb_in.2", res4)))
        d4 = self.rrb("rrb_out.2", self.cab("cab.2", d3, self.rrb("rrb_in.3", res5)))
        context = self.rrb("rrb_in.4", self.context(res5))
        d5 = self.rrb("rrb_out.3", self.cab("cab.3", d4, context))
        return self.predict("", d5), [self.predict("auxiliary.", d3)]


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


def published(kind):
    """A head at the widths of the released network, on the meta device, and its shapes."""
    shapes = {f"res{i}": ShapeSpec(channels=64 * 2**i, stride=2**i) for i in (2, 3, 4, 5)}
    with torch.device("meta"):
        head = build(kind, shapes, 19, aux_loss_weight=1.0)
    return head, {k: tuple(v.shape) for k, v in head.state_dict().items()}


def test_published_shapes_of_sfnet():
    head, state = published(SFNetHead)
    assert state["ppm.stages.3.weight"] == (256, 2048, 1, 1)
    assert state["ppm.bottleneck.weight"] == (256, 3072, 1, 1)
    assert state["fpn_in.0.bias"] == (256,)
    assert state["fpn_align.2.flow_make.weight"] == (2, 256, 3, 3)
    assert state["fuse.weight"] == (256, 1024, 3, 3)
    assert state["auxiliary.2.conv.bias"] == (256,)
    no_bias = ("ppm.stages.0", "ppm.bottleneck", "fpn_out.0", "fuse")
    assert not {f"{name}.bias" for name in no_bias} & set(state)
    alignment = sum(p.numel() for p in head.fpn_align.parameters())
    assert alignment == 3 * 70144


def test_published_shapes_of_alignseg():
    head, state = published(AlignSegHead)
    assert state["context.adapt.0.weight"] == (2048, 2048, 1, 1)
    assert state["context.pool.1.weight"] == (256, 2048, 3, 3)
    assert state["context.delta_gen.0.weight"] == (256, 512, 1, 1)
    assert state["rrb_in.3.unify.weight"] == (256, 2048, 1, 1)
    assert state["rrb_in.3.residual.0.weight"] == (64, 256, 3, 3)
    assert {k for k in state if k.endswith(".bias") and "norm" not in k} == {
        "conv.bias",
        "predictor.bias",
        "auxiliary.conv.bias",
        "auxiliary.predictor.bias",
    }
    assert sum(p.numel() for p in head.cab.parameters()) == 4 * 272384


def test_training_starts_at_zero_flow():
    aligned = build(SFNetHead, conv_dims=6)
    assert all(module.flow_make.weight.abs().max() == 0 for module in aligned.fpn_align)
    head = build(AlignSegHead, conv_dims=4)
    flows = [branch[1] for m in head.cab for branch in (m.delta_gen1, m.delta_gen2)]
    assert all(x.weight.abs().max() == 0 for x in [*flows, head.context.delta_gen[1]])
