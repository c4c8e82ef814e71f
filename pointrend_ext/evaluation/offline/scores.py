"""Scores of models on draws of the images, and the intervals that follow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pointrend_ext.evaluation.bootstrap import estimate
from pointrend_ext.evaluation.offline.record import (
    Difference,
    ModelRecord,
    Score,
    ScoreRange,
    TaskScores,
)

__all__ = ["ModelScores", "Samples"]

Samples = dict[str, np.ndarray]
"""Metric -> its value in per cent, and behind it what it is on each draw; (1 + B,)."""


@dataclass(frozen=True)
class ModelScores:
    """All scores of one model.

    Attributes:
        name: of the model.
        file: where its predictions are.
        num_predictions: how many there are.
        tasks: scores by task.
        reliability: how often predictions were right, by score; masks only.
    """

    name: str
    file: str
    num_predictions: int
    tasks: Mapping[str, Samples]
    reliability: tuple[ScoreRange, ...] = ()

    def record(self, level: float) -> ModelRecord:
        """Return the scores with intervals; ``level`` as in ``estimate``."""
        scores = _with_intervals(self.tasks, level, (0, 100))
        return ModelRecord(self.name, self.file, self.num_predictions, scores, self.reliability)

    def minus(self, base: ModelScores, level: float) -> Difference:
        """Return how much better this model is than ``base`` on the same draws."""
        gains = {
            task: {
                m: own - base.tasks[task][m] for m, own in scores.items() if m in base.tasks[task]
            }
            for task, scores in self.tasks.items()
        }
        return Difference(self.name, base.name, _with_intervals(gains, level))


def _with_intervals(
    tasks: Mapping[str, Samples], level: float, bounds: tuple[float, float] | None = None
) -> TaskScores:
    scores: TaskScores = {}
    for task, metrics in tasks.items():
        scores[task] = {}
        for metric, (value, *samples) in metrics.items():
            found = estimate(value, samples, level, bounds)
            numbers = (found.value, found.low, found.high)
            scores[task][metric] = Score(*(None if math.isnan(n) else n for n in numbers))
    return scores
