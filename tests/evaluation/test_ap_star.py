"""AP*: federated rules by hand, the lvis package called by hand, and bad files."""

import json
import logging
from unittest import mock

import numpy as np
import pytest

from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.evaluation import InstanceEvaluator
from pointrend_ext.evaluation.ap_star import ApStar
from pointrend_ext.evaluation.coco_ap import coco_precision
from pointrend_ext.evaluation.lvis_package import imported_lvis
from tests.toy_instances import ap, as_lvis, columns

lvis = pytest.importorskip("lvis")

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def by_hand(json_file, predictions):
    """What the package lvis finds."""
    masks = [{k: v for k, v in p.items() if k != "bbox"} for p in predictions]
    with mock.patch.object(np, "float", float, create=True):
        evaluation = lvis.LVISEval(str(json_file), masks, "segm")
        evaluation.run()
    results = {key: 100 * evaluation.get_results()[key] for key in METRICS}
    return pytest.approx(results, abs=1e-6, nan_ok=True)


def usual(metrics):
    return {key: metrics[key] for key in METRICS}


@pytest.mark.parametrize(
    ("negative", "incomplete", "expected"),
    [
        (False, False, 100),  # nobody looked for b in the second image
        (True, False, 50),  # b is not in the second image: the prediction is wrong
        (False, True, 100),  # incomplete means: annotated, but not all of them
    ],
)
def test_federated_rules_by_hand(instances, write_json, negative, incomplete, expected):
    annotations = [(0, 0, columns(10), False), (0, 1, columns(10, 20), False)]
    if incomplete:
        annotations.append((1, 1, columns(5), False))
    truth = instances.truth([(20, 100)] * 2, annotations, ("a", "b"))
    content = as_lvis(truth.dataset)
    content["images"][1]["neg_category_ids"] = [2] * negative
    content["images"][1]["not_exhaustive_category_ids"] = [2] * incomplete
    right = [(0, 0, columns(10), 0.9), (0, 1, columns(10, 20), 0.5)]
    right += [(1, 1, columns(5), 0.4)] * incomplete
    predictions = [instances.prediction(*p) for p in [*right, (1, 1, columns(10, 20), 0.8)]]
    table = ApStar(write_json(content), truth).precision(predictions)
    assert ap(table, "AP-a") == pytest.approx(100)
    assert ap(table, "AP-b") == pytest.approx(expected)


LVIS_NAMES = {1: "starfish", 2: "cogwheel", 5: "splotch"}


@pytest.mark.parametrize(
    "how",
    [
        {},  # as in the published file: ids of COCO
        {"names": LVIS_NAMES},  # and names of LVIS
        {"new_id": lambda k: 100 - k},  # other ids, found by name
    ],
)
def test_equal_to_lvis_by_hand(how, toy_truth, toy_predictions, write_json):
    path = write_json(as_lvis(toy_truth.dataset, np.random.default_rng(2), **how))
    new_id = how.get("new_id", lambda k: k)
    own = [{**p, "category_id": new_id(p["category_id"])} for p in toy_predictions]
    expected = by_hand(path, own)
    ap_star = ApStar(path, toy_truth)
    for _ in range(2):  # scoring leaves no traces
        table = ap_star.precision(toy_predictions)
        metrics = table.metrics(high_ious=True)
        assert usual(metrics) == expected
    assert 5 < metrics["AP"] < 95
    assert abs(metrics["AP"] - ap(coco_precision(toy_truth, toy_predictions, "segm"))) > 0.1
    assert set(LVIS_NAMES.values()).isdisjoint(table.class_names)
    assert {f"AP-{name}" for name in toy_truth.class_names.values()} <= set(metrics)


def test_fewer_classes_and_images(toy_truth, toy_predictions, write_json, caplog):
    images = list(toy_truth.sizes_hw)[:5]
    content = as_lvis(toy_truth.of_images(images).dataset, np.random.default_rng(2))
    removed = content["categories"].pop()["id"]
    content["annotations"] = [
        a for a in content["annotations"] if a["image_id"] in images and a["category_id"] != removed
    ]
    path = write_json(content)
    within = [p for p in toy_predictions if p["image_id"] in images]
    with caplog.at_level(logging.WARNING):
        ap_star = ApStar(path, toy_truth)
    assert "AP* is computed on 5 images" in caplog.text
    table = ap_star.precision(toy_predictions)
    assert usual(table.metrics(high_ious=False)) == by_hand(path, within)
    assert len(table.class_names) == len(toy_truth.class_names) - 1


def test_nothing_predicted_and_nothing_true(instances, write_json):
    seen, empty = (
        instances.truth([(20, 100)], objects) for objects in ([(0, 0, columns(10), False)], [])
    )
    assert ap(ApStar(write_json(as_lvis(seen.dataset)), seen).precision([])) == 0
    predictions = [instances.prediction(0, 0, columns(10), 0.9)]
    table = ApStar(write_json(as_lvis(empty.dataset)), empty).precision(predictions)
    assert np.isnan(ap(table))


def test_more_than_300_predictions_of_an_image(instances, write_json):
    truth = instances.truth([(20, 100)], [(0, 0, columns(10), False)])
    wrong = instances.prediction(0, 0, columns(10, 20), 0.9)
    right = instances.prediction(0, 0, columns(10), 0.1)
    ap_star = ApStar(write_json(as_lvis(truth.dataset)), truth)
    found = [ap(ap_star.precision([wrong] * n + [right])) for n in (299, 300)]
    assert found == pytest.approx([100 / 300, 0])


def test_evaluator_reports_it(toy_root, toy_truth, toy_predictions, write_json):
    register_toy_datasets(toy_root)
    path = write_json(as_lvis(toy_truth.dataset, np.random.default_rng(2)))
    evaluator = InstanceEvaluator("toy_val", ("bbox", "segm"), ap_star_file=str(path))
    evaluator.reset()
    evaluator.shards.write(toy_predictions)
    some = list(toy_truth.sizes_hw)[2:5]
    for image_ids, truth in ((None, toy_truth), (some, toy_truth.of_images(some))):
        predictions = [p for p in toy_predictions if p["image_id"] in truth.sizes_hw]
        tables = {task: coco_precision(truth, predictions, task) for task in ("bbox", "segm")}
        tables["ap_star"] = ApStar(path, truth).precision(predictions)
        for task, found in evaluator.evaluate(image_ids).items():
            expected = tables.pop(task).metrics(high_ious=task != "bbox")
            assert found == pytest.approx(expected, nan_ok=True)
        assert not tables
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        InstanceEvaluator("toy_val", ("bbox", "segm"), ap_star_file="gone.json")
    with pytest.raises(ValueError, match="about masks"):
        InstanceEvaluator("toy_val", ("bbox",), ap_star_file=str(path))


def test_importing_lvis_leaves_numpy_and_logging():
    handlers = logging.root.handlers[:]
    with imported_lvis() as lvis:
        assert lvis.eval.np.float is float
        assert lvis.eval.np.float64 is np.float64
    assert not hasattr(np, "float")
    assert logging.root.handlers == handlers


def other_classes(content):
    for category, name in zip(content["categories"], "uvwxyz", strict=True):
        category.update(id=category["id"] + 1000, name=name)
    for annotation in content["annotations"]:
        annotation["category_id"] += 1000


def swapped_classes(content):
    first, second = content["categories"][:2]
    first["name"], second["name"] = second["name"], "cogwheel"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda c: c["images"][0].pop("neg_category_ids"),
            r"not in LVIS's format: entry 5000000 of 'images' has no 'neg_category_ids'",
        ),
        (
            lambda c: c["categories"][1].pop("frequency"),
            "entry 2 of 'categories' has no 'frequency'",
        ),
        (
            lambda c: c["annotations"][0].update(segmentation=[]),
            r"entry \S+ of 'annotations' has no 'segmentation'",
        ),
        (other_classes, r"neither by id nor by name, such as 1001 'u', .*prepare_cocofied_lvis"),
        (swapped_classes, r"neither by id nor by name, such as 1 'gear', 2 'cogwheel'"),
        (lambda c: [i.update(id=-i["id"]) for i in c["images"]], "has 0 of the 8 images of"),
        (
            lambda c: c["images"][2].update(height=7),
            r"file for AP\* .*; image \d+ is \(7, \d+\), not \(\d+, \d+\)",
        ),
    ],
)
def test_bad_files(toy_truth, write_json, spoil, message):
    content = as_lvis(json.loads(json.dumps(toy_truth.dataset)))
    spoil(content)
    with pytest.raises(ValueError, match=message):
        ApStar(write_json(content), toy_truth)


@pytest.mark.real_data
def test_on_coco_with_names_of_lvis(coco_truth, coco_predictions, write_json):
    names = {5: "airplane", 72: "television_set", 77: "cellular_telephone", 67: "dining_table"}
    path = write_json(as_lvis(coco_truth.dataset, np.random.default_rng(1), names=names))
    table = ApStar(path, coco_truth).precision(coco_predictions)
    assert usual(table.metrics(high_ious=False)) == by_hand(path, coco_predictions)
