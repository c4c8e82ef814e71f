"""The truth behind every score: ids of any kind, objects without a mask, sizes and names."""

import numpy as np
import pytest

from pointrend_ext.evaluation.coco_ap import coco_precision
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.results_file import check_results
from tests.toy_instances import ap, columns

TASKS = pytest.mark.parametrize("task", ["bbox", "segm", "boundary"])


def content_and_predictions(instances, objects=((0, 0), (0, 1), (1, 0))):
    """Objects of 30 columns, side by side, and predictions equal to them."""
    found = [(image, k, columns(30, 35 * k)) for image, k in objects]
    truth = instances.truth([(20, 100)] * 2, [(*one, False) for one in found], ("disc", "box"))
    content = dict(truth.dataset)
    predictions = [instances.prediction(*one, 0.9) for one in found]
    return content, predictions


def score(path, predictions, task):
    truth = CocoTruth.load(path)
    return coco_precision(truth, check_results(predictions, truth, "these"), task)


@TASKS
@pytest.mark.parametrize("ids", [[1, 2, 3], [0, 1, 2], [-1, 0, 5], ["a", "b", "c"], [None] * 3])
def test_ids_of_annotations_do_not_matter(instances, write_json, ids, task):
    content, predictions = content_and_predictions(instances)
    for entry, own in zip(content["annotations"], ids, strict=True):
        entry["id"] = own
    assert ap(score(write_json(content), predictions, task)) == pytest.approx(100)


@TASKS
def test_ids_of_images_and_classes_may_be_texts(instances, write_json, task):
    content, predictions = content_and_predictions(instances)
    for entry in (*content["annotations"], *predictions):
        entry.update(image_id=f"street/{entry['image_id']}", category_id=f"c{entry['category_id']}")
    for image in content["images"]:
        image["id"] = f"street/{image['id']}"
    for category in content["categories"]:
        category["id"] = f"c{category['id']}"
    table = score(write_json(content), predictions[:2], task)
    assert table.class_names == ("disc", "box")
    metrics = table.metrics(high_ious=False)
    assert metrics["AP-disc"] == pytest.approx(100 * 51 / 101)  # one of two
    assert metrics["AP-box"] == pytest.approx(100)


@pytest.mark.parametrize("empty", [[], None, {}, [[1, 2, 3, 4]]])
def test_an_object_without_a_mask_counts_for_boxes_alone(instances, write_json, empty):
    content, predictions = content_and_predictions(instances)
    content["annotations"][0]["segmentation"] = empty
    truth = CocoTruth.load(write_json(content))
    (line,) = (line for line in truth.findings.lines() if "without a mask" in line)
    assert "1 of 3 (33.3%) noted: objects without a mask" in line
    assert "first: annotation 1 of image 1" in line
    for number in (0, 1):  # with a prediction there, and without
        for task in ("segm", "boundary"):
            assert ap(coco_precision(truth, predictions[number:], task)) == pytest.approx(100)
    assert ap(coco_precision(truth, predictions, "bbox")) == pytest.approx(100)
    # One of the two discs is missed; the box is found.
    missed = coco_precision(truth, predictions[1:], "bbox").metrics(high_ious=False)
    assert missed["AP"] == pytest.approx((100 + 100 * 51 / 101) / 2)


@pytest.mark.parametrize("area", ["absent", None, 0, "600"])
@TASKS
def test_area_is_that_of_the_mask(instances, write_json, area, task):
    content, _ = content_and_predictions(instances, [(0, 0)])
    mask = columns(60)
    mask[:5] = 0  # 900 pixels, in a box of 60 x 15; small
    content["annotations"][0].update(instances.prediction(0, 0, mask, 1))
    content["annotations"][0]["segmentation"] = [[0, 5, 60, 5, 60, 20, 0, 20]]
    content["annotations"][0]["area"] = area
    if area == "absent":
        del content["annotations"][0]["area"]
    path = write_json(content)
    truth = CocoTruth.load(path)
    assert truth.dataset["annotations"][0]["area"] == 900
    metrics = coco_precision(truth, [instances.prediction(0, 0, mask, 1)], task).metrics(
        high_ious=False
    )
    assert metrics["APs"] == pytest.approx(100)
    assert np.isnan(metrics["APm"])


def test_classes_of_one_name_have_two_scores(instances, write_json):
    content, predictions = content_and_predictions(instances)
    for category in content["categories"]:
        category["name"] = "disc"
    metrics = score(write_json(content), [predictions[1]], "segm").metrics(high_ious=False)
    assert metrics["AP-disc (1)"] == 0
    assert metrics["AP-disc (2)"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c["annotations"].clear(), "0 annotations none is an object .*: it is empty"),
        (
            lambda c: [a.update(iscrowd=1) for a in c["annotations"]],
            "of its 3 annotations none is an object to be found: 3 of 3 .*crowd regions",
        ),
        (
            lambda c: [a.update(image_id="1") for a in c["annotations"]],
            r"none is an object to be found: 3 of 3 .*1 is not \"1\", write both",
        ),
    ],
)
def test_nothing_to_be_found(instances, write_json, spoil, message):
    content, _ = content_and_predictions(instances)
    spoil(content)
    with pytest.raises(ValueError, match=message):
        CocoTruth.load(write_json(content))


def test_numbers_lead_back_to_the_file(instances, write_json):
    content, _ = content_and_predictions(instances)
    for entry, own in zip(content["annotations"], [7, 0, "z"], strict=True):
        entry["id"] = own
    truth = CocoTruth.load(write_json(content)).of_images([2])
    numbered = truth.numbered("segm")
    (entry,) = numbered["annotations"]
    assert (entry["id"], entry["image_id"], entry["category_id"]) == (3, 0, 1)
    assert truth.annotation(3)["id"] == "z"
    assert truth.dataset["annotations"][2]["image_id"] == 2
