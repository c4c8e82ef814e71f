"""Intervals for scores by drawing images again (bootstrap: Efron, Annals of Statistics, 1979).

The images of a data set are one sample of all images that could have been in it. Drawing as many
from them with repetition, again and again, shows how much a score varies from one such data set to
another. All models are scored on the same draws: the interval of the difference of two models is
then free of what makes an image hard for both, and is much narrower than the two intervals suggest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pointrend_ext.evaluation.offline.record import (
    Difference,
    ModelRecord,
    Score,
    ScoreRange,
    TaskScores,
)
from pointrend_ext.evaluation.panoptic_quality import PanopticMetrics
from pointrend_ext.evaluation.semantic_metrics import SemanticMetrics

CountedMetrics = SemanticMetrics | PanopticMetrics
"""Metrics whose scores are those of sums of counts."""

_NO_SPREAD = 1e-9


def draw_images(num_images: int, num_draws: int, seed: int) -> np.ndarray:
    """Draw samples of the images.

    Args:
        num_images: I, how many there are and how many are drawn each time.
        num_draws: B.
        seed: same seed, same samples.

    Returns:
        (B, I) int64, how often each image is in each sample; rows add up to I.
    """
    return np.random.default_rng(seed).multinomial(
        num_images, np.full(num_images, 1 / max(num_images, 1)), size=num_draws
    )


def metric_samples(
    metrics: CountedMetrics, counts: Mapping[str, np.ndarray], weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Score samples of the images.

    Args:
        metrics: what was counted.
        counts: the counts of I single images stacked, (I, ...) each.
        weights: (B, I), see ``draw_images``.

    Returns:
        (B,) per cent by name, the names of ``metrics.scores``.
    """
    sums = {name: np.tensordot(weights, array, axes=1) for name, array in counts.items()}
    samples = [
        metrics.scores({name: array[b] for name, array in sums.items()})
        for b in range(len(weights))
    ]
    return {name: np.array([sample[name] for sample in samples]) for name in samples[0]}


def estimate(
    value: float,
    samples: Sequence[float] | np.ndarray,
    level: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Score:
    """Put an interval around a score: the score of another data set of the same size.

    The interval is that of a normal distribution with the standard deviation of the samples. The
    quantiles of the samples would not do: AP rises with the number of images that are there twice,
    so that the samples of a small data set lie above its score.

    Args:
        value: the score, NaN where there is none.
        samples: (B,) the score of samples; NaN, where a sample has none, is left out.
        level: how often the interval should hold.
        bounds: least and greatest value that a score can have.

    Returns:
        The score and its interval. There is none from fewer than two samples, nor where samples
        say nothing because all are alike, as when one image has all objects of a class; but equal
        models (a difference of 0, without bounds) are equal on all data sets.
    """
    if np.isnan(value):
        return Score(None)
    value, known = float(value), np.asarray(samples, dtype=np.float64)
    known = known[~np.isnan(known)]
    spread = float(known.std(ddof=1)) if len(known) > 1 else math.nan
    are_equal = value == 0 and bounds[0] < 0
    if math.isnan(spread) or (spread < _NO_SPREAD and not are_equal):
        return Score(value)
    reach = NormalDist().inv_cdf((1 + level) / 2) * spread
    return Score(value, max(value - reach, bounds[0]), min(value + reach, bounds[1]))


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
