"""Trainings that run at the same time, each in a process of its own, with one line of progress."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pointrend_ext.engine.metrics_file import read_metrics


@dataclass(frozen=True)
class Job:
    """A training run: how it is called, its command line, its ``OUTPUT_DIR``, its length."""

    title: str
    command: Sequence[str]
    output_dir: Path
    max_iter: int

    @property
    def log_file(self) -> Path:
        """Everything the run prints."""
        return self.output_dir / "console.log"

    def progress(self) -> str:
        """One phrase: iterations, loss and time left."""
        has_begun = (self.output_dir / "metrics.json").is_file()
        metrics = read_metrics(self.output_dir) if has_begun else []
        records = [record for record in metrics if "total_loss" in record]
        if not records:
            return f"{self.title}: starting"
        done, loss = records[-1]["iteration"] + 1, records[-1]["total_loss"]
        if done >= self.max_iter:
            return f"{self.title}: evaluating"
        eta = time.strftime("%M:%S", time.gmtime(records[-1].get("eta_seconds", 0)))
        return f"{self.title}: {done}/{self.max_iter}, loss {loss:.2f}, ETA {eta}"


def train_side_by_side(jobs: Sequence[Job], say: Callable[[str], object]) -> None:
    """Run all jobs at the same time, sharing the processors; when one fails, stop the others.

    Args:
        jobs: their ``output_dir`` are made, and the log files in them appended to.
        say: takes a line of progress.

    Raises:
        ValueError: a job failed; with the end of its log.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux alone
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    threads = str(max(1, cores // len(jobs)))
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    last_line = ""
    with ExitStack() as stack:
        processes = []
        for job in jobs:
            job.output_dir.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context(job.log_file.open("ab"))
            process = subprocess.Popen(job.command, stdout=log, stderr=log, env=environment)
            stack.callback(process.wait)
            stack.callback(process.terminate)  # its last checkpoint stays and is resumed from
            processes.append(process)
        while True:
            codes = [process.poll() for process in processes]
            for job, code in zip(jobs, codes, strict=True):
                if code:
                    tail = "\n".join(job.log_file.read_text(errors="replace").splitlines()[-5:])
                    raise ValueError(
                        f"Training {job.title} ended with exit code {code}. Its last lines, from "
                        f"{job.log_file}:\n{tail}"
                    )
            if None not in codes:
                return
            line = "   ".join(job.progress() for job in jobs)
            if line != last_line:
                say(line)
            last_line = line
            time.sleep(1)
