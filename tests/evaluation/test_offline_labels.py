"""Saved label maps: folders and results files, the same numbers, bad input."""

from __future__ import annotations

import copy
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from pointrend_ext.evaluation import SemanticEvaluator
from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    evaluate_files,
    find_data_set,
    read_evaluation,
    write_evaluation,
)
from pointrend_ext.evaluation.offline.record import Score
from pointrend_ext.evaluation.semantic_metrics import BOUNDARY_METRICS

FEW = EvaluationOptions(num_draws=10)


@pytest.fixture(scope="module")
def data(toy_root):
    from pointrend_ext.data.toy import register_toy_datasets

    register_toy_datasets(toy_root)
    return find_data_set("toy_sem_seg_val")


def coarse(truth, cell):
    height, width = truth.shape
    small = cv2.resize(truth, (width // cell, height // cell), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


@pytest.fixture(scope="module")
def saved(data, tmp_path_factory):
    """Two models as folders, and the second as the file that the evaluator writes; its scores."""
    root = tmp_path_factory.mktemp("maps")
    evaluator = SemanticEvaluator(data.name, str(root), boundary=BOUNDARY_METRICS)
    evaluator.reset()
    for file, truth_file in zip(data.image_files, data.truth_files, strict=True):
        truth = np.array(Image.open(truth_file))
        for name, cell in (("old", 9), ("new", 3)):
            labels = coarse(truth, cell)
            labels[labels == 255] = 0
            path = root / name / truth_file.rsplit("/", 1)[1]
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(labels).save(path)
        evaluator.process([{"file_name": file}], [{"sem_seg": labels.astype(np.int64)}])
    scores = evaluator.evaluate()["sem_seg"]
    return root, scores


def scores_of(evaluation):
    return evaluation.models[0].scores["sem_seg"]


def test_folder_and_file_have_the_evaluators_scores(data, saved):
    root, expected = saved
    files = {"folder": str(root / "new"), "file": str(root / "sem_seg_predictions.json")}
    found = evaluate_files(data, files, FEW)
    for model in found.models:
        own = {k: v.value for k, v in model.scores["sem_seg"].items()}
        assert own == pytest.approx({k: None if v != v else v for k, v in expected.items()})
    assert found.differences[0].scores["sem_seg"]["mIoU"] == Score(0, 0, 0)
    assert found.data_set.classes == data.class_names


def test_two_models(data, saved, tmp_path):
    root, _ = saved
    found = evaluate_files(data, {n: str(root / n) for n in ("old", "new")}, FEW)
    gain = found.differences[0].scores["sem_seg"]["mBoundaryIoU"]
    assert 0 < gain.low < gain.value < gain.high
    scores = [[e.models[n]["mBoundaryIoU"] for n in ("new", "old")] for e in found.examples]
    spreads = [abs(new - old) for new, old in scores]
    assert len(spreads) == 8
    assert spreads == sorted(spreads, reverse=True)
    write_evaluation(found, tmp_path / "e.json")
    assert read_evaluation(tmp_path / "e.json") == found
    options = EvaluationOptions(("trimap",), num_draws=0)
    scores = scores_of(evaluate_files(data, {"old": str(root / "old")}, options))
    assert "mTrimapIoU1" in scores
    assert "mBoundaryIoU" not in scores
    assert scores["mIoU"].low is None


def test_bad_folders(data, saved, tmp_path):
    root, _ = saved

    def refused(message, error=ValueError, path=tmp_path):
        with pytest.raises(error, match=message):
            evaluate_files(data, {"bad": str(path)}, FEW)

    refused(r".* has no prediction for image '.*\.jpg' \(8 such images of 8\)")
    refused("No such file or directory: '.*gone'", FileNotFoundError, tmp_path / "gone")
    for file in (root / "old").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    Image.new("L", (4, 4)).save(tmp_path / "zebra.png")
    refused(r"zebra\.png. belongs to no image of data set 'toy_sem_seg_val'")
    (tmp_path / "zebra.png").unlink()
    victim = sorted(tmp_path.iterdir())[3]
    good = victim.read_bytes()
    Image.new("L", (4, 5)).save(victim)
    refused(rf"{victim.name}', image '.*jpg': the prediction has \(height, width\) \(5, 4\), the")
    labels = np.array(Image.open(root / "old" / victim.name))
    labels[0, 0] = 77
    Image.fromarray(labels).save(victim)
    refused(rf"{victim.name}', image '.*: the prediction contains the values 77 \(1 pixels\)")
    victim.write_bytes(good[:100])
    refused(rf"{victim.name}' is truncated or corrupt")
    victim.write_bytes(good)
    Image.fromarray(labels).save(victim.with_suffix(".tif"))
    refused(rf"{victim.stem}\.png. and .*{victim.stem}\.tif. are for one image")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"file_name": "x.jpg"},
            r"entry 1 \(.x\.jpg.\) belongs to no image of data set",
        ),
        ({"category_id": 999}, r"entry 1 \(.*its category_id 999 is none of data set"),
        ({"segmentation": {"size": [2, 2], "counts": "4"}}, r"entry 1: .*\(2, 2\), the image"),
        ({"segmentation": {"counts": "4"}}, r"entry 1: the run-length mask has the keys"),
        ({"segmentation": [[1, 2, 3, 4]]}, r"1\.segmentation: Input should be"),
        ({"file_name": None}, r"1\.file_name: Input should be"),
    ],
)
def test_bad_entries(data, saved, write_json, change, message):
    root, _ = saved
    entries = json.loads((root / "sem_seg_predictions.json").read_text())
    bad = copy.deepcopy(entries)
    bad[1].update(change)
    path = write_json(bad, "bad.json")
    with pytest.raises(ValueError, match=rf"Results file '.*bad\.json'.*{message}"):
        evaluate_files(data, {"bad": str(path)}, FEW)


def test_other_bad_files(data, saved, write_json, tmp_path):
    root, _ = saved
    entries = json.loads((root / "sem_seg_predictions.json").read_text())
    last = entries[-1]["file_name"]
    few = write_json([e for e in entries if e["file_name"] != last], "few.json")
    with pytest.raises(ValueError, match=r"no prediction for image .*\(1 such images of 8\)"):
        evaluate_files(data, {"few": str(few)}, FEW)
    for content, message in (
        ("[{", "Invalid JSON: EOF while parsing"),
        ("{}", "Input should be a valid array"),
        ("[{}]", r"0\.file_name: Field required"),
    ):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(ValueError, match=rf"Results file '.*bad\.json': {message}"):
            evaluate_files(data, {"bad": str(tmp_path / "bad.json")}, FEW)
    elsewhere = [{**e, "file_name": "/other/" + e["file_name"].rsplit("/", 1)[1]} for e in entries]
    moved = evaluate_files(data, {"moved": str(write_json(elsewhere, "moved.json"))}, FEW)
    assert scores_of(moved) == scores_of(evaluate_files(data, {"here": str(root / "new")}, FEW))
