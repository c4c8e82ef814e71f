"""Evaluate a trained model on DATASETS.TEST of its configuration."""

import argparse
import contextlib
import sys
from pathlib import Path

from detectron2.utils import comm
from pydantic_core import to_json

from pointrend_ext._command import new_parser
from pointrend_ext.commands.train import build_parser as train_parser
from pointrend_ext.commands.train import run_process
from pointrend_ext.engine.command_line import add_model_arguments
from pointrend_ext.engine.launching import run_processes

EXAMPLE = (
    "--config-file Toy/pointrend_rcnn_toy.yaml "
    "--weights output/pointrend_rcnn_toy/model_final.pth --json"
)


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = new_parser(__doc__, prog, EXAMPLE)
    parser.add_argument("--num-gpus", type=int, default=1, help="GPUs to use (%(default)s)")
    parser.add_argument("--json", action="store_true", help="the scores alone on stdout, as JSON")
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Evaluate as `train --eval-only` does."""
    for key, value in (("MODEL.WEIGHTS", args.weights), ("MODEL.DEVICE", args.device)):
        args.opts += [key, value] if value else []
    known = train_parser().parse_args(["--eval-only"])
    return run_processes(
        Path(sys.argv[0]).name,
        print_results if args.json else run_process,
        argparse.Namespace(**{**vars(known), **vars(args)}),
    )


def print_results(args: argparse.Namespace) -> None:
    """Run one process whose log goes to stderr; the first prints the scores."""
    with contextlib.redirect_stdout(sys.stderr):
        results = run_process(args)
    if comm.is_main_process():
        print(to_json(results, inf_nan_mode="null", fallback=float).decode())
