"""A resumed training has the settings of its configuration, and says which are new."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pointrend_ext.engine import Trainer, load_cfg, setup_cfg, train_or_evaluate
from pointrend_ext.engine.resume_settings import Settings, changes, check_frozen, training_settings
from tests.engine.test_solver import Model, learning_rates

FIRST = [
    *("SOLVER.MAX_ITER", 2),
    *("SOLVER.BASE_LR", 0.01),
    *("SOLVER.WARMUP_ITERS", 0),
    *("DATASETS.TEST", ()),
]
LOGGER = "pointrend_ext.engine.trainer"
SCHEDULES = {
    "steps": ["SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR", "SOLVER.STEPS", (3,)],
    "cosine": ["SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR"],
    "poly": ["SOLVER.LR_SCHEDULER_NAME", "WarmupPolyLR", "SOLVER.POLY_LR_POWER", 0.5],
    "warm-up": ["SOLVER.WARMUP_ITERS", 4, "SOLVER.WARMUP_FACTOR", 0.5],
}


@pytest.fixture
def resume(tiny_run, caplog):
    """Train two iterations, then go on with other options; return what is said of it."""

    def run(opts, *, first=(), edit=lambda _: None):
        cfg = setup_cfg(tiny_run(opts=[*FIRST, *first]))
        train_or_evaluate(cfg)
        path = Path(cfg.OUTPUT_DIR, "model_final.pth")
        checkpoint = torch.load(path, weights_only=True)
        edit(checkpoint["trainer"])
        torch.save(checkpoint, path)
        cfg = setup_cfg(tiny_run("--resume", opts=[*FIRST, *first, *opts]))
        logging.getLogger("pointrend_ext").propagate = True
        caplog.clear()
        train_or_evaluate(cfg, resume=True)
        return cfg, [r.getMessage() for r in caplog.records if r.name == LOGGER]

    return run


def last_rate(cfg):
    lines = Path(cfg.OUTPUT_DIR, "metrics.json").read_text().splitlines()
    return json.loads(lines[-1])["lr"]


def expected_rate(cfg):
    """The rate of the last iteration in a training that had these settings from the start."""
    plain = load_cfg("", ["SOLVER.MAX_ITER", cfg.SOLVER.MAX_ITER])
    plain.SOLVER.update(cfg.SOLVER)
    return float(learning_rates(Trainer.build_lr_scheduler, plain, Model())[-2][0])


@pytest.mark.parametrize("then", SCHEDULES)
@pytest.mark.parametrize("before", ["cosine", "poly"])
def test_the_rate_is_that_of_the_configuration(resume, before, then):
    opts = [*SCHEDULES[then], "SOLVER.MAX_ITER", 4, "SOLVER.BASE_LR", 0.002]
    cfg, said = resume(opts, first=SCHEDULES[before][:2])
    assert last_rate(cfg) == pytest.approx(expected_rate(cfg), rel=1e-12)
    assert last_rate(cfg) < 0.002 + 1e-12
    assert "BASE_LR: 0.002" in Path(cfg.OUTPUT_DIR, "config.yaml").read_text()
    assert len(said) == 1
    assert said[0].startswith("Resuming after 2 iterations with new settings, which hold from her")
    assert "SOLVER.MAX_ITER 2 -> 4" in said[0]
    assert "SOLVER.BASE_LR 0.01 -> 0.002" in said[0]


def test_nothing_is_said_of_equal_settings_or_of_what_does_not_count(resume):
    opts = ["SOLVER.CHECKPOINT_PERIOD", 9, "DATALOADER.NUM_WORKERS", 1, "TEST.EVAL_PERIOD", 0]
    assert resume(opts)[1] == []


def test_a_checkpoint_of_before_tells_by_its_optimizer(resume):
    opts = ["SOLVER.BASE_LR", 0.002, "SOLVER.MAX_ITER", 4, "SOLVER.WEIGHT_DECAY", 0.25]
    cfg, said = resume(opts, edit=lambda state: state.pop("settings"))
    assert "initial_lr 0.01 -> 0.002" in said[0]
    assert "weight_decay 0.0001 -> 0.25" in said[0]
    assert last_rate(cfg) == pytest.approx(expected_rate(cfg), rel=1e-12)


def test_a_stated_seed_holds(resume):
    opts = ["SEED", 5, "SOLVER.MAX_ITER", 3]
    cfg, said = resume(opts)
    assert "SEED 1 -> 5" in said[0]
    checkpoint = torch.load(Path(cfg.OUTPUT_DIR, "model_final.pth"), weights_only=True)
    assert checkpoint["trainer"]["hooks"]["ExactResume"]["seed"] == 5


def test_fewer_iterations_than_there_were(resume):
    with pytest.raises(ValueError, match=r"has 2 iterations behind it, but SOLVER\.MAX_ITER is 1"):
        resume(["SOLVER.MAX_ITER", 1])


def test_another_grouping_of_parameters_is_refused(resume):
    opts = ["SOLVER.BIAS_LR_FACTOR", 2.0, "SOLVER.MAX_ITER", 4]  # biases have a group of their own
    with pytest.raises(ValueError, match=r"cannot be resumed .*BIAS_LR_FACTOR 1\.0 -> 2\.0"):
        resume(opts)


def test_other_frozen_parts_are_refused():
    """As many parameters may be trained, and momentum would be that of others."""
    cfg = load_cfg("", ["MODEL.FREEZE", ["backbone"]])
    trainer = SimpleNamespace(cfg=cfg)
    state = {"iteration": 0, "settings": {"MODEL.FREEZE": ["*.fc1"]}}
    with pytest.raises(ValueError, match=r"FREEZE \['\*\.fc1'\], the .* \['backbone'\]\. Set it"):
        Trainer.load_state_dict(trainer, state)
    for same in ({"settings": training_settings(cfg)}, {"settings": {}}, {}, None):
        check_frozen(same, cfg)


def test_a_checkpoint_without_an_optimizer(resume):
    def without_optimizer(state):
        del state["_trainer"]["optimizer"]

    with pytest.raises(ValueError, match=r"cannot be resumed .*optimizer.*start without --resume"):
        resume(["SOLVER.MAX_ITER", 4], edit=without_optimizer)


# ---- parts


def test_settings_replace_those_of_a_state_and_nothing_else():
    opts = ["SOLVER.SEM_SEG_HEAD_LR_FACTOR", 10.0, "SOLVER.LR_SCHEDULER_NAME", "WarmupPolyLR"]
    opts += ["SOLVER.WARMUP_ITERS", 0, "SOLVER.MAX_ITER", 10]
    old = load_cfg(opts=[*opts, "SOLVER.BASE_LR", 0.1, "SOLVER.MOMENTUM", 0.5])
    new = load_cfg(opts=[*opts, "SOLVER.BASE_LR", 0.2, "SOLVER.MAX_ITER", 20])
    model = Model()
    before = Trainer.build_optimizer(old, model)
    schedule = Trainer.build_lr_scheduler(old, before)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    for _ in range(5):
        before.step()
        schedule.step()
    optimizer = Trainer.build_optimizer(new, model)
    scheduler = Trainer.build_lr_scheduler(new, optimizer)
    settings = Settings(optimizer, scheduler)
    optimizer.load_state_dict(before.state_dict())
    scheduler.load_state_dict(schedule.state_dict())
    found = settings.restore()
    assert found == ["momentum 0.5 -> 0.9", "initial_lr 0.1 -> 0.2", "initial_lr 1.0 -> 2.0"]
    assert (scheduler.last_epoch, scheduler.max_iters) == (5, 20)
    rates = [0.2 * 0.75**0.9, 2.0 * 0.75**0.9]
    found = sorted({group["lr"] for group in optimizer.param_groups})
    assert found == pytest.approx(rates)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}
    for parameter, state in optimizer.state.items():
        assert torch.equal(state["momentum_buffer"], before.state[parameter]["momentum_buffer"])


def test_what_counts_as_a_setting():
    names = set(training_settings(load_cfg()))
    assert {"SOLVER.BASE_LR", "SEED", "DATASETS.TRAIN", "INPUT.MIN_SIZE_TRAIN"} <= names
    assert names.isdisjoint({"OUTPUT_DIR", "MODEL.WEIGHTS", "DATASETS.TEST", "TEST.EVAL_PERIOD"})
    assert changes({"A": 1, "B": [1], "C": 5}, {"A": 1, "B": [2], "D": 7}) == ["B [1] -> [2]"]
