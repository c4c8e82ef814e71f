"""SFNetHead is the decoder of the paper, written anew from its weights."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ShapeSpec
from torch.nn import functional as F

from pointrend_ext.layers import flow_warp
from pointrend_ext.modeling.sem_seg import SFNetHead

CHANNELS, STRIDES = (5, 6, 7, 8), (4, 8, 16, 32)
SHAPES = {
    f"res{i + 2}": ShapeSpec(channels=c, stride=s)
    for i, (c, s) in enumerate(zip(CHANNELS, STRIDES, strict=True))
}


def make_head(coords="pixel", conv_dims=6, **kwargs):
    head = SFNetHead(
        input_shape=SHAPES,
        num_classes=3,
        common_stride=4,
        conv_dims=conv_dims,
        coords=coords,
        **kwargs,
    )
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=0.4, generator=generator)
        for name, buffer in head.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5, generator=generator)
    return head.double().eval()


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

    def conv(self, name, x, *, relu=True):
        weight = self.w[f"{name}.weight"]
        x = F.conv2d(x, weight, self.w.get(f"{name}.bias"), padding=weight.shape[-1] // 2)
        if f"{name}.norm.weight" in self.w:
            keys = ("running_mean", "running_var", "weight", "bias")
            x = F.batch_norm(x, *(self.w[f"{name}.norm.{key}"] for key in keys))
        return x.relu() if relu else x

    def pyramid_pooling(self, x):
        pooled = []
        for i, side in enumerate((1, 2, 3, 6)):
            bin_ = F.adaptive_avg_pool2d(x, side)
            pooled.append(self.up(self.conv(f"ppm.stages.{i}", bin_, relu=False), x))
        return self.conv("ppm.bottleneck", torch.cat([*pooled, x], 1))

    def align(self, level, low, high):
        name = f"fpn_align.{level}"
        h = self.up(self.conv(f"{name}.down_h", high, relu=False), low)
        hidden = torch.cat([h, self.conv(f"{name}.down_l", low, relu=False)], 1)
        flow = self.conv(f"{name}.flow_make", hidden, relu=False)
        assert flow.abs().max() > 0.5
        return low + flow_warp(high, flow, coords=self.coords)

    def __call__(self, maps):
        top = f = self.pyramid_pooling(maps[3])
        sums = {}
        for level in (2, 1, 0):
            f = sums[level] = self.align(level, self.conv(f"fpn_in.{level}", maps[level]), f)
        outputs = [self.conv(f"fpn_out.{level}", sums[level]) for level in range(3)] + [top]
        fused = torch.cat([outputs[0]] + [self.up(x, outputs[0]) for x in outputs[1:]], 1)
        logits = self.conv("predictor", self.conv("fuse", fused), relu=False)
        inner = []
        for level in range(3):
            hidden = self.conv(f"auxiliary.{level}.conv", sums[level])
            inner.append(self.conv(f"auxiliary.{level}.predictor", hidden, relu=False))
        return logits, inner


@pytest.mark.parametrize("coords", ["pixel", "sfnet"])
def test_values(rng, coords):
    head = make_head(coords, aux_loss_weight=1.0)
    features = make_features(rng)
    with torch.no_grad():
        logits, inner = head.layers_with_auxiliary(features)
        expected, expected_inner = Decoder(head, coords)(list(features.values()))
        torch.testing.assert_close(head.layers(features), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
    assert len(inner) == 3
    for got, wanted in zip(inner, expected_inner, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)


def test_published_shapes():
    """The layers of the released network, at its widths (on the meta device)."""
    shapes = {f"res{i + 2}": ShapeSpec(channels=256 * 2**i, stride=4 * 2**i) for i in range(4)}
    with torch.device("meta"):
        head = SFNetHead(input_shape=shapes, num_classes=19, common_stride=4, aux_loss_weight=1.0)
    state = {k: tuple(v.shape) for k, v in head.state_dict().items()}
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


def test_training_starts_at_zero_flow():
    head = SFNetHead(input_shape=SHAPES, num_classes=3, common_stride=4, conv_dims=6)
    assert all(module.flow_make.weight.abs().max() == 0 for module in head.fpn_align)
