"""Run a script made for Detectron2 with the configuration keys, heads and data sets of PointRend.

Example: python -m pointrend_ext.run tools/train_net.py --config-file pointrend.yaml
"""

import argparse
import sys
import traceback
from collections.abc import Sequence

from pointrend_ext._command import run_tool
from pointrend_ext.engine.foreign_scripts import prepare, run_script, users_mistake


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pointrend_ext.run",
        description=__doc__.splitlines()[0],
        epilog=f"{__doc__.splitlines()[-1]}. Options of this program come before SCRIPT.",
    )
    add = parser.add_argument
    add(
        "--description",
        action="append",
        default=[],
        metavar="FILE",
        help="describes a data set to register; may be repeated. Descriptions that "
        "DATASETS.DESCRIPTIONS of a configuration names need no option",
    )
    add("script", metavar="SCRIPT", help="path of a Python file, or name of a module")
    add("words", nargs=argparse.REMAINDER, metavar="ARGS", help="arguments of the script")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the script; 1 after an error of its own, which is shown as Python shows it."""
    prepare(args.description)
    try:
        run_script(args.script, args.words)
    except Exception as error:
        mistake = users_mistake(error)
        if mistake:
            raise mistake from error
        traceback.print_exc()
        return 1
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run the tool."""
    return run_tool(build_parser(), run, words)


if __name__ == "__main__":
    sys.exit(main())
