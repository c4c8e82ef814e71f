"""A damaged state of a training is refused before anything of it is taken over."""

import copy
from pathlib import Path

import pytest
import torch

from pointrend_ext.engine import setup_cfg, train_or_evaluate
from pointrend_ext.engine.resume_state import check_state


@pytest.fixture
def optimizer():
    parameters = [torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(4))]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


@pytest.fixture
def state(optimizer):
    hooks = {
        "LRScheduler": {"last_epoch": 3},
        "ExactResume": {"seed": 1, "scalars": {"loss": [(0.5, 2)]}},
    }
    trainer = {"optimizer": copy.deepcopy(optimizer.state_dict())}
    return {"iteration": 2, "hooks": hooks, "_trainer": trainer}


def test_a_whole_state_passes(state, optimizer):
    check_state(state, optimizer)
    del state["hooks"]["ExactResume"]  # of Detectron2's own trainer
    check_state(state, optimizer)


CASES = {
    "iteration.text": (("iteration",), "7", "iteration is '7'"),
    "iteration.below": (("iteration",), -1, "iteration is -1"),
    "iteration.bool": (("iteration",), True, "iteration is True"),
    "iteration.nan": (("iteration",), float("nan"), "iteration is nan"),
    "hooks": (("hooks",), 3, "hooks is a int"),
    "schedule": (("hooks", "LRScheduler"), [], "LRScheduler is a list"),
    "schedule.place": (("hooks", "LRScheduler", "last_epoch"), 9, "stands after 9 iterations, and"),
    "seed": (("hooks", "ExactResume", "seed"), "x", "seed is 'x'"),
    "losses": (("hooks", "ExactResume", "scalars"), {"a": [1]}, "recent losses"),
    "optimizer": (("_trainer", "optimizer"), None, "no dict 'state'"),
    "groups": (("_trainer", "optimizer", "param_groups"), [3], "no list 'param_groups'"),
    "unknown": (("_trainer", "optimizer", "state", 7), {}, "parameter 7, unknown"),
    "shape": (
        ("_trainer", "optimizer", "state", 0, "momentum_buffer"),
        torch.ones(3, 2),
        r"'momentum_buffer' of parameter 0 has the shape \(3, 2\), the parameter \(2, 3\)",
    ),
    "nan": (
        ("_trainer", "optimizer", "state", 1, "momentum_buffer"),
        torch.tensor([1, 2, float("nan"), 3]),
        "of parameter 1 holds NaN",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_damaged_is_said(state, optimizer, case):
    (*path, last), value, message = CASES[case]
    part = state
    for key in path:
        part = part[key]
    part[last] = value
    with pytest.raises(ValueError, match=message):
        check_state(state, optimizer)


@pytest.mark.parametrize("state", [None, [], "x"])
def test_a_state_that_is_no_dict(state, optimizer):
    with pytest.raises(ValueError, match="its state is a "):
        check_state(state, optimizer)


def test_training_does_not_begin_and_nothing_is_lost(tiny_run, tmp_path):
    opts = ["SOLVER.MAX_ITER", 2, "DATASETS.TEST", (), "OUTPUT_DIR", str(tmp_path / "run")]
    train_or_evaluate(setup_cfg(tiny_run(opts=opts)))
    path = Path(tmp_path, "run", "model_final.pth")
    written = sorted(path.parent.glob("model_*.pth"))
    whole = torch.load(path, weights_only=True)
    momentum = next(iter(whole["trainer"]["_trainer"]["optimizer"]["state"].values()))
    momentum["momentum_buffer"].fill_(float("inf"))
    for damaged, message in (
        (whole, r"is damaged: its optimizer's 'momentum_buffer'.*last_checkpoint.*--resume"),
        ({"model": whole["model"]}, r"no 'trainer'.*last_checkpoint.*MODEL\.WEIGHTS"),
    ):
        torch.save(damaged, path)
        before = path.read_bytes()
        args = tiny_run("--resume", opts=[*opts, "SOLVER.MAX_ITER", 4])
        with pytest.raises(ValueError, match=message):
            train_or_evaluate(setup_cfg(args), resume=True)
        assert path.read_bytes() == before
        assert sorted(path.parent.glob("model_*.pth")) == written
