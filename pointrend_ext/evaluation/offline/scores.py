"""Scores of models with intervals, and how they are written down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pointrend_ext.evaluation.bootstrap import Estimate, estimate

__all__ = ["ModelScores", "TaskScores", "difference_entries", "estimate_entry", "model_entry"]

TaskScores = dict[str, tuple[float, np.ndarray]]
"""Metric -> its value and its values (B,) on the draws, in per cent."""


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
    tasks: dict[str, TaskScores]
    reliability: list[dict[str, Any]] = field(default_factory=list)


def model_entry(model: ModelScores, level: float) -> dict[str, Any]:
    """Return what the evaluation file says of one model."""
    return {
        "name": model.name,
        "predictions": model.file,
        "num_predictions": model.num_predictions,
        "scores": {
            task: {
                m: estimate_entry(estimate(v, s, level, (0, 100))) for m, (v, s) in scores.items()
            }
            for task, scores in model.tasks.items()
        },
        "reliability": model.reliability,
    }


def difference_entries(models: Sequence[ModelScores], level: float) -> list[dict[str, Any]]:
    """Return how much better each model is than the first, on the same draws.

    Args:
        models: at least one.
        level: see ``estimate``.
    """
    first, *others = models
    entries = []
    for other in others:
        scores: dict[str, dict[str, Any]] = {}
        for task, own in other.tasks.items():
            base = first.tasks[task]
            scores[task] = {
                metric: estimate_entry(
                    estimate(value - base[metric][0], samples - base[metric][1], level)
                )
                for metric, (value, samples) in own.items()
                if metric in base
            }
        entries.append({"model": other.name, "against": first.name, "scores": scores})
    return entries


def estimate_entry(found: Estimate) -> dict[str, float | None]:
    """Return an estimate as JSON knows it: null for what there is not."""
    numbers = {"value": found.value, "low": found.low, "high": found.high}
    return {key: None if math.isnan(number) else number for key, number in numbers.items()}
