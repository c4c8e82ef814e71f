"""Scores of models on draws of the images, and the intervals that follow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

__all__ = ["ModelScores", "Sampled", "differences_from_first", "with_intervals"]

Sampled = tuple[float, np.ndarray]
"""A score in per cent, and what it is on each draw, (B,)."""


@dataclass(frozen=True)
class ModelScores:
    """All scores of one model.

    Attributes:
        name: of the model.
        file: where its predictions are.
        num_predictions: how many there are.
        tasks: task -> metric -> score.
        reliability: how often predictions were right, by score; masks only.
    """

    name: str
    file: str
    num_predictions: int
    tasks: Mapping[str, Mapping[str, Sampled]]
    reliability: tuple[ScoreRange, ...] = ()


def with_intervals(model: ModelScores, level: float) -> ModelRecord:
    """Return the record of a model; ``level`` as in ``estimate``."""
    scores: TaskScores = {
        task: {metric: _score(*sampled, level, (0, 100)) for metric, sampled in metrics.items()}
        for task, metrics in model.tasks.items()
    }
    return ModelRecord(model.name, model.file, model.num_predictions, scores, model.reliability)


def differences_from_first(models: Sequence[ModelScores], level: float) -> tuple[Difference, ...]:
    """Return how much better each model is than the first, on the same draws.

    Args:
        models: at least one.
        level: see ``estimate``.
    """
    first, *others = models
    return tuple(
        Difference(other.name, first.name, _difference(other, first, level)) for other in others
    )


def _difference(model: ModelScores, base: ModelScores, level: float) -> TaskScores:
    scores: TaskScores = {}
    for task, metrics in model.tasks.items():
        both = {
            m: (own, base.tasks[task][m]) for m, own in metrics.items() if m in base.tasks[task]
        }
        scores[task] = {
            metric: _score(own[0] - other[0], own[1] - other[1], level)
            for metric, (own, other) in both.items()
        }
    return scores


def _score(
    value: float, samples: np.ndarray, level: float, bounds: tuple[float, float] | None = None
) -> Score:
    found = estimate(value, samples, level, bounds)
    numbers = (found.value, found.low, found.high)
    return Score(*(None if math.isnan(number) else number for number in numbers))
