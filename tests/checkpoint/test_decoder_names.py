"""Released weights of SFNet and AlignSeg: networks with their names, computed as theirs are.

Both are written here from the layout of their state dicts and the definition of their grids, with
plain torch, and at a small width.
"""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck

from pointrend_ext.engine import load_cfg
from tests.checkpoint.helpers import assert_same

FOLDER = "Cityscapes-SemanticSegmentation"
STEM, RES2, BOTTLENECK, DIM, CLASSES = 8, 8, 4, 8, 5
TINY = [
    *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.RESNETS.NORM", "BN"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", STEM, "MODEL.RESNETS.RES2_OUT_CHANNELS", RES2),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", BOTTLENECK, "MODEL.SEM_SEG_HEAD.CONVS_DIM", DIM),
    *("MODEL.SEM_SEG_HEAD.NORM", "BN", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", CLASSES),
]
WIDTHS = [RES2 * 2**i for i in range(4)]


def conv(c_in, c_out, k, *, stride=1, dilation=1, bias=False):
    padding = dilation * (k // 2)
    return nn.Conv2d(c_in, c_out, k, stride, padding, dilation, bias=bias)


def stage(norm, index, blocks, dilation):
    """One stage of torchvision's ResNet, with blocks of a quarter of its width."""
    c_in, stride = (STEM if index == 0 else WIDTHS[index - 1]), 1 if index == 0 else 2
    shape = {"groups": 1, "base_width": 128, "dilation": dilation, "norm_layer": norm}
    planes, c_out = WIDTHS[index] // Bottleneck.expansion, WIDTHS[index]
    shortcut = nn.Sequential(conv(c_in, c_out, 1, stride=stride), norm(c_out))
    if stride == 1 and c_in == c_out:
        shortcut = None
    rest = [Bottleneck(c_out, planes, **shape) for _ in range(blocks - 1)]
    return nn.Sequential(Bottleneck(c_in, planes, stride, shortcut, **shape), *rest)


def up(x, other):
    return F.interpolate(x, other.shape[-2:], mode="bilinear", align_corners=True)


def warp(x, flow, *, of_source):
    """Their grid: corners of [-1, 1], the flow divided by the size of the result or of ``x``."""
    rows, columns = flow.shape[-2:]
    size_hw = x.shape[-2:] if of_source else (rows, columns)
    grid = torch.empty(x.shape[0], rows, columns, 2, dtype=x.dtype)
    grid[..., 0] = torch.linspace(-1, 1, columns, dtype=x.dtype) + flow[:, 0] / size_hw[1]
    grid[..., 1] = torch.linspace(-1, 1, rows, dtype=x.dtype)[:, None] + flow[:, 1] / size_hw[0]
    return F.grid_sample(x, grid, padding_mode="zeros", align_corners=not of_source)


class Named(nn.Module):
    """A module that only holds others."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class SFNet(nn.Module):
    """SFNet on a ResNet-50 with a deep stem."""

    coords, kind, has_auxiliary_maps = "sfnet", "sfnet", 3

    def __init__(self):
        super().__init__()
        bn, half = nn.BatchNorm2d, STEM // 2
        deep = nn.Sequential(
            *(conv(3, half, 3, stride=2), bn(half), nn.ReLU()),
            *(conv(half, half, 3), bn(half), nn.ReLU(), conv(half, STEM, 3)),
        )
        pool = nn.MaxPool2d(3, 2, 1)
        self.layer0 = nn.Sequential(deep, bn(STEM), nn.ReLU(), pool)
        for i, (blocks, dilation) in enumerate(((3, 1), (4, 1), (6, 2), (3, 4))):
            self.add_module(f"layer{i + 1}", stage(bn, i, blocks, dilation))
        top = WIDTHS[3]
        stages = [
            nn.Sequential(nn.AdaptiveAvgPool2d(side), conv(top, DIM, 1), bn(DIM))
            for side in (1, 2, 3, 6)
        ]
        bottleneck = nn.Sequential(conv(top + 4 * DIM, DIM, 1), bn(DIM), nn.ReLU(), nn.Dropout2d())
        align = [
            Named(
                down_h=conv(DIM, DIM // 2, 1),
                down_l=conv(DIM, DIM // 2, 1),
                flow_make=conv(DIM, 2, 3),
            )
            for _ in range(3)
        ]
        self.head = Named(
            ppm=Named(stages=nn.ModuleList(stages), bottleneck=bottleneck),
            fpn_in=nn.ModuleList(
                nn.Sequential(conv(w, DIM, 1, bias=True), bn(DIM), nn.ReLU()) for w in WIDTHS[:3]
            ),
            fpn_out=nn.ModuleList(nn.Sequential(self.fused(DIM)) for _ in range(3)),
            fpn_out_align=nn.ModuleList(align),
            dsn=nn.ModuleList(
                nn.Sequential(
                    *(conv(DIM, DIM, 3, bias=True), bn(DIM), nn.ReLU(), nn.Dropout2d()),
                    conv(DIM, CLASSES, 1, bias=True),
                )
                for _ in range(3)
            ),
            conv_last=nn.Sequential(self.fused(4 * DIM), conv(DIM, CLASSES, 1, bias=True)),
        )

    @staticmethod
    def fused(c_in):
        return nn.Sequential(conv(c_in, DIM, 3), nn.BatchNorm2d(DIM), nn.ReLU())

    def forward(self, x):
        maps = []
        x = self.layer0(x)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps.append(x := layer(x))
        head, x = self.head, maps[3]
        f = head.ppm.bottleneck(torch.cat([*(up(s(x), x) for s in head.ppm.stages), x], 1))
        outputs, inner = [f], []
        for i in (2, 1, 0):
            low, align = head.fpn_in[i](maps[i]), head.fpn_out_align[i]
            hidden = torch.cat([up(align.down_h(f), low), align.down_l(low)], 1)
            f = low + warp(f, align.flow_make(hidden), of_source=False)
            outputs.insert(0, head.fpn_out[i](f))
            inner.insert(0, head.dsn[i](f))
        return head.conv_last(torch.cat([up(y, outputs[0]) for y in outputs], 1)), inner


class InPlaceNorm(nn.BatchNorm2d):
    """The normalisation of inplace_abn, with a leaky ReLU or without an activation."""

    def __init__(self, channels, slope=0.01):
        super().__init__(channels)
        del self.num_batches_tracked
        self.slope = slope

    def forward(self, x):
        scale = self.weight.abs() + self.eps
        x = F.batch_norm(x, self.running_mean, self.running_var, scale, self.bias, eps=self.eps)
        return F.leaky_relu(x, self.slope)


def identity_norm(channels):
    return InPlaceNorm(channels, slope=1.0)


def flow_branch():
    return nn.Sequential(conv(2 * DIM, DIM, 1), InPlaceNorm(DIM), conv(DIM, 2, 3))


def residual_block(c_in):
    narrow = DIM // 4
    residual = nn.Sequential(conv(DIM, narrow, 3), InPlaceNorm(narrow), conv(narrow, DIM, 3))
    return Named(unify=conv(c_in, DIM, 1), residual=residual, norm=InPlaceNorm(DIM))


def predictor():
    return nn.Sequential(
        *(conv(DIM, DIM, 3, bias=True), InPlaceNorm(DIM), nn.Dropout2d()),
        conv(DIM, CLASSES, 1, bias=True),
    )


class AlignSeg(nn.Module):
    """AlignSeg on a ResNet-50 with a deep stem."""

    coords, kind, has_auxiliary_maps = "alignseg", "alignseg", 1

    def __init__(self):
        super().__init__()
        half = STEM // 2
        for i, (c_in, c_out) in enumerate(((3, half), (half, half), (half, STEM)), start=1):
            self.add_module(f"conv{i}", conv(c_in, c_out, 3, stride=2 if i == 1 else 1))
            self.add_module(f"bn{i}", identity_norm(c_out))
        for i, blocks in enumerate((3, 4, 6, 3)):
            self.add_module(f"layer{i + 1}", stage(identity_norm, i, blocks, 1))
        self.CAM = Named(
            pool=nn.Sequential(nn.AdaptiveAvgPool2d(3), *self.context_layers()),
            adapt=nn.Sequential(*self.context_layers()),
            delta_gen=flow_branch(),
        )
        for i, width in enumerate([*WIDTHS, DIM], start=1):
            self.add_module(f"RRB{i}a", residual_block(width))
        for i in range(2, 6):
            self.add_module(f"CAB{i}", Named(delta_gen1=flow_branch(), delta_gen2=flow_branch()))
            self.add_module(f"RRB{i}b", residual_block(DIM))
        self.dsn, self.head = predictor(), predictor()

    @staticmethod
    def context_layers():
        top = WIDTHS[3]
        return conv(top, top, 1), InPlaceNorm(top), conv(top, DIM, 3), InPlaceNorm(DIM)

    def block(self, name, x):
        block = self.get_submodule(name)
        x = block.unify(x)
        return block.norm(x + block.residual(x))

    def context(self, x):
        pooled, adapted = self.CAM.pool(x), self.CAM.adapt(x)
        flow = self.CAM.delta_gen(torch.cat([adapted, up(pooled, adapted)], 1))
        return warp(pooled, flow, of_source=True) + adapted

    def forward(self, x):
        for i in (1, 2, 3):
            x = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x)).relu()
        x = F.max_pool2d(x, 3, 2, 1)  # theirs rounds sizes up, which an odd size does not show
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps.append(x := layer(x))
        maps.append(self.context(x))
        d = self.block("RRB1a", maps[0])
        for i in range(2, 6):
            high = up(self.block(f"RRB{i}a", maps[i - 1]), d)
            cab, both = self.get_submodule(f"CAB{i}"), torch.cat([d, high], 1)
            moved = warp(high, cab.delta_gen1(both), of_source=True)
            d = self.block(f"RRB{i}b", moved + warp(d, cab.delta_gen2(both), of_source=True))
            if i == 3:
                inner = [self.dsn(d)]
        return self.head(d), inner


def randomized(network):
    """Random weights with flows of some pixels, and scales of both signs."""
    torch.manual_seed(4)
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if "running_var" in name:
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point() and value.dim() < 2:
                value.normal_(std=0.5)
            elif value.is_floating_point():
                value.normal_(std=(2 / value[0].numel()) ** 0.5)
    return network.double().eval()


def build(kind, coords, *, refined=False, auxiliary=0.4):
    name = f"{FOLDER}/{'pointrend_' if refined else ''}{kind}_R_50_cityscapes.yaml"
    keys = ["MODEL.SEM_SEG_HEAD.ALIGNMENT_COORDS", coords]
    keys += ["MODEL.SEM_SEG_HEAD.AUX_LOSS_WEIGHT", auxiliary]
    return build_model(load_cfg(name, [*TINY, *keys])).double().eval()


@pytest.mark.parametrize("make", [SFNet, AlignSeg])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_equal_logits(rng, files, load, make, prefix):
    """Strictly loaded, the whole network gives what theirs does.

    Where maps do not cover one extent ours pads them, theirs stretches them: without that step,
    images of odd sizes give the same too.
    """
    network = randomized(make())
    state = {f"{prefix}{name}": value for name, value in network.state_dict().items()}
    model = build(network.kind, network.coords)
    report = load(model, files.pth({"state_dict": state, "epoch": 3}))
    assert report.format == make.__name__
    filled = {n for n in model.state_dict() if not n.endswith("num_batches_tracked")}
    assert filled <= set(report.names("loaded"))
    head = model.sem_seg_head
    for size_hw in ((128, 192), (129, 194)):
        images = torch.randn(2, 3, *size_hw, generator=rng, dtype=torch.float64)
        with torch.no_grad():
            expected, inner = network(images)
            features = model.backbone(images)
            if size_hw == (128, 192):
                logits, auxiliary = head.layers_with_auxiliary(features)
            else:
                maps = [features[name] for name in head.in_features]
                logits, read = head._predict(maps)
                auxiliary = [f(x) for f, x in zip(head.auxiliary_branches, read, strict=True)]
        assert len(auxiliary) == make.has_auxiliary_maps
        torch.testing.assert_close([logits, *auxiliary], [expected, *inner], rtol=1e-8, atol=1e-8)
        assert logits.std() > 0.1


@pytest.mark.parametrize("make", [SFNet, AlignSeg])
def test_under_point_rend_without_auxiliary_layers(files, load, make):
    """PointRend around them starts from the released decoder; its point head alone is new."""
    network = randomized(make())
    model = build(network.kind, network.coords, refined=True, auxiliary=0.0)
    report = load(model, files.pth(network.state_dict()), training=True)
    assert report.new_parts() == ["semantic point head"]
    got = model.sem_seg_head.coarse_sem_seg_head.predictor.weight
    last = network.head.conv_last if make is SFNet else network.head
    assert_same(got, last[-1].weight)


def test_deep_stem_backbone(files, load):
    """An ImageNet network whose stem is one nn.Sequential fills the backbone."""
    state = {
        name.replace("layer0.0.", "conv1.").replace("layer0.1.", "bn1."): value
        for name, value in randomized(SFNet()).state_dict().items()
        if not name.startswith("head.")
    }
    state["fc.weight"] = torch.zeros(10, 3)
    model = build("sfnet", "pixel")
    report = load(model, files.pth(state), training=True)
    assert report.format == "ResNet with a deep stem"
    backbone = model.backbone.state_dict()
    for new, old in {
        "stem.conv1.weight": "conv1.0.weight",
        "stem.conv2.norm.bias": "conv1.4.bias",
        "stem.conv3.weight": "conv1.6.weight",
        "stem.conv3.norm.running_var": "bn1.running_var",
        "res4.0.shortcut.norm.weight": "layer3.0.downsample.1.weight",
    }.items():
        assert_same(backbone[new], state[old])
    assert report.new_parts() == ["semantic head", "auxiliary semantic layers"]
