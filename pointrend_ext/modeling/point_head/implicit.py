"""The point head of Implicit PointRend: an MLP per region, whose weights another head predicts.

Cheng, Parkhi and Kirillov, "Pointly-Supervised Instance Segmentation", CVPR 2022, section 5; the
layout of the weights and the encoding of positions are those of Detectron2's PointRend project.
"""

import math
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.layers import at_least_float32
from pointrend_ext.modeling.checks import check_values
from pointrend_ext.modeling.config_keys import reads_own_keys
from pointrend_ext.modeling.point_head.registry import POINT_HEAD_REGISTRY

POSITION_CHANNELS = 256
"""Channels that the position of a point is encoded in."""


@POINT_HEAD_REGISTRY.register()
class ImplicitPointHead(nn.Module):
    """MLP over points with weights of each region's own.

    The first layer reads [position | fine]. A region's parameters are a vector: the weights of all
    layers, first to last, each row by row of its output units, then the biases in the same order.
    The one tensor of the head itself, ``positional_encoding_gaussian_matrix``, is drawn at random
    and never trained, and belongs to the weights all the same.
    """

    positional_encoding_gaussian_matrix: Tensor

    @configurable
    def __init__(
        self,
        *,
        fine_channels: int,
        out_channels: int,
        fc_dim: int = 256,
        num_fc: int = 3,
        reads_features: bool = True,
        reads_position: bool = True,
    ) -> None:
        """Lay out the parameters.

        Args:
            fine_channels: F, channels of the fine-grained features.
            out_channels: C, channels of the logits.
            fc_dim: width of the hidden layers.
            num_fc: number of hidden layers, at least 1.
            reads_features: whether the MLP reads the fine-grained features,
            reads_position: and the position of the point in the box; one of the two at least.

        Raises:
            ValueError: a value out of its range.
        """
        super().__init__()
        has_input = reads_features or reads_position
        check_values(
            "ImplicitPointHead",
            ("NUM_FC", num_fc, num_fc >= 1, "at least 1"),
            ("FC_DIM", fc_dim, fc_dim >= 1, "at least 1"),
        )
        check_values(
            "MODEL.IMPLICIT_POINTREND",
            ("POS_ENC_ENABLED", reads_position, has_input, "True without IMAGE_FEATURE_ENABLED"),
        )
        self.reads_features, self.reads_position = reads_features, reads_position
        in_channels = fine_channels * reads_features + POSITION_CHANNELS * reads_position
        widths = [in_channels, *[fc_dim] * num_fc, out_channels]
        self.layer_shapes = list(zip(widths[1:], widths[:-1], strict=True))  # (outputs, inputs)
        if reads_position:
            matrix = torch.randn(2, POSITION_CHANNELS // 2)
            self.register_buffer("positional_encoding_gaussian_matrix", matrix)

    @classmethod
    @reads_own_keys
    def from_config(
        cls, cfg: CfgNode, *, fine_channels: int, coarse_channels: int, out_channels: int
    ) -> dict[str, Any]:
        """Read ``MODEL.MASK_POINT_HEAD`` (see ``build_point_head``).

        Raises:
            ValueError: the head that asks has a coarse prediction.
        """
        values = {
            "fine_channels": fine_channels,
            "out_channels": out_channels,
            "fc_dim": cfg.FC_DIM,
            "num_fc": cfg.NUM_FC,
        }
        if coarse_channels:
            raise ValueError(
                "The point head's NAME is 'ImplicitPointHead', which refines no coarse prediction: "
                "choose 'StandardPointHead', or for instances "
                "MODEL.ROI_MASK_HEAD.NAME ImplicitPointRendROIMaskHead."
            )
        return values

    @property
    def num_params(self) -> int:
        """Length n of a region's parameters."""
        return sum(outputs * inputs + outputs for outputs, inputs in self.layer_shapes)

    def forward(
        self, fine: Tensor, coords_box: Tensor, parameters: Tensor, classes: Tensor
    ) -> Tensor:
        """Predict each region's own class.

        Args:
            fine: (R, F, P) fine-grained features.
            coords_box: (R, P, 2), (x, y) in [0, 1] of the boxes, where these are.
            parameters: (R, n).
            classes: (R,) integers in [0, C); not read if C is 1.

        Returns:
            (R, 1, P) logits.
        """
        weights, biases = self._layers(parameters)
        if weights[-1].shape[1] > 1:
            region = torch.arange(len(classes), device=classes.device)
            weights[-1] = weights[-1][region, classes].unsqueeze(1)  # (R, 1, D)
            biases[-1] = biases[-1][region, classes].unsqueeze(1)
        hidden = self._inputs(fine, coords_box)
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            hidden = torch.baddbmm(bias, weight, F.relu(hidden) if number else hidden)
        return hidden

    def _inputs(self, fine: Tensor, coords_box: Tensor) -> Tensor:
        """Return what the first layer reads: (R, I, P)."""
        if not self.reads_position:
            return fine
        matrix = at_least_float32(self.positional_encoding_gaussian_matrix).to(coords_box.dtype)
        x, y = (2 * coords_box - 1).split(1, dim=-1)
        # No matrix product, which autocast would round to 16 bits: angles reach dozens of turns.
        angles = 2 * math.pi * (x * matrix[0] + y * matrix[1])  # (R, P, 128)
        position = torch.cat((angles.sin(), angles.cos()), dim=-1).transpose(1, 2).to(fine.dtype)
        return torch.cat((position, fine), dim=1) if self.reads_features else position

    def _layers(self, parameters: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the weights (R, outputs, inputs) and biases (R, outputs, 1) of each layer."""
        sizes = [outputs * inputs for outputs, inputs in self.layer_shapes]
        sizes += [outputs for outputs, _ in self.layer_shapes]
        parts = parameters.split(sizes, dim=1)
        number = len(self.layer_shapes)
        weights = [
            part.unflatten(1, shape)
            for part, shape in zip(parts[:number], self.layer_shapes, strict=True)
        ]
        return weights, [part.unsqueeze(-1) for part in parts[number:]]
