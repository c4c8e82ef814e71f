"""Train a model, and evaluate it at the end."""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from detectron2.engine import default_argument_parser
from detectron2.utils import comm

from pointrend_ext._command import add_json_argument, new_parser, result_alone
from pointrend_ext.commands.data_describe import describe_and_choose
from pointrend_ext.commands.printing import print_json
from pointrend_ext.engine import setup_cfg, train_or_evaluate
from pointrend_ext.engine.command_line import add_load_arguments, load_options
from pointrend_ext.engine.launching import add_process_arguments, run_processes

EXAMPLES = (
    "--config-file Toy/pointrend_rcnn_toy.yaml",
    "--data my_export",
    "--config-file Toy/pointrend_rcnn_toy.yaml --num-gpus 8 --resume OUTPUT_DIR output/mine",
)


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line: that of Detectron2's scripts, and how weights are loaded."""
    theirs = default_argument_parser()
    parser = new_parser(__doc__, prog, *EXAMPLES, parents=[theirs], add_help=False)
    text = "an export of an annotation tool, described in output/NAME/data, in place of a "
    parser.add_argument("--data", metavar="EXPORT", help=f"{text}configuration")
    add_json_argument(parser)
    add_load_arguments(parser)
    add_process_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Train, or evaluate with --eval-only.

    Raises:
        ValueError: nothing says what to train on.
    """
    if not (args.data or args.config_file or args.opts):
        raise ValueError("Pass --config-file FILE, or --data EXPORT.")
    if args.data:
        with result_alone(args):
            args.config_file = str(_config_of_data(args))
    return run_processes(Path(sys.argv[0]).name, run_process, args)


def _config_of_data(args: argparse.Namespace) -> Path:
    """Describe an export and choose a configuration, or take those of an earlier command.

    Raises:
        FileNotFoundError: see ``describe_and_choose``.
        ValueError: likewise; or a configuration is given, too; or the earlier command had an export
            of the same name at another place.
    """
    if args.config_file:
        raise ValueError(
            "--data chooses a configuration: leave out --config-file, or describe the data "
            "(pointrend data describe) and name the description in DATASETS.DESCRIPTIONS."
        )
    place = Path(os.path.realpath(args.data))
    stem = (place.parent if place.is_file() else place).name
    name = re.sub(r"[^\w.-]+", "_", stem) or "data"
    output = Path("output", name, "data")
    config, source = output / "train.yaml", output / "export.txt"
    if not config.is_file():
        chosen = describe_and_choose(args.data, output, name)
        source.write_text(str(place), encoding="utf-8")
        return chosen.config
    earlier = source.read_text(encoding="utf-8") if source.is_file() else "something else"
    if earlier != str(place):
        raise ValueError(
            f"{output} describes {earlier}, not {place}: remove or rename that folder, or one of "
            "the exports."
        )
    print(f"{output} is used as it is; remove it to describe {args.data} anew.")
    return config


def run_process(args: argparse.Namespace) -> dict[str, Any]:
    """Run one process; return its results, which the first prints with --json."""
    with result_alone(args):
        cfg, options = setup_cfg(args), load_options(args)
        results = train_or_evaluate(
            cfg, eval_only=args.eval_only, resume=args.resume, load_options=options
        )
    if args.json and comm.is_main_process():
        print_json(results)
    return results
