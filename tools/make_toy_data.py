#!/usr/bin/env python3
"""Generate the toy data set: python tools/make_toy_data.py --data-root datasets."""

import argparse
import logging
import os
import sys

from pointrend_ext.data.toy import ToySpec, generate_toy_data
from pointrend_ext.engine.command_line import run_tool


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    default = ToySpec()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--data-root",
        "--root",
        default=os.environ.get("DETECTRON2_DATASETS", "datasets"),
        help="Detectron2's data root ($DETECTRON2_DATASETS); the data go to DATA_ROOT/toy",
    )
    parser.add_argument("--num-train", type=int, default=default.num_train, help="training images")
    parser.add_argument("--num-val", type=int, default=default.num_val, help="validation images")
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of the data set")
    return parser


def generate(args: argparse.Namespace) -> None:
    """Generate the data."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    path = generate_toy_data(
        args.data_root, num_train=args.num_train, num_val=args.num_val, seed=args.seed
    )
    print(f"Toy data written to {path}")


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), generate)


if __name__ == "__main__":
    sys.exit(main())
