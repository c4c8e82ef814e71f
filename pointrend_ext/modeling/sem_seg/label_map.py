"""From logits to labels."""

from __future__ import annotations

from torch import Tensor

from pointrend_ext.layers.fast import label_dtype

__all__ = ["label_map"]


def label_map(logits: Tensor) -> Tensor:
    """Return the class of the largest logit, the lower class on ties; of one class, its sign.

    Args:
        logits: (N, C, H, W).

    Returns:
        (N, H, W), uint8 up to 256 classes and int64 beyond; for C = 1 it is 1 where the logit is
        positive and 0 elsewhere.
    """
    num_classes = logits.shape[1]
    labels = logits[:, 0] > 0 if num_classes == 1 else logits.argmax(dim=1)
    return labels.to(label_dtype(num_classes))
