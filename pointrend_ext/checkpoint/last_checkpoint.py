"""The file ``last_checkpoint`` of an output folder: which checkpoint ``--resume`` takes."""

import os
import shlex
from pathlib import Path

_LONGEST = 1000  # bytes of a name


def named_last(folder: str | os.PathLike[str]) -> str:
    """Return what the file says; "" where there is none."""
    tag = Path(folder, "last_checkpoint")
    if not tag.is_file():
        return ""
    with tag.open("rb") as file:
        return file.read(_LONGEST).decode(errors="replace").strip()


def last_checkpoint(folder: str | os.PathLike[str]) -> Path | None:
    """Return the checkpoint to resume from; None where nothing was saved yet.

    Detectron2 joins folder and content, whatever that is: an absolute path leads elsewhere, a
    folder of that name means starting anew.

    Raises:
        FileNotFoundError: the file names a checkpoint that is not there.
        ValueError: it does not name one of the folder, or there are checkpoints and no such file.
    """
    tag = Path(folder, "last_checkpoint")
    # By their numbers: model_final.pth may be of a shorter training. It is last where it is alone.
    found = sorted(tag.parent.glob(f"model_{'[0-9]' * 7}.pth"))
    found = found or sorted(tag.parent.glob("model_*.pth"))
    error: type[Exception] = ValueError
    if not os.path.lexists(tag):
        if not found:
            return None
        problem = (
            f"OUTPUT_DIR {folder} holds checkpoints, such as {found[-1].name}, but no file "
            "last_checkpoint, which names the one that --resume takes."
        )
    elif not tag.is_file():
        problem = f"{tag} is no file that names the checkpoint that --resume takes."
    else:
        name = named_last(folder)
        path = tag.parent / name
        # A link in the folder may lead elsewhere, a name may not.
        if Path(name).name != name or not name.strip(".") or not name.isprintable():
            problem = f"{tag} says {name!r:.100}, and must name the checkpoint beside it in a line."
        elif os.path.isfile(path):  # Path.is_file raises where a name is too long
            return path
        else:
            problem = f"{path} does not exist, which the file last_checkpoint beside it names."
            error = FileNotFoundError
    if not found:
        raise error(
            f"{problem} Copy a checkpoint to {folder} and write its name there, or start anew, "
            "without --resume, with another OUTPUT_DIR."
        )
    last = shlex.quote(found[-1].name)
    raise error(f"{problem} If it is {last}: echo {last} > {shlex.quote(str(tag))}")
