"""Saved predictions for true boxes, two models on the same draws, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_util

from pointrend_ext.evaluation.mask_quality import mask_quality
from pointrend_ext.evaluation.offline import EvaluationOptions, evaluate_files, written_tables
from pointrend_ext.evaluation.offline.bootstrap import draw_images
from pointrend_ext.evaluation.report.page import write_report


@pytest.fixture(scope="module")
def files(toy_truth, instances, tmp_path_factory):
    """Results for every true box; "worse" loses the upper two rows of each mask."""
    folder = tmp_path_factory.mktemp("quality")
    found = {}
    for name, lost in (("good", 1), ("worse", 3)):
        results = []
        for a in toy_truth.dataset["annotations"]:
            if a.get("iscrowd", 0):
                continue
            size_hw = toy_truth.sizes_hw[a["image_id"]]
            mask = mask_util.decode(instances.annotation_rle(a, size_hw))
            rows = np.flatnonzero(mask.any(axis=1))
            mask[rows[:lost]] = 0
            keys = {k: a[k] for k in ("image_id", "category_id", "bbox")}
            shown = {"segmentation": instances.rle(mask), "annotation_id": a["id"]}
            results.append({**keys, "score": 1.0, **shown})
        found[name] = str(folder / f"{name}.json")
        (folder / f"{name}.json").write_text(json.dumps(results))
    return found


def test_two_models_on_the_same_draws(instance_data, files, toy_truth):
    options = EvaluationOptions(("mask_quality",), num_draws=40, seed=3)
    evaluation = evaluate_files(instance_data, files, options)
    weights = draw_images(len(toy_truth.sizes_hw), 40, 3)
    means = {}
    for model in evaluation.models:
        quality = mask_quality(toy_truth, json.loads(Path(files[model.name]).read_text()))
        samples = quality.means(weights)
        for metric, score in model.scores["mask_quality"].items():
            assert score.value == pytest.approx(quality.metrics()[metric], rel=1e-12, nan_ok=True)
        means[model.name] = samples["BoundaryIoU"]
        score = model.scores["mask_quality"]["BoundaryIoU"]
        half = 1.959964 * samples["BoundaryIoU"].std(ddof=1)
        assert (score.low, score.high) == pytest.approx((score.value - half, score.value + half))
    gain = evaluation.differences[0].scores["mask_quality"]["BoundaryIoU"]
    half = 1.959964 * (means["worse"] - means["good"]).std(ddof=1)
    assert gain.high < 0
    assert gain.high - gain.low == pytest.approx(2 * half)
    assert evaluate_files(instance_data, files, options) == evaluation
    text = written_tables(evaluation)
    medium = evaluation.models[0].scores["mask_quality"]["BoundaryIoU-medium"]
    assert f"BoundaryIoU-medium  {medium.value:.2f}" in text
    number = sum(not a.get("iscrowd", 0) for a in toy_truth.dataset["annotations"])
    assert f"mask quality is the mean over {number} objects (small " in text
    assert text.count("without crowds and objects that have no mask (") == 1


def test_it_is_chosen_where_all_have_it(instance_data, files, results_files, few_draws):
    chosen = evaluate_files(instance_data, files, few_draws)
    assert [*chosen.models[0].scores] == ["bbox", "segm", "boundary", "mask_quality"]
    mixed = {**files, "free": results_files["old"]}
    evaluation = evaluate_files(instance_data, mixed, few_draws)
    assert "mask_quality" not in evaluation.models[0].scores
    notice = "mask_quality is not scored: the predictions of ['free'] are not for given boxes."
    assert notice in evaluation.notices
    with pytest.raises(ValueError, match=r"^Predictions of 'free': entry 0 .*annotation_id None"):
        evaluate_files(instance_data, mixed, EvaluationOptions(("mask_quality",)))


def test_the_report_shows_it(instance_data, files, tmp_path):
    pytest.importorskip("jinja2")
    for metrics in (None, ("mask_quality",)):
        evaluation = evaluate_files(instance_data, files, EvaluationOptions(metrics, num_draws=5))
        write_report(evaluation, tmp_path / "report.html")
        text = (tmp_path / "report.html").read_text()
        assert "Masks of given boxes" in text
        assert ("AP by object size" in text) == (metrics is None)
