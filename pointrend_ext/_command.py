"""What every command line does, without torch: errors as one line, exit codes, text for terminals.

The command ``pointrend`` starts before anything heavy is imported: ``--help`` takes no time, and
``doctor`` works where torch or Detectron2 is missing.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["end_well", "escaped", "is_command", "is_sentence", "new_parser", "run_tool"]


def is_command() -> bool:
    """Whether this process is ``pointrend`` or ``python -m pointrend_ext``.

    Those import the package themselves, once they know what they are to do. Processes that they
    start have another command line of their own, and import it as everybody does.
    """
    place = len(sys.orig_argv) - len(sys.argv)
    if place < 1:
        return False
    word = sys.orig_argv[place]
    if sys.argv[0] == "-m":  # until the module is found
        return word.removeprefix("-m") == "pointrend_ext"
    return word == sys.argv[0] and Path(word).stem == "pointrend"


def new_parser(
    doc: str | None, prog: str | None, *examples: str, **options: Any
) -> argparse.ArgumentParser:
    """Start the parser of a command.

    Args:
        doc: the docstring of its module, whose first line says what it does.
        prog: what is typed before the words of each example; by default the name of the script.
        *examples: words of command lines that work.
        **options: of the parser.
    """
    return argparse.ArgumentParser(
        prog=prog,
        description=(doc or "").splitlines()[0],
        epilog="\n  ".join(["for example:", *(f"%(prog)s {words}" for words in examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )


def escaped(text: str) -> str:
    """Escape what names of files could do to a terminal: control characters and line breaks."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_sentence(error: Exception) -> bool:
    """Tell the words of a catalogue or registry from the bare key of a dictionary."""
    return isinstance(error, KeyError) and bool(error.args) and " " in str(error.args[0])


def run_tool(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], int | None],
    words: Sequence[str] | None = None,
) -> int:
    """Run a tool on its command line; see ``end_well``."""
    args = parser.parse_args(words)
    return end_well(parser.prog, lambda: work(args))


def end_well(prog: str, work: Callable[[], int | None]) -> int:
    """Work, with one line on stderr for a mistake that the user can mend.

    Errors of other types, which are mistakes of the program, keep their traceback.

    Returns:
        The exit code: that of ``work`` (None is 0), 2 after such a mistake, 130 after Ctrl-C, 143
        after a SIGTERM to a training.
    """
    try:
        return work() or 0
    except KeyboardInterrupt as error:  # a training says more
        sys.stderr.write(f"{prog}: {str(error) or 'interrupted'}\n")
        return getattr(error, "exit_code", 130)
    except Exception as error:
        if not _is_users(error):
            raise
        text = str(error.args[0]) if isinstance(error, KeyError) else str(error)
        sys.stderr.write(f"{prog}: Error: {escaped(' '.join(text.split()))}\n")
        return 2


def _is_users(error: Exception) -> bool:
    """Tell what a user can mend: wrong values, files, packages of an extra, too small a GPU."""
    if isinstance(error, KeyError):
        return is_sentence(error)
    torch = sys.modules.get("torch")
    memory = (torch.OutOfMemoryError,) if torch is not None else ()
    return isinstance(error, (ValueError, OSError, ImportError, *memory))
