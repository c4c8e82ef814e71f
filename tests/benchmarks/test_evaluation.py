"""The benchmark of evaluation: fair, checked, and its table follows from its data."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from detectron2.evaluation import COCOEvaluator

from pointrend_ext.evaluation import InstanceEvaluator
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.results_file import load_results

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "benchmarks" / "evaluation"
TINY = "--images 6 --size 60 80 --classes 4 --objects 3 --per-image 7"


@pytest.fixture(scope="module")
def tool():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        file = ROOT / "tools" / "benchmark_evaluation.py"
        spec = importlib.util.spec_from_file_location("benchmark_evaluation_tool", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture
def run_tool(tool, monkeypatch, capsys):
    """Run it in this process, on the cores that this process has."""
    monkeypatch.setattr(tool, "peak_in_new_process", tool.peak)
    monkeypatch.setattr(tool, "limit_cores", lambda count: None)

    def run(words):
        monkeypatch.setattr(sys, "argv", ["benchmark_evaluation.py", *words.split()])
        tool.main()
        return capsys.readouterr().out

    return run


def test_both_cases(tool, run_tool, toy_json, toy_predictions, write_json, tmp_path):
    predictions = write_json(toy_predictions, "results.json")
    files = f"--annotations {toy_json} --predictions {predictions}"
    printed = run_tool(f"{TINY} {files} --rounds 2 --output {tmp_path / 'out'}")
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    real, synthetic = report["rows"]
    assert (real["case"], synthetic["case"]) == ("instances_val", "synthetic, 80x60")
    assert real["counts"]["predictions"] == len(toy_predictions)
    assert synthetic["counts"]["images"] == 6
    for row in report["rows"]:
        assert set(row["seconds"]) == set(row["peak_mib"]) == set(tool.FORMS)
        seconds = row["seconds"]
        assert row["ratio"] == seconds["detectron2"]["median"] / seconds["ours"]["median"]
        assert all(x["low"] <= x["median"] <= x["high"] for x in seconds.values())
        assert row["equality"] in printed
    assert "compiled COCOeval_opt" in report["backend"]
    table = (tmp_path / "out" / "results.md").read_text()
    assert f"| **{real['ratio']:.1f}** |" in table
    assert f"| {real['counts']['objects']} |" in table
    assert str(tmp_path) not in table  # commands name no folder of this machine
    assert "--annotations instances_val.json" in table


def test_the_timed_scores_are_compared(tool):
    scores = {"AP": 40.0, "AP-a": float("nan")}
    both = {"bbox": scores, "segm": scores}
    results = {form: {k: dict(v) for k, v in both.items()} for form in tool.FORMS}
    results["ours_boundary"]["boundary"] = {"AP": 30.0}
    assert "2 AP differ by at most 0e+00" in tool.compare_results(results)
    results["ours"]["segm"]["AP"] = 40.000002
    with pytest.raises(AssertionError, match=r"ours, segm, AP: 40\.000002, Detectron2 has 40"):
        tool.compare_results(results)
    results["ours"]["segm"]["AP"] = float("nan")
    with pytest.raises(AssertionError, match="segm, AP: nan"):
        tool.compare_results(results)
    results["ours"]["segm"]["AP"] = 40.0
    results["ours_boundary"]["boundary"]["AP"] = 40.1
    with pytest.raises(AssertionError, match=r"Boundary AP is 40\.1"):
        tool.compare_results(results)


def test_every_round_does_the_same(tool, toy_json, toy_predictions, write_json):
    """Evaluators change predictions and annotations; a second round must not feel it."""
    case = tool.EvaluationCase("toy", toy_json, write_json(toy_predictions))
    rounds = []
    for _ in range(2):
        for form in tool.FORMS:
            case.prepare(form)
            before = json.dumps(case._evaluator._coco_api.dataset)
            assert '"segmentation": [[' in before  # polygons, not yet run lengths
            rounds.append(case.evaluate())
    assert rounds[0]["segm"] == pytest.approx(rounds[3]["segm"], nan_ok=True)
    assert rounds[1]["segm"]["AP"] == pytest.approx(rounds[0]["segm"]["AP"])
    assert 5 < rounds[0]["segm"]["AP"] < 95
    names = list(case.forms())
    assert names[:2] == ["prepare detectron2", "detectron2"]


def test_processing_is_not_compared_because_it_is_the_same():
    assert InstanceEvaluator.process is COCOEvaluator.process


def test_synthetic_data_are_reproducible_and_valid(tool, tmp_path):
    spec = tool.SyntheticSpec(images=60, size_hw=(120, 160), classes=5, seed=1)
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        files = tool.write_synthetic_data(tmp_path / name, spec)
        contents.append([file.read_text() for file in files])
    assert contents[0] == contents[1]
    truth = CocoTruth.load(files[0])
    annotations = truth.dataset["annotations"]
    results = load_results(files[1], truth, ("bbox", "segm"))
    assert len(annotations) / 60 == pytest.approx(spec.objects, abs=1.5)
    assert len(results) / 60 == pytest.approx(spec.predictions, abs=2)
    assert {a["category_id"] for a in annotations} == {1, 2, 3, 4, 5}
    crowds = [a for a in annotations if a["iscrowd"]]
    assert crowds
    for crowd in crowds:
        assert sum(crowd["segmentation"]["counts"]) == 120 * 160
        assert sum(crowd["segmentation"]["counts"][1::2]) == crowd["area"]
    assert len({r["score"] for r in results}) > 0.9 * len(results)
    assert np.mean([r["score"] for r in results]) < 0.7


BENCHMARKED = [RESULTS] if (RESULTS / "results.json").is_file() else []


@pytest.mark.parametrize("folder", BENCHMARKED, ids=lambda path: path.name)
def test_the_table_follows_from_the_data_and_stands_in_the_document(folder, tool):
    markdown = importlib.import_module("benchmarking_evaluation.report").markdown
    table = markdown(json.loads((folder / "results.json").read_text()))
    assert (folder / "results.md").read_text() == table
    assert table in (ROOT / "docs" / "evaluation.md").read_text()
