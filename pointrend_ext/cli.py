"""The command ``pointrend``; a command of its own imports what it needs, and no other does."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

import pointrend_ext
from pointrend_ext._command import end_well
from pointrend_ext.commands import COMMANDS, PROG

_GROUPS = {words.split()[0] for words in COMMANDS if " " in words}
# They run on Python alone, where torch or Detectron2 may be missing.
_LIGHT = ("zoo", "doctor")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the words begin with.

    Returns:
        The exit code: 0; 1 where a command ran and has something bad to tell (problems of a data
        set, inputs that failed, a machine that cannot train); else see ``end_well``.
    """
    words = list(sys.argv[1:] if words is None else words)
    count = 2 if words[:1] and words[0] in _GROUPS else 1
    name, rest = " ".join(words[:count]), words[count:]
    if name not in COMMANDS:
        group = words[0] if count == 2 else ""
        parser = _list_parser(group)
        parser.parse_args(words[bool(group) : count] or ["--help"])
        return 0
    prog = f"{PROG} {name}"
    return end_well(prog, lambda: _run(name, prog, rest))


def _run(name: str, prog: str, words: Sequence[str]) -> int | None:
    if name not in _LIGHT:
        # Of its own modules, when they are imported: nothing that a user can mend.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.")
        pointrend_ext.register()
    command = import_module(f"pointrend_ext.commands.{COMMANDS[name][0]}")
    return command.run(command.build_parser(prog).parse_args(words))


def _list_parser(group: str) -> argparse.ArgumentParser:
    """Describe the commands, or those of a group; any word is a mistake."""
    listed = {words: text for words, (_, text) in COMMANDS.items() if words.startswith(group)}
    names = dict.fromkeys(words.removeprefix(group).split()[0] for words in listed)
    lines = [f"  {words:<15}{text}" for words, text in listed.items()]
    parser = argparse.ArgumentParser(
        prog=f"{PROG} {group}".strip(),
        usage="%(prog)s COMMAND ...",
        description="\n".join(["PointRend for Detectron2: crisp masks.", "", "commands:", *lines]),
        epilog=f"`{PROG} COMMAND --help` lists the options of a command, with an example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=pointrend_ext.__version__)
    parser.add_argument("command", metavar="COMMAND", choices=list(names), help=argparse.SUPPRESS)
    return parser
