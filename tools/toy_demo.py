#!/usr/bin/env python3
"""See PointRend work without data, GPU or download: `make demo`.

Generates the toy data and trains the mask heads of PointRend and Mask R-CNN at the same time, on a
shipped detector, so that both find the same boxes. Then it prints the AP of both with intervals and
writes pictures of their masks side by side and an HTML report. An interrupted demo resumes.
"""

import argparse
import logging
import os
import sys
import time
from functools import partial
from pathlib import Path

from pointrend_ext.data.toy import ensure_toy_data, register_toy_datasets
from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.command_line import run_tool
from pointrend_ext.engine.metrics_file import loss_curves
from pointrend_ext.engine.side_by_side import Job, train_side_by_side
from pointrend_ext.evaluation.offline import (
    Evaluation,
    EvaluationOptions,
    evaluate_files,
    find_data_set,
    write_evaluation,
    written_tables,
)
from pointrend_ext.evaluation.report import write_report
from pointrend_ext.inspection.comparison import write_comparisons
from pointrend_ext.model_zoo import get_config_file

CONFIGS = {
    "Mask R-CNN": "Toy/mask_rcnn_mask_head_toy.yaml",
    "PointRend": "Toy/pointrend_mask_head_toy.yaml",
}
FROM_NOTHING = "python tools/train_net.py --config-file configs/Toy/pointrend_rcnn_toy.yaml"


def make_job(title: str, config_name: str, output: Path, opts: list[str]) -> Job:
    """Build the command line of one training run."""
    config_file = get_config_file(config_name)
    output_dir = output / Path(config_name).stem
    script = Path(__file__).with_name("train_net.py")
    command = [sys.executable, "-W", "ignore", str(script), "--config-file", config_file]
    command += ["--resume", *opts, "OUTPUT_DIR", str(output_dir)]
    return Job(title, command, output_dir, load_cfg(config_file, opts).SOLVER.MAX_ITER)


def verdict(evaluation: Evaluation) -> str:
    """Say in one line how far the second model is ahead of the first, and where outlines count."""
    first, second = (model.scores["segm"]["AP75"] for model in evaluation.models)
    gain = evaluation.differences[0].scores["boundary"]["AP"]
    name = evaluation.models[1].name
    ratio = f", {second.value / first.value:.1f} times" if first.value and second.value else ""
    return (
        f"{name}: mask AP75 {second.text()} against {first.text()}{ratio}; Boundary AP "
        f"{gain.text(signed=True)} {gain.interval_text(signed=True)}. Boxes are the same."
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
    for name in ("detectron2", "pointrend_ext"):  # gaps in ids are meant; the tables have the rest
        logging.getLogger(name).setLevel(logging.ERROR)
    train_side_by_side(jobs, partial(print, flush=True))
    predictions = "inference/coco_instances_results.json"
    files = {job.title: job.output_dir / predictions for job in jobs}
    options = EvaluationOptions(metrics=("bbox", "segm", "boundary"))
    named = {title: str(file) for title, file in files.items()}
    evaluation = evaluate_files(find_data_set("toy_val"), named, options)
    write_evaluation(evaluation, args.output / "evaluation.json")
    curves = {job.title: loss_curves(job.output_dir) for job in jobs}
    write_report(evaluation, args.output / "report.html", curves=curves)
    pictures = write_comparisons(files, "toy_val", args.output / "pictures")
    print(f"\n{written_tables(evaluation)}\n\n{verdict(evaluation)}")
    print(f"{len(pictures)} pictures in {args.output / 'pictures'}, {args.output / 'report.html'}")
    print(f"Done in {time.time() - start:.0f} s. To train all of PointRend from random weights:")
    print(FROM_NOTHING)


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), run)


if __name__ == "__main__":
    sys.exit(main())
