"""COCO AP: by hand, against pycocotools, and through the evaluator against Detectron2's."""

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm

from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.evaluation import InstanceEvaluator
from pointrend_ext.evaluation.coco_ap import coco_precision
from pointrend_ext.evaluation.coco_truth import CocoTruth
from tests.evaluation.oracles import official_precision
from tests.toy_instances import ap, as_instances, columns


def test_each_threshold_by_hand(instances):
    # IoU .92 and .87 of two objects, the better one first: at .85 both count, at .90 one of two
    # (recall .5, so 51 of 101 recall points have precision 1), at .95 none.
    truth = instances.truth(
        [(20, 100)] * 2, [(0, 0, columns(100), False), (1, 0, columns(100), False)]
    )
    found = ((0, 0, columns(92), 0.9), (1, 0, columns(87), 0.8))
    predictions = [instances.prediction(*one) for one in found]
    for task in ("bbox", "segm"):
        table = coco_precision(truth, predictions, task)
        half = 100 * 51 / 101
        assert ap(table, "AP85") == pytest.approx(100)
        assert ap(table, "AP90") == pytest.approx(half)
        assert ap(table, "AP95") == 0
        assert ap(table) == pytest.approx((8 * 100 + half) / 10)
        assert table.metrics(high_ious=True)["AP85-95"] == pytest.approx((100 + half) / 3)
        # 2000 pixels: medium
        assert ap(table, "APm") == ap(table)
        assert np.isnan(ap(table, "APs"))
    assert "AP85" not in table.metrics(high_ious=False)
    assert "AP-thing" not in table.metrics(high_ious=False)  # one class: it is AP
    one = coco_precision(truth.of_images([1]), predictions[:1], "segm")
    assert ap(one, "AP90") == pytest.approx(100)


@pytest.mark.parametrize("task", ["bbox", "segm", "boundary"])
def test_nothing_predicted_and_nothing_true(instances, task):
    truth = instances.truth([(20, 100)], [(0, 0, columns(50), False)], ("seen", "unseen"))
    metrics = coco_precision(truth, [], task).metrics(high_ious=True)
    assert metrics["AP"] == metrics["AP50"] == metrics["AP-seen"] == metrics["AP85-95"] == 0
    assert metrics["APs"] == 0  # 1000 pixels
    assert np.isnan(metrics["APl"])
    assert np.isnan(metrics["AP-unseen"])
    nothing_true = instances.truth([(20, 100)], [])
    predictions = [instances.prediction(0, 0, columns(50), 0.5)]
    assert np.isnan(ap(coco_precision(nothing_true, predictions, task)))


@pytest.mark.parametrize("task", ["segm", "boundary"])
def test_crowds_by_hand(instances, task):
    # The crowd covers columns 50 to 99. A prediction inside it is neither right nor wrong, however
    # many there are; one that is half inside (IoU with a crowd: the share inside) is wrong at .55.
    masks = [columns(40), columns(50, 50)]
    truth = instances.truth([(20, 100)], [(0, 0, masks[0], False), (0, 0, masks[1], True)])
    inside = [instances.prediction(0, 0, columns(10, 50 + 10 * i), 0.9) for i in range(4)]
    right = instances.prediction(0, 0, columns(40), 0.5)
    assert ap(coco_precision(truth, [*inside, right], task)) == pytest.approx(100)
    half_inside = instances.prediction(0, 0, columns(10, 45), 0.9)
    table = coco_precision(truth, [half_inside, right], task)
    assert ap(table, "AP50") == pytest.approx(100)
    assert ap(table, "AP55") == pytest.approx(50)


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_equal_to_pycocotools(scored, task):
    table = coco_precision(*scored, task)
    expected = official_precision(*scored, task)
    assert 0.1 < expected[expected > -1].mean() < 0.9
    np.testing.assert_allclose(table.precision, expected, atol=1e-6)


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_equal_scores_of_images_whose_ids_do_not_rise_in_the_file(instances, task):
    """As in COCO's own files: pycocotools ranks them by the ids of the images."""
    masks = [columns(50), columns(50, 50)]
    truth = instances.truth([(20, 100)] * 2, [(0, 0, masks[0], False), (1, 0, masks[0], False)])
    truth.dataset["images"].reverse()
    right, wrong = (instances.prediction(i, 0, m, 0.5) for i, m in enumerate(masks))
    for predictions in ([right, wrong], [wrong, right]):
        table = coco_precision(truth, predictions, task)
        np.testing.assert_allclose(table.precision, official_precision(truth, predictions, task))
        assert ap(table) == pytest.approx(100 * 51 / 101)  # the first of two objects is found


def test_image_ids_may_be_words(instances):
    truth = instances.truth([(20, 100)] * 2, [(1, 0, columns(50), False)])
    predictions = [instances.prediction(1, 0, columns(40), 0.5)]
    expected = ap(coco_precision(truth, predictions, "segm"))
    for entry in (*truth.dataset["images"], *truth.dataset["annotations"], *predictions):
        key = "image_id" if "image_id" in entry else "id"
        entry[key] = f"street/{entry[key]}"
    named = CocoTruth(truth.dataset, "named")
    table = coco_precision(named.of_images(["street/2"]), predictions, "segm")
    assert ap(table) == expected == pytest.approx(70)


# ---- the evaluator


@pytest.fixture
def processed(toy_root, toy_truth, toy_predictions):
    """Feeds the predictions to an evaluator, as a model would."""
    register_toy_datasets(toy_root)
    DatasetCatalog.get("toy_val")  # fills the metadata
    to_contiguous = MetadataCatalog.get("toy_val").thing_dataset_id_to_contiguous_id

    def process(evaluator, image_ids=None):
        evaluator.reset()
        for image_id in image_ids or toy_truth.sizes_hw:
            size_hw = toy_truth.sizes_hw[image_id]
            predictions = [p for p in toy_predictions if p["image_id"] == image_id]
            outputs = [as_instances(predictions, size_hw, to_contiguous)]
            evaluator.process([{"image_id": image_id}], outputs)
        return evaluator

    return process


def test_evaluator_equals_detectron2s(processed, tmp_path):
    ours = processed(InstanceEvaluator("toy_val", output_dir=str(tmp_path / "ours"))).evaluate()
    theirs = processed(COCOEvaluator("toy_val", output_dir=str(tmp_path / "d2"))).evaluate()
    assert list(ours) == ["bbox", "segm"]
    assert ours["bbox"] == pytest.approx(theirs["bbox"], abs=1e-6, nan_ok=True)
    high = {"AP85", "AP90", "AP95", "AP85-95"}
    assert set(ours["segm"]) == set(theirs["segm"]) | high
    for key, value in theirs["segm"].items():
        assert ours["segm"][key] == pytest.approx(value, abs=1e-6, nan_ok=True), key
    results = [tmp_path / folder / "coco_instances_results.json" for folder in ("ours", "d2")]
    assert results[0].read_text() == results[1].read_text()


def test_evaluator_with_boundary_ap(processed, toy_truth, toy_predictions):
    evaluator = InstanceEvaluator("toy_val", ("bbox", "segm"), boundary_ap=True)
    results = processed(evaluator).evaluate()
    assert list(results) == ["bbox", "segm", "boundary"]
    for task, found in results.items():
        table = coco_precision(toy_truth, toy_predictions, task)
        assert found == pytest.approx(table.metrics(high_ious=task != "bbox"), nan_ok=True)
    assert 0 < results["boundary"]["AP"] < results["segm"]["AP"]


def test_evaluator_when_a_model_finds_nothing(processed):
    evaluator = InstanceEvaluator("toy_val", ("bbox", "segm"), boundary_ap=True)
    evaluator.reset()
    evaluator.process([{"image_id": 1}], [as_instances([], (20, 30), {})])
    results = evaluator.evaluate()
    assert [results[task]["AP"] for task in ("bbox", "segm", "boundary")] == [0, 0, 0]


def test_proposals_of_which_a_process_without_an_image_has_none(processed, monkeypatch):
    """It would wait for files that the others do not write."""
    evaluator = InstanceEvaluator("toy_val", ("bbox",))
    evaluator.reset()
    monkeypatch.setattr(comm, "all_gather", lambda own: [own, True])
    monkeypatch.setattr(COCOEvaluator, "evaluate", lambda *_: "together")
    assert evaluator.evaluate() == "together"


def test_evaluator_refuses(processed, monkeypatch):
    with pytest.raises(ValueError, match=r"it knows 'bbox' and 'segm'"):
        InstanceEvaluator("toy_val", ("bbox", "keypoints"))
    with monkeypatch.context() as patch:
        patch.setattr(comm, "get_world_size", lambda: 2)
        with pytest.raises(ValueError, match="distributed is False, but this is one of 2"):
            InstanceEvaluator("toy_val", ("bbox",), False)
    with pytest.raises(ValueError, match=r"about masks.*set MODEL\.MASK_ON True"):
        InstanceEvaluator("toy_val", ("bbox",), boundary_ap=True)
    evaluator = processed(InstanceEvaluator("toy_val", ("bbox", "segm")))
    image_id = next(iter(evaluator._truth.sizes_hw))
    found = Instances(
        (7, 9),
        pred_boxes=Boxes(torch.ones(1, 4)),
        pred_masks=torch.ones(1, 7, 9, dtype=torch.bool),
        pred_classes=torch.tensor([0]),
        scores=torch.ones(1),
    )
    evaluator.process([{"image_id": image_id}], [{"instances": found}])
    size = r"Predictions on 'toy_val': entry \d+ .*\(height, width\) \(7, 9\), the image \("
    with pytest.raises(ValueError, match=size):
        evaluator.evaluate()
    found.pred_classes += 99
    with pytest.raises(ValueError, match=r"class 99, but data set 'toy_val' has \d+ classes"):
        evaluator.process([{"image_id": image_id}], [{"instances": found}])
