#!/usr/bin/env python3
"""Draw two models' saved label maps, or objects, beside the ground truth where they differ most."""

import argparse
import sys
from pathlib import Path

from pointrend_ext.data.registration import register_datasets
from pointrend_ext.engine.command_line import named_path, run_tool
from pointrend_ext.inspection.comparison import write_comparisons


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add(
        "--predictions",
        type=named_path,
        nargs="+",
        action="extend",
        required=True,
        metavar="NAME=PATH",
        help="a model's name and its sem_seg_predictions.json of label maps, or "
        "coco_instances_results.json of objects, from its folder inference; give two",
    )
    add("--dataset", required=True, help="a registered data set, or one of a description")
    add("--description", action="append", default=[], help="a data set description (YAML or JSON)")
    add("--output", type=Path, required=True, help="folder for the pictures")
    add("--pictures", type=int, default=3, help="pictures to draw, at most (%(default)s)")
    return parser


def draw(args: argparse.Namespace) -> None:
    """Write the pictures."""
    predictions = dict(args.predictions)
    if not len(args.predictions) == len(predictions) == 2:
        names = [name for name, _ in args.predictions]
        raise ValueError(f"--predictions has the names {names}; give two, of different names.")
    register_datasets([args.dataset], args.description)
    files = write_comparisons(predictions, args.dataset, args.output, num_pictures=args.pictures)
    print(*files, sep="\n")


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), draw)


if __name__ == "__main__":
    sys.exit(main())
