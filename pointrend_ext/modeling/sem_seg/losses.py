"""Losses of the semantic heads. Pure functions: finite for every label map, and no host sync.

N images, C classes, P points; (h, w) is the size of coarse logits, (H, W) that of the labels. A
binary model has C = 1: label 1 where its logit is positive, else 0.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers import at_least_float32, two_class_logits


class CoarseHead(Protocol):
    """What a semantic head offers to be refined.

    ``losses`` gets logits (N, C, h, w) and labels of ``common_stride`` times their size. A head
    that sets ``targets_of_any_size = True`` does without ``coarse_losses``: its ``losses`` takes
    smaller labels, one class and label maps without a valid pixel by itself.

    Such a head may also be trained at inner layers: it then offers ``layers_with_auxiliary``, which
    takes what ``layers`` takes and returns its logits with a list of further tensors, and its
    ``losses`` takes these as a third argument. They pass through the caller, so that a head keeps
    nothing of a forward pass.
    """

    common_stride: int
    ignore_value: int

    def layers(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return logits."""

    def losses(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the weighted losses by name."""


def coarse_predictions(
    coarse_head: CoarseHead, features: Mapping[str, Tensor], *, with_auxiliary: bool
) -> tuple[Tensor, Sequence[Tensor]]:
    """Return the logits of a coarse head and, for its losses, what it predicts at inner layers.

    Args:
        coarse_head: its ``layers`` or ``layers_with_auxiliary`` is called, once.
        features: maps by name.
        with_auxiliary: whether ``coarse_losses`` will follow.

    Returns:
        Logits (N, C, h, w), and the auxiliary tensors; none if the head has none.
    """
    if with_auxiliary and hasattr(coarse_head, "layers_with_auxiliary"):
        return coarse_head.layers_with_auxiliary(features)
    return coarse_head.layers(features), ()


def coarse_losses(
    coarse_head: CoarseHead, logits: Tensor, targets: Tensor, auxiliary: Sequence[Tensor] = ()
) -> dict[str, Tensor]:
    """Return the losses of a coarse head, made safe where the head alone is not.

    Heads of Detectron2 need labels of exactly the extent of their logits, two classes or more, and
    a valid pixel (their loss is NaN without any). Here labels are padded with the ignore value.

    Args:
        coarse_head: its ``losses``, ``common_stride`` and ``ignore_value`` are read.
        logits: (N, C, h, w).
        targets: (N, H, W) int64, at most ``common_stride`` times (h, w).
        auxiliary: see ``coarse_predictions``.

    Returns:
        The head's losses; zero, with zero gradients, when every pixel is ignored.

    Raises:
        ValueError: the labels reach beyond the logits.
    """
    if getattr(coarse_head, "targets_of_any_size", False):
        return coarse_head.losses(logits, targets, *([auxiliary] if auxiliary else []))
    right, bottom = _excess(logits, targets, coarse_head.common_stride)
    targets = F.pad(targets, (0, right, 0, bottom), value=coarse_head.ignore_value)
    targets, any_valid = _comparable(targets, coarse_head.ignore_value)
    losses = coarse_head.losses(two_class_logits(at_least_float32(logits)), targets)
    return {name: loss * any_valid for name, loss in losses.items()}


def upsampled_loss(
    criterion: Callable[[Tensor, Tensor], Tensor],
    logits: Tensor,
    targets: Tensor,
    *,
    stride: int,
    ignore_value: int,
) -> Tensor:
    """Compare logits with labels pixel by pixel.

    The logits are up-sampled by exactly ``stride``, so that they lie where the network saw the
    image, and then cut: an image whose size is no multiple of the stride is not stretched.

    Args:
        criterion: takes logits (N, C, H, W) and labels (N, H, W), returns a scalar.
        logits: (N, C, h, w).
        targets: (N, H, W) int64, at most ``stride`` times (h, w).
        stride: pixels per cell of the logits.
        ignore_value: label that takes no part.

    Returns:
        A scalar in at least 32 bits; zero, with zero gradients, when every pixel is ignored.

    Raises:
        ValueError: the labels reach beyond the logits.
    """
    _excess(logits, targets, stride)
    height, width = targets.shape[-2:]
    logits = F.interpolate(
        at_least_float32(logits), scale_factor=stride, mode="bilinear", align_corners=False
    )
    targets, any_valid = _comparable(targets, ignore_value)
    return criterion(two_class_logits(logits[..., :height, :width]), targets) * any_valid


def sem_seg_point_loss(point_logits: Tensor, labels: Tensor, ignore_value: int) -> Tensor:
    """Cross entropy (binary if C is 1), averaged over the points that are not ignored.

    Section 3.3 of the paper with classes in place of a mask. Detectron2's PointRend has the same
    mean, but NaN when every point is ignored.

    Args:
        point_logits: (N, C, P).
        labels: (N, P) int64, classes or ``ignore_value``; 0 or 1 if C is 1.
        ignore_value: label that takes no part.

    Returns:
        A scalar in at least 32 bits; zero, with zero gradients, without any valid point.
    """
    total = F.cross_entropy(
        two_class_logits(at_least_float32(point_logits)),
        labels,
        ignore_index=ignore_value,
        reduction="sum",
    )
    return total / (labels != ignore_value).sum().clamp(min=1)


def _comparable(targets: Tensor, ignore_value: int) -> tuple[Tensor, Tensor]:
    """Return labels of which one is valid, and the factor 0 of their loss if that is made up.

    Where every pixel is ignored, class 0 takes the place of the labels: the zero is then connected
    to the logits, with finite gradients, and the host waits for nothing.
    """
    any_valid = (targets != ignore_value).any()
    return torch.where(any_valid, targets, 0), any_valid


def _excess(logits: Tensor, targets: Tensor, stride: int) -> tuple[int, int]:
    """Return (right, bottom), the pixels that logits cover beyond the labels.

    Raises:
        ValueError: the labels reach beyond the logits.
    """
    covered = (stride * logits.shape[-2], stride * logits.shape[-1])
    bottom, right = covered[0] - targets.shape[-2], covered[1] - targets.shape[-1]
    if bottom < 0 or right < 0:
        raise ValueError(
            f"Label maps of {tuple(targets.shape[-2:])} pixels are larger than what the logits "
            f"cover, {covered} (stride {stride}). Labels and images must have one size, and the "
            "head's common_stride must be the true stride of its logits."
        )
    return right, bottom
