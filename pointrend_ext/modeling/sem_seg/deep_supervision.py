"""What semantic heads with losses at inner layers have in common.

N images, C classes, (h, w) the size of the logits, (H, W) that of the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.layers import check_flow_coords
from pointrend_ext.modeling.sem_seg.criteria import build_criterion
from pointrend_ext.modeling.sem_seg.decoder_layers import pad_to_common_extent
from pointrend_ext.modeling.sem_seg.head_arguments import read_head_arguments
from pointrend_ext.modeling.sem_seg.losses import upsampled_losses

__all__ = ["DeeplySupervisedHead"]


class DeeplySupervisedHead(nn.Module):
    """Base of the heads that decode several maps and may also be trained at inner layers.

    A subclass builds its layers in ``_build_layers``, predicts in ``_predict``, and sets
    ``auxiliary_strides`` and ``auxiliary_criterion``. The auxiliary logits pass from
    ``layers_with_auxiliary`` to ``losses`` by way of the caller; the head keeps nothing of a
    forward pass.

    Attributes:
        common_stride: pixels per cell of the logits.
        ignore_value: label that takes no part in the loss.
        targets_of_any_size: see ``CoarseHead``.
        auxiliary_strides: pixels per cell of each of the auxiliary logits.
    """

    targets_of_any_size = True

    @configurable
    def __init__(
        self,
        *,
        input_shape: Mapping[str, ShapeSpec],
        num_classes: int,
        common_stride: int,
        conv_dims: int = 256,
        norm: str = "BN",
        coords: str = "pixel",
        loss_type: str = "cross_entropy",
        loss_weight: float = 1.0,
        aux_loss_weight: float = 0.0,
        ohem_threshold: float = 0.7,
        ohem_min_kept: int = 10000,
        ignore_value: int = 255,
    ) -> None:
        """Build the layers.

        Args:
            input_shape: the maps it reads, by name; two or more.
            num_classes: C; 1 for a binary model.
            common_stride: must be the stride of the finest of them.
            conv_dims: width of the decoder.
            norm: normalisation, see ``detectron2.layers.get_norm``.
            coords: where flows point, see ``flow_warp``.
            loss_type: see ``build_criterion``.
            loss_weight: factor of both losses.
            aux_loss_weight: further factor of ``loss_sem_seg_aux``; 0 for no auxiliary layers.
            ohem_threshold: see ``build_criterion``.
            ohem_min_kept: see ``build_criterion``.
            ignore_value: label that takes no part in the loss.

        Raises:
            ValueError: a value that does not fit the feature maps, or is out of its range.
        """
        super().__init__()
        check_flow_coords(coords, f"{type(self).__name__} (MODEL.SEM_SEG_HEAD.ALIGNMENT_COORDS)")
        _check_numbers(loss_weight, aux_loss_weight, conv_dims)
        maps = sorted(input_shape.items(), key=lambda item: (item[1].stride, item[0]))
        self.in_features = [name for name, _ in maps]
        self.strides = [shape.stride for _, shape in maps]
        self._check_stride(common_stride)
        self.common_stride = common_stride
        self.ignore_value = ignore_value
        self.coords = coords
        self.loss_weight, self.aux_loss_weight = loss_weight, aux_loss_weight
        self.criterion = build_criterion(
            loss_type,
            ignore_value=ignore_value,
            ohem_threshold=ohem_threshold,
            ohem_min_kept=ohem_min_kept,
        )
        self.auxiliary_criterion = self.criterion
        self.auxiliary_strides: list[int] = []
        channels = [shape.channels for _, shape in maps]
        self._build_layers(channels, conv_dims, num_classes, norm)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Read ``MODEL.SEM_SEG_HEAD``."""
        node = cfg.MODEL.SEM_SEG_HEAD
        return {
            **read_head_arguments(cfg, input_shape),
            "conv_dims": node.CONVS_DIM,
            "coords": node.ALIGNMENT_COORDS,
            "aux_loss_weight": node.AUX_LOSS_WEIGHT,
            "ohem_threshold": node.OHEM_THRESHOLD,
            "ohem_min_kept": node.OHEM_MIN_KEPT,
        }

    def layers(self, features: Mapping[str, Tensor]) -> Tensor:
        """Predict logits.

        Args:
            features: the backbone's maps by name.

        Returns:
            (N, C, h, w), as large as the finest map it reads.
        """
        return self._run(features, with_auxiliary=False)[0]

    def layers_with_auxiliary(self, features: Mapping[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Predict logits, and those of the inner layers for ``losses``.

        Args:
            features: the backbone's maps by name.

        Returns:
            What ``layers`` returns, and the auxiliary logits, (N, C, h_i, w_i) each; none with an
            ``aux_loss_weight`` of 0.
        """
        return self._run(features, with_auxiliary=bool(self.auxiliary_strides))

    def losses(
        self, logits: Tensor, targets: Tensor, auxiliary: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """Compare logits with labels (see ``upsampled_losses``).

        Args:
            logits: (N, C, h, w).
            targets: (N, H, W) int64, at most ``common_stride`` times (h, w).
            auxiliary: the auxiliary logits of the same forward pass, or none.

        Returns:
            ``loss_sem_seg`` and, if there are auxiliary logits, ``loss_sem_seg_aux``, weighted.
        """
        same = {"targets": targets, "ignore_value": self.ignore_value}
        losses = upsampled_losses(
            self.criterion, logits, stride=self.common_stride, weight=self.loss_weight, **same
        )
        if len(auxiliary) == 0:
            return losses
        weight = self.loss_weight * self.aux_loss_weight
        losses["loss_sem_seg_aux"] = sum(
            upsampled_losses(self.auxiliary_criterion, inner, stride=stride, weight=weight, **same)[
                "loss_sem_seg"
            ]
            for inner, stride in zip(auxiliary, self.auxiliary_strides, strict=True)
        )
        return losses

    def forward(
        self, features: Mapping[str, Tensor], targets: Tensor | None = None
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Serve Detectron2's ``SemanticSegmentor``.

        Args:
            features: the backbone's maps by name.
            targets: (N, H, W) int64, read in training.

        Returns:
            In training None and the losses; in inference logits up-sampled by the stride, of
            which the first H rows and W columns are the image, and an empty dictionary.
        """
        if self.training:
            logits, auxiliary = self.layers_with_auxiliary(features)
            return None, self.losses(logits, targets, auxiliary)
        return F.interpolate(
            self.layers(features),
            scale_factor=self.common_stride,
            mode="bilinear",
            align_corners=False,
        ), {}

    def _run(
        self, features: Mapping[str, Tensor], *, with_auxiliary: bool
    ) -> tuple[Tensor, list[Tensor]]:
        maps = [features[name] for name in self.in_features]
        rows, columns = maps[0].shape[-2:]
        maps = pad_to_common_extent(maps, self.strides)
        logits, auxiliary = self._predict(maps, with_auxiliary=with_auxiliary)
        return logits[..., :rows, :columns], auxiliary

    def _build_layers(
        self, channels: Sequence[int], conv_dims: int, num_classes: int, norm: str
    ) -> None:
        """Build the layers for maps of so many channels, finest first."""
        raise NotImplementedError

    def _predict(
        self, maps: Sequence[Tensor], *, with_auxiliary: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Return logits of the size of ``maps[0]``, and the auxiliary ones if wanted."""
        raise NotImplementedError

    def _check_stride(self, common_stride: int) -> None:
        if len(self.in_features) < 2:
            raise ValueError(
                f"{type(self).__name__} fuses maps of different scales, but MODEL.SEM_SEG_HEAD."
                f"IN_FEATURES names {self.in_features}. Name two or more, such as res2 to res5."
            )
        if common_stride != self.strides[0]:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.COMMON_STRIDE is {common_stride}, but {type(self).__name__} "
                f"predicts at the stride of {self.in_features[0]!r}, {self.strides[0]}. Set "
                f"COMMON_STRIDE to {self.strides[0]}."
            )


def _check_numbers(loss_weight: float, aux_loss_weight: float, conv_dims: int) -> None:
    if loss_weight < 0 or aux_loss_weight < 0 or conv_dims < 1:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD has LOSS_WEIGHT {loss_weight}, AUX_LOSS_WEIGHT {aux_loss_weight} "
            f"and CONVS_DIM {conv_dims}; weights of 0 or more and at least one channel are needed."
        )
