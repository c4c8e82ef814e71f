"""A binary model has one logit; where classes are compared it has two."""

import torch
from torch import Tensor


def two_class_logits(logits: Tensor, dim: int = 1) -> Tensor:
    """Return the logits of a binary model as those of two classes, and any other as they are.

    The softmax cross entropy of (0, z) is the binary cross entropy of z, and the larger of both is
    the class of the sign of z.

    Args:
        logits: (N, C, ...), or with the classes elsewhere.
        dim: where the classes are.

    Returns:
        (N, 2, ...) if C is 1, else ``logits``.
    """
    if logits.shape[dim] != 1:
        return logits
    return torch.cat((torch.zeros_like(logits), logits), dim=dim)
