"""AP at single IoU thresholds, against values by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from detectron2.evaluation import COCOEvaluator
from pycocotools import mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pointrend_ext.evaluation import InstanceEvaluator, average_precision_at


def rle(columns):
    """A mask of 20 x 100 pixels that fills the first columns."""
    mask = np.zeros((20, 100), dtype=np.uint8, order="F")
    mask[:, :columns] = 1
    return mask_util.encode(mask)


def evaluate(truth, predictions):
    """truth: filled columns per image; predictions: (image, filled columns, score)."""
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i, "height": 20, "width": 100} for i in range(len(truth))],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {
                "id": i + 1,
                "image_id": i,
                "category_id": 1,
                "iscrowd": 0,
                "area": 20 * columns,
                "bbox": [0, 0, columns, 20],
                "segmentation": rle(columns),
            }
            for i, columns in enumerate(truth)
        ],
    }
    coco.createIndex()
    results = [
        {"image_id": i, "category_id": 1, "score": score, "segmentation": rle(columns)}
        for i, columns, score in predictions
    ]
    evaluation = COCOeval(coco, coco.loadRes(results), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def test_each_threshold_by_hand():
    # IoU .92 and .87 of two objects, the better one first: at .85 both count, at .90 one of two
    # (recall .5, so 51 of 101 recall points have precision 1), at .95 none.
    evaluation = evaluate([100, 100], [(0, 92, 0.9), (1, 87, 0.8)])
    assert average_precision_at(evaluation, 0.85) == pytest.approx(100)
    assert average_precision_at(evaluation, 0.90) == pytest.approx(100 * 51 / 101)
    assert average_precision_at(evaluation, 0.95) == 0
    assert average_precision_at(evaluation, 0.75) == pytest.approx(100 * evaluation.stats[2])


def test_unknown_threshold_is_refused():
    with pytest.raises(ValueError, match=r"No AP at IoU 0\.97"):
        average_precision_at(evaluate([50], [(0, 50, 0.9)]), 0.97)


def test_evaluator_adds_to_detectron2s_numbers(monkeypatch):
    evaluation = evaluate([100, 100], [(0, 92, 0.9), (1, 87, 0.8)])
    monkeypatch.setattr(InstanceEvaluator, "__init__", lambda self: None)
    evaluator = InstanceEvaluator()
    evaluator._logger = SimpleNamespace(info=lambda *_: None, warn=lambda *_: None)
    results = evaluator._derive_coco_results(evaluation, "segm")
    base = COCOEvaluator._derive_coco_results(evaluator, evaluation, "segm")
    assert {k: results[k] for k in base} == pytest.approx(base, nan_ok=True)
    assert results["AP85-95"] == pytest.approx((100 + 100 * 51 / 101 + 0) / 3)
    assert "AP85" not in evaluator._derive_coco_results(evaluation, "bbox")
    nothing = evaluator._derive_coco_results(None, "segm")
    assert np.isnan(nothing["AP85"])
