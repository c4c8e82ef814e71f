"""What every command line does, without torch: errors as one line, exit codes, text for terminals.

The command ``pointrend`` starts before anything heavy is imported: ``--help`` takes no time, and
``doctor`` works where torch or Detectron2 is missing.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


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


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``; see ``result_alone``."""
    text = "print the result as JSON, and everything else on stderr"
    parser.add_argument("--json", action="store_true", help=text)


def result_alone(args: argparse.Namespace) -> contextlib.AbstractContextManager[Any]:
    """With ``--json``, send to stderr what is printed meanwhile: stdout is for the result."""
    return contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout)


def at_least(least: int) -> Callable[[str], int]:
    """Return a type of ``argparse``: whole numbers from ``least`` on."""

    def whole_number(word: str) -> int:
        if int(word) < least:
            raise argparse.ArgumentTypeError(f"{word} is below {least}")
        return int(word)

    whole_number.__name__ = "whole number"
    return whole_number


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

    Of several processes (``pointrend_ext.processes``) one says it.

    Returns:
        The exit code: that of ``work`` (None is 0), 2 after such a mistake, 1 where another process
        is lost (or that one's own), 130 after Ctrl-C, 141 where nobody reads what is printed (such
        as `head`), 143 or 138 after a SIGTERM or SIGUSR1 to a training.
    """
    processes = sys.modules.get("pointrend_ext.processes")
    topic = ""
    try:
        code = work() or 0
        _flush()  # so that what goes wrong is said
        return code
    except KeyboardInterrupt as error:  # a training says more
        code, text = getattr(error, "exit_code", 130), str(error) or "interrupted"
    except Exception as error:
        lost = processes.explain(error) if processes else None
        if lost is None and not _is_users(error):
            if processes:
                processes.note_failure(1)
            raise
        code, topic = (lost.exit_code, "lost") if lost else (2, "")
        code = 141 if isinstance(error, BrokenPipeError) and not lost else code
        what = str(lost or (error.args[0] if isinstance(error, KeyError) else error))
        text = f"Error: {what}" if what or not lost else ""
    line = f"{prog}: {escaped(' '.join(text.split()))}"
    with suppress(OSError, AttributeError):  # of a terminal that was closed
        if not processes:
            sys.stderr.write(f"{line}\n")
        elif text:
            processes.say_once(line, topic)
    if processes:
        processes.note_failure(code)
    with suppress(OSError):
        _flush()
    return code


def _flush() -> None:
    """Write what was printed; what cannot be written is given up, not tried again at the end."""
    try:
        if sys.stdout:  # a terminal that was closed has none
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _is_users(error: Exception) -> bool:
    """Tell what a user can mend: wrong values, files, packages of an extra, too small a GPU."""
    if isinstance(error, KeyError):
        return is_sentence(error)
    torch = sys.modules.get("torch")
    memory = (torch.OutOfMemoryError,) if torch is not None else ()
    return isinstance(error, (ValueError, OSError, ImportError, *memory))
