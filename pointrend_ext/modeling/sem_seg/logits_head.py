"""What the semantic heads of this package have in common.

N images, C classes, (h, w) the size of the logits, (H, W) that of the labels.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.modeling.feature_levels import FeatureLevels
from pointrend_ext.modeling.sem_seg.losses import coarse_predictions, upsampled_loss


class LogitsHead(nn.Module):
    """A head that predicts at the stride of its finest map: complete, or PointRend's coarse head.

    Attributes:
        common_stride: pixels per cell of the logits.
        ignore_value: label that takes no part in the loss.
        loss: see ``build_criterion``.
        loss_weight: factor of all losses.
        auxiliary_loss: of predictions at inner layers, as ``loss``.
        auxiliary_strides: pixels per cell of each of these predictions.
        aux_loss_weight: further factor of their loss.
        targets_of_any_size: see ``CoarseHead``.
    """

    common_stride: int
    ignore_value: int
    loss: Callable[[Tensor, Tensor], Tensor]
    loss_weight: float
    auxiliary_loss: Callable[[Tensor, Tensor], Tensor]
    auxiliary_strides: Sequence[int] = ()
    aux_loss_weight = 0.0
    targets_of_any_size = True

    @abstractmethod
    def layers(self, features: Mapping[str, Tensor]) -> Tensor:
        """Predict logits.

        Args:
            features: the backbone's maps by name.

        Returns:
            (N, C, h, w), as large as the finest map it reads.
        """

    def losses(
        self, logits: Tensor, targets: Tensor, auxiliary: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """Compare logits with labels (see ``upsampled_loss``).

        Args:
            logits: (N, C, h, w).
            targets: (N, H, W) int64, at most ``common_stride`` times (h, w).
            auxiliary: logits (N, C, h_i, w_i) of inner layers of the same forward pass, or none.

        Returns:
            ``loss_sem_seg`` and, if there are auxiliary logits, ``loss_sem_seg_aux``, weighted.
        """
        compare = partial(upsampled_loss, targets=targets, ignore_value=self.ignore_value)
        weight = self.loss_weight
        losses = {"loss_sem_seg": compare(self.loss, logits, stride=self.common_stride) * weight}
        if len(auxiliary):
            weight *= self.aux_loss_weight
            inner = [
                compare(self.auxiliary_loss, x, stride=stride) * weight
                for x, stride in zip(auxiliary, self.auxiliary_strides, strict=True)
            ]
            losses["loss_sem_seg_aux"] = reduce(torch.add, inner)
        return losses

    def forward(
        self,
        features: Mapping[str, Tensor],
        targets: Tensor | None = None,
        *,
        image_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Serve a ``SemanticSegmentor``: this head alone is the baseline without points.

        Args:
            features: the backbone's maps by name.
            targets: (N, H, W) int64, read in training.
            image_sizes: rows and columns of each image inside the padded batch, of
                ``PointRendSemanticSegmentor``; read in inference alone.

        Returns:
            In training None and the losses; in inference logits of pixels, of which the first H
            rows and W columns are the image, and an empty dictionary.
        """
        logits, auxiliary = coarse_predictions(self, features, with_auxiliary=self.training)
        if self.training:
            assert targets is not None
            return None, self.losses(logits, targets, auxiliary)
        return self._of_pixels(logits, image_sizes), {}

    def _of_pixels(self, logits: Tensor, image_sizes: Sequence[tuple[int, int]] | None) -> Tensor:
        """Up-sample (N, C, h, w) by the stride."""
        return F.interpolate(
            logits, scale_factor=self.common_stride, mode="bilinear", align_corners=False
        )


def read_head_arguments(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
    """Read the arguments that every head has.

    Args:
        cfg: ``MODEL.SEM_SEG_HEAD`` is read.
        input_shape: the maps of the backbone, by name.

    Raises:
        ValueError: a feature map that does not exist.
    """
    node = cfg.MODEL.SEM_SEG_HEAD
    levels = FeatureLevels.select(
        input_shape,
        node.IN_FEATURES,
        "MODEL.SEM_SEG_HEAD",
        "the backbone gives (MODEL.RESNETS.OUT_FEATURES)",
    )
    return {
        "input_shape": {name: input_shape[name] for name in levels.names},
        "num_classes": node.NUM_CLASSES,
        "common_stride": node.COMMON_STRIDE,
        "norm": node.NORM,
        "loss_type": node.LOSS_TYPE,
        "loss_weight": node.LOSS_WEIGHT,
        "ignore_value": node.IGNORE_VALUE,
    }
