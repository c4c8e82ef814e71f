"""What the command lines of all tools share: arguments, and errors as one line."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from pointrend_ext.data.findings import escaped
from pointrend_ext.engine.loading import LoadOptions
from pointrend_ext.modeling.checks import is_sentence
from pointrend_ext.processes import explain, note_failure, say_once

# What a user can mend: wrong values, files, packages of an extra, too small a GPU.
_EXPECTED = (ValueError, OSError, ImportError, KeyError, torch.OutOfMemoryError)


def add_model_arguments(parser: argparse.ArgumentParser, *, weights: bool = True) -> None:
    """Add ``--config-file``, ``--weights``, ``--device``, ``KEY VALUE`` pairs, load options.

    The pairs take all words that are left: positional arguments of the tool must be there already.
    Tools that build no model leave out the weights, the device and the load options.
    """
    add = parser.add_argument
    add("--config-file", required=True, metavar="FILE", help="configuration: a path or a name")
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


def run_tool(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], int | None],
    words: Sequence[str] | None = None,
) -> int:
    """Run a tool, with one line on stderr for a mistake that its user can mend.

    Errors of other types, which are mistakes of the program, keep their traceback.

    Returns:
        The exit code, see ``reported``.
    """
    args = parser.parse_args(words)
    return reported(parser.prog, lambda: work(args))


def reported(name: str, work: Callable[[], int | None]) -> int:
    """Do the work of a program, or of one process of it; of several, one says what went wrong.

    Returns:
        The exit code: that of ``work`` (None is 0), 2 after a mistake that a user can mend, 1 where
        another process is lost (or that one's own), 130 after Ctrl-C, 143 or 138 after a SIGTERM or
        SIGUSR1 to a training.
    """
    topic = ""
    try:
        return work() or 0
    except KeyboardInterrupt as error:  # a training says more
        code, text = getattr(error, "exit_code", 130), str(error) or "interrupted"
    except Exception as error:
        lost = explain(error)
        mistake = None if lost else _mistake(error)
        if not lost and mistake is None:
            note_failure(1)
            raise
        code, topic = (lost.exit_code, "lost") if lost else (2, "")
        text = f"Error: {lost or mistake}" if str(lost or mistake) else ""
    if text:
        say_once(f"{name}: {escaped(' '.join(text.split()))}", topic)
    note_failure(code)
    return code


def _mistake(error: Exception) -> str | None:
    """Return the sentence about what a user can mend, None for mistakes of the program."""
    if not isinstance(error, _EXPECTED) or (isinstance(error, KeyError) and not is_sentence(error)):
        return None
    return str(error.args[0]) if isinstance(error, KeyError) else str(error)
