"""The point head of the paper (section 3.2): an MLP shared by all points."""

from typing import Any

import fvcore.nn.weight_init as weight_init
import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.modeling.checks import check_values
from pointrend_ext.modeling.config_keys import reads_own_keys
from pointrend_ext.modeling.point_head.registry import POINT_HEAD_REGISTRY


@POINT_HEAD_REGISTRY.register()
class StandardPointHead(nn.Module):
    """MLP over points, of 1-wide convolutions named ``fc1``, ``fc2``, ... and ``predictor``.

    The first layer reads [fine | coarse]. With ``coarse_pred_each_layer`` every later layer, the
    predictor included, reads [hidden | coarse]; the coarse channels always come last. Names, shapes
    and initialisation are those of Detectron2's PointRend, so its weights load.
    """

    @configurable
    def __init__(
        self,
        *,
        fine_channels: int,
        coarse_channels: int,
        out_channels: int,
        fc_dim: int = 256,
        num_fc: int = 3,
        coarse_pred_each_layer: bool = True,
    ) -> None:
        """Build the layers.

        Args:
            fine_channels: F, channels of the fine-grained features.
            coarse_channels: K, channels of the coarse prediction.
            out_channels: C, channels of the logits.
            fc_dim: width of the hidden layers.
            num_fc: number of hidden layers, at least 1.
            coarse_pred_each_layer: whether each layer reads the coarse prediction.
        """
        super().__init__()
        # Without a hidden layer the points could be interpolated from the grid instead.
        check_values(
            "StandardPointHead",
            ("NUM_FC", num_fc, num_fc >= 1, "at least 1"),
            ("FC_DIM", fc_dim, fc_dim >= 1, "at least 1"),
        )
        self.coarse_pred_each_layer = coarse_pred_each_layer
        self.num_fc = num_fc
        extra_channels = coarse_channels if coarse_pred_each_layer else 0
        in_channels = fine_channels + coarse_channels
        for number in range(1, num_fc + 1):
            self.add_module(f"fc{number}", nn.Conv1d(in_channels, fc_dim, kernel_size=1))
            in_channels = fc_dim + extra_channels
        self.predictor = nn.Conv1d(in_channels, out_channels, kernel_size=1)
        for layer in self.hidden_layers:
            weight_init.c2_msra_fill(layer)
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.predictor.get_parameter("bias"))

    @classmethod
    @reads_own_keys
    def from_config(
        cls, cfg: CfgNode, *, fine_channels: int, coarse_channels: int, out_channels: int
    ) -> dict[str, Any]:
        """Read a point head's own node (see ``build_point_head``)."""
        return {
            "fine_channels": fine_channels,
            "coarse_channels": coarse_channels,
            "out_channels": out_channels,
            "fc_dim": cfg.FC_DIM,
            "num_fc": cfg.NUM_FC,
            "coarse_pred_each_layer": cfg.COARSE_PRED_EACH_LAYER,
        }

    @property
    def hidden_layers(self) -> list[nn.Conv1d]:
        """The hidden layers, first to last."""
        return [getattr(self, f"fc{number}") for number in range(1, self.num_fc + 1)]

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Predict at points.

        Args:
            fine: (R, F, P) fine-grained features.
            coarse: (R, K, P) coarse logits at the same points.

        Returns:
            (R, C, P) logits.
        """
        return self.predictor(self._hidden(fine, coarse))

    def class_logits(self, fine: Tensor, coarse: Tensor, classes: Tensor) -> Tensor:
        """Predict one class per region: its channel of what ``forward`` returns.

        Args:
            fine: (R, F, P) fine-grained features.
            coarse: (R, K, P) coarse logits at the same points.
            classes: (R,) integers in [0, C); not read if C is 1.

        Returns:
            (R, 1, P) logits.
        """
        hidden = self._hidden(fine, coarse)
        if self.predictor.out_channels == 1:
            return self.predictor(hidden)
        weight = self.predictor.weight[classes, :, 0].unsqueeze(1)  # (R, 1, D)
        bias = self.predictor.get_parameter("bias")[classes].view(-1, 1, 1)
        return torch.baddbmm(bias, weight, hidden)

    def _hidden(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Return what the predictor reads: (R, D, P)."""
        hidden = torch.cat((fine, coarse), dim=1)
        for layer in self.hidden_layers:
            hidden = F.relu(layer(hidden))
            if self.coarse_pred_each_layer:
                hidden = torch.cat((hidden, coarse), dim=1)
        return hidden
