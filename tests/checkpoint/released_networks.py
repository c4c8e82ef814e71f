"""Networks with the names of the released weights of SFNet, SFNet-Lite and AlignSeg.

They are written here from the layout of their state dicts, the definition of their grids and their
own pooling, with plain torch, and at a small width.
"""

import math

import torch
from torch.nn import functional as F

STEM, DIM, CLASSES = 8, 8, 5
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
RES2 = {18: 64, 34: 64, 50: 8}  # channels; Detectron2 has one width for blocks of two convolutions


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
    """A ResNet with a deep stem and a decoder; a first image gives it random weights."""

    slope = 0.0  # of the decoder's activations, on the negative side
    is_in_place = False  # normalisations of inplace_abn: scales' magnitudes plus eps, no counters

    def __init__(self, depth=50):
        self.depth, self.state = depth, {}
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
        """Return the maps of torchvision's stages behind the stem and its pooling."""
        maps = []
        for i, dilation in enumerate(dilations):
            width = RES2[self.depth] << i
            for j in range(BLOCKS[self.depth][i]):
                name, stride = f"layer{i + 1}.{j}", 2 if i and not j else 1
                block = self.bottleneck if self.depth >= 50 else self.basic
                y = block(name, x, width, stride, dilation)
                if x.shape[1] != width:
                    x = self.layers(f"{name}.downsample", x, width, stride=stride, slope=1.0)
                x = (x + y).relu()
            maps.append(x)
        return maps

    def bottleneck(self, name, x, width, stride, dilation):
        """The convolution in the middle has the stride and the dilation."""
        y = self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, width // 2)).relu()
        y = self.conv(f"{name}.conv2", y, width // 2, 3, stride=stride, dilation=dilation)
        y = self.conv(f"{name}.conv3", self.norm(f"{name}.bn2", y).relu(), width)
        return self.norm(f"{name}.bn3", y)

    def basic(self, name, x, width, stride, dilation):
        """The first convolution has the stride, the second the dilation."""
        y = self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, width, 3, stride=stride))
        y = self.conv(f"{name}.conv2", y.relu(), width, 3, dilation=dilation)
        return self.norm(f"{name}.bn2", y)


class SFNet(Network):
    kind, format, grid = "sfnet", "SFNet", "sfnet"
    predictor = "head.conv_last.1.weight"

    def stages(self, x):
        for first, c_out in ((0, STEM // 2), (3, STEM // 2)):
            x = self.layers("layer0.0", x, c_out, 3, first=first, stride=1 if first else 2)
        x = self.norm("layer0.1", self.conv("layer0.0.6", x, STEM, 3)).relu()
        return self.resnet(F.max_pool2d(x, 3, 2, 1), (1, 1, 2, 4))

    def pyramid_pooling(self, top):
        pooled = [F.adaptive_avg_pool2d(top, side) for side in (1, 2, 3, 6)]
        for i, x in enumerate(pooled):
            pooled[i] = up(self.layers(f"head.ppm.stages.{i}", x, DIM, first=1, slope=1.0), top)
        return self.layers("head.ppm.bottleneck", torch.cat([*pooled, top], 1), DIM)

    def reduced_and_flow(self, name, low, high, c_out):
        reduced = up(self.conv(f"{name}.down_h", high, DIM // 2), low)
        hidden = torch.cat([reduced, self.conv(f"{name}.down_l", low, DIM // 2)], 1)
        return reduced, self.conv(f"{name}.flow_make", hidden, c_out, 3)

    def __call__(self, x):
        *maps, top = self.stages(x)
        f = self.pyramid_pooling(top)
        outputs, inner = [f], []
        for i in (2, 1, 0):
            low = self.layers(f"head.fpn_in.{i}", maps[i], DIM, bias=True)
            _, flow = self.reduced_and_flow(f"head.fpn_out_align.{i}", low, f, 2)
            f = low + warp(f, flow, of_source=False)
            outputs.insert(0, self.layers(f"head.fpn_out.{i}.0", f, DIM, 3))
            hidden = self.layers(f"head.dsn.{i}", f, DIM, 3, bias=True)
            inner.insert(0, self.conv(f"head.dsn.{i}.4", hidden, CLASSES, bias=True))
        x = torch.cat([up(y, outputs[0]) for y in outputs], 1)
        x = self.layers("head.conv_last.0", x, DIM, 3)
        return self.conv("head.conv_last.1", x, CLASSES, bias=True), inner


class SFNetLite(SFNet):
    kind, format = "sfnet_lite", "SFNet-Lite"

    def __call__(self, x):
        res2, _, res4, top = self.stages(x)
        high = self.pyramid_pooling(top)
        low, middle = (
            self.layers(f"head.fpn_in.{i}", y, DIM, bias=True) for i, y in enumerate((res2, res4))
        )
        # What is built and takes no part in the result, also not in training.
        self.layers("head.fpn_in.2", top, DIM, bias=True)
        hidden = self.layers("head.dsn", low, DIM, 3, bias=True)
        self.conv("head.dsn.4", hidden, CLASSES, bias=True)
        name = "head.flow_align_module"
        reduced, flow = self.reduced_and_flow(name, low, high, 4)
        statistics = [reduced.mean(1), low.mean(1), reduced.max(1).values, low.max(1).values]
        gate = self.conv(f"{name}.flow_gate.0", torch.stack(statistics, 1), 1, 3).sigmoid()
        fused = warp(high, flow[:, :2], of_source=False) * gate
        fused = fused + warp(low, flow[:, 2:], of_source=False) * (1 - gate)
        x = torch.cat([fused, up(middle, fused)], 1)
        x = self.layers("head.conv_last.0", x, DIM, 3)
        return self.conv("head.conv_last.1", x, CLASSES, bias=True), []


class AlignSeg(Network):
    kind, format, grid = "alignseg", "AlignSeg", "alignseg"
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
        maps = self.resnet(F.max_pool2d(x, 3, 2, 1, ceil_mode=True))
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
