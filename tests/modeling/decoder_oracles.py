"""Alignments and decoders written anew from their papers, on the weights of a module."""

import torch
from torch.nn import functional as F

from pointrend_ext.layers import flow_warp
from tests.modeling.builders import randomize


def prepare(module, std):
    """Random weights and statistics, in inference and float64."""
    generator = torch.Generator().manual_seed(3)
    for name, buffer in randomize(module, std).named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5, generator=generator)
    return module.double().eval()


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
        assert flow.abs().max() > 0.3  # else the test shows nothing
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

    def reduced_and_flow(self, name, low, high):
        h = self.up(self.conv(f"{name}down_h", high), low)
        both = torch.cat([h, self.conv(f"{name}down_l", low)], 1)
        return h, self.conv(f"{name}flow_make", both)

    def fam(self, low, high, name=""):
        return low + self.warp(high, self.reduced_and_flow(name, low, high)[1])

    def gated_fam(self, low, high, name=""):
        h, flow = self.reduced_and_flow(name, low, high)
        statistics = [h.mean(1), low.mean(1), h.max(1).values, low.max(1).values]
        gate = self.conv(f"{name}flow_gate.0", torch.stack(statistics, 1)).sigmoid()
        warped_high, warped_low = self.warp(high, flow[:, :2]), self.warp(low, flow[:, 2:])
        factor = 2 if self.coords == "pixel" else 1
        return factor * (gate * warped_high + (1 - gate) * warped_low)


class SFNet(Decoder):
    def pyramid_pooling(self, x):
        pooled = []
        for i, side in enumerate((1, 2, 3, 6)):
            pooled.append(self.up(self.conv(f"ppm.stages.{i}", F.adaptive_avg_pool2d(x, side)), x))
        return self.conv("ppm.bottleneck", torch.cat([*pooled, x], 1), active=True)

    def __call__(self, maps):
        top = f = self.pyramid_pooling(maps[3])
        sums = {}
        for level in (2, 1, 0):
            lateral = self.conv(f"fpn_in.{level}", maps[level], active=True)
            f = sums[level] = self.fam(lateral, f, f"fpn_align.{level}.")
        outputs = [self.conv(f"fpn_out.{i}", sums[i], active=True) for i in range(3)] + [top]
        fused = torch.cat([outputs[0]] + [self.up(x, outputs[0]) for x in outputs[1:]], 1)
        logits = self.conv("predictor", self.conv("fuse", fused, active=True))
        inner = []
        for level in range(3):
            hidden = self.conv(f"auxiliary.{level}.conv", sums[level], active=True)
            inner.append(self.conv(f"auxiliary.{level}.predictor", hidden))
        return logits, inner


class SFNetLite(SFNet):
    def __call__(self, maps):
        low, middle = (self.conv(f"fpn_in.{i}", maps[i], active=True) for i in range(2))
        fused = self.gated_fam(low, self.pyramid_pooling(maps[-1]), "fpn_align.")
        fused = torch.cat([fused, self.up(middle, fused)], 1)
        return self.conv("predictor", self.conv("fuse", fused, active=True)), []


class AlignSeg(Decoder):
    slope = 0.01

    def flow(self, name, x):
        return self.conv(f"{name}.1", self.conv(f"{name}.0", x, active=True))

    def rrb(self, name, x):
        x = self.conv(f"{name}.unify", x)
        narrow = self.conv(f"{name}.residual.0", x, active=True)
        return self.act(self.norm(f"{name}.norm", x + self.conv(f"{name}.residual.1", narrow)))

    def cab(self, low, high, name=""):
        high = self.up(high, low)
        both = torch.cat([low, high], 1)
        warped = self.warp(high, self.flow(f"{name}delta_gen1", both))
        return warped + self.warp(low, self.flow(f"{name}delta_gen2", both))

    def context(self, x, name="context."):
        def body(branch, x):
            hidden = self.conv(f"{name}{branch}.0", x, active=True)
            return self.conv(f"{name}{branch}.1", hidden, active=True)

        adapted, pooled = body("adapt", x), body("pool", F.adaptive_avg_pool2d(x, 3))
        both = torch.cat([adapted, self.up(pooled, adapted)], 1)
        return adapted + self.warp(pooled, self.flow(f"{name}delta_gen", both))

    def __call__(self, maps):
        chain = self.rrb("rrb_in.0", maps[0])
        before_coarsest = None
        for i, x in enumerate([*maps[1:], self.context(maps[3])]):
            before_coarsest = chain if i == 2 else before_coarsest
            taken_in = self.rrb(f"rrb_in.{i + 1}", x)
            chain = self.rrb(f"rrb_out.{i}", self.cab(chain, taken_in, f"cab.{i}."))
        logits, inner = (
            self.conv(f"{prefix}predictor", self.conv(f"{prefix}conv", x, active=True))
            for prefix, x in (("", chain), ("auxiliary.", before_coarsest))
        )
        return logits, [inner]
