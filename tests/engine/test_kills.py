"""Fifteen kills at random moments: each is resumed, and nothing but the stated period is lost."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
ITERATIONS, PERIOD, KILLS = 200, 5, 15
# Writing a checkpoint takes about as long as an iteration, or ten times as long.
TRAIN = """
import random, sys, time
from pointrend_ext.checkpoint import files
slow = float(sys.argv.pop(1))
opened = files.open_atomically
class Slow:
    def __init__(self, file): self.file = file
    def __getattr__(self, name): return getattr(self.file, name)
    def write(self, data):
        time.sleep(slow)
        return self.file.write(data)
from contextlib import contextmanager
@contextmanager
def open_slowly(path, mode="wb"):
    with opened(path, mode) as file:
        yield Slow(file) if "b" in mode else file
files.open_atomically = open_slowly
from pathlib import Path
from pointrend_ext.engine import Trainer
run_step = Trainer.run_step
def step(self):
    run_step(self)
    Path(self.cfg.OUTPUT_DIR, "step.new").write_text(str(self.iter))
    Path(self.cfg.OUTPUT_DIR, "step.new").rename(Path(self.cfg.OUTPUT_DIR, "step"))
Trainer.run_step = step
sys.path.insert(0, "tools")
import train_net
sys.exit(train_net.main())
"""


def last_iteration(folder):
    tag = Path(folder, "last_checkpoint")
    if not tag.is_file():
        return -1
    return torch.load(Path(folder, tag.read_text()), weights_only=True)["iteration"]


def iterations_begun(folder):
    """Of the run whose log ends the file."""
    log = Path(folder, "log.txt").read_text() if Path(folder, "log.txt").is_file() else ""
    return log.count("Starting training from iteration")


@pytest.mark.slow
def test_fifteen_kills(tiny_run, tmp_path, capsys):
    draw = random.Random(5)
    args = tiny_run()
    options = [*args.opts, "SOLVER.MAX_ITER", ITERATIONS, "SOLVER.CHECKPOINT_PERIOD", PERIOD]
    options += ["DATASETS.TEST", "()", "SOLVER.CHECKPOINT_KEEP", 3, "SEED", 7]

    def start(folder, slow, *words):
        command = [sys.executable, "-W", "ignore", "-c", TRAIN, str(slow)]
        command += ["--config-file", args.config_file, *words]
        command += [*map(str, options), "OUTPUT_DIR", str(folder), "DATALOADER.NUM_WORKERS", "1"]
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(whole, 0).wait(600) == 0
    figures, losses, halves = [], [], 0
    for number in range(KILLS):
        slow = draw.choice([0, 0.0003, 0.003])
        begun, before = iterations_begun(cut), last_iteration(cut)
        cut.mkdir(exist_ok=True)
        (cut / "step").write_text(str(before))
        process = start(cut, slow, "--resume")
        while iterations_begun(cut) == begun and process.poll() is None:
            time.sleep(0.02)
        time.sleep(draw.uniform(0.2, 8))
        kind = signal.SIGKILL if number % 3 else signal.SIGTERM
        process.send_signal(kind)
        error = process.communicate(timeout=120)[1]
        after = last_iteration(cut)  # and it can be read
        half = [path.name for path in cut.glob("*.tmp")]
        halves += bool(half)
        if kind == signal.SIGTERM:
            assert process.returncode == 143, error
            told = re.search(r"(\d+) iterations were done", error)
            assert told or "There is no checkpoint" in error  # on a slow machine, before the first
            done = int(told[1]) if told else 0
            assert after == done - 1  # nothing at all is lost
        else:
            assert process.returncode == -signal.SIGKILL
            assert after == before or (after + 1) % PERIOD == 0
            lost = int((cut / "step").read_text()) - after
            assert lost <= PERIOD
            losses.append(lost)
        assert after >= before
        assert len(list(cut.glob("model_*.pth"))) <= 3
        figures.append(f"{kind.name} {before + 1}->{after + 1}{' half written' if half else ''}")
    assert start(cut, 0, "--resume").wait(600) == 0
    with capsys.disabled():
        print("\n", "; ".join(figures))
        print(f"{halves} in the middle of a checkpoint; iterations lost: {losses}")

    finals = [torch.load(folder / "model_final.pth", weights_only=True) for folder in (whole, cut)]
    assert finals[0]["iteration"] == finals[1]["iteration"] == ITERATIONS - 1
    for name, value in finals[0]["model"].items():
        assert torch.equal(value, finals[1]["model"][name]), name
    rows = [
        {row["iteration"]: row for row in map(json.loads, (folder / "metrics.json").open())}
        for folder in (whole, cut)
    ]
    # Rows at the period of the writer: medians over twenty iterations of all losses.
    for iteration, row in rows[0].items():
        assert rows[1][iteration]["total_loss"] == row["total_loss"]
        assert rows[1][iteration]["lr"] == row["lr"]
    assert len(rows[0]) == ITERATIONS / 20
