"""Saved predictions of two models on the toy data: instances with their evaluation, label maps."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.evaluation import SemanticEvaluator
from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
    find_data_set,
)
from pointrend_ext.evaluation.semantic_metrics import BOUNDARY_METRICS


@pytest.fixture(scope="session")
def few_draws():
    return EvaluationOptions(num_draws=20)


@pytest.fixture(scope="session")
def results_files(tmp_path_factory, instances, toy_truth, toy_predictions):
    """File by name; the second is better, has other scores, and a name that must not be HTML."""
    better = instances.spoiled(toy_truth, np.random.default_rng(8), share_missing=0.02)
    files = {}
    for name, predictions in (("old", toy_predictions), ("new & <script>", better)):
        path = tmp_path_factory.mktemp("results") / "results.json"
        path.write_text(json.dumps(predictions))
        files[name] = str(path)
    return files


@pytest.fixture(scope="session")
def instance_data(toy_json):
    return data_set_of_annotations(toy_json, str(toy_json.parents[1] / "val"))


@pytest.fixture(scope="session")
def evaluation(instance_data, results_files, few_draws):
    return evaluate_files(instance_data, results_files, few_draws)


@pytest.fixture(scope="session")
def label_data(toy_root):
    register_toy_datasets(toy_root)
    return find_data_set("toy_sem_seg_val")


@pytest.fixture(scope="session")
def label_files(label_data, tmp_path_factory):
    """Folders "old" and "new", the second also as the evaluator writes it; and its scores."""
    root = tmp_path_factory.mktemp("maps")
    evaluator = SemanticEvaluator(label_data.name, str(root), boundary=BOUNDARY_METRICS)
    evaluator.reset()
    for file, truth_file in zip(label_data.image_files, label_data.truth_files, strict=True):
        truth = np.array(Image.open(truth_file))
        for name, cell in (("old", 9), ("new", 3)):
            size = truth.shape[1] // cell, truth.shape[0] // cell
            coarse = cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST)
            labels = cv2.resize(coarse, truth.shape[::-1], interpolation=cv2.INTER_NEAREST)
            labels[labels == 255] = 0
            path = root / name / truth_file.rsplit("/", 1)[1]
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(labels).save(path)
        evaluator.process([{"file_name": file}], [{"sem_seg": labels.astype(np.int64)}])
    scores = evaluator.evaluate()["sem_seg"]
    files = {"old": root / "old", "new": root / "new", "json": root / "sem_seg_predictions.json"}
    return {name: str(path) for name, path in files.items()}, scores
