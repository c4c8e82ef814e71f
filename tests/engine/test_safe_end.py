"""A training that is stopped, or fails, leaves a checkpoint, and says how to go on."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from detectron2.utils import comm

from pointrend_ext.data import LoadingError
from pointrend_ext.data.toy import generate_toy_data
from pointrend_ext.engine import Stopped, Trainer
from pointrend_ext.engine.safe_end import SafeEnd, _Stop
from tests.engine.disturbed import SIX, last_checkpoint, weights_of

ROOT = Path(__file__).resolve().parents[2]


def final_weights(folder):
    return weights_of(Path(folder, "model_final.pth"))


def assert_equal_weights(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def six_losses():
    """Weights of a run that nobody disturbs; filled by the first test that asks."""
    return {}


def send(number, iteration):
    def event(trainer):
        if trainer.iter == iteration:
            os.kill(os.getpid(), number)

    return event


@pytest.mark.parametrize(
    ("number", "moment", "done"),
    [
        (signal.SIGTERM, "in_step", 3),
        (signal.SIGTERM, "before_step", 2),  # images are not waited for
        (signal.SIGINT, "after_step", 3),
    ],
)
def test_a_signal_leaves_a_checkpoint_from_which_the_same_losses_follow(
    run, six_losses, tmp_path, number, moment, done, capfd
):
    code, name = (143, "SIGTERM") if number == signal.SIGTERM else (130, "Ctrl-C")
    if not six_losses:
        six_losses.update(final_weights(run("whole")))
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=rf"ended by {name}\. {done} iterations.*--resume") as caught:
        run("cut", **{moment: send(number, 2)})
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before
    assert last_checkpoint(tmp_path / "cut").name == f"model_{done - 1:07d}.pth"
    assert str(last_checkpoint(tmp_path / "cut")) in str(caught.value)
    assert "with a checkpoint" in capfd.readouterr().err
    assert not Path(tmp_path, "cut", "model_final.pth").exists()

    run("cut", "--resume")
    assert_equal_weights(final_weights(tmp_path / "cut"), six_losses)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_whose_notice_nobody_reads(run, tmp_path, monkeypatch, number):
    """The terminal, or the pipe that standard error goes to, is closed."""
    write = os.write

    def closed(file, data):
        if file == 2:
            raise BrokenPipeError
        return write(file, data)

    monkeypatch.setattr(os, "write", closed)
    with pytest.raises(Stopped, match=rf"ended by {number.name}\. 3 iterations") as caught:
        run("cut", in_step=send(number, 2))
    assert caught.value.exit_code == 128 + number
    assert last_checkpoint(tmp_path / "cut").name == "model_0000002.pth"
    is_logged = "ended by SIGHUP. 3" in Path(tmp_path, "cut/log.txt").read_text()
    assert is_logged == (number == signal.SIGHUP)


@pytest.mark.parametrize(
    ("first", "second", "runner"),
    [
        (signal.SIGHUP, signal.SIGHUP, ""),
        (signal.SIGUSR1, signal.SIGUSR1, ""),
        (signal.SIGTERM, signal.SIGTERM, "torchrun"),
    ],
)
def test_what_is_told_several_times_is_no_second_signal(
    run, tmp_path, monkeypatch, capfd, first, second, runner
):
    """A shell, the parent of the processes, a scheduler or torchrun pass it on in their own way."""

    def event(trainer):
        for number in (first, second, signal.SIGTERM):
            send(number, 2)(trainer)

    if runner:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with pytest.raises(Stopped, match=rf"ended by {first.name}\. 3 iterations"):
        run("cut", in_step=event)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert "with a checkpoint.\n" in capfd.readouterr().err  # not of a second signal
    assert last_checkpoint(tmp_path / "cut").name == "model_0000002.pth"


def test_nohup_is_heeded(run, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run("cut", in_step=send(signal.SIGHUP, 2))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert last_checkpoint(tmp_path / "cut").name == "model_final.pth"


def test_a_signal_between_steps_writes_nothing_twice(run, tmp_path):
    """At iteration 3 the period ends, too."""
    saved = []

    def event(trainer):
        if trainer.iter == 3:
            saved.append(last_checkpoint(tmp_path / "cut").stat().st_mtime_ns)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="4 iterations were done"):
        run("cut", after_step=event)
    assert saved == [last_checkpoint(tmp_path / "cut").stat().st_mtime_ns]
    assert last_checkpoint(tmp_path / "cut").name == "model_0000003.pth"


def test_a_training_that_goes_on_from_a_final_checkpoint(run, tmp_path):
    """Whose name does not say that the iterations since are saved."""
    run("long", opts=["SOLVER.MAX_ITER", 2])
    assert last_checkpoint(tmp_path / "long").name == "model_final.pth"
    opts = ["SOLVER.CHECKPOINT_PERIOD", 9]
    with pytest.raises(Stopped, match=r"4 iterations were done.*model_0000003\.pth"):
        run("long", "--resume", opts=opts, in_step=send(signal.SIGTERM, 3))
    saved = torch.load(last_checkpoint(tmp_path / "long"), weights_only=True)
    assert saved["iteration"] == 3


def test_a_signal_does_not_wait_for_an_evaluation(run, tmp_path, monkeypatch):
    evaluated = []

    def test(cfg, model):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        evaluated.append(1)

    monkeypatch.setattr(Trainer, "test", staticmethod(test))
    with pytest.raises(Stopped, match=r"2 iterations.*model_0000001\.pth"):
        run("cut", opts=["TEST.EVAL_PERIOD", 2])
    with pytest.raises(Stopped, match=r"All 6 iterations.*model_final\.pth.*--eval-only"):
        run("late")
    assert not evaluated


def test_the_last_iteration_is_complete_and_not_evaluated(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "test", lambda *_: pytest.fail("evaluated"))
    with pytest.raises(Stopped, match=r"All 6 iterations are done: .*model_final\.pth"):
        run("cut", in_step=send(signal.SIGTERM, 5))
    assert last_checkpoint(tmp_path / "cut").name == "model_final.pth"


def test_before_the_first_iteration_there_is_nothing_to_save(run, tmp_path):
    def early(trainer):
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SafeEnd, "end_step", lambda self: pytest.fail("a step was made"))
        patch.setattr(Trainer, "before_step", early)
        with pytest.raises(Stopped, match="There is no checkpoint"):
            run("cut")
    assert not list(Path(tmp_path, "cut").glob("*.pth"))


def test_a_second_signal_ends_at_once(tiny_run, tmp_path):
    """While the first is still waiting for the step to end."""
    args = tiny_run(opts=[*SIX, "OUTPUT_DIR", str(tmp_path / "run")])
    code = (
        "import os, signal, sys, time\n"
        "from pointrend_ext.engine import Trainer\n"
        "def step(self):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('too late', flush=True)\n"
        "def run_step(self):\n"
        "    next(self._trainer._data_loader_iter)\n"
        "    step(self)\n"
        "Trainer.run_step = run_step\n"
        "sys.path.insert(0, 'tools')\n"
        "import train_net\n"
        "sys.exit(train_net.main())\n"
    )
    words = ["--config-file", args.config_file, *map(str, args.opts)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *words], cwd=ROOT, capture_output=True
    )
    assert done.returncode == -signal.SIGTERM
    assert b"still here" in done.stdout
    assert b"too late" not in done.stdout


def test_no_handlers_outside_the_main_thread(run, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run, args=("thread",))
    thread.start()
    thread.join()
    assert Path(tmp_path, "thread", "model_final.pth").is_file()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("damage", ["gone", "broken"])
def test_an_image_that_vanishes_or_breaks_is_named_after_a_checkpoint(
    run, tmp_path, monkeypatch, six_losses, workers, damage, caplog
):
    generate_toy_data(tmp_path / "data", num_train=8, num_val=4)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "data"))
    pictures = sorted(Path(tmp_path, "data", "toy", "train").glob("*.jpg"))
    content = {path: path.read_bytes() for path in pictures}

    def harm(trainer):
        if trainer.iter == 0:
            for path in pictures:
                path.unlink() if damage == "gone" else path.write_bytes(content[path][:900])

    with pytest.raises(LoadingError, match=r"toy/train/\d+\.jpg.*--resume") as caught:
        run("cut", opts=["DATALOADER.NUM_WORKERS", workers], after_step=harm)
    assert ("does not exist" if damage == "gone" else "truncated") in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert not any(record.exc_info for record in caplog.records)
    done = torch.load(last_checkpoint(tmp_path / "cut"), weights_only=True)["iteration"] + 1
    assert f"{done} iterations were done" in str(caught.value)
    assert done == 1 if workers == 0 else 1 <= done < 6  # workers have read ahead
    for path in pictures:
        path.write_bytes(content[path])
    if not six_losses:
        six_losses.update(final_weights(run("whole")))
    run("cut", "--resume")
    assert_equal_weights(final_weights(tmp_path / "cut"), six_losses)


def test_a_test_image_that_vanishes_is_named_too(run, tmp_path, monkeypatch):
    generate_toy_data(tmp_path / "data", num_train=8, num_val=4)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "data"))

    def harm(trainer):
        for path in Path(tmp_path, "data", "toy", "val").glob("*.jpg"):
            path.unlink(missing_ok=True)

    with pytest.raises(LoadingError, match=r"toy/val/\d+\.jpg.*model_0000002\.pth"):
        run("cut", opts=["DATASETS.TEST", ("toy_val",), "TEST.EVAL_PERIOD", 3], in_step=harm)


def test_several_processes_agree(monkeypatch):
    """What one process has found stops all, with the same words."""
    others = []
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(comm, "all_gather", lambda found: [found, *others])
    safe_end = SafeEnd()
    batches = safe_end._batches([1, 2, 3, 4])
    others[:] = [(0, None)]
    assert next(batches) == 1
    assert safe_end._waits
    others[:] = [(0, "image x is broken")]
    with pytest.raises(_Stop) as caught:
        next(batches)
    assert isinstance(caught.value.__cause__, LoadingError)
    assert str(caught.value.__cause__) == "image x is broken"
    batches = safe_end._batches([1])
    others[:] = [(signal.SIGTERM, None)]
    with pytest.raises(_Stop):
        next(batches)
    assert safe_end._number == signal.SIGTERM


def test_other_errors_stay_as_they_are(run, tmp_path):
    def event(trainer):
        if trainer.iter == 4:
            raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match=r"^a mistake of ours$"):
        run("cut", after_step=event)
    assert last_checkpoint(tmp_path / "cut").name == "model_0000003.pth"
    rows = Path(tmp_path, "cut", "metrics.json").read_text().splitlines()
    assert json.loads(rows[-1])["iteration"] == 4
