"""What the command lines of all tools share: arguments, and errors as one line."""

import argparse
from pathlib import Path

from pointrend_ext._command import run_tool
from pointrend_ext.engine.loading import LoadOptions

__all__ = [
    "add_load_arguments",
    "add_model_arguments",
    "load_options",
    "named_path",
    "named_value",
    "run_tool",
]


def add_model_arguments(
    parser: argparse.ArgumentParser, *, weights: bool = True, config_file_required: bool = True
) -> None:
    """Add ``--config-file``, ``--weights``, ``--device``, ``KEY VALUE`` pairs, load options.

    The pairs take all words that are left: positional arguments of the tool must be there already.
    Tools that build no model leave out the weights, the device and the load options.
    """
    add = parser.add_argument
    text = "configuration: a path or a name"
    add("--config-file", required=config_file_required, metavar="FILE", help=text)
    if weights:
        add("--weights", metavar="FILE", help="trained weights, or zoo (default: MODEL.WEIGHTS)")
        add("--device", help="such as cpu or cuda:1 (default: a GPU if there is one)")
        add_load_arguments(parser)
    add(
        "opts",
        nargs="*",
        metavar="KEY VALUE",
        help="pairs at the end that change the configuration",
    )


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags from which ``load_options`` reads how weights are loaded."""
    group = parser.add_argument_group("loading weights")
    for flag, text in (
        ("--map-classes", "find the classes of the data set by name among those of the weights"),
        ("--allow-missing", "accept weights that do not fill the model"),
        ("--allow-code", "read files that may run code; only from authors you trust"),
    ):
        group.add_argument(flag, action="store_true", help=text)
    text = "which weights of a file that holds several, such as ema (default: not the averaged)"
    group.add_argument("--weights-key", metavar="KEY", default="", help=text)


def load_options(args: argparse.Namespace) -> LoadOptions:
    """Read the flags of ``add_load_arguments``; those that are not there are off."""
    defaults = vars(LoadOptions())
    return LoadOptions(**{key: getattr(args, key, value) for key, value in defaults.items()})


def named_value(word: str) -> tuple[str, str]:
    """Split NAME=VALUE at the first "=", for ``argparse``."""
    name, separator, value = word.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{word!r} is not of the form NAME=VALUE")
    return name, value


def named_path(word: str) -> tuple[str, Path]:
    """Split NAME=PATH: see ``named_value``."""
    name, value = named_value(word)
    return name, Path(value)
