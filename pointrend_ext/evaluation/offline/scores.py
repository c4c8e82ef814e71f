"""Scores of models on draws of the images, and the intervals that follow."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pointrend_ext.evaluation.offline.bootstrap import estimate
from pointrend_ext.evaluation.offline.record import (
    Difference,
    ModelRecord,
    ScoreRange,
    TaskScores,
)

Samples = dict[str, np.ndarray]
"""Metric -> its value in per cent, and behind it what it is on each draw; (1 + B,)."""


@dataclass(frozen=True)
class ModelScores:
    """All scores of one model, by task; the rest as in ``ModelRecord``."""

    name: str
    file: str
    num_predictions: int
    tasks: Mapping[str, Samples]
    reliability: tuple[ScoreRange, ...] = ()

    def record(self, level: float) -> ModelRecord:
        """Return the scores with intervals; ``level`` as in ``estimate``."""
        scores: TaskScores = {
            task: {name: estimate(v, draws, level, (0, 100)) for name, (v, *draws) in own.items()}
            for task, own in self.tasks.items()
        }
        return ModelRecord(self.name, self.file, self.num_predictions, scores, self.reliability)

    def minus(self, base: "ModelScores", level: float) -> Difference:
        """Return how much better this model is than ``base`` on the same draws."""
        gains: TaskScores = {}
        for task, own in self.tasks.items():
            other = base.tasks[task]
            pairs = {name: own[name] - other[name] for name in own if name in other}
            gains[task] = {name: estimate(v, draws, level) for name, (v, *draws) in pairs.items()}
        return Difference(self.name, base.name, gains)
