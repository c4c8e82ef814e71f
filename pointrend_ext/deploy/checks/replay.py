"""What a model predicts if it corrects the cells that a file has corrected.

PointRend corrects the most uncertain cells. Two implementations round differently, and where many
cells are about equally uncertain they choose others: a *swap*, after which both are right, but
differ by much in a few cells. Certain is this: what the file has chosen is most uncertain in the
model, too, but for rounding; and of the same cells the model makes the same logits.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pointrend_ext.modeling.sem_seg import PointRendSemanticHead


class Replay:
    """Scores by which cells are chosen that were chosen before.

    Attributes:
        slack: by how much, in logits, a cell that was not chosen is more uncertain than one that
            was, at most.
    """

    def __init__(self, choices: Sequence[np.ndarray]) -> None:
        """Take the flat numbers (N, P) of the cells of each doubling."""
        self.slack = -np.inf
        self._choices = iter(choices)

    def scores_of(self, uncertainty: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
        """Return 0 where the file has chosen, and minus infinity elsewhere: (N, 1, H, W)."""
        scores = uncertainty(logits)
        own, chosen = scores.flatten(1), torch.from_numpy(next(self._choices))
        others = own.scatter(1, chosen, -torch.inf)
        self.slack = max(self.slack, float((others.amax(1) - own.gather(1, chosen).amin(1)).amax()))
        return torch.full_like(own, -torch.inf).scatter_(1, chosen, 0).view_as(scores)


@contextmanager
def replaying(head: PointRendSemanticHead, choices: Sequence[np.ndarray]) -> Iterator[Replay]:
    """Let a head correct given cells in its next call.

    Args:
        head: in evaluation mode.
        choices: flat numbers (N, P) of the cells, of each doubling.

    Yields:
        What it finds out on the way.
    """
    replay, own = Replay(choices), head.uncertainty

    def uncertainty(*args: Any) -> Callable[[Tensor], Tensor]:
        scores = own(*args)
        return lambda logits: replay.scores_of(scores, logits)

    head.__dict__["uncertainty"] = uncertainty  # before that of its class
    try:
        yield replay
    finally:
        del head.__dict__["uncertainty"]
