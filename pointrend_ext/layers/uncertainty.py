"""How uncertain a prediction is at a point: scores, larger is more uncertain."""

import torch
from torch import Tensor

from pointrend_ext.layers.exporting import is_exported
from pointrend_ext.layers.fast.top_two import top_two
from pointrend_ext.layers.precision import at_least_float32


def select_class(logits: Tensor, classes: Tensor) -> Tensor:
    """Keep each region's channel of its own class.

    Args:
        logits: (R, C, ...), or (R, 1, ...) of a class-agnostic head, which is returned as it is.
        classes: (R,) integers in [0, C).

    Returns:
        (R, 1, ...); differentiable.
    """
    if logits.shape[1] == 1:
        return logits
    regions = torch.arange(logits.shape[0], device=logits.device)
    return logits[regions, classes].unsqueeze(1)


def foreground_uncertainty(logits: Tensor) -> Tensor:
    """Return -|z|: the closer a binary logit is to 0, the more uncertain it is.

    The order of points is that of section 3.1 of the paper, which measures |p - 0.5| on
    probabilities. A logit that is not a number counts as most uncertain: it is then looked at, and
    the loss shows it, instead of an index out of range coming out of the selection.

    Args:
        logits: (...), binary logits of any floating-point type.

    Returns:
        (...), at most 0, in at least 32 bits.
    """
    return _without_nan(at_least_float32(logits).abs().neg())


def class_uncertainty(logits: Tensor) -> Tensor:
    """Return minus the gap between the two largest logits, or -|z| of a single class.

    Section 4.2 of the paper measures the gap on probabilities, Detectron2's PointRend, which this
    follows, on logits. Values that are not numbers count as most uncertain, as in
    ``foreground_uncertainty``.

    Args:
        logits: (N, C, ...), any floating-point type.

    Returns:
        (N, 1, ...), at most 0, in at least 32 bits, without gradient.
    """
    if logits.shape[1] == 1:
        return foreground_uncertainty(logits.detach())
    first, second = top_two(at_least_float32(logits))
    return _without_nan(second.sub_(first), neginf=-torch.inf).unsqueeze(1)


def _without_nan(scores: Tensor, neginf: float | None = None) -> Tensor:
    """Give scores that are not numbers the largest one, 0; in place where nothing is recorded."""
    if is_exported():  # the operator below would become nine of ONNX
        return torch.where(scores.isnan(), 0.0, scores)
    return scores.nan_to_num_(nan=0.0, neginf=neginf)
