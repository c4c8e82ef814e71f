"""Boundary metrics of label maps: values by hand, and slow oracles written from the definitions."""

import doctest

import numpy as np
import pytest

from pointrend_ext.evaluation import semantic_metrics
from pointrend_ext.evaluation.boundary_semantic import (
    boundary_f_counts,
    boundary_f_scores,
    boundary_iou_counts,
    trimap_counts,
)
from pointrend_ext.evaluation.label_pair import class_counts, class_iou, label_pair
from pointrend_ext.evaluation.semantic_metrics import SemanticMetrics
from tests.evaluation.oracles import slow_boundary

IGNORE = 255


def pair(prediction, truth, num_classes=3):
    return label_pair(np.asarray(prediction), np.asarray(truth), num_classes, IGNORE)


def two_halves():
    """The left half is class 2, the right half class 7; a hole of 20 x 20 is predicted."""
    truth = np.full((100, 100), 7)
    truth[:, :50] = 2
    prediction = truth.copy()
    prediction[40:60, 15:35] = 7
    return prediction, truth


# ---- slow oracles: python loops over pixels


def near_other_class(labels, i, j, d):
    """Whether a pixel of another class lies in the square window around (i, j)."""
    window = labels[max(0, i - d) : i + d + 1, max(0, j - d) : j + d + 1]
    return bool(((window != labels[i, j]) & (window != IGNORE)).any())


def slow_boundary_iou(prediction, truth, num_classes, ratio):
    distance = max(1, round(ratio * (truth.shape[0] ** 2 + truth.shape[1] ** 2) ** 0.5))
    counts = []
    for c in range(num_classes):
        masks = [(labels == c) & (truth != IGNORE) for labels in (prediction, truth)]
        predicted, true = (slow_boundary(mask, distance) for mask in masks)
        counts.append([np.sum(predicted & true), np.sum(predicted), np.sum(true)])
    return np.array(counts)


def slow_trimap(prediction, truth, num_classes, width):
    counts = np.zeros((num_classes, 3), dtype=int)
    for i, j in np.ndindex(*truth.shape):
        if truth[i, j] != IGNORE and near_other_class(truth, i, j, width):
            p, t = prediction[i, j], truth[i, j]
            counts[t, 2] += 1
            if p != IGNORE:
                counts[p, 1] += 1
                counts[p, 0] += p == t
    return counts


def slow_boundary_f(prediction, truth, num_classes, ratio):
    tolerance = max(1, round(ratio * (truth.shape[0] ** 2 + truth.shape[1] ** 2) ** 0.5))
    maps = (np.where(truth == IGNORE, IGNORE, prediction), truth)
    counts = []
    for c in range(num_classes):
        predicted, true = (
            [ij for ij in np.argwhere(labels == c) if near_other_class(labels, *ij, 1)]
            for labels in maps
        )
        row = []
        for own, other in ((predicted, true), (true, predicted)):
            near = [any(((p - q) ** 2).sum() <= tolerance**2 for q in other) for p in own]
            row += [sum(near), len(own)]
        counts.append(row)
    return np.array(counts)


@pytest.mark.parametrize(
    ("size", "num_classes", "ratio"),
    [
        ((1, 1), 2, 0.02),
        ((1, 9), 3, 0.1),
        ((14, 23), 3, 0.02),
        ((23, 14), 5, 0.12),
        ((12, 12), 3, 9.0),  # the window is larger than the image
        ((13, 17), 258, 0.1),  # labels beyond 8 bits
        ((11, 13), 255, 0.1),  # "no class" is the highest value of 8 bits
    ],
)
def test_equal_to_slow_oracles(size, num_classes, ratio):
    rng = np.random.default_rng(0)
    allowed = np.array([0, num_classes // 2, num_classes - 1, IGNORE if num_classes < 256 else 0])
    for _ in range(6):
        # Patches of 3 x 3, so that there are insides, with scattered pixels of other labels.
        maps = rng.choice(allowed, p=[0.4, 0.25, 0.25, 0.1], size=(2, size[0], size[1]))
        maps = maps[:, np.arange(size[0])[:, None] // 3 * 3, np.arange(size[1]) // 3 * 3]
        prediction, truth = np.where(rng.random((2, *size)) < 0.1, rng.choice(allowed), maps)
        labels = pair(prediction, truth, num_classes)
        args, widths = (prediction, truth, num_classes), (1, 3, 40)
        for found, expected in (
            (boundary_iou_counts(labels, ratio), slow_boundary_iou(*args, ratio)),
            (trimap_counts(labels, widths), [slow_trimap(*args, width) for width in widths]),
            (boundary_f_counts(labels, ratio), slow_boundary_f(*args, ratio)),
        ):
            np.testing.assert_array_equal(found, expected)


# ---- boundary IoU


def test_two_class_map_by_hand():
    prediction, truth = two_halves()
    # d = 3 (2.8). Class 2: a frame of 50 x 100 is 864 pixels. The prediction's hole adds the ring
    # of 26 x 26 - 20 x 20 = 276 around it, which the frame does not touch. Class 7: the hole is a
    # mask of its own, 20 x 20 with an inside of 14 x 14: 204 pixels.
    counts = boundary_iou_counts(pair(prediction, truth, 8))
    assert counts[[2, 7]].tolist() == [[864, 864 + 276, 864], [864, 864 + 204, 864]]
    assert counts[[0, 1, 3, 4, 5, 6]].sum() == 0  # Detectron2 finds a class 5 here
    iou = class_iou(counts)
    assert 100 * iou[[2, 7]] == pytest.approx([75.789, 80.899], abs=1e-3)
    assert np.isnan(iou[5])


def test_ignored_pixels_are_as_outside_the_image():
    prediction, truth = two_halves()
    # The upper rows are ignored, and the frame of class 2 becomes that of 70 x 50. The diagonal,
    # and with it d, stays that of the whole image. The hole keeps its distance.
    truth[:30] = IGNORE
    labels = pair(prediction, truth, 8)
    frame = 70 * 50 - 64 * 44
    assert boundary_iou_counts(labels)[2].tolist() == [frame, frame + 276, frame]
    for value in (0, 2, 7, IGNORE):  # what is predicted there does not matter
        prediction[:30] = value
        again = pair(prediction, truth, 8)
        for count in (boundary_iou_counts, boundary_f_counts, lambda p: trimap_counts(p, [1, 3])):
            np.testing.assert_array_equal(count(again), count(labels))


# ---- areas


def test_areas_by_hand():
    # True: 6 pixels of a, 3 of b, 1 ignored. Found: 4 of a (1 as b, 1 as c), 2 of b (1 as a).
    truth = np.array([[0, 0, 0, 0, 0, 0, 1, 1, 1, IGNORE]])
    prediction = np.array([[0, 0, 0, 0, 1, 2, 1, 1, 0, 1]])
    metrics = SemanticMetrics(["a", "b", "c"], IGNORE)
    scores = metrics.scores(metrics.counts(prediction, truth))
    assert scores["IoU-a"] == pytest.approx(100 * 4 / 7)
    assert scores["IoU-b"] == pytest.approx(100 * 2 / 4)
    assert np.isnan(scores["IoU-c"])  # is nowhere true
    assert scores["mIoU"] == pytest.approx(50 * (4 / 7 + 2 / 4))
    assert scores["fwIoU"] == pytest.approx(100 * (6 / 9 * 4 / 7 + 3 / 9 * 2 / 4))
    assert scores["mACC"] == pytest.approx(50 * (4 / 6 + 2 / 3))
    assert scores["pACC"] == pytest.approx(100 * 6 / 9)


# ---- trimap


def test_trimap_by_hand():
    truth = np.array([[0, 0, 0, 0, 1, 1, 1, 1]])
    prediction = np.array([[0, 0, 1, 0, 0, 1, 1, 0]])
    counts = trimap_counts(pair(prediction, truth, 2), [1, 2, 4])
    assert counts[0].tolist() == [[1, 2, 1], [0, 0, 1]]
    assert counts[1].tolist() == [[1, 2, 2], [1, 2, 2]]
    assert counts[2].tolist() == class_counts(pair(prediction, truth, 2)).tolist()
    assert class_iou(counts)[1] == pytest.approx([1 / 3, 1 / 3])


# ---- boundary F


def test_boundary_f_by_hand():
    truth = np.zeros((20, 20), dtype=int)
    truth[:, 10:] = 1
    prediction = np.zeros_like(truth)
    prediction[:, 12:] = 1  # two pixels off
    labels = pair(prediction, truth, 2)
    assert boundary_f_counts(labels, ratio=1 / 28).tolist() == [[0, 20, 0, 20]] * 2  # 1 px
    assert boundary_f_counts(labels, ratio=2 / 28).tolist() == [[20, 20, 20, 20]] * 2  # 2 px


def test_boundary_f_scores_of_missing_contours():
    precision, recall, f = boundary_f_scores(
        np.array([[0, 0, 0, 5], [0, 3, 0, 0], [0, 3, 0, 5], [3, 3, 4, 5]])
    )
    np.testing.assert_allclose(precision, [np.nan, np.nan, 0, 1])
    np.testing.assert_allclose(recall, [0, np.nan, 0, 0.8])
    np.testing.assert_allclose(f, [0, np.nan, 0, 1.6 / 1.8])


# ---- label maps and scores


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        ([[0, 3, 9]], [[0, 0, 0]], r"the prediction contains the values 3, 9 \(2 pixels\)"),
        ([[0, 0]], [[0, -1]], "the ground truth contains the values -1"),
        ([[0, 0]], [[0], [0]], r"has \(height, width\) \(1, 2\), the ground truth \(2, 1\)"),
        ([[0.0]], [[0]], "of float64 and int64"),
        ([[0]], [[[0]]], r"the ground truth \(1, 1, 1\)"),
    ],
)
def test_bad_label_maps(prediction, truth, message):
    with pytest.raises(ValueError, match=message):
        pair(prediction, truth)


def test_ignore_label_may_be_a_class():
    # As Detectron2 does it: true pixels of that label do not count, predicted ones do.
    labels = label_pair(np.array([[0, 1, 1]]), np.array([[0, 1, 0]]), 2, 1)
    assert class_counts(labels).tolist() == [[1, 1, 2], [0, 1, 0]]


def test_iou_of_classes_that_are_not_in_the_truth():
    # both maps, prediction, truth: predicted in vain, nowhere, missed, found in part
    iou = class_iou(np.array([[0, 7, 0], [0, 0, 0], [0, 0, 4], [3, 5, 4]]))
    np.testing.assert_allclose(iou, [np.nan, np.nan, 0, 0.5])


def test_scores_of_sums():
    metrics = SemanticMetrics(["a", "b", "c"], IGNORE, ("boundary_iou", "trimap", "boundary_f"))
    rng = np.random.default_rng(1)
    images = [rng.choice([0, 1, IGNORE], size=(2, 9, 9)) for _ in range(3)]
    total = metrics.zero_counts()
    for prediction, truth in images:
        for name, counts in metrics.counts(prediction, truth).items():
            total[name] += counts
    ious = 100 * class_iou(sum(slow_boundary_iou(*pair, 3, 0.02) for pair in images))
    trimap = 100 * class_iou(sum(slow_trimap(*pair, 3, 3) for pair in images))
    contours = sum(slow_boundary_f(*pair, 3, 0.0075) for pair in images)
    precision, recall, f = (100 * values[0] for values in boundary_f_scores(contours))
    expected = {
        "BoundaryIoU-a": ious[0],
        "mBoundaryIoU": ious[:2].mean(),
        "TrimapIoU3-b": trimap[1],
        "BoundaryPrecision-a": precision,
        "BoundaryRecall-a": recall,
        "BoundaryF-a": f,
    }
    scores = metrics.scores(total)
    assert {name: scores[name] for name in expected} == pytest.approx(expected)
    assert all(np.isnan(v) for k, v in scores.items() if k.endswith("-c"))
    assert all(type(value) is float for value in scores.values())


def test_example_in_the_docstring():
    assert doctest.testmod(semantic_metrics, extraglobs={"np": np}) == (0, 5)


def test_unknown_metrics():
    with pytest.raises(ValueError, match=r"\['boundary_ap'\] of label maps; known are"):
        SemanticMetrics(["a"], IGNORE, ["trimap", "boundary_ap"])
