"""The exponential moving average of a training's weights."""

import copy
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Averages weights over the iterations.

    After iteration t = 1, 2, ... average = d * average + (1 - d) * weights, where d is the smaller
    of ``decay`` and (1 + t) / (10 + t): at first the average follows closely, so that what a
    training starts from is soon forgotten. Buffers are averaged like weights, the running means and
    variances of batch normalisation among them; those of whole numbers are copied. What is frozen
    is its own average.

    Attributes:
        model: in evaluation mode, with the averaged weights.
        may_be_absent: from a checkpoint that is resumed: the average then starts there.
    """

    may_be_absent = True

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Copy a model.

        Args:
            model: that is trained; may be wrapped for distributed training.
            decay: d of a long training, in [0, 1).
        """
        self.source: nn.Module = getattr(model, "module", model)
        self.model = copy.deepcopy(self.source).eval().requires_grad_(requires_grad=False)
        self.decay = decay
        self._is_resumed = False

    def start(self) -> None:
        """Start from the weights that the training starts from, or from an average of before."""
        if not self._is_resumed:
            self.model.load_state_dict(self.source.state_dict())

    @torch.no_grad()
    def update(self, done: int) -> None:
        """Take in the weights after so many iterations."""
        decay = min(self.decay, (1 + done) / (10 + done))
        averages, values = [], []
        state = self.source.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                averages.append(average)
                values.append(state[name])
            else:
                average.copy_(state[name])
        get_ema_multi_avg_fn(decay)(averages, values, done)

    def state_dict(self) -> dict[str, Any]:
        """Return the averages by the names of the model."""
        return self.model.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the averages of a training that is resumed.

        Raises:
            ValueError: they are not those of this model.
        """
        try:
            self.model.load_state_dict(state_dict)
        except RuntimeError as error:
            raise ValueError(
                "The checkpoint to resume from is damaged: its averages, 'ema', do not fit the "
                "model. Name an earlier one in the file last_checkpoint, or set SOLVER.EMA.ENABLED "
                f"False. {error}"
            ) from error
        self._is_resumed = True
