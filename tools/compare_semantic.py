#!/usr/bin/env python3
"""Draw two semantic models' predictions beside the ground truth, where they differ most."""

from __future__ import annotations

import argparse
from pathlib import Path

from pointrend_ext.data import register_description
from pointrend_ext.engine.command_line import named_path
from pointrend_ext.inspection.semantic_comparison import write_semantic_comparisons


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--predictions",
        type=named_path,
        action="append",
        required=True,
        metavar="NAME=FILE",
        help="A model's name and its inference/sem_seg_predictions.json; give two.",
    )
    parser.add_argument("--description", required=True, help="Description of the data set.")
    parser.add_argument("--dataset", required=True, help="Name of the data set, such as my_val.")
    parser.add_argument("--output", type=Path, required=True, help="Folder for the pictures.")
    parser.add_argument("--pictures", type=int, default=3)
    args = parser.parse_args()
    if len(args.predictions) != 2:
        parser.error(f"--predictions was given {len(args.predictions)} times; two are compared")
    register_description(args.description)
    files = write_semantic_comparisons(
        dict(args.predictions), args.dataset, args.output, num_pictures=args.pictures
    )
    for file in files:
        print(file)


if __name__ == "__main__":
    main()
