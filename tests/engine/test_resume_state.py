"""A damaged state of a training is refused before anything of it is taken over."""

import copy
from pathlib import Path

import pytest
import torch

from pointrend_ext.engine import setup_cfg, train_or_evaluate
from pointrend_ext.engine.resume_state import check_state
from pointrend_ext.engine.trainer import Trainer

NAN, INF = float("nan"), float("inf")


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


SCALER = {"scale": ["65536", None, True, 0.0, -1.0, NAN, INF, 1e300, 1e-300, torch.tensor(2.0)]}
SCALER |= {"growth_factor": [1.0, 0, INF, NAN, "2"], "backoff_factor": [0.0, 1, NAN, None]}
SCALER |= {"growth_interval": [0, 2.5, 10**12], "_growth_tracker": [-1, 0.5, 2**31, None]}


@pytest.mark.parametrize("name", SCALER)
def test_a_damaged_scaler_of_losses_is_said(state, optimizer, name):
    scaler = torch.amp.GradScaler("cpu")
    whole = state["_trainer"]["grad_scaler"] = scaler.state_dict()
    check_state(state, optimizer, scaler)
    for value in SCALER[name]:
        state["_trainer"]["grad_scaler"] = {**whole, name: value}
        with pytest.raises(ValueError, match=rf"its scaler of losses has {name} .*, not a "):
            check_state(state, optimizer, scaler)
        check_state(state, optimizer)  # nobody will use it
    state["_trainer"]["grad_scaler"] = {n: value for n, value in whole.items() if n != name}
    with pytest.raises(ValueError, match=rf"scaler of losses has {name} None"):
        check_state(state, optimizer, scaler)
    for other in ([], 1.0, "x"):
        state["_trainer"]["grad_scaler"] = other
        with pytest.raises(ValueError, match=r"its scaler of losses is a .*, not a dict"):
            check_state(state, optimizer, scaler)


def test_a_scaler_is_missed_where_there_was_one(state, optimizer):
    scaler = torch.amp.GradScaler("cpu")
    check_state(state, optimizer, scaler)
    state["settings"] = {"SOLVER.AMP.ENABLED": False}
    check_state(state, optimizer, scaler)
    state["settings"] = {"SOLVER.AMP.ENABLED": True}
    with pytest.raises(ValueError, match="its scaler of losses is a NoneType, not a dict"):
        check_state(state, optimizer, scaler)
    state["settings"] = [3]
    with pytest.raises(ValueError, match="its settings is a list"):
        check_state(state, optimizer, scaler)


@pytest.mark.parametrize(("before", "now"), [(True, True), (True, False), (False, True)])
def test_mixed_precision_is_resumed_switched_on_and_switched_off(tiny_run, before, now):
    """The scaler of a CPU, in the place of that of CUDA, which is off here."""
    opts = ["SOLVER.MAX_ITER", 2, "DATASETS.TEST", ()]
    cfg = setup_cfg(tiny_run(opts=opts)).clone()
    states = []
    for mixed, scale in ((before, 128.0), (now, 65536.0)):
        cfg.defrost()
        cfg.SOLVER.AMP.ENABLED = mixed
        trainer = Trainer(cfg)
        trainer.iter = 0
        if mixed:
            trainer._trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        if states:
            trainer.load_state_dict(states[0])
        else:
            trainer.optimizer.step()
            trainer.scheduler.step()
        states.append(copy.deepcopy(trainer.state_dict()))
    said = f"SOLVER.AMP.ENABLED {before} -> {now}"
    assert (said in Path(cfg.OUTPUT_DIR, "log.txt").read_text()) == (before != now)
    scaler = states[1]["_trainer"].get("grad_scaler", {})
    assert scaler.get("scale") == {(True, True): 128.0, (False, True): 65536.0}.get((before, now))


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
