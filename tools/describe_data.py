#!/usr/bin/env python3
"""Describe a data set as an annotation tool exported it, so that it can be trained on.

Example: python tools/describe_data.py my_export --output my_data
"""

import argparse
import sys
from pathlib import Path

from pointrend_ext.data.formats import Split, describe, recognise
from pointrend_ext.engine.command_line import run_tool


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("data", metavar="FOLDER", help="an export, or its main file")
    add("--output", required=True, type=Path, help="folder for the description")
    add("--name", default="data", help="of the data set (%(default)s): NAME_train, NAME_val")
    add("--val-share", type=float, default=0.2, help="of pictures without split (%(default)s)")
    add("--seed", type=int, default=0, help="that draws them (%(default)s)")
    add("--class-attribute", default="", help="of VIA's regions, where they have several")
    return parser


def write(args: argparse.Namespace) -> None:
    """Recognise, describe, and say what was found."""
    export = recognise(args.data, class_attribute=args.class_attribute)
    print(f"{args.data}: {export.kind}")
    split = Split(args.val_share, args.seed)
    described = describe(export, args.output, name=args.name, split=split)
    print(*described.lines(), f"Description: {described.file}", sep="\n")


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), write)


if __name__ == "__main__":
    sys.exit(main())
