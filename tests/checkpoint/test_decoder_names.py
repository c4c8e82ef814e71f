"""Released weights of SFNet and AlignSeg: networks with their names, computed as theirs are.

Both are written here from the layout of their state dicts and the definition of their grids, with
plain torch, and at a small width.
"""

import math

import pytest
import torch
from detectron2.modeling import build_model
from torch.nn import functional as F

from pointrend_ext.engine import load_cfg
from tests.checkpoint.helpers import assert_same, drop

FOLDER = "Cityscapes-SemanticSegmentation"
STEM, RES2, BOTTLENECK, DIM, CLASSES = 8, 8, 4, 8, 5
TINY = [
    *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.RESNETS.NORM", "BN"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", STEM, "MODEL.RESNETS.RES2_OUT_CHANNELS", RES2),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", BOTTLENECK, "MODEL.SEM_SEG_HEAD.CONVS_DIM", DIM),
    *("MODEL.SEM_SEG_HEAD.NORM", "BN", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", CLASSES),
]


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


class Network:
    """A ResNet-50 with a deep stem and a decoder; a first image gives it random weights."""

    slope = 0.0  # of the decoder's activations, on the negative side
    is_in_place = False  # normalisations of inplace_abn: scales' magnitudes plus eps, no counters

    def __init__(self):
        self.state = {}
        self(torch.zeros(2, 3, 96, 96, dtype=torch.float64))

    def tensor(self, name, *shape):
        """Return a tensor; flows are of some pixels, and scales have both signs."""
        if name not in self.state:
            std = (2 / math.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.5
            value = torch.randn(shape, dtype=torch.float64) * std
            self.state[name] = value.uniform_(0.5, 1.5) if "running_var" in name else value
        return self.state[name]

    def conv(self, name, x, c_out, k=1, *, stride=1, dilation=1, bias=False):
        weight = self.tensor(f"{name}.weight", c_out, x.shape[1], k, k)
        b = self.tensor(f"{name}.bias", c_out) if bias else None
        return F.conv2d(x, weight, b, stride, dilation * (k // 2), dilation)

    def norm(self, name, x, slope=1.0):
        keys = ("running_mean", "running_var", "weight", "bias")
        mean, var, weight, bias = (self.tensor(f"{name}.{key}", x.shape[1]) for key in keys)
        if self.is_in_place:
            weight = weight.abs() + 1e-5
        else:
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(0)
        return F.leaky_relu(F.batch_norm(x, mean, var, weight, bias), slope)

    def layers(self, name, x, c_out, k=1, *, first=0, slope=None, **options):
        """Apply a convolution and its normalisation, the next in a sequence."""
        x = self.conv(f"{name}.{first}", x, c_out, k, **options)
        return self.norm(f"{name}.{first + 1}", x, self.slope if slope is None else slope)

    def resnet(self, x, dilations=(1, 1, 1, 1)):
        """Return the maps of torchvision's stages behind the stem."""
        maps, x = [], F.max_pool2d(x, 3, 2, 1)
        for i, (blocks, dilation) in enumerate(zip((3, 4, 6, 3), dilations, strict=True)):
            width = RES2 << i
            for j in range(blocks):
                name, stride = f"layer{i + 1}.{j}", 2 if i and not j else 1
                y = self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, width // 2)).relu()
                options = {"stride": stride, "dilation": dilation}
                y = self.conv(f"{name}.conv2", y, width // 2, 3, **options)
                y = self.conv(f"{name}.conv3", self.norm(f"{name}.bn2", y).relu(), width)
                if stride > 1:
                    x = self.layers(f"{name}.downsample", x, width, stride=2, slope=1.0)
                x = (x + self.norm(f"{name}.bn3", y)).relu()
            maps.append(x)
        return maps


class SFNet(Network):
    kind = "sfnet"
    predictor = "head.conv_last.1.weight"

    def __call__(self, x):
        for first, c_out in ((0, STEM // 2), (3, STEM // 2)):
            x = self.layers("layer0.0", x, c_out, 3, first=first, stride=1 if first else 2)
        x = self.norm("layer0.1", self.conv("layer0.0.6", x, STEM, 3)).relu()
        *maps, top = self.resnet(x, (1, 1, 2, 4))
        pooled = [F.adaptive_avg_pool2d(top, side) for side in (1, 2, 3, 6)]
        for i, x in enumerate(pooled):
            pooled[i] = up(self.layers(f"head.ppm.stages.{i}", x, DIM, first=1, slope=1.0), top)
        f = self.layers("head.ppm.bottleneck", torch.cat([*pooled, top], 1), DIM)
        outputs, inner = [f], []
        for i in (2, 1, 0):
            low = self.layers(f"head.fpn_in.{i}", maps[i], DIM, bias=True)
            name = f"head.fpn_out_align.{i}"
            hidden = up(self.conv(f"{name}.down_h", f, DIM // 2), low)
            hidden = torch.cat([hidden, self.conv(f"{name}.down_l", low, DIM // 2)], 1)
            f = low + warp(f, self.conv(f"{name}.flow_make", hidden, 2, 3), of_source=False)
            outputs.insert(0, self.layers(f"head.fpn_out.{i}.0", f, DIM, 3))
            hidden = self.layers(f"head.dsn.{i}", f, DIM, 3, bias=True)
            inner.insert(0, self.conv(f"head.dsn.{i}.4", hidden, CLASSES, bias=True))
        x = torch.cat([up(y, outputs[0]) for y in outputs], 1)
        x = self.layers("head.conv_last.0", x, DIM, 3)
        return self.conv("head.conv_last.1", x, CLASSES, bias=True), inner


class AlignSeg(Network):
    kind = "alignseg"
    predictor = "head.3.weight"
    slope, is_in_place = 0.01, True

    def unified(self, name, x):
        x = self.conv(f"{name}.unify", x, DIM)
        y = self.layers(f"{name}.residual", x, DIM // 4, 3)
        return self.norm(f"{name}.norm", x + self.conv(f"{name}.residual.2", y, DIM, 3), self.slope)

    def moved(self, name, x, both):
        flow = self.conv(f"{name}.2", self.layers(name, both, DIM), 2, 3)
        return warp(x, flow, of_source=True)

    def context(self, name, x, first=0):
        x = self.layers(name, x, x.shape[1], first=first)
        return self.layers(name, x, DIM, 3, first=first + 2)

    def predicted(self, name, x):
        return self.conv(f"{name}.3", self.layers(name, x, DIM, 3, bias=True), CLASSES, bias=True)

    def __call__(self, x):
        for i, c_out in ((1, STEM // 2), (2, STEM // 2), (3, STEM)):
            x = self.conv(f"conv{i}", x, c_out, 3, stride=2 if i == 1 else 1)
            x = self.norm(f"bn{i}", x).relu()
        maps = self.resnet(x)  # their pooling rounds sizes up, which an odd size does not show
        pooled = self.context("CAM.pool", F.adaptive_avg_pool2d(maps[3], 3), first=1)
        adapted = self.context("CAM.adapt", maps[3])
        both = torch.cat([adapted, up(pooled, adapted)], 1)
        maps.append(self.moved("CAM.delta_gen", pooled, both) + adapted)
        d = self.unified("RRB1a", maps[0])
        for i in range(2, 6):
            high = up(self.unified(f"RRB{i}a", maps[i - 1]), d)
            both = torch.cat([d, high], 1)
            d = self.moved(f"CAB{i}.delta_gen2", d, both)
            d = self.unified(f"RRB{i}b", self.moved(f"CAB{i}.delta_gen1", high, both) + d)
            if i == 3:
                inner = [self.predicted("dsn", d)]
        return self.predicted("head", d), inner


def build(kind, *, coords=None, refined=False, auxiliary=0.4):
    name = f"{FOLDER}/{'pointrend_' if refined else ''}{kind}_R_50_cityscapes.yaml"
    keys = ["MODEL.SEM_SEG_HEAD.ALIGNMENT_COORDS", coords or kind]
    keys += ["MODEL.SEM_SEG_HEAD.AUX_LOSS_WEIGHT", auxiliary]
    return build_model(load_cfg(name, [*TINY, *keys])).double().eval()


@pytest.mark.parametrize("make", [SFNet, AlignSeg])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_equal_logits(rng, files, load, make, prefix):
    """Strictly loaded, the whole network gives what theirs does.

    Where maps do not cover one extent ours pads them, theirs stretches them: without that step,
    images of odd sizes give the same too.
    """
    network = make()
    state = {f"{prefix}{name}": value for name, value in network.state.items()}
    model = build(make.kind)
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
        assert len(auxiliary) == (3 if make is SFNet else 1)
        torch.testing.assert_close([logits, *auxiliary], [expected, *inner], rtol=1e-8, atol=1e-8)
        assert logits.std() > 0.1


@pytest.mark.parametrize("make", [SFNet, AlignSeg])
def test_under_point_rend_without_auxiliary_layers(files, load, make):
    """PointRend around them starts from the released decoder; its point head alone is new."""
    network = make()
    model = build(make.kind, refined=True, auxiliary=0.0)
    report = load(model, files.pth(network.state), training=True)
    assert report.new_parts() == ["semantic point head"]
    got = model.sem_seg_head.coarse_sem_seg_head.predictor.weight
    assert_same(got, network.state[make.predictor])


def test_deep_stem_backbone(files, load):
    """An ImageNet network whose stem is one nn.Sequential fills the backbone."""
    state = {
        name.replace("layer0.0.", "conv1.").replace("layer0.1.", "bn1."): value
        for name, value in drop(SFNet().state, "head.").items()
    }
    state["fc.weight"] = torch.zeros(10, 3)
    model = build("sfnet", coords="pixel")
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
