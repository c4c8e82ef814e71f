"""From logits to labels."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["label_map"]


def label_map(logits: Tensor) -> Tensor:
    """Return the class of the largest logit, the lower class on ties; of one class, its sign.

    Args:
        logits: (N, C, H, W).

    Returns:
        (N, H, W), uint8 up to 256 classes and int64 beyond; for C = 1 it is 1 where the logit is
        positive and 0 elsewhere.
    """
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).to(torch.uint8)
    labels = logits.argmax(dim=1)
    return labels.to(torch.uint8) if logits.shape[1] <= 256 else labels
