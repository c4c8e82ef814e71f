"""Write what completes the words of ``pointrend`` in a shell: commands, options, values, files."""

import argparse
from importlib import import_module
from typing import Any

from pointrend_ext._command import new_parser
from pointrend_ext.commands import COMMANDS, PROG

_SHELLS = ("bash", "zsh", "tcsh")


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = new_parser(__doc__, prog, "bash")
    parser.add_argument("shell", choices=_SHELLS, help="the shell that is to read it")
    return parser


def run(args: argparse.Namespace) -> None:
    """Print it."""
    try:
        import shtab
    except ImportError as error:
        raise ImportError(
            f"Completion is written by shtab ({error}): pip install 'pointrend-ext[completion]'."
        ) from error
    print(shtab.complete(_whole_parser(shtab.FILE), shell=args.shell))


def _whole_parser(file: Any) -> argparse.ArgumentParser:
    """Put the parsers of all commands together; ``file`` marks what may be a file."""
    whole = argparse.ArgumentParser(prog=PROG, description="PointRend for Detectron2")
    rooms = {"": whole.add_subparsers()}
    for name, (module, text) in COMMANDS.items():
        group, _, word = name.rpartition(" ")
        if group not in rooms:
            rooms[group] = rooms[""].add_parser(group, help=f"of {group}").add_subparsers()
        parser = import_module(f"pointrend_ext.commands.{module}").build_parser(name)
        for action in parser._actions:
            if action.choices is None and action.nargs != 0:
                action.complete = file  # read by shtab
        rooms[group].add_parser(word, parents=[parser], add_help=False, help=text)
    return whole
