"""LVIS's rules in the evaluator: Detectron2's numbers, and Boundary AP against its definition."""

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import LVISEvaluator
from pycocotools import mask as mask_util

from pointrend_ext.evaluation import InstanceEvaluator
from pointrend_ext.evaluation.ap_star import ApStar
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.lvis_package import imported_lvis
from pointrend_ext.evaluation.matches import average_precisions
from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
)
from tests.evaluation.oracles import slow_boundary_iou
from tests.toy_instances import ap, ap_array, as_instances, as_lvis

pytest.importorskip("lvis")

TASKS = ("bbox", "segm", "boundary")


@pytest.fixture
def lvis_file(toy_truth, write_json):
    """Some classes of an image are unknown, others incomplete, others known to be absent."""
    return write_json(as_lvis(toy_truth.dataset, np.random.default_rng(2)), "lvis.json")


@pytest.fixture
def registered(own_catalogs, lvis_file, toy_truth):
    DatasetCatalog.register("toy_lvis", list)
    MetadataCatalog.get("toy_lvis").set(
        evaluator_type="lvis",
        json_file=str(lvis_file),
        thing_dataset_id_to_contiguous_id=contiguous(toy_truth),
    )
    return "toy_lvis"


def contiguous(truth):
    return {class_id: number for number, class_id in enumerate(truth.class_names)}


def feed(evaluator, truth, predictions, numbers=None):
    evaluator.reset()
    numbers = numbers or contiguous(truth)
    for image_id, size_hw in truth.sizes_hw.items():
        own = [p for p in predictions if p["image_id"] == image_id]
        evaluator.process([{"image_id": image_id}], [as_instances(own, size_hw, numbers)])
    return evaluator


def test_equal_to_detectron2s(registered, toy_truth, toy_predictions, tmp_path):
    ours = InstanceEvaluator(
        registered, ("bbox", "segm"), output_dir=str(tmp_path / "ours"), lvis_rules=True
    )
    ours = feed(ours, toy_truth, toy_predictions).evaluate()
    with imported_lvis():
        theirs = LVISEvaluator(registered, ("bbox", "segm"), output_dir=str(tmp_path / "d2"))
        theirs = feed(theirs, toy_truth, toy_predictions).evaluate()
    for task, expected in theirs.items():
        assert {"AP", "APr", "APc", "APf", "APs"} <= set(expected)
        # The package has -100 per cent where nothing is to be found.
        expected = {k: np.nan if v < 0 else v for k, v in expected.items()}
        own = {k: ours[task][k] for k in expected}
        assert own == pytest.approx(expected, abs=1e-6, nan_ok=True)
        assert 5 < own["AP"] < 95
    assert set(ours["segm"]) - set(theirs["segm"]) == {"AP85", "AP90", "AP95", "AP85-95"}
    files = [tmp_path / folder / "lvis_instances_results.json" for folder in ("ours", "d2")]
    assert files[0].read_text() == files[1].read_text()
    json.dumps(ours)  # plain numbers


def slow_precision(path, predictions):
    """LVIS's precision (T, R, K, A) with an IoU written from the definition of Boundary AP."""
    with imported_lvis() as lvis:

        class Slow(lvis.LVISEval):
            def compute_iou(self, img_id, cat_id):
                true, found = self._get_gt_dt(img_id, cat_id)
                if not true or not found:
                    return []
                found = sorted(found, key=lambda p: -p["score"])
                image = self.lvis_gt.imgs[img_id]
                d = max(1, round(0.02 * (image["height"] ** 2 + image["width"] ** 2) ** 0.5))
                masks, true_masks = (
                    [mask_util.decode(o["segmentation"]) for o in objects]
                    for objects in (found, true)
                )
                ious = [[slow_boundary_iou(m, t, False, d) for t in true_masks] for m in masks]
                return np.array(ious)

        masks = [{k: v for k, v in p.items() if k != "bbox"} for p in predictions]
        evaluation = Slow(str(path), masks, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        return evaluation.eval["precision"]


def test_boundary_ap_equals_the_definition(instances, write_json):
    rng = np.random.default_rng(4)
    sizes = [(70, 90), (50, 40), (60, 100), (8, 160)] * 2
    annotations = []
    for image, (height, width) in enumerate(sizes):
        rows, cols = np.ogrid[:height, :width]
        for _ in range(rng.integers(1, 5)):
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            a, b = rng.uniform(4, height / 1.5), rng.uniform(4, width / 2)
            mask = ((rows - y) / a) ** 2 + ((cols - x) / b) ** 2 < 1
            if mask.any():
                annotations.append((image, int(rng.integers(0, 3)), mask, False))
    truth = instances.truth(sizes, annotations, ("a", "b", "c"))
    predictions = instances.spoiled(truth, rng, 0.05)
    path = write_json(as_lvis(truth.dataset, np.random.default_rng(1)), "lvis.json")
    own = CocoTruth.load(path)
    table, matches = ApStar(path, own).precision_and_matches(predictions, "boundary")
    expected = slow_precision(path, predictions)
    np.testing.assert_allclose(table.precision, expected, atol=1e-9)
    resampled = average_precisions(matches, np.ones((1, len(sizes)), int))[0]
    np.testing.assert_allclose(resampled, ap_array(table), atol=1e-6)
    assert 3 < ap(table) < ap(ApStar(path, own).precision(predictions)) - 1


def test_boundary_ap_of_equal_masks_is_mask_ap(instances, toy_truth, lvis_file):
    sizes = toy_truth.sizes_hw
    truth = CocoTruth.load(lvis_file)
    rng = np.random.default_rng(0)
    same = [  # right masks of which some are of another class
        {
            **a,
            "score": float(rng.random()),
            "category_id": a["category_id"] if rng.random() < 0.7 else 1,
            "segmentation": instances.annotation_rle(a, sizes[a["image_id"]]),
        }
        for a in toy_truth.dataset["annotations"]
        if not a["iscrowd"]
    ]
    rules = ApStar(lvis_file, truth)
    by_task = {task: rules.precision(same, task).precision for task in ("segm", "boundary")}
    # Masks of other objects that overlap: they reach a threshold by mask IoU, not by boundary IoU.
    assert np.abs(by_task["segm"] - by_task["boundary"]).max() < 1e-9
    assert 20 < ap(rules.precision(same)) < 99


def test_evaluator_and_offline_have_boundary_ap(
    registered, lvis_file, toy_truth, toy_predictions, write_json
):
    evaluator = InstanceEvaluator(registered, ("bbox", "segm"), boundary_ap=True, lvis_rules=True)
    results = feed(evaluator, toy_truth, toy_predictions).evaluate()
    assert tuple(results) == TASKS
    files = {"m": str(write_json(toy_predictions, "found.json"))}
    data = data_set_of_annotations(lvis_file)
    offline = evaluate_files(data, files, EvaluationOptions(num_draws=5)).models[0].scores
    assert tuple(offline) == TASKS
    for task in TASKS:
        own = {k: np.nan if v.value is None else v.value for k, v in offline[task].items()}
        own = {k: own[k] for k in results[task]}
        assert own == pytest.approx(results[task], abs=1e-6, nan_ok=True)
    assert results["boundary"]["AP"] < results["segm"]["AP"]
    assert {"APr", "APc", "APf", "AP85-95"} <= set(results["boundary"])
    some = list(toy_truth.sizes_hw)[:4]
    part = feed(evaluator, toy_truth, toy_predictions).evaluate(img_ids=some)
    expected = ApStar(lvis_file, CocoTruth.load(lvis_file).of_images(some))
    expected = expected.precision([p for p in toy_predictions if p["image_id"] in some])
    assert part["segm"]["AP"] == pytest.approx(ap(expected))


def test_without_a_table_of_ids_classes_are_lvis_ids_less_one(own_catalogs, lvis_file, toy_truth):
    """Also where the file lacks some: Detectron2 trains and evaluates so."""
    DatasetCatalog.register("bare_lvis", list)
    MetadataCatalog.get("bare_lvis").set(evaluator_type="lvis", json_file=str(lvis_file))
    evaluator = InstanceEvaluator("bare_lvis", ("segm",), lvis_rules=True)
    own_ids = [*toy_truth.class_names]
    assert own_ids != [*range(1, len(own_ids) + 1)]
    perfect = [{**a, "score": 1.0} for a in toy_truth.dataset["annotations"] if not a["iscrowd"]]
    for p in perfect:
        if isinstance(p["segmentation"], list):
            frame = toy_truth.sizes_hw[p["image_id"]]
            p["segmentation"] = mask_util.merge(mask_util.frPyObjects(p["segmentation"], *frame))
    # A few objects are not in the file: their predictions are wrong.
    numbers = {own: own - 1 for own in own_ids}
    assert 95 < feed(evaluator, toy_truth, perfect, numbers).evaluate()["segm"]["AP"] <= 100


def test_lvis_refuses_what_it_does_not_compute(registered, lvis_file, tmp_path):
    with pytest.raises(ValueError, match=r"This data set is LVIS's own.*empty TEST\.AP_STAR_FILE"):
        InstanceEvaluator(registered, ap_star_file=str(lvis_file), lvis_rules=True)
    with pytest.raises(ValueError, match=r"about masks.*MODEL\.MASK_ON True"):
        InstanceEvaluator(registered, ("bbox",), boundary_ap=True, lvis_rules=True)
    content = json.loads(lvis_file.read_text())
    del content["images"][0]["neg_category_ids"]
    lvis_file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"not in LVIS's format: .*'neg_category_ids'"):
        InstanceEvaluator(registered, lvis_rules=True)


@pytest.mark.parametrize("number", [1, 3])
def test_images_by_and_by(registered, toy_truth, toy_predictions, monkeypatch, number):
    """Matched some images at a time, from the last to the first, with equal scores among them."""
    toy_predictions = [{**p, "score": round(p["score"], 1)} for p in toy_predictions]
    lvis = ApStar(CocoTruth.load(MetadataCatalog.get(registered).json_file).source, toy_truth)
    monkeypatch.setattr("pointrend_ext.evaluation.coco._IMAGES_AT_ONCE", number)
    evaluator = InstanceEvaluator(registered, boundary_ap=True, lvis_rules=True)
    evaluator.reset()
    by_image = {i: [p for p in toy_predictions if p["image_id"] == i] for i in toy_truth.sizes_hw}
    *some, last = reversed(list(by_image))  # of the last, nothing was predicted
    for image_id in some:
        evaluator.shards.write(by_image[image_id])
    found = evaluator.evaluate()
    assert list(found) == [*TASKS]
    rest = [p for p in toy_predictions if p["image_id"] != last]
    for task, metrics in found.items():
        expected = lvis.precision(rest, task).metrics(high_ious=task != "bbox")
        for name in ("AP", "AP50", "AP75", "APs", "APm", "APl"):
            assert metrics[name] == pytest.approx(expected[name], rel=1e-12, nan_ok=True), name
