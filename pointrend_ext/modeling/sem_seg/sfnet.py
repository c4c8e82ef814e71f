"""The decoders of SFNet and SFNet-Lite as heads that PointRend can refine.

Semantic Flow for Fast and Accurate Scene Parsing (Li et al., ECCV 2020), section 3.3, and SFNet:
Faster and Accurate Semantic Segmentation via Semantic Flow (Li et al., IJCV 2023); layers as in
lxtGH/SFSegNets at ba475baf.
"""

from collections.abc import Sequence
from functools import partial

import torch
from detectron2.layers import Conv2d
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.layers import adaptive_average, resize_bilinear
from pointrend_ext.modeling.alignment import FAM, GatedFAM
from pointrend_ext.modeling.checks import check_values
from pointrend_ext.modeling.sem_seg.decoder_layers import PredictionBranch, make_conv
from pointrend_ext.modeling.sem_seg.deep_supervision import DeeplySupervisedHead


class PyramidPooling(nn.Module):
    """Pyramid pooling module of PSPNet (Zhao et al., CVPR 2017), to the width of the decoder.

    The bin of one cell has no statistics in a training batch of one image: batch normalisation then
    fails, unless it is shared between GPUs.
    """

    bins = (1, 2, 3, 6)  # sides of the grids that the map is averaged to

    def __init__(self, in_channels: int, out_channels: int, *, norm: str, coords: str) -> None:
        """Build the layers: ``norm`` as in ``get_norm``, ``coords`` as in ``resize_bilinear``."""
        super().__init__()
        self.coords = coords
        conv = partial(make_conv, out_channels=out_channels, kernel_size=1, norm=norm)
        self.stages = nn.ModuleList(conv(in_channels) for _ in self.bins)
        read = in_channels + len(self.bins) * out_channels
        self.bottleneck = conv(read, activation=F.relu)
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        pooled = [
            resize_bilinear(stage(adaptive_average(x, side)), x.shape[-2:], coords=self.coords)
            for side, stage in zip(self.bins, self.stages, strict=True)
        ]
        return self.dropout(self.bottleneck(torch.cat([*pooled, x], dim=1)))


@SEM_SEG_HEADS_REGISTRY.register()
class SFNetHead(DeeplySupervisedHead):
    """Pyramid pooling, a top-down path aligned by ``FAM``, and a fusion of all levels.

    The running map of the top-down path is the sum that ``FAM`` returns. Auxiliary logits are
    predicted from each of these sums, with the loss of the main ones.
    """

    def _build_layers(
        self, channels: Sequence[int], conv_dims: int, num_classes: int, norm: str
    ) -> None:
        conv = partial(make_conv, norm=norm, activation=F.relu)
        *finer, coarsest = channels
        self.ppm = PyramidPooling(coarsest, conv_dims, norm=norm, coords=self.coords)
        self.fpn_in = nn.ModuleList(conv(c, conv_dims, 1, bias=True) for c in finer)
        self.fpn_align = nn.ModuleList(FAM(channels=conv_dims, coords=self.coords) for _ in finer)
        self.fpn_out = nn.ModuleList(conv(conv_dims, conv_dims, 3) for _ in finer)
        self.fuse = conv(len(channels) * conv_dims, conv_dims, 3)
        self.predictor = Conv2d(conv_dims, num_classes, kernel_size=1)
        if self.aux_loss_weight:
            self.auxiliary_strides = self.strides[:-1]
            self.auxiliary = nn.ModuleList(
                PredictionBranch(conv_dims, num_classes, norm=norm, activation=F.relu)
                for _ in finer
            )
            self.auxiliary_branches = list(self.auxiliary)

    def _predict(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        top = self.ppm(maps[-1])
        sums = [top]
        for level in reversed(range(len(maps) - 1)):
            sums.insert(0, self.fpn_align[level](self.fpn_in[level](maps[level]), sums[0]))
        sums = sums[:-1]
        outputs = [*(conv(x) for conv, x in zip(self.fpn_out, sums, strict=True)), top]
        size_hw = outputs[0].shape[-2:]
        resized = [resize_bilinear(x, size_hw, coords=self.coords) for x in outputs[1:]]
        return self.predictor(self.fuse(torch.cat([outputs[0], *resized], dim=1))), sums


@SEM_SEG_HEADS_REGISTRY.register()
class SFNetLiteHead(DeeplySupervisedHead):
    """Pyramid pooling that one ``GatedFAM`` joins with the finest map, and a map between them.

    The released networks read res2, res4 and res5. There are no auxiliary logits: the layers for
    them that the original builds take no part in its training.
    """

    def _build_layers(
        self, channels: Sequence[int], conv_dims: int, num_classes: int, norm: str
    ) -> None:
        no_inner = "0.0, since SFNetLiteHead predicts at no inner layer"
        three = "three maps for SFNetLiteHead, such as res2, res4 and res5"
        check_values(
            "MODEL.SEM_SEG_HEAD",
            ("AUX_LOSS_WEIGHT", self.aux_loss_weight, not self.aux_loss_weight, no_inner),
            ("IN_FEATURES", self.in_features, len(channels) == 3, three),
        )
        conv = partial(make_conv, norm=norm, activation=F.relu)
        *finer, coarsest = channels
        self.ppm = PyramidPooling(coarsest, conv_dims, norm=norm, coords=self.coords)
        self.fpn_in = nn.ModuleList(conv(c, conv_dims, 1, bias=True) for c in finer)
        self.fpn_align = GatedFAM(channels=conv_dims, coords=self.coords)
        self.fuse = conv(2 * conv_dims, conv_dims, 3)
        self.predictor = Conv2d(conv_dims, num_classes, kernel_size=1)

    def _predict(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        finest, middle = (conv(x) for conv, x in zip(self.fpn_in, maps[:-1], strict=True))
        aligned = self.fpn_align(finest, self.ppm(maps[-1]))
        middle = resize_bilinear(middle, aligned.shape[-2:], coords=self.coords)
        return self.predictor(self.fuse(torch.cat([aligned, middle], dim=1))), []
