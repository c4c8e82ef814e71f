import pytest
import torch
from detectron2.solver import build_lr_scheduler as detectron2_lr_scheduler
from detectron2.solver import build_optimizer as detectron2_optimizer
from torch import nn

from pointrend_ext.engine import Trainer, load_cfg
from pointrend_ext.engine.solver import build_optimizer

SOLVERS = {
    "defaults": [],
    "biases": ["SOLVER.BIAS_LR_FACTOR", 2.0, "SOLVER.WEIGHT_DECAY_BIAS", 0.0],
    "nesterov": ["SOLVER.NESTEROV", True, "SOLVER.MOMENTUM", 0.8, "SOLVER.WEIGHT_DECAY", 0.01],
    "clipped": ["SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.5],
}


class Model(nn.Module):
    """A frozen layer, a norm, a semantic head with a norm and a point head, and a near miss."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.backbone[0].requires_grad_(requires_grad=False)
        self.sem_seg_head = nn.ModuleDict(
            {"coarse": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), "point": nn.Linear(4, 2)}
        )
        self.not_sem_seg_head = nn.Linear(3, 2)


def settings_of(optimizer, model):
    """Hyper-parameters of every trained parameter, by name; each is there exactly once."""
    names = {id(p): name for name, p in model.named_parameters()}
    found = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert name not in found
            found[name] = {k: v for k, v in group.items() if k != "params"}
    return found


@pytest.mark.parametrize("opts", SOLVERS.values(), ids=SOLVERS)
def test_factor_1_is_detectron2s_optimizer_group_by_group(opts):
    cfg, model = load_cfg(opts=opts), Model()
    got, expected = build_optimizer(cfg, model), detectron2_optimizer(cfg, model)
    assert type(got).__name__ == type(expected).__name__
    assert len(got.param_groups) == len(expected.param_groups)
    for ours, theirs in zip(got.param_groups, expected.param_groups, strict=True):
        assert [id(p) for p in ours.pop("params")] == [id(p) for p in theirs.pop("params")]
        assert ours == theirs
    assert got.defaults == expected.defaults


@pytest.mark.parametrize("opts", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("factor", [10.0, 0.5])
def test_the_factor_scales_the_head_alone(opts, factor):
    cfg, model = load_cfg(opts=[*opts, "SOLVER.SEM_SEG_HEAD_LR_FACTOR", factor]), Model()
    expected = settings_of(detectron2_optimizer(cfg, model), model)
    for name, settings in expected.items():
        if name.startswith("sem_seg_head."):
            settings["lr"] *= factor
    assert settings_of(build_optimizer(cfg, model), model) == expected
    assert len(expected) == 12


def test_a_step_moves_the_head_ten_times_as_far_and_clips():
    opts = ["SOLVER.BASE_LR", 0.1, "SOLVER.MOMENTUM", 0.0, "SOLVER.WEIGHT_DECAY", 0.0]
    opts += ["SOLVER.SEM_SEG_HEAD_LR_FACTOR", 10.0, *SOLVERS["clipped"]]
    model = Model()
    optimizer = build_optimizer(load_cfg(opts=opts), model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, 3.0)  # clipped to 0.5
    optimizer.step()
    for name, parameter in model.named_parameters():
        step = 0.5 if name.startswith("sem_seg_head.") else 0.05
        step = step if parameter.requires_grad else 0.0
        torch.testing.assert_close(parameter.detach(), before[name] - step)


@pytest.mark.parametrize(
    ("factor", "model", "message"),
    [
        *((factor, Model(), "FACTOR is .*must be above 0") for factor in (0.0, -1.0)),
        (10.0, nn.Linear(1, 1), "Linear has no trainable parameter below"),
    ],
)
def test_a_wrong_factor(factor, model, message):
    with pytest.raises(ValueError, match=message):
        build_optimizer(load_cfg(opts=["SOLVER.SEM_SEG_HEAD_LR_FACTOR", factor]), model)


def learning_rates(build, cfg, model):
    """(MAX_ITER + 1) x groups: before the first iteration, and after each."""
    optimizer = Trainer.build_optimizer(cfg, model)
    scheduler = build(cfg, optimizer)
    rates = [[group["lr"] for group in optimizer.param_groups]]
    for _ in range(cfg.SOLVER.MAX_ITER):
        optimizer.step()
        scheduler.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
    return torch.tensor(rates, dtype=torch.float64)


@pytest.mark.parametrize("constant_ending", [0.0, 0.3])
def test_poly_schedule_by_formula(constant_ending):
    total, warmup, power = 40, 10, 0.9
    opts = ["SOLVER.LR_SCHEDULER_NAME", "WarmupPolyLR", "SOLVER.MAX_ITER", total]
    opts += ["SOLVER.WARMUP_ITERS", warmup, "SOLVER.WARMUP_FACTOR", 0.1, "SOLVER.BASE_LR", 0.5]
    opts += ["SOLVER.SEM_SEG_HEAD_LR_FACTOR", 10.0]
    opts += ["SOLVER.POLY_LR_CONSTANT_ENDING", constant_ending]
    got = learning_rates(Trainer.build_lr_scheduler, load_cfg(opts=opts), Model())
    shares = []
    for iteration in range(total + 1):
        share = (1 - iteration / total) ** power
        if iteration < warmup:
            share *= 0.1 + 0.9 * iteration / warmup
        else:
            share = max(share, constant_ending)
        shares.append(share)
    expected = torch.tensor(shares, dtype=torch.float64)[:, None] * torch.tensor([0.5, 0.5, 5, 5])
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("name", ["WarmupMultiStepLR", "WarmupCosineLR"])
def test_the_schedules_of_detectron2_are_still_there(name):
    opts = ["SOLVER.LR_SCHEDULER_NAME", name, "SOLVER.MAX_ITER", 30, "SOLVER.STEPS", (10, 20)]
    cfg, model = load_cfg(opts=[*opts, "SOLVER.WARMUP_ITERS", 5]), Model()
    got = learning_rates(Trainer.build_lr_scheduler, cfg, model)
    torch.testing.assert_close(got, learning_rates(detectron2_lr_scheduler, cfg, model))
