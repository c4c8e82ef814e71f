"""AlignSegHead is the decoder of the paper, written anew from its weights."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ShapeSpec
from torch.nn import functional as F

from pointrend_ext.layers import flow_warp
from pointrend_ext.modeling.sem_seg import AlignSegHead
from pointrend_ext.modeling.sem_seg.alignseg import AlignCM

CHANNELS, STRIDES = (5, 6, 7, 8), (4, 8, 16, 32)
SHAPES = {
    f"res{i + 2}": ShapeSpec(channels=c, stride=s)
    for i, (c, s) in enumerate(zip(CHANNELS, STRIDES, strict=True))
}


def randomize(module):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.7, generator=generator)
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5, generator=generator)
    return module.double().eval()


def make_head(coords="pixel", **kwargs):
    return randomize(
        AlignSegHead(
            input_shape=SHAPES, num_classes=3, common_stride=4, conv_dims=4, coords=coords, **kwargs
        )
    )


def make_features(rng, size_hw=(64, 96)):
    return {
        name: torch.randn(
            2, x.channels, *(s // x.stride for s in size_hw), generator=rng, dtype=torch.float64
        )
        for name, x in SHAPES.items()
    }


class Decoder:
    """The layers by name; every resize holds the corners unless ``coords`` is "pixel"."""

    def __init__(self, head, coords):
        self.w = head.state_dict()
        self.coords = coords

    def up(self, x, other):
        keeps_corners = self.coords != "pixel"
        return F.interpolate(x, other.shape[-2:], mode="bilinear", align_corners=keeps_corners)

    def conv(self, name, x):
        weight = self.w[f"{name}.weight"]
        return F.conv2d(x, weight, self.w.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def abn(self, name, x):
        keys = ("running_mean", "running_var", "weight", "bias")
        x = F.batch_norm(x, *(self.w[f"{name}.{key}"] for key in keys))
        return torch.where(x > 0, x, 0.01 * x)

    def conv_abn(self, name, x):
        return self.abn(f"{name}.norm", self.conv(name, x))

    def flow(self, name, x):
        flow = self.conv(f"{name}.1", self.conv_abn(f"{name}.0", x))
        assert flow.abs().max() > 0.3
        return flow

    def warp(self, x, flow):
        return flow_warp(x, flow, coords=self.coords)

    def rrb(self, name, x):
        x = self.conv(f"{name}.unify", x)
        residual = self.conv(f"{name}.residual.1", self.conv_abn(f"{name}.residual.0", x))
        return self.abn(f"{name}.norm", x + residual)

    def cab(self, name, low, high):
        high = self.up(high, low)
        both = torch.cat([low, high], 1)
        warped = self.warp(high, self.flow(f"{name}.delta_gen1", both))
        return warped + self.warp(low, self.flow(f"{name}.delta_gen2", both))

    def context(self, x, name="context."):
        def body(branch, x):
            return self.conv_abn(f"{name}{branch}.1", self.conv_abn(f"{name}{branch}.0", x))

        adapted, pooled = body("adapt", x), body("pool", F.adaptive_avg_pool2d(x, 3))
        both = torch.cat([adapted, self.up(pooled, adapted)], 1)
        return adapted + self.warp(pooled, self.flow(f"{name}delta_gen", both))

    def predict(self, prefix, x):
        return self.conv(f"{prefix}predictor", self.conv_abn(f"{prefix}conv", x))

    def __call__(self, maps):
        res2, res3, res4, res5 = maps
        d1 = self.rrb("rrb_in.0", res2)
        d2 = self.rrb("rrb_out.0", self.cab("cab.0", d1, self.rrb("rrb_in.1", res3)))
        d3 = self.rrb("rrb_out.1", self.cab("cab.1", d2, self.rrb("rrb_in.2", res4)))
        d4 = self.rrb("rrb_out.2", self.cab("cab.2", d3, self.rrb("rrb_in.3", res5)))
        context = self.rrb("rrb_in.4", self.context(res5))
        d5 = self.rrb("rrb_out.3", self.cab("cab.3", d4, context))
        return self.predict("", d5), self.predict("auxiliary.", d3)


@pytest.mark.parametrize("coords", ["pixel", "alignseg"])
def test_values(rng, coords):
    head = make_head(coords, aux_loss_weight=0.1)
    features = make_features(rng)
    with torch.no_grad():
        logits, [inner] = head.layers_with_auxiliary(features)
        expected, expected_inner = Decoder(head, coords)(list(features.values()))
        torch.testing.assert_close(head.layers(features), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(inner, expected_inner, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("coords", ["pixel", "alignseg"])
def test_context_of_any_size(rng, coords):
    module = randomize(AlignCM(5, 4, norm="BN", coords=coords))
    x = torch.randn(2, 5, 5, 7, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        expected = Decoder(module, coords).context(x, name="")
        torch.testing.assert_close(module(x), expected, rtol=1e-9, atol=1e-9)


def test_published_shapes():
    """The layers of the released network, at its widths (on the meta device)."""
    shapes = {f"res{i + 2}": ShapeSpec(channels=256 * 2**i, stride=4 * 2**i) for i in range(4)}
    with torch.device("meta"):
        head = AlignSegHead(
            input_shape=shapes, num_classes=19, common_stride=4, aux_loss_weight=0.1
        )
    state = {k: tuple(v.shape) for k, v in head.state_dict().items()}
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
    head = AlignSegHead(input_shape=SHAPES, num_classes=3, common_stride=4, conv_dims=4)
    flows = [branch[1] for m in head.cab for branch in (m.delta_gen1, m.delta_gen2)]
    assert all(x.weight.abs().max() == 0 for x in [*flows, head.context.delta_gen[1]])
