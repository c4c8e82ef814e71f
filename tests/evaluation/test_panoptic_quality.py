"""Panoptic quality: by hand, against a slow oracle of the definition, and its invariants."""

import math
from collections import defaultdict

import numpy as np
import pytest

from pointrend_ext.data.panoptic import Category
from pointrend_ext.evaluation.panoptic_quality import PanopticMetrics, SegmentMap
from tests.evaluation.oracles import slow_boundary

CLASSES = [Category(3, "cat", True), Category(5, "dog", True), Category(9, "sky", False)]


def segments(places, classes, crowds=()):
    """The segments 1, 2, ... of a map; ``crowds`` are some of them."""
    is_crowd = np.isin(np.arange(1, len(classes) + 1), list(crowds))
    return SegmentMap(np.array(places), np.array(classes, np.int64), is_crowd)


def pq_counts(predicted, true):
    return PanopticMetrics(CLASSES).counts(predicted, true)["pq"].tolist()


def test_by_hand():
    true = segments([[1, 1, 1, 1, 2, 2, 0, 3]], [0, 0, 2])
    predicted = segments([[1, 1, 1, 2, 2, 0, 0, 3]], [0, 0, 1])
    # cat: 3/4 of segment 1 is found, 1 of 3 pixels of segment 2; the sky is taken for a dog
    assert pq_counts(predicted, true) == [[0.75, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 1]]
    scores = PanopticMetrics(CLASSES).scores({"pq": np.array(pq_counts(predicted, true))})
    assert scores["PQ-cat"] == pytest.approx(100 * 0.75 / 2, abs=1e-12)
    assert (scores["SQ-cat"], scores["RQ-cat"]) == (75, 50)
    assert (scores["PQ-dog"], scores["SQ-dog"], scores["RQ-sky"]) == (0, 0, 0)
    assert scores["PQ"] == pytest.approx(37.5 / 3, abs=1e-12)
    assert (scores["PQ_th"], scores["PQ_st"], scores["RQ_th"]) == (18.75, 0, 25)


VOID = [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("predicted", "true", "crowds", "cat"),
    [
        # an IoU of a half is no match
        ([1, 1, 0, 0], [1, 1, 1, 1], (), [0, 0, 1, 1]),
        # void is no part of the union, here of 2 pixels
        ([1, 1, 1, 1], [1, 1, 0, 0], (), [1, 1, 0, 0]),
        # half of it is void: a mistake; more than half: none
        ([1, 1, 1, 1], [0, 0, 2, 2], (), [0, 0, 1, 0]),
        ([1, 1, 1, 1], [0, 0, 0, 2], (), [0, 0, 0, 0]),
        # a crowd is neither found nor missed
        ([1, 1, 1, 1], [1, 1, 1, 1], (1,), [0, 0, 0, 0]),
        (VOID, [1, 1, 1, 1], (1,), [0, 0, 0, 0]),
        # void and crowd together are more than half
        ([1, 1, 1, 1], [0, 1, 1, 2], (1,), [0, 0, 0, 0]),
        # of another class, a crowd is no excuse
        ([1, 1, 1, 1], [2, 2, 2, 2], (2,), [0, 0, 1, 0]),
        # two crowds of the class add up
        ([1, 1, 1, 1], [1, 1, 3, 2], (1, 3), [0, 0, 0, 0]),
    ],
)
def test_void_and_crowds(predicted, true, crowds, cat):
    classes = [0, 2, 0][: max(2, max(true))]
    present = np.unique(true)
    renamed = np.searchsorted(present[present > 0], true) + 1
    kept = [classes[place - 1] for place in present if place]
    marked = [1 + list(present[present > 0]).index(c) for c in crowds]
    renamed = np.where(np.array(true) > 0, renamed, 0)
    own = segments([predicted], [0] if any(predicted) else [])
    assert pq_counts(own, segments([renamed], kept, marked))[0] == cat


def slow_counts(predicted, true, d=None):
    """The definition, by sets of pixels; with ``d`` of Boundary PQ."""
    counts = defaultdict(lambda: [0.0, 0, 0, 0])

    def pixels(mask):
        return set(map(tuple, np.argwhere(mask)))

    def read(x):
        masks = [x.places == n + 1 for n in range(len(x.classes))]
        edges = [pixels(slow_boundary(m, d)) if d else None for m in masks]
        return list(zip(map(pixels, masks), edges, x.classes.tolist(), x.is_crowd, strict=True))

    void = pixels(true.places == 0)
    found, targets = read(predicted), read(true)
    matched_true, matched = set(), set()
    for i, (p, p_edge, p_class, _) in enumerate(found):
        for j, (t, t_edge, t_class, crowd) in enumerate(targets):
            if crowd or p_class != t_class:
                continue
            iou = len(p & t) / len((p - void) | t)
            if d:
                iou = min(iou, len(p_edge & t_edge) / max(1, len((p_edge - void) | t_edge)))
            if iou > 0.5:
                assert i not in matched
                assert j not in matched_true
                matched.add(i)
                matched_true.add(j)
                counts[t_class][0] += iou
                counts[t_class][1] += 1
    for i, (p, _, p_class, _) in enumerate(found):
        free = set(void)
        for t, _, t_class, crowd in targets:
            free |= t if crowd and t_class == p_class else set()
        if i not in matched and len(p & free) / len(p) <= 0.5:
            counts[p_class][2] += 1
    for j, (_, _, t_class, crowd) in enumerate(targets):
        counts[t_class][3] += j not in matched_true and not crowd
    return np.array([counts[c] for c in range(len(CLASSES))])


def random_pair(rng):
    """A true map of rectangles with void and a crowd, and one that is moved and renamed."""
    true = np.zeros((24, 30), int)
    for place in range(1, 6):
        y, x = rng.integers(0, 18, 2)
        true[y : y + rng.integers(4, 14), x : x + rng.integers(4, 14)] = place
    predicted = np.roll(true, rng.integers(-1, 2, 2), (0, 1))
    predicted[predicted == 0] = rng.integers(0, 2) * 6
    classes = rng.integers(0, 3, 6)
    own = np.where(rng.random(6) < 0.2, rng.integers(0, 3, 6), classes)

    def compact(places, names, crowds=()):
        present = np.unique(places[places > 0])
        return segments(
            np.where(places > 0, np.searchsorted(present, places) + 1, 0),
            names[present - 1],
            [1 + list(present).index(c) for c in crowds if c in present],
        )

    return compact(predicted, own), compact(true, classes, crowds=[2])


def test_equals_the_definition_to_1e_9():
    rng, metrics = np.random.default_rng(3), PanopticMetrics(CLASSES, with_boundary=True)
    total = np.zeros(4)
    for _ in range(25):
        pair = random_pair(rng)
        got = metrics.counts(*pair)
        np.testing.assert_allclose(got["pq"], slow_counts(*pair), rtol=0, atol=1e-9)
        d = max(1, round(0.02 * math.hypot(24, 30)))
        np.testing.assert_allclose(got["boundary_pq"], slow_counts(*pair, d), rtol=0, atol=1e-9)
        assert (got["boundary_pq"][:, 0] <= got["pq"][:, 0]).all()
        total += got["boundary_pq"].sum(axis=0)
    assert (total > 5).all()  # there was something of everything
    assert metrics.counts(*pair)["pq"].dtype == np.float64


def test_a_perfect_prediction_and_none_at_all():
    rng, metrics = np.random.default_rng(5), PanopticMetrics(CLASSES, with_boundary=True)
    _, true = random_pair(rng)
    perfect = SegmentMap(true.places, true.classes, np.zeros_like(true.is_crowd))
    scores = metrics.scores(metrics.counts(perfect, true))
    known = {round(value, 9) for value in scores.values() if not math.isnan(value)}
    assert known == {100}
    nothing = segments(np.zeros_like(true.places), [])
    counts = metrics.counts(nothing, true)
    assert counts["pq"].sum(axis=0).tolist() == [0, 0, 0, (~true.is_crowd).sum()]
    empty = metrics.counts(nothing, nothing)
    assert all(math.isnan(v) for v in metrics.scores(empty).values())
    for name, zeros in metrics.zero_counts().items():
        assert np.array_equal(empty[name], zeros)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"\(1, 2\), the ground truth \(1, 3\)"):
        PanopticMetrics(CLASSES).counts(segments([[1, 0]], [0]), segments([[1, 0, 0]], [0]))
