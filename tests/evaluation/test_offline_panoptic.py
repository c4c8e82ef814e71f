"""Saved panoptic segmentations, scored as the evaluator does; the page about them."""

import json
import shutil
from pathlib import Path

import pytest

from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.evaluation import PanopticEvaluator
from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    evaluate_files,
    find_data_set,
    find_panoptic_data,
    name_predictions,
    read_evaluation,
    written_tables,
)
from pointrend_ext.evaluation.report import write_report
from tests.evaluation.test_panoptic import evaluate

NAME = "toy_panoptic_val"


@pytest.fixture(scope="module")
def predictions(toy_root, tmp_path_factory):
    """Files of a worse and a better model, and the scores that the evaluator gave them."""
    register_toy_datasets(toy_root)
    root, scores = tmp_path_factory.mktemp("segments"), {}
    for name, move in (("old", 6), ("new", 2)):
        evaluator = PanopticEvaluator(NAME, str(root / name), boundary_pq=True)
        scores[name] = evaluate(evaluator, NAME, move=move)
    return {name: str(root / name / "panoptic_predictions.json") for name in scores}, scores


@pytest.fixture(scope="module")
def evaluation(predictions):
    options = EvaluationOptions(num_draws=20)
    return evaluate_files(find_panoptic_data(NAME), predictions[0], options)


def test_scores_are_those_of_the_evaluator(evaluation, predictions):
    for model in evaluation.models:
        got = {k: s.value for k, s in model.scores["panoptic_seg"].items() if s.value is not None}
        expected = {k: v for k, v in predictions[1][model.name].items() if v == v}
        assert got == pytest.approx(expected, abs=1e-12)
        assert model.scores["panoptic_seg"]["PQ"].low < got["PQ"]
    [difference] = evaluation.differences
    gain = difference.scores["panoptic_seg"]["BoundaryPQ"]
    values = [predictions[1][name]["BoundaryPQ"] for name in ("new", "old")]
    assert gain.value == pytest.approx(values[0] - values[1], abs=1e-9)
    assert gain.side_of_zero == 1
    assert evaluation.data_set.kind == "panoptic"
    spreads = [abs(e.models["new"]["BoundaryPQ"] - e.models["old"]["BoundaryPQ"])
               for e in evaluation.images]  # fmt: skip
    assert spreads == sorted(spreads, reverse=True)
    assert len(spreads) == evaluation.data_set.num_images


def test_tables_and_page(evaluation, tmp_path):
    table = written_tables(evaluation)
    assert "Panoptic segments on toy_panoptic_val" in table
    assert "BoundaryPQ_st" in table
    assert "PQ-star" not in table  # single classes are in the CSV
    write_report(evaluation, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert text.count("<figure>") == 2  # PQ and Boundary PQ by class
    assert "BoundaryRQ_th" in text


def test_the_tool(predictions, call_tool, toy_root, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(toy_root))
    files = [f"{name}={file}" for name, file in predictions[0].items()]
    words = ("--dataset", NAME, "--panoptic", "--draws", 0, "--predictions", *files)
    assert call_tool("evaluate", *words, "--output", tmp_path) == 0
    assert "new - old" in capsys.readouterr().out
    assert read_evaluation(tmp_path / "evaluation.json").data_set.kind == "panoptic"
    assert call_tool("evaluate", *words, "--metrics", "trimap") != 0
    assert "Unknown metrics ['trimap'] of panoptic segments" in capsys.readouterr().err
    assert call_tool("evaluate", "--annotations", "a.json", "--panoptic", "--predictions", "b") != 0
    assert "--panoptic goes with --dataset" in capsys.readouterr().err
    assert [*name_predictions([predictions[0]["new"]])] == ["new"]


def test_what_cannot_be_scored(predictions, toy_root, tmp_path):
    register_toy_datasets(toy_root)
    for option in ({"ap_star_file": "a"}, {"max_detections": 3}):
        with pytest.raises(ValueError, match="has panoptic segments: it is for instances"):
            evaluate_files(find_panoptic_data(NAME), {}, EvaluationOptions(**option))
    with pytest.raises(ValueError, match=r"'toy_val' has no panoptic segments\. Leave out --panop"):
        find_panoptic_data("toy_val")
    assert find_data_set(NAME).record.kind == "instances"
    shutil.copytree(predictions[0]["new"].removesuffix(".json"), tmp_path / "p")
    content = json.loads(Path(predictions[0]["new"]).read_text())
    content["annotations"].pop()
    (tmp_path / "p.json").write_text(json.dumps(content))
    options = EvaluationOptions(num_draws=0)
    with pytest.raises(ValueError, match=r"p\.json': 1 of \d+ images have no entry"):
        evaluate_files(find_panoptic_data(NAME), {"p": str(tmp_path / "p.json")}, options)
    shutil.copy(predictions[0]["new"], tmp_path / "p.json")
    (next((tmp_path / "p").iterdir())).unlink()
    with pytest.raises(FileNotFoundError, match=r"\.png' does not exist"):
        evaluate_files(find_panoptic_data(NAME), {"p": str(tmp_path / "p.json")}, options)
