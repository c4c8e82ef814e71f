"""Describe a data set as an annotation tool exported it, and choose how to train on it."""

import argparse
import shlex
from pathlib import Path
from typing import NamedTuple

from pointrend_ext._command import add_json_argument, new_parser, result_alone
from pointrend_ext.commands.printing import print_json
from pointrend_ext.data.formats import Described, Split, describe, recognise
from pointrend_ext.engine.recipe import Machine, Recipe, choose_recipe

EXAMPLES = ("my_export --output my_data", "my_export/data.yaml --output my_data --val-share 0.1")


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = new_parser(__doc__, prog, *EXAMPLES)
    add_json_argument(parser)
    add = parser.add_argument
    add("data", metavar="EXPORT", help="a folder, or the main file of an export")
    add("--output", required=True, type=Path, help="folder for the description")
    add("--name", default="data", help="of the data set (%(default)s): NAME_train, NAME_val")
    add("--val-share", type=float, default=0.2, help="of pictures without split (%(default)s)")
    add("--seed", type=int, default=0, help="that draws them (%(default)s)")
    add("--weights", metavar="FILE", help="to start from (default: the model zoo, or ImageNet)")
    add("--class-attribute", default="", help="of VIA's regions, where they have several")
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the description and the configuration, and say what was found and chosen."""
    with result_alone(args):
        chosen = describe_and_choose(
            args.data,
            args.output,
            args.name,
            split=Split(args.val_share, args.seed),
            weights=args.weights,
            class_attribute=args.class_attribute,
        )
        print(
            f"\nTrain with: pointrend train --config-file {shlex.quote(str(chosen.config))}\n"
            "Choose otherwise in that file, or by KEY VALUE pairs behind it."
        )
    if args.json:
        print_json(chosen._asdict())


class Chosen(NamedTuple):
    """What an export is, its description, and the configuration that was chosen and written."""

    export: str
    described: Described
    recipe: Recipe
    config: Path


def describe_and_choose(
    data: str,
    output: Path,
    name: str,
    *,
    split: Split | None = None,
    weights: str | None = None,
    class_attribute: str = "",
) -> Chosen:
    """Describe an export, choose a configuration, and print both.

    Raises:
        FileNotFoundError: no such export.
        FileExistsError: the folder holds a description.
        ValueError: the export is of no known format, or cannot be read.
    """
    export = recognise(data, class_attribute=class_attribute)
    print(f"{data}: {export.kind}")
    described = describe(export, output, name=name, split=split)
    print(*described.lines(), f"Description: {described.file}", sep="\n")
    recipe = choose_recipe(described, Machine.here(), name=name, weights=weights)
    config = described.file.with_name("train.yaml")
    recipe.write(config)
    print(f"\nChosen, on top of {recipe.base}:", *recipe.lines(), sep="\n  ")
    return Chosen(export.kind, described, recipe, config)
