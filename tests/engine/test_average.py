"""The moving average of weights: its values, its checkpoint, its evaluation."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from pointrend_ext.engine import LoadOptions, Trainer, build_checkpointer, setup_cfg
from pointrend_ext.engine import train_or_evaluate as run
from pointrend_ext.engine.average import WeightAverage
from tests.engine.test_resume import assert_same, checkpoint

EMA = ["SOLVER.EMA.ENABLED", True, "SOLVER.EMA.DECAY", 0.5, "SOLVER.WARMUP_ITERS", 0]


def model_of(*values):
    model = nn.ModuleDict({"layer": nn.Linear(1, 1, bias=False), "norm": nn.BatchNorm1d(1)})
    set_to(model, *values)
    return model


def set_to(model, weight, mean, count):
    with torch.no_grad():
        model["layer"].weight.fill_(weight)
        model["norm"].running_mean.fill_(mean)
        model["norm"].num_batches_tracked.fill_(count)


@pytest.mark.parametrize("decay", [0.3, 0.9998])
def test_by_hand(decay):
    """Also: buffers are averaged, counts copied, and the shares of the first iterations."""
    model = model_of(9.0, 9.0, 9)
    average = WeightAverage(model, decay)
    set_to(model, 1.0, 10.0, 5)
    average.start()
    weight, mean = 1.0, 10.0
    for done in range(1, 8):
        set_to(model, 1.0 + done, 10.0 * done, 5 + done)
        average.update(done)
        share = min(decay, (1 + done) / (10 + done))
        weight = share * weight + (1 - share) * (1 + done)
        mean = share * mean + (1 - share) * 10 * done
    state = average.state_dict()
    assert state["layer.weight"].item() == pytest.approx(weight, rel=1e-6)
    assert state["norm.running_mean"].item() == pytest.approx(mean, rel=1e-6)
    assert state["norm.num_batches_tracked"].item() == 12
    assert model["layer"].weight.item() == 8
    assert not average.model.training
    assert not any(p.requires_grad for p in average.model.parameters())


def test_an_average_of_before_is_gone_on_with():
    model = model_of(1.0, 1.0, 1)
    average = WeightAverage(model, 0.5)
    average.load_state_dict(model_of(3.0, 4.0, 5).state_dict())
    average.start()
    assert average.model["layer"].weight.item() == 3
    with pytest.raises(ValueError, match=r"averages, 'ema', do not fit the model.*EMA.ENABLED"):
        average.load_state_dict(nn.Linear(1, 1).state_dict())


def rows_of(folder):
    return [json.loads(line) for line in Path(folder, "metrics.json").read_text().splitlines()]


def test_saved_evaluated_and_taken(tiny_run, tmp_path):
    """Three iterations, at the end of which the average is of the checkpoints' weights."""
    folder = tmp_path / "run"
    opts = [
        *EMA,
        "SOLVER.MAX_ITER",
        3,
        "SOLVER.CHECKPOINT_PERIOD",
        1,
        "MODEL.BACKBONE.FREEZE_AT",
        2,
    ]
    opts += ["MODEL.FREEZE", ["roi_heads.box_*"]]
    cfg = setup_cfg(tiny_run(opts=opts))
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    first = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    results = trainer.train()

    averages = {name: value.double() for name, value in first.items()}
    states = [checkpoint(folder, f"model_{i:07d}.pth")["model"] for i in range(3)]
    for done, state in enumerate(states, start=1):
        share = min(0.5, (1 + done) / (10 + done))
        for name, value in averages.items():
            averages[name] = share * value + (1 - share) * state[name].double()
    last = checkpoint(folder)
    assert last["ema"].keys() == last["model"].keys() == first.keys()
    frozen = 0
    for name, value in last["ema"].items():
        if not value.is_floating_point():
            assert torch.equal(value, last["model"][name])
            continue
        torch.testing.assert_close(value.double(), averages[name], rtol=1e-5, atol=1e-7)
        if name.startswith(("roi_heads.box_", "backbone.bottom_up.stem.conv1.weight")):
            assert torch.equal(value, first[name]), name
            frozen += 1
    assert frozen > 5
    assert not torch.equal(
        last["ema"]["roi_heads.mask_head.point_head.fc1.weight"],
        last["model"]["roi_heads.mask_head.point_head.fc1.weight"],
    )

    assert results["ema"].keys() == results.keys() - {"ema"}
    row = rows_of(folder)[-1]
    assert row["ema/segm/AP"] == pytest.approx(results["ema"]["segm"]["AP"], nan_ok=True)
    predictions = [folder / "inference", folder / "ema" / "inference"]
    assert all((place / "coco_instances_results.json").is_file() for place in predictions)

    cfg = setup_cfg(
        tiny_run("--eval-only", opts=["MODEL.WEIGHTS", str(folder / "model_final.pth")])
    )
    model = Trainer.build_model(cfg)
    build_checkpointer(cfg, model, LoadOptions(weights_key="ema")).load(cfg.MODEL.WEIGHTS)
    assert_same(dict(model.state_dict()), dict(last["ema"]))
    build_checkpointer(cfg, model).load(cfg.MODEL.WEIGHTS)  # the raw ones, by default
    assert_same(dict(model.state_dict()), dict(last["model"]))


def test_an_interrupted_average_is_that_of_one_run(tiny_run, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    opts = [*EMA, "DATASETS.TEST", (), "SOLVER.CHECKPOINT_PERIOD", 1, "SOLVER.MAX_ITER", 4]
    run(setup_cfg(tiny_run(opts=[*opts, "OUTPUT_DIR", str(whole)])))
    part.mkdir()
    (part / "model_0000001.pth").write_bytes((whole / "model_0000001.pth").read_bytes())
    (part / "last_checkpoint").write_text("model_0000001.pth")
    run(setup_cfg(tiny_run("--resume", opts=[*opts, "OUTPUT_DIR", str(part)])), resume=True)
    assert_same(checkpoint(part), checkpoint(whole))
    assert not torch.equal(
        *(checkpoint(whole)[k]["backbone.fpn_output2.weight"] for k in ("ema", "model"))
    )


def test_switched_on_at_a_resumption(tiny_run, tmp_path):
    """The average starts from the weights that are resumed."""
    opts = ["DATASETS.TEST", (), "SOLVER.WARMUP_ITERS", 0]
    run(setup_cfg(tiny_run(opts=[*opts, "SOLVER.MAX_ITER", 1])))
    before = checkpoint(tmp_path / "run")
    assert "ema" not in before
    opts += [*EMA, "SOLVER.MAX_ITER", 2]
    run(setup_cfg(tiny_run("--resume", opts=opts)), resume=True)
    after, name = checkpoint(tmp_path / "run"), "backbone.fpn_output2.weight"
    expected = 3 / 12 * before["model"][name] + 9 / 12 * after["model"][name]
    torch.testing.assert_close(after["ema"][name], expected)


def test_wrong_values(tiny_run):
    with pytest.raises(ValueError, match=r"SOLVER.EMA.DECAY is 1\.0; it must be at least 0 and be"):
        setup_cfg(tiny_run(opts=["SOLVER.EMA.DECAY", 1.0]))
