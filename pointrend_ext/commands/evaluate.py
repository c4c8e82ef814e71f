"""Evaluate a trained model on DATASETS.TEST of its configuration."""

import argparse
import sys
from pathlib import Path

from pointrend_ext._command import add_json_argument, new_parser
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
    add_json_argument(parser)
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Evaluate as `train --eval-only` does."""
    for key, value in (("MODEL.WEIGHTS", args.weights), ("MODEL.DEVICE", args.device)):
        args.opts += [key, value] if value else []
    known = train_parser().parse_args(["--eval-only"])
    args = argparse.Namespace(**{**vars(known), **vars(args)})
    return run_processes(Path(sys.argv[0]).name, run_process, args)
