"""The score of an object multiplied by that of its mask, behind any mask head."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.structures import Instances
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

_INSIDE = 0.5  # where Detectron2 makes pixels of probabilities


def maskness(probabilities: Tensor) -> Tensor:
    """Return the mean probability inside each mask (SOLO: Wang et al., ECCV 2020; EVA, CVPR 2023).

    Args:
        probabilities: (R, 1, S, S).

    Returns:
        (R,), 0 for a mask without a cell of at least 0.5.
    """
    return _mean(probabilities, probabilities >= _INSIDE)


def outline_confidence(probabilities: Tensor) -> Tensor:
    """Return how sure the cells at each outline are: the mean of ``|2 p - 1|`` over them.

    They are the cells that have one of the other side above, below, left or right of them. What
    lies beyond the box is outside the mask.

    Args:
        probabilities: (R, 1, S, S).

    Returns:
        (R,) in [0, 1], 0 for an empty mask, which has no outline.
    """
    inside = nn.functional.pad((probabilities >= _INSIDE).float(), (1, 1, 1, 1))
    # The largest and the smallest of a cell and its four neighbours.
    largest, smallest = _largest_of_cross(inside), -_largest_of_cross(-inside)
    return _mean((2 * probabilities - 1).abs(), largest != smallest)


def _largest_of_cross(maps: Tensor) -> Tensor:
    """(R, 1, S + 2, S + 2) -> (R, 1, S, S)."""
    rows = max_pool2d(maps[..., 1:-1], (3, 1), stride=1)
    return torch.maximum(rows, max_pool2d(maps[..., 1:-1, :], (1, 3), stride=1))


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """(R,) means of the chosen cells, 0 where there is none."""
    return (values * chosen).sum((1, 2, 3)) / chosen.sum((1, 2, 3)).clamp(min=1)


MASK_SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "maskness": maskness,
    "outline": outline_confidence,
}
"""By ``MODEL.ROI_MASK_HEAD.MASK_SCORE``."""


def choose_mask_score(cfg: CfgNode, model: nn.Module) -> None:
    """Let a model that has just been built score as ``ROI_MASK_HEAD.MASK_SCORE`` says.

    Raises:
        ValueError: there is no such score.
    """
    mask_head = getattr(getattr(model, "roi_heads", None), "mask_head", None)
    if mask_head is None or not (name := cfg.MODEL.ROI_MASK_HEAD.MASK_SCORE):
        return
    if name not in MASK_SCORES:
        raise ValueError(
            f"MODEL.ROI_MASK_HEAD.MASK_SCORE is {name!r}; it must be '' (the class score alone) or "
            f"one of {', '.join(MASK_SCORES)}."
        )
    mask_head.register_forward_hook(partial(_rescore, MASK_SCORES[name]))


def _rescore(
    score: Callable[[Tensor], Tensor], head: nn.Module, _: Any, output: list[Instances] | dict
) -> None:
    """Multiply the scores of detections that have just got ``pred_masks``; order and all else stay.

    In training a mask head returns losses, and there is nothing to score.
    """
    if not head.training:
        for x in output:
            if x.has("scores"):
                x.scores = x.scores * score(x.pred_masks).to(x.scores.dtype)
