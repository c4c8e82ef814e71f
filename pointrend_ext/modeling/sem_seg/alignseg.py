"""The decoder of AlignSeg as a head that PointRend can refine.

AlignSeg: Feature-Aligned Segmentation Networks (Huang et al., TPAMI 2021); layers as in
speedinghzl/AlignSeg at ac7582d3.
"""

from collections.abc import Sequence
from functools import partial

import torch
from detectron2.layers import Conv2d, get_norm
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.layers import adaptive_average, flow_in_px, flow_warp, resize_bilinear
from pointrend_ext.modeling.alignment import CAB
from pointrend_ext.modeling.alignment.cab import make_flow_branch
from pointrend_ext.modeling.sem_seg.criteria import build_criterion
from pointrend_ext.modeling.sem_seg.decoder_layers import PredictionBranch, make_conv
from pointrend_ext.modeling.sem_seg.deep_supervision import DeeplySupervisedHead


class ResidualBlock(nn.Module):
    """RRB: 1 x 1 to a common width, plus two 3 x 3 through a quarter of it."""

    def __init__(self, in_channels: int, out_channels: int, *, norm: str) -> None:
        """Build the layers, with a ``norm`` as in ``detectron2.layers.get_norm``."""
        super().__init__()
        narrow = max(out_channels // 4, 1)
        self.unify = make_conv(in_channels, out_channels, 1)
        self.residual = nn.Sequential(
            make_conv(out_channels, narrow, 3, norm=norm, activation=F.leaky_relu),
            make_conv(narrow, out_channels, 3),
        )
        self.norm = get_norm(norm, out_channels) or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        x = self.unify(x)
        return F.leaky_relu(self.norm(x + self.residual(x)))


class AlignCM(nn.Module):
    """Aligned context: averages over a 3 x 3 grid, read where a predicted flow says, are added."""

    def __init__(self, in_channels: int, out_channels: int, *, norm: str, coords: str) -> None:
        """Build the layers: ``norm`` as in ``ResidualBlock``, ``coords`` as in ``flow_warp``."""
        super().__init__()
        self.coords = coords
        conv = partial(make_conv, norm=norm, activation=F.leaky_relu)
        self.pool, self.adapt = (
            nn.Sequential(conv(in_channels, in_channels, 1), conv(in_channels, out_channels, 3))
            for _ in range(2)
        )
        self.delta_gen = make_flow_branch(2 * out_channels, out_channels, norm, zero_init=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        pooled, adapted, flow = self._pool_and_flow(x)
        return adapted + flow_warp(pooled, flow, coords=self.coords)

    def predict_flows(self, x: Tensor) -> list[Tensor]:
        """Return the flow by which the averages are read, (N, 2, H, W), in pixels."""
        pooled, _, flow = self._pool_and_flow(x)
        return [flow_in_px(flow, pooled.shape[-2:], coords=self.coords)]

    def _pool_and_flow(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pooled = self.pool(adaptive_average(x, 3))  # (N, out_channels, 3, 3)
        adapted = self.adapt(x)
        resized = resize_bilinear(pooled, x.shape[-2:], coords=self.coords)
        return pooled, adapted, self.delta_gen(torch.cat([adapted, resized], dim=1))


@SEM_SEG_HEADS_REGISTRY.register()
class AlignSegHead(DeeplySupervisedHead):
    """A chain of ``CAB`` and ``ResidualBlock`` that takes in ever coarser maps, then context.

    Every step has the size of the finest map. Auxiliary logits, with a plain cross entropy, are
    predicted before the coarsest map joins.
    """

    def _build_layers(
        self, channels: Sequence[int], conv_dims: int, num_classes: int, norm: str
    ) -> None:
        # What is taken in one after the other: the maps, and the context of the coarsest.
        in_channels = [*channels, conv_dims]
        self.context = AlignCM(channels[-1], conv_dims, norm=norm, coords=self.coords)
        self.rrb_in = nn.ModuleList(ResidualBlock(c, conv_dims, norm=norm) for c in in_channels)
        self.cab = nn.ModuleList(
            CAB(channels=conv_dims, norm=norm, coords=self.coords) for _ in channels
        )
        self.rrb_out = nn.ModuleList(
            ResidualBlock(conv_dims, conv_dims, norm=norm) for _ in channels
        )
        leaky = F.leaky_relu
        self.conv = make_conv(conv_dims, conv_dims, 3, bias=True, norm=norm, activation=leaky)
        self.dropout = nn.Dropout2d(0.1)
        self.predictor = Conv2d(conv_dims, num_classes, kernel_size=1)
        if self.aux_loss_weight:
            self.auxiliary = PredictionBranch(conv_dims, num_classes, norm=norm, activation=leaky)
            self.auxiliary_branches = [self.auxiliary]
            self.auxiliary_strides = [self.common_stride]
            self.auxiliary_loss = build_criterion("cross_entropy", ignore_value=self.ignore_value)

    def _predict(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        taken_in = [*maps, self.context(maps[-1])]
        chain = [self.rrb_in[0](taken_in[0])]
        for rrb_in, cab, rrb_out, x in zip(
            self.rrb_in[1:], self.cab, self.rrb_out, taken_in[1:], strict=True
        ):
            chain.append(rrb_out(cab(chain[-1], rrb_in(x))))
        return self.predictor(self.dropout(self.conv(chain[-1]))), [chain[-3]]
