"""Saved predictions of instances, several models side by side: numbers, files, bad input."""

import csv
import json
import math
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from pointrend_ext.evaluation.coco_ap import coco_precision
from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
    find_data_set,
    name_predictions,
    read_evaluation,
    write_csv,
    write_evaluation,
    written_tables,
)
from pointrend_ext.evaluation.offline.record import FoundObject, Score
from tests.toy_instances import as_lvis


def values(scores):
    return {k: math.nan if v.value is None else v.value for k, v in scores.items()}


def test_values_are_the_evaluators(evaluation, toy_truth):
    tasks = ("bbox", "segm", "boundary")
    for model in evaluation.models:
        predictions = json.loads(Path(model.predictions).read_text())
        assert model.num_predictions == len(predictions)
        assert tuple(model.scores) == tasks
        for task in tasks:
            table = coco_precision(toy_truth, predictions, task)
            own = values(model.scores[task])
            expected = table.metrics(high_ious=task != "bbox")
            assert {k: own[k] for k in expected} == pytest.approx(expected, nan_ok=True)
            assert own["AP65"] == pytest.approx(
                table.metrics(high_ious=False, every_iou=True)["AP65"]
            )


def test_differences_are_paired(evaluation, instance_data, few_draws):
    old, new = evaluation.models
    (difference,) = evaluation.differences
    assert (difference.model, difference.against) == (new.name, old.name)
    gain = difference.scores["segm"]["AP"]
    before = old.scores["segm"]["AP"]
    assert gain.value == pytest.approx(new.scores["segm"]["AP"].value - before.value)
    assert gain.value > 0
    assert gain.low < gain.value < gain.high
    same = evaluate_files(instance_data, dict.fromkeys("ab", old.predictions), few_draws)
    for scores in same.differences[0].scores.values():
        assert set(scores.values()) <= {Score(0.0, 0.0, 0.0), Score(None)}
        assert scores["AP"] == Score(0.0, 0.0, 0.0)
    assert same.models[0].scores["segm"]["AP"].low < before.value  # it has one


def test_reliability_counts_every_prediction(evaluation):
    model = evaluation.models[0]
    assert [r.low for r in model.reliability] == pytest.approx(np.arange(10) / 10)
    assert sum(r.predictions for r in model.reliability) == model.num_predictions
    for entry in model.reliability:
        assert entry.low <= entry.mean_score <= entry.high
        assert 1 >= entry.precision["0.50"] >= entry.precision["0.90"] >= 0


def test_examples_name_object_and_prediction(evaluation, toy_truth):
    annotations = {a["id"]: a for a in toy_truth.dataset["annotations"]}
    results = {m.name: json.loads(Path(m.predictions).read_text()) for m in evaluation.models}
    spreads = []
    for example in evaluation.examples:
        annotation = annotations[example.annotation_id]
        assert annotation["image_id"] == example.image_id
        assert Path(example.image_file).is_file()
        assert example.found_by_all == (None not in example.models.values())
        for name, found in example.models.items():
            if found is not None:
                prediction = results[name][found.prediction]
                assert prediction["image_id"] == example.image_id
                assert prediction["category_id"] == annotation["category_id"]
                assert prediction["score"] == found.score
                assert found.iou >= 0.5
        if example.found_by_all:
            both = [found.boundary_iou for found in example.models.values()]
            spreads.append(abs(both[0] - both[1]))
    assert len(spreads) > 3
    assert spreads == sorted(spreads, reverse=True)


def test_boundary_iou_of_an_example_by_hand(instances, write_json, few_draws):
    # 40 x 30: d = 1. Squares of side 10 and, inside it, 8: boundaries of 36 and 28 pixels that
    # do not meet, mask IoU .64.
    true, found = np.zeros((2, 40, 30), np.uint8)
    true[10:20, 10:20] = found[11:19, 11:19] = 1
    truth = instances.truth([(40, 30)], [(0, 0, true, False), (0, 0, true[::-1], False)])
    predictions = write_json([instances.prediction(0, 0, found, 0.5)], "results.json")
    data = data_set_of_annotations(write_json(truth.dataset, "truth.json"))
    first, second = evaluate_files(data, {"a": str(predictions)}, few_draws).examples
    assert first.models["a"] == FoundObject(0, 0.5, pytest.approx(0.64), 0)
    assert second.models["a"] is None
    assert not second.found_by_all


def test_files_and_table(evaluation, tmp_path):
    write_evaluation(evaluation, tmp_path / "a" / "e.json")
    assert read_evaluation(tmp_path / "a" / "e.json") == evaluation
    write_csv(evaluation, tmp_path / "b" / "e.csv")
    with (tmp_path / "b" / "e.csv").open() as file:
        rows = {(r["task"], r["metric"], r["model"]): r for r in csv.DictReader(file)}
    old, new = evaluation.models
    row, score = rows["segm", "AP75", new.name], new.scores["segm"]["AP75"]
    assert astuple(score) == tuple(float(row[key]) for key in ("value", "low", "high"))
    gain = evaluation.differences[0].scores["segm"]["AP75"].value
    assert float(row["difference"]) == gain
    assert rows["segm", "AP75", old.name]["difference"] == ""
    text = written_tables(evaluation)
    assert f"{score.value:.2f} [{score.low:.2f}, {score.high:.2f}]" in text
    assert "AP-gear" not in text
    assert f"{new.name} - old" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version: Input should be 1"),
        ({"models": []}, "models: Tuple should have at least 1 item"),
        ({"intervals": {"draws": 20, "seed": 0}}, r"intervals\.level: Field required"),
        ({"examples": [{"image_id": 3}]}, r"examples\..*: Field required"),
    ],
)
def test_evaluations_of_another_shape_are_refused(evaluation, tmp_path, change, message):
    path = tmp_path / "e.json"
    write_evaluation(evaluation, path)
    content = json.loads(path.read_text())
    assert content.pop("version") == 1
    path.write_text(json.dumps(content))  # as it was written before there were versions
    assert read_evaluation(path) == evaluation
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=rf"^Evaluation '.*e\.json': {message}.*\.$"):
        read_evaluation(path)


def test_the_tool(call_tool, capsys, results_files, toy_json, tmp_path):
    words = [f"{name}={file}" for name, file in results_files.items()]
    options = ("--metrics", "segm", "--draws", 0, "--output", tmp_path)
    files = ("--predictions", words[0], "--predictions", words[1])
    assert call_tool("evaluate", "--annotations", toy_json, *files, *options) == 0
    written = read_evaluation(tmp_path / "evaluation.json")
    assert [model.name for model in written.models] == [*results_files]
    score = written.models[0].scores["segm"]["AP"]
    assert score.low is None
    assert f"{score.value:.2f}" in capsys.readouterr().out
    assert (tmp_path / "evaluation.csv").is_file()


def test_the_tool_names_mistakes(call_tool, capsys, results_files, toy_json, write_json):
    predictions = json.loads(Path(results_files["old"]).read_text())[:3]
    predictions[2]["image_id"] = 17
    bad = write_json(predictions, "bad.json")
    files = ("--predictions", f"good={results_files['old']}", bad)
    assert call_tool("evaluate", "--annotations", toy_json, *files) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("evaluate.py: ")
    assert f"Results file '{bad}': entry 2 (image_id 17): its" in printed.err


def test_ap_star_and_lvis(instance_data, results_files, toy_truth, write_json):
    pytest.importorskip("lvis")
    from pointrend_ext.evaluation.ap_star import ApStar

    path = write_json(as_lvis(toy_truth.dataset), "lvis.json")
    old = {"old": results_files["old"]}
    expected = ApStar(path, toy_truth).precision(json.loads(Path(old["old"]).read_text()))
    metrics = expected.metrics(high_ious=True)
    options = EvaluationOptions(("ap_star",), str(path), num_draws=5)
    star = values(evaluate_files(instance_data, old, options).models[0].scores["ap_star"])
    assert {k: star[k] for k in metrics} == pytest.approx(metrics, nan_ok=True)
    lvis = data_set_of_annotations(path)
    assert lvis.has_lvis_rules
    found = evaluate_files(lvis, old, EvaluationOptions(num_draws=5)).models[0].scores["segm"]
    scores = values(found)
    assert {k: scores[k] for k in metrics} == pytest.approx(metrics, nan_ok=True)
    rare = [f"AP-{c['name']}" for c in toy_truth.dataset["categories"][::3]]
    assert scores["APr"] == pytest.approx(np.nanmean([scores[name] for name in rare]))
    assert found["APr"].low < scores["APr"] < found["APr"].high
    for refused in (EvaluationOptions(("ap_star",)), EvaluationOptions(None, str(path))):
        with pytest.raises(
            ValueError, match=r"choose from \['bbox', 'segm', 'boundary', 'mask_quality'\], not"
        ):
            evaluate_files(lvis, old, refused)


def test_bad_requests_are_refused(instance_data, results_files, few_draws):
    with pytest.raises(ValueError, match=r"choose from \['bbox', .*\], not \['segn'\]"):
        evaluate_files(instance_data, results_files, EvaluationOptions(("segn",)))
    with pytest.raises(ValueError, match=r"AP\* needs annotations in LVIS's format"):
        evaluate_files(instance_data, results_files, EvaluationOptions(("ap_star",)))
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        evaluate_files(instance_data, {"a": "gone.json"}, few_draws)
    with pytest.raises(ValueError, match="'toy_valley' is not a registered data set"):
        find_data_set("toy_valley")
    for key, value, message in (("level", 95, "level 95"), ("num_draws", -1, "draws is -1")):
        with pytest.raises(ValueError, match=rf"{message}.*between 0 and 1"):
            EvaluationOptions(**{key: value})


def test_names_of_predictions():
    usual = [f"{run}/inference/coco_instances_results.json" for run in "ab"]
    assert name_predictions(usual) == {"a": usual[0], "b": usual[1]}
    assert name_predictions(["x=p/q.json", "r.json"]) == {"x": "p/q.json", "r": "r.json"}
    with pytest.raises(ValueError, match="Two predictions are called 'r'"):
        name_predictions(["p/r.json", "q/r.json"])


@pytest.mark.parametrize(("metrics", "last"), [(None, "bbox"), (("segm", "boundary"), "boundary")])
def test_nothing_predicted(instance_data, write_json, metrics, last):
    none = {"none": str(write_json([], "none.json"))}
    found = evaluate_files(instance_data, none, EvaluationOptions(metrics, num_draws=5))
    assert found.models[0].scores[last]["AP"].value == 0
    assert not any(example.found_by_all for example in found.examples)
