"""The packages of the services themselves, without a network; skipped where they are missing."""

import math

import pytest
from detectron2.utils.events import EventStorage

from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.loggers import build_service_writers, check_loggers

CLASS = "segm/AP-light (red)"  # MLflow refuses the brackets
FRACTION = 0.53125  # no other number in a file has these digits


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Log the numbers of some iterations to a service: the loss and a score that is NaN at 2."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)

    def call(name, first, last):
        cfg = load_cfg("", ["LOGGERS.NAMES", [name], "LOGGERS.PROJECT", "stars"])
        cfg.OUTPUT_DIR = str(folder)
        check_loggers(cfg)
        (writer,) = build_service_writers(cfg)
        with EventStorage(first) as storage:
            for iteration in range(first, last):
                storage.put_scalar("loss", iteration + FRACTION, smoothing_hint=False)
                score = math.nan if iteration == 2 else iteration
                storage.put_scalar(CLASS, score, smoothing_hint=False)
                writer.write()
                storage.step()
        writer.close()
        assert not writer._has_failed
        (folder / "last_checkpoint").touch()
        return (folder / f"{name}_run.txt").read_text()

    return call


def test_mlflow(train, monkeypatch, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    run_id = train("mlflow", 0, 3)
    assert train("mlflow", 3, 5) == run_id  # it goes on
    client = mlflow.MlflowClient()
    found = {m.step: m.value for m in client.get_metric_history(run_id, "loss")}
    assert found == {step: step + FRACTION for step in range(5)}
    scores = client.get_metric_history(run_id, "segm/AP-light _red_")
    assert [m.step for m in scores if math.isnan(m.value)] == [2]
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert client.get_experiment(run.info.experiment_id).name == "stars"
    assert "MASK_POINT_HEAD" in mlflow.artifacts.load_text(f"{run.info.artifact_uri}/config.yaml")


@pytest.mark.slow  # its service may take half a minute to start
def test_wandb(train, monkeypatch, tmp_path):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB__SERVICE_WAIT", "300")
    runs, steps, init = [], [], wandb.init

    def start(**options):
        runs.append(run := init(**options))
        finish = run.finish
        # An ended run does not answer.
        monkeypatch.setattr(run, "finish", lambda *given: (steps.append(run.step), finish(*given)))
        return run

    monkeypatch.setattr(wandb, "init", start)
    run_id = train("wandb", 0, 3)
    assert train("wandb", 3, 5) == run_id
    assert [run.id for run in runs] == [run_id, run_id]
    assert steps == [2, 4]  # the last ones
    assert runs[0].config["MODEL"]["MASK_POINT_HEAD"]["NAME"]
    files = sorted((tmp_path / "run/wandb").glob(f"offline-run-*-{run_id}/*.wandb"))
    first, second = (file.read_bytes() for file in files)  # numbers stand in them as text
    for iteration in range(5):
        own, other = (first, second) if iteration < 3 else (second, first)
        assert f"{iteration + FRACTION}".encode() in own
        assert f"{iteration + FRACTION}".encode() not in other
    assert CLASS.encode() in first
