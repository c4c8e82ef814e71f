"""Several training runs at the same time on one machine, watched through their metric files."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["TrainingJob", "last_results", "read_metrics", "train_side_by_side"]

_POLL_SECONDS = 1.0


@dataclass
class TrainingJob:
    """One run.

    Attributes:
        title: how it is called in reports.
        command: the command line that trains and evaluates it.
        output_dir: its ``OUTPUT_DIR``, where it writes ``metrics.json``.
        max_iter: iterations it runs for.
    """

    title: str
    command: Sequence[str]
    output_dir: Path
    max_iter: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log_file(self) -> Path:
        """Everything the run prints."""
        return self.output_dir / "console.log"

    def start(self, num_threads: int) -> None:
        """Start the process with that many threads; its output goes to ``log_file``."""
        self.output_dir.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(num_threads)}
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdout=log, stderr=subprocess.STDOUT, env=environment
            )

    def is_running(self) -> bool:
        """Whether the process goes on.

        Raises:
            RuntimeError: it failed; the message names the log.
        """
        code = self._process.poll()
        if code:
            tail = "\n".join(self.log_file.read_text(errors="replace").splitlines()[-5:])
            raise RuntimeError(
                f"Training {self.title} ended with exit code {code}. Its last lines, from "
                f"{self.log_file}:\n{tail}"
            )
        return code is None

    def stop(self) -> None:
        """End the process if it still runs; its last checkpoint stays and is resumed from."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def progress(self) -> str:
        """One phrase: iterations, loss and time left."""
        records = [r for r in read_metrics(self.output_dir) if "total_loss" in r]
        if not records:
            return f"{self.title}: starting"
        done = records[-1]["iteration"] + 1
        if done >= self.max_iter:
            return f"{self.title}: evaluating"
        eta = time.strftime("%M:%S", time.gmtime(records[-1].get("eta_seconds", 0)))
        loss = records[-1]["total_loss"]
        return f"{self.title}: {done}/{self.max_iter}, loss {loss:.2f}, ETA {eta}"


def train_side_by_side(jobs: Sequence[TrainingJob], report: Callable[[str], None]) -> None:
    """Run all jobs at the same time, sharing the processors, until each has finished.

    Args:
        jobs: the runs.
        report: called with one line whenever the progress has changed.

    Raises:
        RuntimeError: a run failed; the others are stopped.
    """
    num_threads = max(1, len(os.sched_getaffinity(0)) // len(jobs))
    last_line = ""
    try:
        for job in jobs:
            job.start(num_threads)
        while any(tuple(job.is_running() for job in jobs)):  # a tuple: every job is looked at
            line = "   ".join(job.progress() for job in jobs)
            if line != last_line:
                report(line)
            last_line = line
            time.sleep(_POLL_SECONDS)
    finally:
        for job in jobs:
            job.stop()


def last_results(output_dir: Path) -> dict[str, float]:
    """Return the metrics of a run's last evaluation, such as ``segm/AP75``, in per cent.

    Raises:
        ValueError: the run was never evaluated.
    """
    for record in reversed(read_metrics(output_dir)):
        results = {
            n: value for n, value in record.items() if "/AP" in n or n.startswith("sem_seg/")
        }
        if results:
            return results
    raise ValueError(f"{output_dir / 'metrics.json'} holds no evaluation.")


def read_metrics(output_dir: Path) -> list[dict[str, Any]]:
    """Return the records of a run's ``metrics.json`` so far; none before the first is written."""
    path = output_dir / "metrics.json"
    if not path.is_file():
        return []
    lines = path.read_text().splitlines()
    return [
        json.loads(line) for line in lines if line.endswith("}")
    ]  # the last may be half written
