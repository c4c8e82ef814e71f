"""``pointrend eval`` gives the scores of ``--eval-only``, with ``--json`` alone on stdout."""

import json

import pytest
import torch
from detectron2.modeling import build_model

from pointrend_ext import cli
from pointrend_ext.engine import load_cfg, setup_cfg, train_or_evaluate


@pytest.fixture
def evaluation(tiny_run, tmp_path):
    """Words for an evaluation of random weights, and their configuration."""
    config, opts = tiny_run().config_file, [*map(str, tiny_run().opts)]
    model = build_model(load_cfg(config, [*opts, "MODEL.DEVICE", "cpu"]))
    torch.save({"model": model.state_dict()}, tmp_path / "w.pth")
    words = ["eval", "--config-file", config, "--weights", str(tmp_path / "w.pth"), *opts]
    given = tiny_run("--eval-only", opts=["MODEL.WEIGHTS", str(tmp_path / "w.pth")])
    return words, given


def test_scores(evaluation, capfd):
    words, given = evaluation
    assert cli.main([*words, "--json"]) == 0
    printed = capfd.readouterr()
    scores = json.loads(printed.out)
    assert "Evaluation results for toy_val" in printed.err
    expected = train_or_evaluate(setup_cfg(given), eval_only=True)
    assert scores.keys() == expected.keys() == {"bbox", "segm"}
    for task, metrics in expected.items():
        assert scores[task].keys() == metrics.keys()
        for metric, value in metrics.items():  # what is not a number is null
            got = float("nan") if scores[task][metric] is None else scores[task][metric]
            assert got == pytest.approx(value, nan_ok=True), metric


def test_people_read_the_log(evaluation, capfd):
    assert cli.main(evaluation[0]) == 0
    assert "Evaluation results for toy_val" in capfd.readouterr().out


def test_without_weights(evaluation, capfd):
    words, _ = evaluation
    assert cli.main([*words[:3], *words[5:]]) == 2
    assert "pointrend eval: Error: --eval-only without weights" in capfd.readouterr().err
