"""The best checkpoint by a metric, and the end of a training that gets no better."""

import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pointrend_ext.engine import Trainer, setup_cfg, train_or_evaluate
from pointrend_ext.engine.best_weights import BestWeights
from tests.engine.test_resume import assert_same, checkpoint

METRIC = "segm/AP"


@pytest.fixture
def train(tiny_run, monkeypatch):
    """Train with given results of the evaluations, one per iteration."""

    def run(values, *words, metric=METRIC, opts=(), max_iter=None):
        following = iter(values)
        task, name = metric.split("/")
        monkeypatch.setattr(
            Trainer, "test", classmethod(lambda *_: {task: {name: next(following), "other": 1.0}})
        )
        own = ["SOLVER.BEST.METRIC", METRIC, "TEST.EVAL_PERIOD", 1, "SOLVER.CHECKPOINT_PERIOD", 1]
        own += ["SOLVER.MAX_ITER", max_iter or len(values), "SOLVER.WARMUP_ITERS", 0]
        cfg = setup_cfg(tiny_run(*words, opts=[*own, *opts]))
        logging.getLogger("pointrend_ext").propagate = True
        train_or_evaluate(cfg, resume="--resume" in words)
        return Path(cfg.OUTPUT_DIR)

    return run


def best_of(folder):
    best = checkpoint(folder, "model_best.pth")
    return best["best"]["value"], best["best"]["iterations"], best["iteration"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0, 5.0, 4.0], (5.0, 2, 1)),
        ([3.0, 3.0, 3.0], (3.0, 1, 0)),  # not better
        ([1.0, 2.0, 3.0], (3.0, 3, 2)),  # the evaluation at the end
        ([math.nan, 2.0, math.nan], (2.0, 2, 1)),
    ],
)
def test_which_is_best(train, values, expected):
    folder = train(values)
    assert best_of(folder) == expected
    name = "model_final.pth" if expected[1] == 3 else f"model_{expected[2]:07d}.pth"
    best, own = checkpoint(folder, "model_best.pth"), checkpoint(folder, name)
    assert_same(best["model"], own["model"])
    # it can be gone on with, too
    assert best["trainer"]["iteration"] == own["trainer"]["iteration"]
    assert_same(best["trainer"]["_trainer"], own["trainer"]["_trainer"])
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"


def test_no_number_is_not_best(train):
    assert not (train([math.nan]) / "model_best.pth").exists()


def test_of_losses_less_is_better(train):
    opts = ["SOLVER.BEST.METRIC", "validation/total_loss", "TEST.VALIDATION_LOSS", True]
    folder = train([0.0, 0.0], opts=opts)
    rows = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    losses = [row["validation/total_loss"] for row in rows if "validation/total_loss" in row]
    value, done, _ = best_of(folder)
    assert value == pytest.approx(min(losses[-1], value))
    assert done in (1, 2)


def test_a_resumed_training_knows_the_best(train):
    """Also when that is later than what is resumed: it is found again."""
    folder = train([3.0, 7.0, 4.0], max_iter=3)
    before = (folder / "model_best.pth").stat().st_mtime_ns
    (folder / "last_checkpoint").write_text("model_0000000.pth")
    assert folder == train([7.0, 4.0], "--resume", max_iter=3)
    assert best_of(folder) == (7.0, 2, 1)
    (folder / "last_checkpoint").write_text("model_final.pth")
    train([5.0], "--resume", max_iter=4)
    assert best_of(folder) == (7.0, 2, 1)
    assert (folder / "model_best.pth").stat().st_mtime_ns == before
    train([8.0], "--resume", max_iter=5)
    assert best_of(folder) == (8.0, 5, 4)


def test_a_file_of_best_weights_that_is_damaged_or_anothers(tmp_path):
    """Detectron2's ``BestCheckpointer`` calls its file so, too."""
    file = tmp_path / "model_best.pth"
    checkpointer = SimpleNamespace(save_dir=str(tmp_path))
    hook = BestWeights(METRIC, checkpointer, period=1)
    hook.trainer = SimpleNamespace(start_iter=1)
    torch.save({"model": {"w": torch.ones(9)}}, file)
    hook.before_train()
    assert math.isnan(hook.best)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model_best\.pth .*is damaged or was cut off"):
        hook.before_train()


def test_patience(train, caplog, monkeypatch):
    """Best after 2 of 9 iterations: it ends after 4, with a checkpoint, and can be gone on with."""
    opts = ["SOLVER.BEST.PATIENCE", 2, "SOLVER.CHECKPOINT_PERIOD", 100]
    folder = train([3.0, 5.0, 4.0, 5.0, 9.0], opts=opts, max_iter=9)
    (text,) = (m for m in caplog.messages if "was best after" in m)
    assert text.startswith(
        "segm/AP was best after 2 iterations (5), and not so good in 2 evaluations since: the "
        "training ends. 4 iterations were done; the last checkpoint is"
    )
    assert best_of(folder) == (5.0, 2, 1)
    assert (folder / "last_checkpoint").read_text() == "model_0000003.pth"
    assert not (folder / "model_final.pth").exists()
    last = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()][-1]
    assert (last["iteration"], last["segm/AP"]) == (3, 5.0)
    train([6.0, 1.0], "--resume", opts=[*opts, "SOLVER.BEST.PATIENCE", 4], max_iter=6)
    assert best_of(folder) == (6.0, 5, 4)


def test_a_metric_that_is_not_measured(train):
    with pytest.raises(ValueError, match=r"'segm/AP', which is not measured.*bbox/AP, bbox/other"):
        train([1.0, 2.0], metric="bbox/AP")


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (("BEST.METRIC", METRIC), r"BEST.METRIC is set, but TEST.EVAL_PERIOD is 0 .*on the way"),
        (("BEST.PATIENCE", 3), "PATIENCE is 3, but SOLVER.BEST.METRIC is empty"),
        (("BEST.PATIENCE", -1), "PATIENCE is -1; it must be at least 0"),
        (("BEST.METRIC", "ema/segm/AP"), "'ema/segm/AP', which needs SOLVER.EMA.ENABLED True"),
        (("BEST.METRIC", "validation/loss_mask"), "which needs TEST.VALIDATION_LOSS True"),
    ],
)
def test_wrong_values(tiny_run, opts, message):
    period = ["TEST.EVAL_PERIOD", 2] if "/" in str(opts[1]) and opts[1] != METRIC else []
    with pytest.raises(ValueError, match=message):
        setup_cfg(tiny_run(opts=[f"SOLVER.{opts[0]}", opts[1], *period]))
