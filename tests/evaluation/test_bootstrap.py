"""Intervals: draws, sums of counts, and whether intervals hold what they promise."""

import numpy as np
import pytest

from pointrend_ext.evaluation.matches import ClassMatches, MatchTable, average_precisions
from pointrend_ext.evaluation.offline.bootstrap import draw_images, estimate, metric_samples
from pointrend_ext.evaluation.offline.record import Score
from pointrend_ext.evaluation.semantic_metrics import BOUNDARY_METRICS, SemanticMetrics


def test_draws():
    draws = draw_images(40, 500, seed=1)
    assert draws.shape == (500, 40)
    assert (draws.sum(axis=1) == 40).all()
    np.testing.assert_array_equal(draws, draw_images(40, 500, seed=1))
    assert (draws != draw_images(40, 500, seed=2)).any()
    # with repetition: an image is left out with probability (1 - 1/40)^40 = 0.363
    assert (draws == 0).mean() == pytest.approx((1 - 1 / 40) ** 40, abs=0.01)


def test_estimate_by_hand():
    samples = [10.0, 12, 14, np.nan]  # standard deviation 2
    reach = pytest.approx(11 - 3.92, abs=0.01), pytest.approx(11 + 3.92, abs=0.01)
    assert estimate(11.0, samples) == Score(11, *reach)
    assert estimate(11.0, samples, 0.6827).high == pytest.approx(13, abs=0.01)
    assert estimate(1.0, samples, bounds=(0, 100)).low == 0
    assert estimate(99.0, samples, bounds=(0, 100)).high == 100
    assert estimate(float("nan"), samples) == Score(None)
    # no samples, one, and those of a class whose objects are all in one image
    for value, lonely in ((5.0, []), (5.0, [4.0]), (7.0, [7.0, 7.0, 7.0])):
        assert estimate(value, lonely) == Score(value)
    assert estimate(0.0, [0.0, 0.0]) == Score(0.0, 0.0, 0.0)  # two models that are equal
    # found, or not, in the one image that has the class: another image says another thing
    for value in (0.0, 100.0):
        assert estimate(value, [value] * 3, bounds=(0, 100)) == Score(value)
    assert estimate(100.0, [100.0] * 3) == Score(100.0)


def test_semantic_scores_are_those_of_the_drawn_images():
    rng = np.random.default_rng(0)
    metrics = SemanticMetrics(["a", "b", "c"], 255, BOUNDARY_METRICS)
    pairs = [rng.integers(0, 3, (2, 12, 9)) for _ in range(5)]
    pairs[2][1][:] = 255
    counts = [metrics.counts(*pair) for pair in pairs]
    stacked = {key: np.stack([c[key] for c in counts]) for key in counts[0]}
    weights = draw_images(5, 7, seed=0)
    scores = metric_samples(metrics, stacked, weights)
    for b, row in enumerate(weights):
        drawn = [counts[i] for i, n in enumerate(row) for _ in range(n)]
        total = {key: sum(c[key] for c in drawn) for key in stacked}
        expected = metrics.scores(total)
        assert {k: v[b] for k, v in scores.items()} == pytest.approx(expected, nan_ok=True)


def simulated(rng, num_images, gain):
    """Matches of two models on the same images; the second ranks true objects higher."""
    models = ([], [])
    hard = rng.normal(0, 0.7, num_images)
    for _ in range(4):
        true = np.repeat(np.arange(num_images), rng.poisson(0.6, num_images))
        false = np.repeat(np.arange(num_images), rng.poisson(0.4, num_images))
        base = np.concatenate(
            [rng.normal(1, 1, len(true)) - hard[true], rng.normal(0, 1, len(false))]
        )
        is_true = np.arange(len(base)) < len(true)
        images = np.concatenate([true, false])
        for own, better in zip(models, (0, gain), strict=True):
            score = base + better * is_true + rng.normal(0, 0.5, len(base))
            order = np.argsort(-score)
            flags = np.tile(is_true[order], (2, 4, 1))
            own.append(ClassMatches(
                images[order], score[order], flags, ~flags, true, np.ones((4, len(true)), bool)
            ))  # fmt: skip
    thresholds = np.array([0.5, 0.75])
    return [MatchTable(tuple(own), tuple("abcd"), thresholds) for own in models]


def score(table, weights):
    return 100 * np.nanmean(average_precisions(table, weights)[..., 0], axis=(1, 2))


def test_intervals_of_differences_hold():
    rng = np.random.default_rng(0)
    everything = np.ones((1, 20000), int)
    first, second = (score(t, everything)[0] for t in simulated(rng, 20000, 0.3))
    true_gain, size = second - first, 60
    assert 1 < true_gain < 10
    hits = narrower = 0
    for seed in range(60):
        weights = np.concatenate([np.ones((1, size), int), draw_images(size, 100, seed)])
        a, b = (score(table, weights) for table in simulated(rng, size, 0.3))
        paired = estimate(b[0] - a[0], (b - a)[1:])
        hits += paired.low <= true_gain <= paired.high
        alone = estimate(b[0], b[1:])
        narrower += paired.high - paired.low < alone.high - alone.low
    assert hits >= 51  # of 60: 95 % would be 57, below 51 is less likely than 1 in 100
    assert narrower == 60
