"""An interrupted training gives the numbers of one that was not interrupted, to the last bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from pointrend_ext.engine import setup_cfg, train_or_evaluate

ROOT = Path(__file__).resolve().parents[2]
RUN = [
    *("SOLVER.MAX_ITER", 6),
    *("SOLVER.CHECKPOINT_PERIOD", 2),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", 1024),  # a checkpoint of 20 MB takes a moment to write
    *("MODEL.ROI_MASK_HEAD.FC_DIM", 1024),
    *("INPUT.MIN_SIZE_TRAIN", (48, 64)),  # drawn at random, as the flip is
    *("DATASETS.TEST", ()),
]
LAST = "model_final.pth"


def run_of(tiny_run, folder, *words, opts=()):
    return setup_cfg(tiny_run(*words, opts=[*RUN, "OUTPUT_DIR", str(folder), *opts]))


def checkpoint(folder, name=LAST):
    return torch.load(Path(folder, name), weights_only=True)


def scalars_of(folder):
    return checkpoint(folder)["trainer"]["hooks"]["ExactResume"]["scalars"]


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def losses_in_metrics(folder):
    row = json.loads(Path(folder, "metrics.json").read_text().splitlines()[-1])
    return {key: value for key, value in row.items() if "time" not in key and "eta" not in key}


def is_half_written(part):
    try:
        return part.stat().st_size > 100_000
    except FileNotFoundError:
        return False


def kill_while_writing(command, folder, names):
    """Run a command, and kill it when one of the files is being written; return which."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    parts = [folder / f"{name}.tmp" for name in names]
    try:
        while process.poll() is None:
            for part in parts:
                if is_half_written(part):
                    os.kill(process.pid, signal.SIGSTOP)
                    time.sleep(0.05)
                    if is_half_written(part):  # else the stop came too late: wait for the next one
                        return part
                    os.kill(process.pid, signal.SIGCONT)
            time.sleep(0.001)
        raise AssertionError("the training ended before it could be killed")
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.wait()


def test_killed_while_writing_a_checkpoint(tiny_run, toy_root, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_or_evaluate(run_of(tiny_run, whole))

    workers = ["DATALOADER.NUM_WORKERS", 2]
    often = ["SOLVER.CHECKPOINT_PERIOD", 1]
    args = tiny_run(opts=[*RUN, *workers, *often, "OUTPUT_DIR", str(killed)])
    command = [sys.executable, "-W", "ignore", "tools/train_net.py"]
    command += ["--config-file", args.config_file, *map(str, args.opts)]
    names = [f"model_{i:07d}.pth" for i in (2, 3, 4)]
    part = kill_while_writing(command, killed, names)
    last = Path(killed, "last_checkpoint").read_text()
    iteration = checkpoint(killed, last)["iteration"]  # the previous one can be read
    assert names.index(part.name.removesuffix(".tmp")) + 1 == iteration
    assert not Path(killed, LAST).exists()

    train_or_evaluate(run_of(tiny_run, killed, "--resume", opts=workers), resume=True)
    log = Path(killed, "log.txt").read_text()
    assert f"Starting training from iteration {iteration + 1}" in log
    assert_same(checkpoint(whole), checkpoint(killed))  # weights, momentum, schedule, all losses
    assert losses_in_metrics(whole) == losses_in_metrics(killed)
    scalars = scalars_of(killed)
    assert [i for _, i in scalars["loss_mask_point"]] == list(range(6))
    assert len({value for value, _ in scalars["total_loss"]}) == 6


def test_without_a_seed_the_checkpoint_knows_it(tiny_run, tmp_path):
    """Also: what was restored is written again, and evaluation in between changes nothing."""
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    opts = ["SEED", -1, "DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"]
    train_or_evaluate(run_of(tiny_run, whole, opts=opts))
    resumed.mkdir()
    (resumed / "model_0000001.pth").write_bytes((whole / "model_0000001.pth").read_bytes())
    (resumed / "last_checkpoint").write_text("model_0000001.pth")
    opts += ["DATASETS.TEST", ("toy_val",), "TEST.EVAL_PERIOD", 3]
    train_or_evaluate(run_of(tiny_run, resumed, "--resume", opts=opts), resume=True)
    assert_same(checkpoint(whole), checkpoint(resumed))


def test_other_seeds_give_other_losses(tiny_run, tmp_path):
    """The comparison above is no comparison of constants."""
    for seed in (1, 2):
        opts = ["SEED", seed, "SOLVER.MAX_ITER", 1]
        train_or_evaluate(run_of(tiny_run, tmp_path / str(seed), opts=opts))
    assert scalars_of(tmp_path / "1")["total_loss"] != scalars_of(tmp_path / "2")["total_loss"]
