"""Losses of label maps by name. Pure functions without host synchronisation.

N images, C classes (two or more), H and W of the labels.
"""

from collections.abc import Callable
from functools import partial

import torch
from detectron2.projects.deeplab.loss import DeepLabCE
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.modeling.checks import check_values


def build_criterion(
    loss_type: str, *, ignore_value: int, ohem_threshold: float = 0.7, ohem_min_kept: int = 10000
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss that ``MODEL.SEM_SEG_HEAD.LOSS_TYPE`` names.

    Args:
        loss_type: "cross_entropy"; "hard_pixel_mining", the mean over the worst fifth of the
            pixels; "ohem", see ``ohem_cross_entropy``; or "cross_entropy_lovasz", cross entropy
            plus 0.8 ``lovasz_softmax``, the option that AlignSeg's code calls OHEM.
        ignore_value: label that takes no part.
        ohem_threshold: see ``ohem_cross_entropy``.
        ohem_min_kept: see ``ohem_cross_entropy``.

    Returns:
        A function of logits (N, C, H, W) and labels (N, H, W) that returns a scalar, finite as long
        as one pixel is valid.

    Raises:
        ValueError: another name, or a number out of its range.
    """
    criteria: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "cross_entropy": partial(F.cross_entropy, ignore_index=ignore_value),
        "hard_pixel_mining": DeepLabCE(
            ignore_label=ignore_value, top_k_percent_pixels=0.2
        ).forward,  # a function: a module would become a part of the head
        "ohem": partial(
            ohem_cross_entropy,
            threshold=ohem_threshold,
            min_kept=ohem_min_kept,
            ignore_value=ignore_value,
        ),
        "cross_entropy_lovasz": partial(_cross_entropy_lovasz, ignore_value=ignore_value),
    }
    is_probability = 0 < ohem_threshold <= 1
    check_values(
        "MODEL.SEM_SEG_HEAD",
        ("LOSS_TYPE", loss_type, loss_type in criteria, f"one of {', '.join(criteria)}"),
        ("OHEM_THRESHOLD", ohem_threshold, is_probability, "a probability above 0, at most 1"),
        ("OHEM_MIN_KEPT", ohem_min_kept, ohem_min_kept >= 1, "at least 1"),
    )
    return criteria[loss_type]


def ohem_cross_entropy(
    logits: Tensor, targets: Tensor, *, threshold: float, min_kept: int, ignore_value: int
) -> Tensor:
    """Mean cross entropy over the hard pixels of a batch (online hard example mining).

    Hard are the valid pixels whose true class has a probability of at most ``threshold``; if these
    are fewer than ``min_kept``, the ``min_kept`` of least probability, or all that are valid. The
    loss of SFNet, as in its code.

    Args:
        logits: (N, C, H, W).
        targets: (N, H, W) int64.
        threshold: a probability.
        min_kept: number of pixels, at least 1.
        ignore_value: label that takes no part.

    Returns:
        A scalar; zero without any valid pixel.
    """
    losses = F.cross_entropy(logits, targets, ignore_index=ignore_value, reduction="none")
    with torch.no_grad():
        true_class_probs = torch.exp(-losses)  # 1 where ignored: those are taken last
        rank = min(min_kept, losses.numel())
        limit = true_class_probs.flatten().kthvalue(rank).values.clamp(min=threshold)
        is_kept = (true_class_probs <= limit) & (targets != ignore_value)
    return (losses * is_kept).sum() / is_kept.sum().clamp(min=1)


def lovasz_softmax(logits: Tensor, targets: Tensor, *, ignore_value: int) -> Tensor:
    """Lovasz extension of the Jaccard loss, averaged over the classes present in a batch.

    Berman et al., "The Lovasz-Softmax loss", CVPR 2018, equations 8 to 12. All images of the batch
    form one map.

    Args:
        logits: (N, C, H, W).
        targets: (N, H, W) int64.
        ignore_value: label that takes no part.

    Returns:
        A scalar; zero without any valid pixel.
    """
    num_classes = logits.shape[1]
    probs = logits.softmax(dim=1).transpose(0, 1).flatten(1)  # (C, P)
    labels = targets.flatten()
    is_valid = labels != ignore_value
    classes = torch.arange(num_classes, device=labels.device)[:, None]
    is_class = (labels == classes) & is_valid  # (C, P)
    # An ignored pixel has no error and comes after all others, where it changes nothing.
    errors = (is_class.to(probs.dtype) - probs).abs() * is_valid
    errors, order = errors.sort(dim=1, descending=True)
    sorted_class = is_class.gather(1, order).to(probs.dtype)
    total = sorted_class.sum(dim=1, keepdim=True)
    intersection = total - sorted_class.cumsum(dim=1)
    union = total + (1 - sorted_class).cumsum(dim=1)
    jaccard = 1 - intersection / union
    steps = torch.diff(jaccard, dim=1, prepend=torch.zeros_like(total))
    per_class = (errors * steps).sum(dim=1)
    is_present = is_class.any(dim=1)
    return (per_class * is_present).sum() / is_present.sum().clamp(min=1)


def _cross_entropy_lovasz(logits: Tensor, targets: Tensor, *, ignore_value: int) -> Tensor:
    cross_entropy = F.cross_entropy(logits, targets, ignore_index=ignore_value)
    lovasz = lovasz_softmax(logits, targets, ignore_value=ignore_value)
    return cross_entropy + 0.8 * lovasz
