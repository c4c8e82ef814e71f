"""One run at a time in a folder, and no training on top of another's checkpoints."""

import errno
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

import portalocker
import pytest

from pointrend_ext.engine import setup_cfg, train_or_evaluate
from pointrend_ext.engine.run_folder import holding, release, take

FORK = multiprocessing.get_context("fork")


def take_and_wait(folder, taken, seconds):
    """What another process does; one that is refused ends with the exit code 1."""
    take(folder)
    taken.set()
    time.sleep(seconds)


def is_free(folder):
    """Whether another process could take a folder."""
    process = FORK.Process(target=take_and_wait, args=(folder, FORK.Event(), 0))
    process.start()
    process.join()
    return process.exitcode == 0


@pytest.fixture
def other_run(tmp_path):
    """Another process that has a folder."""
    taken = FORK.Event()
    process = FORK.Process(target=take_and_wait, args=(str(tmp_path / "run"), taken, 60))
    process.start()
    assert taken.wait(30)
    yield process
    process.kill()
    process.join()


@pytest.fixture(autouse=True)
def _free(tmp_path):
    yield
    release(str(tmp_path / "run"))


@pytest.mark.parametrize("words", [(), ("--resume",), ("--eval-only",)])
def test_a_second_run_in_a_folder_is_refused(tiny_run, tmp_path, other_run, words):
    """An evaluation as well: it would write config.yaml and the files of inference/ anew."""
    args = tiny_run(*words)
    owner = rf"in use by another run \(process {other_run.pid} on {socket.gethostname()}\)"
    with pytest.raises(ValueError, match=rf"OUTPUT_DIR .*run is {owner}.*OUTPUT_DIR .*run_2"):
        setup_cfg(args)
    assert [path.name for path in Path(tmp_path, "run").iterdir()] == ["run.lock"]
    args.opts += ["OUTPUT_DIR", str(tmp_path / "other")]
    setup_cfg(args)
    release(str(tmp_path / "other"))


def test_the_lock_of_a_killed_run_is_free(tmp_path, other_run):
    folder = str(tmp_path / "run")
    with pytest.raises(ValueError, match="in use"):
        take(folder)
    other_run.kill()
    other_run.join()
    with holding(folder):
        assert str(os.getpid()) in Path(folder, "run.lock").read_text()
    assert Path(folder, "run.lock").read_text() == ""


def test_a_run_lets_go_at_its_end_and_after_an_error(tiny_run, tmp_path):
    folder = str(tmp_path / "run")
    cfg = setup_cfg(tiny_run(opts=["SOLVER.MAX_ITER", 1, "DATASETS.TEST", ()]))
    assert not is_free(folder)
    train_or_evaluate(cfg)
    assert is_free(folder)
    with pytest.raises(ValueError, match="NUM_CLASSES"):
        setup_cfg(tiny_run("--resume", opts=["MODEL.ROI_HEADS.NUM_CLASSES", 5]))
    assert is_free(folder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_does_not_hold_the_lock(tmp_path):
    folder = str(tmp_path / "run")
    take(folder)
    child = os.fork()
    if child == 0:  # such as a worker that survives its parent
        time.sleep(60)
        os._exit(0)
    try:
        release(folder)
        assert is_free(folder)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def lock(file, operation):
        raise portalocker.LockException("lock") from OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(portalocker, "lock", lock)
    for _ in range(2):  # by the setup, and by the run
        take(str(tmp_path / "run"))
    assert caplog.text.count("has no locks (No locks available)") == 1
    assert str(os.getpid()) in Path(tmp_path, "run", "run.lock").read_text()


@pytest.mark.parametrize("left", [["last_checkpoint", "model_0000001.pth"], ["model_final.pth"]])
def test_a_new_training_among_anothers_checkpoints_is_refused(tiny_run, tmp_path, left):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in left:
        (folder / name).write_text("model_0000001.pth")
    message = (
        rf"OUTPUT_DIR .*run holds the checkpoints of another training \(the last is {left[-1]}\)"
        r".*--resume.*OUTPUT_DIR .*run_2 "
    )
    with pytest.raises(ValueError, match=message):
        setup_cfg(tiny_run())
    assert sorted(path.name for path in folder.iterdir()) == left
    setup_cfg(tiny_run("--eval-only"))
    if "last_checkpoint" in left:
        setup_cfg(tiny_run("--resume"))
        return
    with pytest.raises(ValueError, match=r"such as model_final\.pth.*echo model_final\.pth > /"):
        setup_cfg(tiny_run("--resume"))  # it would silently start anew


def test_logs_and_weights_of_another_name_are_no_training(tiny_run, tmp_path):
    for name in ("log.txt", "model.txt", "weights.pth"):
        tmp_path.joinpath("run").mkdir(exist_ok=True)
        tmp_path.joinpath("run", name).write_text("")
    setup_cfg(tiny_run())
