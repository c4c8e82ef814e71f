#!/usr/bin/env python3
"""See PointRend work without data, GPU or download: `make demo`.

Generates the toy data, trains PointRend and Mask R-CNN from random weights at the same time, prints
the AP of both and writes pictures of their masks side by side. An interrupted demo resumes.
"""

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pointrend_ext.data.toy import ensure_toy_data, register_toy_datasets
from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.command_line import run_tool
from pointrend_ext.engine.metrics_file import last_results, read_metrics
from pointrend_ext.inspection.comparison import write_comparisons
from pointrend_ext.model_zoo import get_config_file

CONFIGS = {
    "Mask R-CNN": "Toy/mask_rcnn_toy.yaml",
    "PointRend": "Toy/pointrend_rcnn_toy.yaml",
}
METRICS = ("AP", "AP75", "AP85", "AP90", "AP95", "AP85-95")


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


def train_side_by_side(jobs: Sequence[Job]) -> None:
    """Run all jobs at the same time, sharing the processors; when one fails, stop the others."""
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
                print(line, flush=True)
            last_line = line
            time.sleep(1)


def make_job(title: str, config_name: str, output: Path, opts: list[str]) -> Job:
    """Build the command line of one training run."""
    config_file = get_config_file(config_name)
    output_dir = output / Path(config_name).stem
    script = Path(__file__).with_name("train_net.py")
    command = [sys.executable, "-W", "ignore", str(script), "--config-file", config_file]
    command += ["--resume", *opts, "OUTPUT_DIR", str(output_dir)]
    return Job(title, command, output_dir, load_cfg(config_file, opts).SOLVER.MAX_ITER)


def print_table(results: dict[str, dict[str, float]]) -> None:
    """Print the mask AP of all models, and who is ahead where outlines matter."""
    print(f"\nMask AP on toy_val {''.join(f'{name:>9}' for name in METRICS)}   box AP")
    for title, metrics in results.items():
        values = "".join(f"{metrics[f'segm/{name}']:9.1f}" for name in METRICS)
        print(f"{title:<19}{values}{metrics['bbox/AP']:9.1f}")
    gain = results["PointRend"]["segm/AP85-95"] - results["Mask R-CNN"]["segm/AP85-95"]
    print(
        f"At IoU .85 and above PointRend is {abs(gain):.1f} AP {'ahead' if gain > 0 else 'BEHIND'}."
    )


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "--data-root",
        default=os.environ.get("DETECTRON2_DATASETS", "datasets"),
        help="Detectron2's data root; the toy data go to DATA_ROOT/toy (default: %(default)s)",
    )
    add("--output", type=Path, default="output/demo", help="models, logs and pictures go here")
    add("opts", nargs="*", metavar="KEY VALUE", help="pairs that change both configurations")
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the demo."""
    start = time.time()
    jobs = [make_job(title, name, args.output, args.opts) for title, name in CONFIGS.items()]
    os.environ["DETECTRON2_DATASETS"] = args.data_root  # where the training processes look
    print(f"Toy data in {ensure_toy_data(args.data_root)}")
    register_toy_datasets(args.data_root)
    logging.getLogger("detectron2").setLevel(logging.ERROR)  # gaps in the ids are intended here
    train_side_by_side(jobs)
    print_table({job.title: last_results(job.output_dir) for job in jobs})
    predictions = "inference/coco_instances_results.json"
    files = {job.title: job.output_dir / predictions for job in jobs}
    pictures = write_comparisons(files, "toy_val", args.output / "pictures")
    seconds = time.time() - start
    print(f"{len(pictures)} pictures in {args.output / 'pictures'}, done in {seconds:.0f} s.")


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), run)


if __name__ == "__main__":
    sys.exit(main())
