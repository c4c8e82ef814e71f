"""Intervals for scores by drawing images again (bootstrap: Efron, Annals of Statistics, 1979).

The images of a data set are one sample of all images that could have been in it. Drawing as many
from them with repetition, again and again, shows how much a score varies from one such data set to
another. All models are scored on the same draws: the interval of the difference of two models is
then free of what makes an image hard for both, and is much narrower than the two intervals suggest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pointrend_ext.evaluation.matches import MatchTable, average_precisions
from pointrend_ext.evaluation.precision_table import ap_metrics
from pointrend_ext.evaluation.semantic_metrics import SemanticMetrics

__all__ = ["Estimate", "draw_images", "estimate", "instance_scores", "semantic_scores"]

_NO_SPREAD = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A score and the interval it lies in.

    Attributes:
        value: the score of the whole data set; NaN where there is none.
        low: lower end, NaN where there is no interval.
        high: upper end, likewise.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")


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


def instance_scores(
    table: MatchTable, weights: np.ndarray, *, high_ious: bool, every_iou: bool = False
) -> dict[str, np.ndarray]:
    """Score samples of the images with COCO's or LVIS's AP.

    Args:
        table: the matches.
        weights: (B, I), see ``draw_images``.
        high_ious: as in ``ap_metrics``.
        every_iou: as in ``ap_metrics``.

    Returns:
        (B,) per cent by name, see ``ap_metrics``; NaN where a sample has no ground truth.
    """
    ap = average_precisions(table, weights)
    return ap_metrics(
        ap, table.iou_thresholds, table.class_names, high_ious=high_ious, every_iou=every_iou
    )


def semantic_scores(
    metrics: SemanticMetrics, counts: Mapping[str, np.ndarray], weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Score samples of the images with the metrics of label maps.

    Args:
        metrics: what was counted.
        counts: the counts of I single images stacked, (I, ...) each.
        weights: (B, I), see ``draw_images``.

    Returns:
        (B,) per cent by name, the names of ``SemanticMetrics.scores``.
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
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    """Put an interval around a score: the score of another data set of the same size.

    The interval is that of a normal distribution with the standard deviation of the samples. The
    quantiles of the samples would not do: AP rises with the number of images that are there twice,
    so that the samples of a small data set lie above its score.

    Args:
        value: the score.
        samples: (B,) the score of samples; NaN, where a sample has none, is left out.
        level: how often the interval should hold.
        bounds: least and greatest value that a score can have; None for a difference.

    Returns:
        The score and its interval. There is none from fewer than two samples, nor where samples
        say nothing because all are alike, as when one image has all objects of a class.
    """
    value, known = float(value), np.asarray(samples, dtype=np.float64)
    known = known[~np.isnan(known)]
    if len(known) < 2 or np.isnan(value):
        return Estimate(value)
    spread = float(known.std(ddof=1))
    if spread < _NO_SPREAD and value not in (0, 100):
        return Estimate(value)
    reach = NormalDist().inv_cdf((1 + level) / 2) * spread
    lowest, highest = bounds or (-np.inf, np.inf)
    return Estimate(value, max(value - reach, lowest), min(value + reach, highest))
