#!/usr/bin/env python3
"""See PointRend work without data, GPU or download: `make demo`.

Generates the toy data, trains PointRend and Mask R-CNN from random weights at the same time, prints
the AP of both and writes pictures of their masks side by side. An interrupted demo resumes.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

from pointrend_ext.data.toy import ensure_toy_data, register_toy_datasets
from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.side_by_side import TrainingJob, last_results, train_side_by_side
from pointrend_ext.inspection.comparison import write_comparisons
from pointrend_ext.model_zoo import get_config_file

CONFIGS = {
    "Mask R-CNN": "Toy/mask_rcnn_toy.yaml",
    "PointRend": "Toy/pointrend_rcnn_toy.yaml",
}
METRICS = ("AP", "AP75", "AP85", "AP90", "AP95", "AP85-95")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data-root",
        default=os.environ.get("DETECTRON2_DATASETS", "datasets"),
        help="The toy data goes to DATA_ROOT/toy (default: %(default)s).",
    )
    parser.add_argument(
        "--output", default="output/demo", help="Models, logs and pictures go here."
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that change both configurations."
    )
    return parser.parse_args()


def make_job(title: str, config_name: str, output: Path, opts: list[str]) -> TrainingJob:
    """Build the command line of one training run."""
    config_file = get_config_file(config_name)
    output_dir = output / Path(config_name).stem
    script = Path(__file__).with_name("train_net.py")
    command = [sys.executable, "-W", "ignore", str(script), "--config-file", config_file]
    command += ["--resume", *opts, "OUTPUT_DIR", str(output_dir)]
    return TrainingJob(title, command, output_dir, load_cfg(config_file, opts).SOLVER.MAX_ITER)


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


def main() -> None:
    """Run the demo."""
    args = parse_args()
    start, output = time.time(), Path(args.output)
    os.environ["DETECTRON2_DATASETS"] = args.data_root  # where the training processes look
    print(f"Toy data in {ensure_toy_data(args.data_root)}")
    register_toy_datasets(args.data_root)
    logging.getLogger("detectron2").setLevel(logging.ERROR)  # gaps in the ids are intended here
    jobs = [make_job(title, name, output, args.opts) for title, name in CONFIGS.items()]
    train_side_by_side(jobs, lambda line: print(line, flush=True))
    print_table({job.title: last_results(job.output_dir) for job in jobs})
    pictures = write_comparisons(
        {job.title: job.output_dir / "inference" / "coco_instances_results.json" for job in jobs},
        "toy_val",
        output / "pictures",
    )
    print(
        f"{len(pictures)} pictures in {output / 'pictures'}, done in {time.time() - start:.0f} s."
    )


if __name__ == "__main__":
    main()
