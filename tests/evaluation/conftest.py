"""Two results files on the toy data, and their evaluation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
)


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
