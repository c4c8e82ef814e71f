"""Numbers of a training go to each service once, and a service that fails ends nothing."""

import json
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from detectron2.utils.events import EventStorage, TensorboardXWriter

from pointrend_ext.engine import Trainer, setup_cfg, train_or_evaluate
from pointrend_ext.engine.loggers import ServiceWriter

NO_TEST = ("DATASETS.TEST", "()")


def names(*loggers):
    return ("LOGGERS.NAMES", list(loggers))


@pytest.fixture
def wandb(monkeypatch):
    """A fake of the package: what it is told is kept."""
    fake = ModuleType("wandb")
    fake.told, fake.inits = [], []
    fake.failure = None

    def log(numbers, step):
        if fake.failure:
            raise fake.failure
        fake.told.append((step, numbers))

    def init(**options):
        fake.inits.append(options)
        run_id = options["id"] or f"run{len(fake.inits)}"
        return SimpleNamespace(id=run_id, log=log, finish=lambda: fake.told.append("end"))

    fake.init = init
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


@pytest.fixture
def mlflow(monkeypatch):
    fake = ModuleType("mlflow")
    fake.told, fake.starts = [], []

    def start_run(run_id, run_name):
        fake.starts.append((run_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id or "new"))

    fake.set_experiment = lambda name: fake.told.append(name)
    fake.start_run = start_run
    fake.log_text = lambda text, name: fake.told.append((name, text.count("MASK_POINT_HEAD")))
    fake.log_metrics = lambda numbers, step: fake.told.append((step, numbers))
    fake.end_run = lambda: fake.told.append("end")
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    return fake


def kinds_of_writers(tiny_run, *opts):
    trainer = Trainer(setup_cfg(tiny_run(opts=[*NO_TEST, *opts])))
    return [type(writer).__name__ for writer in trainer.build_writers()]


def test_tensorboard_is_the_default_and_can_be_left_out(tiny_run):
    own = ["CommonMetricPrinter", "JSONWriter"]
    assert kinds_of_writers(tiny_run) == [*own, TensorboardXWriter.__name__]
    assert kinds_of_writers(tiny_run, *names()) == own


def test_numbers_are_those_of_metrics_json(tiny_run, wandb, mlflow):
    """Both services get what the file gets: losses, and at the end the scores of classes."""
    cfg = setup_cfg(tiny_run(opts=[*names("wandb", "mlflow"), "LOGGERS.PROJECT", "stars"]))
    train_or_evaluate(cfg)
    lines = [json.loads(x) for x in Path(cfg.OUTPUT_DIR, "metrics.json").read_text().splitlines()]
    written = {(line["iteration"], name): v for line in lines for name, v in line.items()}
    assert wandb.told[-1] == "end"
    sent = [(step, n, value) for step, group in wandb.told[:-1] for n, value in group.items()]
    assert len(sent) == len({(step, name) for step, name, _ in sent})  # each once
    assert {name for _, name, _ in sent} >= {"total_loss", "loss_mask_point", "segm/AP75", "lr"}
    for step, name, value in sent:
        assert value == pytest.approx(written[step, name], nan_ok=True), name
    (init,) = wandb.inits
    assert (init["project"], init["name"], init["id"]) == ("stars", "run", None)
    assert init["config"]["SOLVER"]["MAX_ITER"] == 4
    json.dumps(init["config"])  # plain values
    assert mlflow.told[0] == "stars"
    assert mlflow.told[1][0] == "config.yaml"
    assert mlflow.starts == [(None, "run")]
    steps = [entry for entry in mlflow.told if isinstance(entry[1], dict)]
    assert [step for step, _ in steps] == [step for step, _ in wandb.told[:-1]]
    assert steps[0][1].keys() == wandb.told[0][1].keys()


def test_a_resumed_training_goes_on_in_its_run(tiny_run, wandb, mlflow):
    both = [*NO_TEST, *names("wandb", "mlflow")]
    train_or_evaluate(setup_cfg(tiny_run(opts=both)))
    longer = tiny_run("--resume", opts=[*both, "SOLVER.MAX_ITER", 6])
    train_or_evaluate(setup_cfg(longer), resume=True)
    assert [init["id"] for init in wandb.inits] == [None, "run1"]
    assert [run_id for run_id, _ in mlflow.starts] == [None, "new"]


def test_without_a_checkpoint_a_run_is_new(tiny_run, wandb, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "wandb_run.txt").write_text("of a run that broke off")
    kinds_of_writers(tiny_run, *names("wandb"))
    assert {init["id"] for init in wandb.inits} == {None}


def test_names_that_mlflow_refuses(mlflow, tiny_run):
    trainer = Trainer(setup_cfg(tiny_run(opts=[*NO_TEST, *names("mlflow")])))
    (writer,) = (w for w in trainer.build_writers() if isinstance(w, ServiceWriter))
    with EventStorage(7) as storage:
        storage.put_scalar("segm/AP-light (red)", 3.0)
        writer.write()
    assert mlflow.told[-1] == (7, {"segm/AP-light _red_": 3.0})


def test_a_service_that_fails_is_said_once(caplog):
    def fail(*args):
        raise OSError("no network")

    writer = ServiceWriter("wandb", fail, fail)
    with caplog.at_level(logging.WARNING, "pointrend_ext"), EventStorage(0) as storage:
        for _ in range(3):
            storage.put_scalar("loss", 1.0)
            writer.write()
            storage.step()
        writer.close()
    (record,) = caplog.records
    expected = "could not be handed to wandb (OSError: no network); metrics.json has all"
    assert expected in record.getMessage()


@pytest.mark.parametrize(
    ("opts", "error", "said"),
    [
        (names("tensorbord"), ValueError, "LOGGERS.NAMES is .*tensorboard, wandb, mlflow"),
        (names("wandb", "wandb"), ValueError, "each at most once"),
        (("LOGGERS.PROJECT", " "), ValueError, "LOGGERS.PROJECT"),
        (names("wandb"), ImportError, "'wandb', whose package .*: pip install wandb"),
        ((*names(), "VIS_PERIOD", 5), ValueError, "VIS_PERIOD is 5, but TensorBoard alone"),
        (("LOGGERS.RUN", "a"), ValueError, r"LOGGERS.RUN \(it needs wandb or mlflow"),
    ],
)
def test_what_is_refused_at_the_start(opts, error, said, tiny_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(error, match=said):
        Trainer(setup_cfg(tiny_run(opts=[*NO_TEST, *opts])))


def test_a_service_without_login_is_refused_at_the_start(tiny_run, wandb):
    def init(**options):
        raise RuntimeError("no API key")

    wandb.init = init
    with pytest.raises(ValueError, match=r"'wandb', but no run .*\(RuntimeError: no API key\)"):
        Trainer(setup_cfg(tiny_run(opts=[*NO_TEST, *names("wandb")])))
