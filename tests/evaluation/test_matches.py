"""AP from match records: equal to the evaluators', and to them on a data set with copied images."""

import numpy as np
import pytest

from pointrend_ext.evaluation.ap_star import ApStar
from pointrend_ext.evaluation.coco_ap import coco_evaluation, coco_precision, precision_of
from pointrend_ext.evaluation.coco_matches import coco_matches, match
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.matches import ClassMatches, MatchTable, average_precisions
from tests.toy_instances import ap, ap_array, as_lvis, columns


def from_matches(truth, predictions, task, weights=None):
    evaluation = coco_evaluation(truth, predictions, task)
    if weights is None:
        weights = np.ones((1, len(truth.sizes_hw)), int)
    found = average_precisions(coco_matches(evaluation, truth.names_by_number), np.asarray(weights))
    return found, ap_array(precision_of(evaluation, truth))


TASKS = pytest.mark.parametrize("task", ["bbox", "segm", "boundary"])


@TASKS
def test_equal_to_the_evaluator(task, scored):
    found, expected = from_matches(*scored, task)
    assert np.nanmax(expected) > 0
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


@TASKS
@pytest.mark.parametrize(("number", "expected"), [(99, 1 / 100), (100, 0)])
def test_the_best_100_of_an_image_and_class_count(instances, task, number, expected):
    truth = instances.truth([(20, 100)], [(0, 0, columns(20), False)])
    wrong, right = columns(20, 60), instances.prediction(0, 0, columns(20), 0.1)
    predictions = [*[instances.prediction(0, 0, wrong, 0.9)] * number, right]
    for found in from_matches(truth, predictions, task):
        assert found.reshape(10, 1, 4)[:, 0, 0] == pytest.approx(np.full(10, expected))


def test_matching_by_hand():
    thresholds = np.array([0.5, 0.75])
    ious = np.array([[0.6, 0.8, 0.9], [0.55, 0.85, 0.9], [0.5, 0.4, 0.9]])
    none = np.zeros((1, 3), dtype=bool)
    free = match(ious, thresholds, none, none[0])
    assert free[:, 0].tolist() == [[2, 1, 0], [2, 1, -1]]
    ignored = np.array([[False, False, True]])  # taken only when nothing else is close enough
    assert match(ious, thresholds, ignored, none[0])[:, 0].tolist() == [[1, 0, 2], [1, 2, -1]]
    crowd = ignored[0]  # and never used up
    assert match(ious, thresholds, ignored, crowd)[:, 0].tolist() == [[1, 0, 2], [1, 2, 2]]
    equal = np.array([[0.7, 0.7, 0.1]])  # COCO takes the last of equal ones
    assert match(equal, thresholds, none, none[0])[:, 0].tolist() == [[1], [-1]]


def copied(truth, predictions, weights):
    """The data set with every image as often as its weight says, and predictions for it."""
    images, annotations, found = [], [], []
    for image, weight in zip(truth.dataset["images"], weights, strict=True):
        for _ in range(weight):
            new = len(images) + 1
            images.append({**image, "id": new})
            own = [a for a in truth.dataset["annotations"] if a["image_id"] == image["id"]]
            for annotation in own:
                annotations.append({**annotation, "id": len(annotations) + 1, "image_id": new})
            of_image = [p for p in predictions if p["image_id"] == image["id"]]
            found += [{**p, "image_id": new} for p in of_image]
    dataset = {**truth.dataset, "images": images, "annotations": annotations}
    return CocoTruth(dataset, "copies"), found


@TASKS
def test_weights_are_copies_of_images(toy_truth, toy_predictions, task):
    scores = np.random.default_rng(1).permutation(len(toy_predictions)) / len(toy_predictions)
    predictions = [{**p, "score": float(s)} for p, s in zip(toy_predictions, scores, strict=True)]
    weights = np.array([[2, 0, 1, 3, 0, 1, 1, 0], [0, 0, 0, 8, 0, 0, 0, 0]])
    ap, _ = from_matches(toy_truth, predictions, task, weights)
    for row, own in zip(ap, weights, strict=True):
        table = coco_precision(*copied(toy_truth, predictions, own), task)
        np.testing.assert_allclose(row, ap_array(table), atol=1e-6)


def test_many_samples_at_once_are_those_one_by_one(toy_truth, toy_predictions, monkeypatch):
    evaluation = coco_evaluation(toy_truth, toy_predictions, "segm")
    table = coco_matches(evaluation, toy_truth.names_by_number)
    weights = np.random.default_rng(0).multinomial(8, [1 / 8] * 8, size=9)
    together = average_precisions(table, weights)
    monkeypatch.setattr("pointrend_ext.evaluation.matches._CHUNK_ELEMENTS", 1)
    np.testing.assert_array_equal(average_precisions(table, weights), together)
    assert np.isnan(together).any()  # a class was not drawn


def test_no_predictions_and_no_truth():
    whole, mask = np.zeros(0, int), np.zeros((2, 1, 0), bool)
    empty = ClassMatches(whole, np.zeros(0), mask, mask, whole, mask[0])
    missed = ClassMatches(whole, np.zeros(0), mask, mask, np.array([1]), np.ones((1, 1), bool))
    table = MatchTable((empty, missed), ("a", "b"), np.array([0.5, 0.75]))
    ap = average_precisions(table, np.array([[1, 1], [2, 0]]))
    assert np.isnan(ap[:, :, 0]).all()
    np.testing.assert_array_equal(ap[:, :, 1, 0], [[0, 0], [np.nan, np.nan]])
    assert average_precisions(table, np.zeros((0, 2), int)).shape == (0, 2, 2, 1)


def test_equal_to_lvis(toy_truth, toy_predictions, write_json):
    pytest.importorskip("lvis")
    first = toy_truth.dataset["images"][0]["id"]
    part = toy_truth.of_images(image_id for image_id in toy_truth.sizes_hw if image_id != first)
    inside = [a for a in toy_truth.dataset["annotations"] if a["image_id"] != first]
    content = as_lvis({**part.dataset, "annotations": inside}, np.random.default_rng(3))
    content["images"].reverse()  # lvis sorts them
    ap_star = ApStar(write_json(content), toy_truth)
    for task in ("segm", "bbox"):
        table, matches = ap_star.precision_and_matches(toy_predictions, task)
        assert 5 < ap(table) < 95
        found = average_precisions(matches, np.ones((1, 8), int))[0]
        np.testing.assert_allclose(found, ap_array(table), atol=1e-6)
    # The first image of the data set is not in the file.
    only_first = average_precisions(matches, np.eye(8, dtype=int)[:1])
    assert np.isnan(only_first).all()
