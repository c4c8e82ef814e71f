"""How many predictions count: COCO's 100, LVIS's 300, or as many as are asked for."""

import json
import logging
import re

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.engine import load_cfg
from pointrend_ext.evaluation import InstanceEvaluator, build_evaluator
from pointrend_ext.evaluation.ap_star import ApStar
from pointrend_ext.evaluation.coco_ap import coco_evaluation, coco_precision, precision_of
from pointrend_ext.evaluation.coco_matches import coco_matches
from pointrend_ext.evaluation.matches import average_precisions
from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
)
from tests.evaluation.oracles import official_precision
from tests.toy_instances import ap, ap_array, as_instances, as_lvis, columns

SIZE_HW = (120, 150)


@pytest.fixture(scope="session")
def crowded(instances):
    """130 squares of one class and 20 of another; as many predictions, some moved, and others."""
    rng = np.random.default_rng(0)
    annotations, predictions = [], []
    for k in range(150):
        y, x = 12 * (k // 15), 10 * (k % 15)
        mask, found = np.zeros((2, *SIZE_HW), np.uint8)
        mask[y : y + 8, x : x + 8] = 1
        moved = int(rng.integers(0, 3))
        found[y : y + 8, x + moved : x + 8 + moved] = 1
        class_index = int(k >= 130)
        annotations.append((0, class_index, mask, False))
        score = round(float(rng.random()), 3)
        predictions.append(instances.prediction(0, class_index, found, score))
        if rng.random() < 0.2:
            predictions.append(instances.prediction(0, class_index, mask, score / 2))
    truth = instances.truth([SIZE_HW], annotations, ("many", "few"))
    return truth, predictions


@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("number", [10, 100, 125, 500])
def test_equal_to_pycocotools(crowded, task, number):
    table = coco_precision(*crowded, task, number)
    expected = official_precision(*crowded, task, max_detections=number)
    np.testing.assert_allclose(table.precision, expected, atol=1e-9)
    evaluation = coco_evaluation(*crowded, task, number)
    found = average_precisions(coco_matches(evaluation, crowded[0].class_names), np.ones((1, 1)))
    expected = ap_array(precision_of(evaluation, crowded[0]))
    np.testing.assert_allclose(found[0], expected, atol=1e-9)


def perfect(truth):
    return [{**a, "score": 0.9 - 0.001 * n} for n, a in enumerate(truth.dataset["annotations"])]


@pytest.mark.parametrize("task", ["bbox", "segm", "boundary"])
def test_by_hand(crowded, task):
    truth = crowded[0]
    # 100 of 130 objects: recall .769, so that 77 of the 101 recall levels have precision 1.
    assert ap(coco_precision(truth, perfect(truth), task), "AP-many") == pytest.approx(7700 / 101)
    assert ap(coco_precision(truth, perfect(truth), task, 129), "AP-many") < 100
    assert ap(coco_precision(truth, perfect(truth), task, 130), "AP-many") == pytest.approx(100)


@pytest.fixture
def data_set(own_catalogs, crowded, write_json):
    path = write_json(crowded[0].dataset, "truth.json")
    DatasetCatalog.register("crowded", list)
    to_contiguous = {1: 0, 2: 1}
    MetadataCatalog.get("crowded").set(
        evaluator_type="coco",
        json_file=str(path),
        thing_dataset_id_to_contiguous_id=to_contiguous,
    )
    return "crowded"


def evaluated(evaluator, truth):
    evaluator.reset()
    outputs = as_instances(perfect(truth), SIZE_HW, {1: 0, 2: 1})
    evaluator.process([{"image_id": 1}], [outputs])
    return evaluator.evaluate()


@pytest.mark.parametrize(("number", "expected"), [(20, 7700 / 101), (100, 7700 / 101), (200, 100)])
def test_the_key_reaches_the_evaluator(data_set, crowded, tmp_path, caplog, number, expected):
    cfg = load_cfg(None, ["TEST.DETECTIONS_PER_IMAGE", number, "TEST.BOUNDARY", ("boundary_ap",)])
    cfg.MODEL.MASK_ON = True
    with caplog.at_level(logging.INFO):
        results = evaluated(build_evaluator(cfg, data_set, str(tmp_path)), crowded[0])
    for task in ("bbox", "segm", "boundary"):
        assert results[task]["AP-many"] == pytest.approx(expected)
        assert results[task]["AP-few"] == pytest.approx(100)
    told = r"30 of 150 \(20.0%\) noted: objects .* beyond the 100 of an image and class.*1 image"
    assert bool(re.search(told, caplog.text)) == (number <= 100)
    told = r"30 of 150 \(20.0%\) left out: predictions beyond the 100 .*DETECTIONS_PER_IMAGE raises"
    assert bool(re.search(told, caplog.text)) == (number <= 100)


def test_ap_star_and_lvis_count_300_of_an_image(crowded, instances, write_json, data_set):
    pytest.importorskip("lvis")
    truth = crowded[0]
    path = write_json(as_lvis(truth.dataset), "lvis.json")
    doubled = [*perfect(truth), *[{**p, "score": p["score"] / 2} for p in perfect(truth)]]
    assert ap(ApStar(path, truth).precision(doubled)) == pytest.approx(100)
    # 140 of all classes together: those of class "few" come last, and half of them are lost.
    few = ApStar(path, truth, 140).precision(doubled)
    assert ap(few, "AP-many") == pytest.approx(100)
    assert ap(few, "AP-few") == pytest.approx(100 * 51 / 101)
    for key, number in ((20, 300), (300, 300), (400, 400)):
        evaluator = InstanceEvaluator(data_set, max_dets_per_image=key, ap_star_file=str(path))
        assert evaluator._ap_star._max_detections == number
        assert evaluator._limit.number == max(key, 100)


def test_offline(crowded, write_json, call_tool, capsys, tmp_path):
    truth = crowded[0]
    paths = [write_json(truth.dataset, "truth.json"), write_json(perfect(truth), "found.json")]
    data = data_set_of_annotations(paths[0])

    def evaluate(**options):
        options = EvaluationOptions(num_draws=3, **options)
        return evaluate_files(data, {"m": str(paths[1])}, options)

    usual, more = evaluate(), evaluate(max_detections=130)
    for task in ("bbox", "segm", "boundary"):
        assert usual.models[0].scores[task]["AP-many"].value == pytest.approx(7700 / 101)
        assert more.models[0].scores[task]["AP"].value == pytest.approx(100)
    beyond = "beyond the 100 of an image and class that count, in 1 image (--max-detections"
    objects, predictions = (n for n in usual.notices if beyond in n)
    assert objects.startswith(f"Annotations {str(paths[0])!r}: 30 of 150 (20.0%) noted: objects ")
    assert predictions.startswith("Predictions of 'm': 30 of 150 (20.0%) left out: predictions ")
    assert predictions.endswith("first: image 1")
    assert [n for n in more.notices if "beyond" in n] == []
    assert "--max-detections: 130 predictions of an image and class count." in more.notices
    words = ("evaluate", "--annotations", paths[0], "--predictions", paths[1], "--draws", 0)
    assert call_tool(*words, "--output", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())["notices"]
    assert f"Notice: {written[0]}\n" in printed
    assert beyond in written[0]
    assert call_tool(*words, "--max-detections", 150) == 0
    assert "beyond" not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        call_tool(*words, "--max-detections", 0)
    assert "--max-detections: 0 is below 1" in capsys.readouterr().err


def test_offline_with_lvis_rules(crowded, write_json):
    pytest.importorskip("lvis")
    truth = crowded[0]
    path = write_json(as_lvis(truth.dataset), "lvis.json")
    files = {"m": str(write_json(perfect(truth), "found.json"))}
    data = data_set_of_annotations(path)
    usual = evaluate_files(data, files, EvaluationOptions(num_draws=3))
    assert usual.models[0].scores["segm"]["AP"].value == pytest.approx(100)
    fewer = evaluate_files(data, files, EvaluationOptions(num_draws=3, max_detections=140))
    assert fewer.models[0].scores["segm"]["AP-few"].value == pytest.approx(100 * 51 / 101)
    assert sum("10 of 150 (6.7%)" in n and "140 of an image that" in n for n in fewer.notices) == 2


def test_what_is_odd_about_the_truth_is_said_by_the_first_of_many_evaluators(
    instances, write_json, own_catalogs, caplog
):
    content = instances.truth([(20, 100)], [(0, 0, columns(50), i) for i in (0, 1)]).dataset
    DatasetCatalog.register("with_crowd", list)
    MetadataCatalog.get("with_crowd").set(json_file=str(write_json(content)))
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            InstanceEvaluator("with_crowd", ("bbox", "segm"))
    assert sum("1 of 2 (50.0%)" in m and "crowd" in m for m in caplog.messages) == 1
