#!/usr/bin/env python3
"""Describe a data set as an annotation tool exported it, so that it can be trained on.

Example: python tools/describe_data.py my_export --output my_data
"""

import argparse
import sys
from pathlib import Path

from pointrend_ext.data.formats import Split, describe, recognise
from pointrend_ext.engine.command_line import run_tool
from pointrend_ext.engine.recipe import Machine, choose_recipe


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("data", metavar="FOLDER", help="an export, or its main file")
    add("--output", required=True, type=Path, help="folder for the description")
    add("--name", default="data", help="of the data set (%(default)s): NAME_train, NAME_val")
    add("--val-share", type=float, default=0.2, help="of pictures without split (%(default)s)")
    add("--seed", type=int, default=0, help="that draws them (%(default)s)")
    add("--weights", metavar="FILE", help="to start from (default: the model zoo, or ImageNet)")
    add("--class-attribute", default="", help="of VIA's regions, where they have several")
    return parser


def write(args: argparse.Namespace) -> None:
    """Recognise, describe, and say what was found."""
    export = recognise(args.data, class_attribute=args.class_attribute)
    print(f"{args.data}: {export.kind}")
    split = Split(args.val_share, args.seed)
    described = describe(export, args.output, name=args.name, split=split)
    print(*described.lines(), f"Description: {described.file}", sep="\n")
    recipe = choose_recipe(described, Machine.here(), name=args.name, weights=args.weights)
    config = described.file.with_name("train.yaml")
    recipe.write(config)
    print(f"\nChosen, on top of {recipe.base}:", *recipe.lines(), sep="\n  ")
    print(
        f"\nTrain with: python tools/train_net.py --config-file {config}\n"
        "Choose otherwise in that file, or by KEY VALUE pairs behind it."
    )


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), write)


if __name__ == "__main__":
    sys.exit(main())
