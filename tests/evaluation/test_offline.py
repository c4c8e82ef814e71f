"""Saved predictions of instances, several models side by side: numbers, files, bad input."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from pointrend_ext.evaluation.coco import score_instances
from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
    find_data_set,
    name_predictions,
    write_csv,
    write_json,
    written_tables,
)

TOOL = Path(__file__).parents[2] / "tools" / "evaluate.py"
FEW = EvaluationOptions(num_draws=20)


@pytest.fixture(scope="module")
def files(tmp_path_factory, instances, toy_truth, toy_predictions):
    """Two results files; the second is better and has other scores."""
    folder = tmp_path_factory.mktemp("results")
    better = instances.spoiled(toy_truth, np.random.default_rng(8), share_missing=0.02)
    paths = {}
    for name, predictions in (("old", toy_predictions), ("new", better)):
        paths[name] = str(folder / f"{name}.json")
        Path(paths[name]).write_text(json.dumps(predictions))
    return paths


@pytest.fixture(scope="module")
def data(toy_json):
    return data_set_of_annotations(toy_json, str(toy_json.parents[1] / "val"))


@pytest.fixture(scope="module")
def evaluation(data, files):
    return evaluate_files(data, files, FEW)


def values(scores):
    return {k: math.nan if v["value"] is None else v["value"] for k, v in scores.items()}


def test_values_are_the_evaluators(evaluation, toy_truth, files):
    tasks = ("bbox", "segm", "boundary")
    for model in evaluation["models"]:
        predictions = json.loads(Path(files[model["name"]]).read_text())
        assert model["num_predictions"] == len(predictions)
        assert tuple(model["scores"]) == tasks
        for task, table in score_instances(toy_truth, predictions, tasks).items():
            own = values(model["scores"][task])
            expected = table.metrics(high_ious=task != "bbox")
            assert {k: own[k] for k in expected} == pytest.approx(expected, nan_ok=True)
            assert own["AP65"] == pytest.approx(table.average_precision(iou=0.65))


def test_differences_are_paired(evaluation, data, files):
    old, new = (model["scores"]["segm"] for model in evaluation["models"])
    (difference,) = evaluation["differences"]
    assert (difference["model"], difference["against"]) == ("new", "old")
    gain = difference["scores"]["segm"]["AP"]
    assert gain["value"] == pytest.approx(new["AP"]["value"] - old["AP"]["value"])
    assert gain["value"] > 0
    assert gain["low"] < gain["value"] < gain["high"]
    same = evaluate_files(data, {"a": files["old"], "b": files["old"]}, FEW)
    for scores in same["differences"][0]["scores"].values():
        for entry in scores.values():
            assert set(entry.values()) in ({0.0}, {None})
    assert same["models"][0]["scores"]["segm"]["AP"]["low"] < old["AP"]["value"]  # it has one


def test_reliability_counts_every_prediction(evaluation, toy_truth, files):
    model = evaluation["models"][0]
    bins = model["reliability"]
    assert [b["low"] for b in bins] == pytest.approx(np.arange(10) / 10)
    assert sum(b["predictions"] for b in bins) == model["num_predictions"]
    for entry in bins:
        assert entry["low"] <= entry["mean_score"] <= entry["high"]
        assert 1 >= entry["precision"]["0.50"] >= entry["precision"]["0.90"] >= 0


def test_examples_name_object_and_prediction(evaluation, toy_truth, files):
    annotations = {a["id"]: a for a in toy_truth.dataset["annotations"]}
    results = {name: json.loads(Path(path).read_text()) for name, path in files.items()}
    spreads = []
    for example in evaluation["examples"]:
        annotation = annotations[example["annotation_id"]]
        assert annotation["image_id"] == example["image_id"]
        assert Path(example["image_file"]).is_file()
        for name, found in example["models"].items():
            assert (found is None) <= (not example["found_by_all"])
            if found is not None:
                prediction = results[name][found["prediction"]]
                assert prediction["image_id"] == example["image_id"]
                assert prediction["category_id"] == annotation["category_id"]
                assert prediction["score"] == found["score"]
                assert found["iou"] >= 0.5
        if example["found_by_all"]:
            both = [found["boundary_iou"] for found in example["models"].values()]
            spreads.append(abs(both[0] - both[1]))
    assert len(spreads) > 3
    assert spreads == sorted(spreads, reverse=True)


def test_boundary_iou_of_an_example_by_hand(instances, write_json):
    # 40 x 30: d = 1. Squares of side 10 and, inside it, 8: boundaries of 36 and 28 pixels that
    # do not meet, mask IoU .64.
    true, found = np.zeros((2, 40, 30), np.uint8)
    true[10:20, 10:20] = found[11:19, 11:19] = 1
    truth = instances.truth([(40, 30)], [(0, 0, true, False), (0, 0, true[::-1], False)])
    predictions = write_json([instances.prediction(0, 0, found, 0.5)], "results.json")
    data = data_set_of_annotations(write_json(truth.dataset, "truth.json"))
    evaluation = evaluate_files(data, {"a": str(predictions)}, FEW)
    first, second = evaluation["examples"]
    assert first["models"]["a"] == pytest.approx(
        {"prediction": 0, "score": 0.5, "iou": 0.64, "boundary_iou": 0}
    )
    assert second["models"]["a"] is None
    assert not second["found_by_all"]


def test_files_and_table(evaluation, tmp_path):
    write_json(evaluation, tmp_path / "a" / "e.json")
    assert json.loads((tmp_path / "a" / "e.json").read_text()) == evaluation
    write_csv(evaluation, tmp_path / "b" / "e.csv")
    with (tmp_path / "b" / "e.csv").open() as file:
        rows = {(r["task"], r["metric"], r["model"]): r for r in csv.DictReader(file)}
    row, entry = rows["segm", "AP75", "new"], evaluation["models"][1]["scores"]["segm"]["AP75"]
    assert [float(row[k]) for k in ("value", "low", "high")] == list(entry.values())
    gain = evaluation["differences"][0]["scores"]["segm"]["AP75"]["value"]
    assert float(row["difference"]) == gain
    assert rows["segm", "AP75", "old"]["difference"] == ""
    text = written_tables(evaluation)
    assert f"{entry['value']:.2f} [{entry['low']:.2f}, {entry['high']:.2f}]" in text
    assert "AP-gear" not in text
    assert "new - old" in text


@pytest.mark.parametrize(
    ("low", "high", "cell"),
    [
        (0.5, 3.5, "+2.00 [+0.50, +3.50] *"),
        (-0.5, 4.5, "+2.00 [-0.50, +4.50]"),
        (None, None, "+2.00"),
    ],
)
def test_a_star_marks_what_excludes_zero(low, high, cell):
    def of(value):
        return {"segm": {"AP": {"value": value, "low": low, "high": high}}}

    table = written_tables(
        {
            "data_set": {"name": "mine", "num_images": 3},
            "intervals": {"draws": 0, "level": 0.95},
            "models": [{"name": "a", "scores": of(1)}, {"name": "b", "scores": of(3)}],
            "differences": [{"model": "b", "against": "a", "scores": of(2)}],
        }
    )
    row = next(line for line in table.splitlines() if line.startswith("AP"))
    assert row.rstrip().endswith(cell)
    assert ("*" in row) == ("*" in cell)


def test_the_tool(files, toy_json, tmp_path, capsys, monkeypatch):
    spec = importlib.util.spec_from_file_location("evaluate_tool", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    words = f"evaluate.py --annotations {toy_json} --predictions old={files['old']}"
    options = f" --predictions {files['new']} --metrics segm --draws 0 --output {tmp_path}"
    monkeypatch.setattr(sys, "argv", (words + options).split())
    tool.main()
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert [model["name"] for model in written["models"]] == ["old", "new"]
    assert written["models"][0]["scores"]["segm"]["AP"]["low"] is None
    value = written["models"][0]["scores"]["segm"]["AP"]["value"]
    assert f"{value:.2f}" in capsys.readouterr().out
    assert (tmp_path / "evaluation.csv").is_file()


def test_the_tool_names_mistakes(files, toy_json, write_json, capsys, monkeypatch):
    spec = importlib.util.spec_from_file_location("evaluate_tool", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    predictions = json.loads(Path(files["old"]).read_text())[:3]
    predictions[2]["image_id"] = 17
    bad = write_json(predictions, "bad.json")
    words = f"evaluate.py --annotations {toy_json} --predictions good={files['old']} {bad}"
    monkeypatch.setattr(sys, "argv", words.split())
    assert tool.main() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(
        f"evaluate.py: error: Results file '{bad}': entry 2 (image_id 17): its"
    )


def as_lvis(dataset):
    return {
        "images": [
            {**i, "neg_category_ids": [], "not_exhaustive_category_ids": []}
            for i in dataset["images"]
        ],
        "categories": [
            {**c, "frequency": "rcf"[n % 3]} for n, c in enumerate(dataset["categories"])
        ],
        "annotations": [a for a in dataset["annotations"] if not a.get("iscrowd")],
    }


def test_ap_star_and_lvis(data, files, toy_truth, write_json):
    pytest.importorskip("lvis")
    from pointrend_ext.evaluation.ap_star import ApStar

    path = write_json(as_lvis(toy_truth.dataset), "lvis.json")
    predictions = json.loads(Path(files["old"]).read_text())
    expected = ApStar(path, toy_truth).precision(predictions)
    options = EvaluationOptions(("ap_star",), str(path), num_draws=5)
    found = evaluate_files(data, {"old": files["old"]}, options)
    star = values(found["models"][0]["scores"]["ap_star"])
    metrics = expected.metrics(high_ious=True)
    assert {k: star[k] for k in metrics} == pytest.approx(metrics, nan_ok=True)
    lvis = data_set_of_annotations(path)
    assert lvis.has_lvis_rules
    found = evaluate_files(lvis, {"old": files["old"]}, EvaluationOptions(num_draws=5))
    scores = values(found["models"][0]["scores"]["segm"])
    assert {k: scores[k] for k in metrics} == pytest.approx(metrics, nan_ok=True)
    rare = [f"AP-{c['name']}" for c in toy_truth.dataset["categories"][::3]]
    assert scores["APr"] == pytest.approx(np.nanmean([scores[name] for name in rare]))
    with pytest.raises(ValueError, match="LVIS's rules: choose from 'bbox' and 'segm'"):
        evaluate_files(lvis, files, EvaluationOptions(("boundary",)))
    with pytest.raises(ValueError, match=r"AP\* needs annotations in LVIS's format"):
        evaluate_files(data, files, EvaluationOptions(("ap_star",)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 17}, r"'.*bad\.json': entry 1 \(image_id 17\): its image_id 17 is not among"),
        ({"category_id": 77}, r"entry 1 .*its category_id 77 is not among"),
        ({"score": None}, r"entry 1 .*its score is None"),
        ({"segmentation": {"size": [5, 5], "counts": "0"}}, r"entry 1 .*\(5, 5\), the image"),
        ({"segmentation": {"size": None, "counts": "~~"}}, r"entry 1 .*COCO's compressed format"),
    ],
)
def test_bad_predictions_are_named(data, files, write_json, change, message):
    predictions = json.loads(Path(files["old"]).read_text())[:3]
    if change.get("segmentation", {}).get("size", 0) is None:
        change["segmentation"]["size"] = predictions[1]["segmentation"]["size"]
    predictions[1].update(change)
    bad = write_json(predictions, "bad.json")
    with pytest.raises(ValueError, match=message):
        evaluate_files(data, {"good": files["old"], "bad": str(bad)}, FEW)


def test_bad_requests_are_refused(data, files):
    with pytest.raises(ValueError, match=r"no metrics \['segn'\] of instances; choose from"):
        evaluate_files(data, files, EvaluationOptions(("segn",)))
    with pytest.raises(FileNotFoundError, match=r"no results file 'gone\.json'"):
        evaluate_files(data, {"a": "gone.json"}, FEW)
    with pytest.raises(ValueError, match="'toy_valley' is not a registered data set"):
        find_data_set("toy_valley")
    with pytest.raises(ValueError, match="between 0 and 1"):
        EvaluationOptions(level=95)
    with pytest.raises(ValueError, match="draws is -1"):
        EvaluationOptions(num_draws=-1)


def test_names_of_predictions(tmp_path):
    for run in ("a", "b"):
        (tmp_path / run / "inference").mkdir(parents=True)
        (tmp_path / run / "inference" / "coco_instances_results.json").write_text("[]")
    usual = [str(tmp_path / r / "inference" / "coco_instances_results.json") for r in "ab"]
    assert name_predictions(usual) == {"a": usual[0], "b": usual[1]}
    assert name_predictions(["x=p/q.json", "r.json"]) == {"x": "p/q.json", "r": "r.json"}
    with pytest.raises(ValueError, match="Two predictions are called 'r'"):
        name_predictions(["p/r.json", "q/r.json"])


def test_nothing_predicted(data, write_json):
    found = evaluate_files(data, {"none": str(write_json([], "none.json"))}, FEW)
    assert values(found["models"][0]["scores"]["bbox"])["AP"] == 0
    options = EvaluationOptions(("segm", "boundary"), num_draws=5)
    found = evaluate_files(data, {"none": str(write_json([], "none.json"))}, options)
    assert values(found["models"][0]["scores"]["boundary"])["AP"] == 0
    assert all(not example["found_by_all"] for example in found["examples"])
    json.dumps(found, allow_nan=False)
