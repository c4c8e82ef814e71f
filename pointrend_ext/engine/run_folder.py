"""One run at a time in an output folder, and no new training on top of another's checkpoints."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import portalocker
from detectron2.utils import comm

from pointrend_ext.checkpoint.errors import printable
from pointrend_ext.checkpoint.full_disk import is_full_disk
from pointrend_ext.checkpoint.last_checkpoint import named_last
from pointrend_ext.processes import told_by_first

logger = logging.getLogger(__name__)

_LOCK_FILE = "run.lock"
_SEEN_S = 60.0  # in which a network file system shows what another machine has written
# The system frees a lock however its process ends.
_held: dict[Path, int] = {}


def _forget() -> None:
    """In a forked process, close what it inherited: a lock would live as long as the last copy."""
    while _held:
        os.close(_held.popitem()[1])


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget)


def check_no_other_training(output_dir: str) -> None:
    """Raise ValueError where a folder holds checkpoints, which a new training would overwrite."""
    folder = Path(output_dir)
    found = [path.name for path in folder.glob("model_*.pth")]
    last = printable(named_last(folder))
    if found or last:
        raise ValueError(
            f"OUTPUT_DIR {output_dir} holds the checkpoints of another training (the last is "
            f"{last or max(found)}), which a new one would overwrite. Add --resume, before KEY "
            f"VALUE pairs, to go on with it; or add OUTPUT_DIR {output_dir.rstrip('/')}_2 to start "
            "anew elsewhere."
        )


def take(output_dir: str) -> None:
    """Make a folder, and keep other runs out of it until ``release``.

    The first process does so for all of a run, on all its machines.

    Raises:
        ValueError: another run is there, or another machine has another folder of this name.
    """
    if comm.is_main_process():
        _lock(output_dir)
    owner = told_by_first(f"process {os.getpid()} on {socket.gethostname()}")
    if comm.get_local_rank() == 0 and not comm.is_main_process():
        _check_shared(output_dir, owner)


def _check_shared(output_dir: str, owner: str) -> None:
    """Raise ValueError where the folder here is not that which the first process has."""
    file, end = Path(output_dir, _LOCK_FILE), time.monotonic() + _SEEN_S
    while not file.is_file() or file.read_text() != owner:
        if time.monotonic() > end:
            raise ValueError(
                f"OUTPUT_DIR {output_dir} on {socket.gethostname()} is not the folder that "
                f"{owner} has: all machines need one file system with OUTPUT_DIR on it."
            )
        time.sleep(0.2)


def _lock(output_dir: str) -> None:
    folder = Path(output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        key = folder.resolve()
        if key in _held:
            return
        file = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if is_full_disk(error):
            raise
        raise OSError(
            f"OUTPUT_DIR {output_dir} is no folder that can be written to ({error.strerror}). "
            "Change its permissions, or add OUTPUT_DIR and another folder."
        ) from error
    try:
        portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
    except portalocker.AlreadyLocked as error:
        owner = _owner(file)
        os.close(file)
        raise ValueError(
            f"OUTPUT_DIR {output_dir} is in use by another run ({owner}). Wait for it or "
            f"end it, or add OUTPUT_DIR {output_dir.rstrip('/')}_2 (an evaluation there needs "
            "MODEL.WEIGHTS as well)."
        ) from error
    except (portalocker.LockException, OSError) as error:
        logger.warning(
            "The file system of OUTPUT_DIR %s has no locks (%s): nothing keeps a second run "
            "out of it.",
            output_dir,
            getattr(error.__cause__, "strerror", None) or error,
        )
    _held[key] = file
    os.ftruncate(file, 0)
    os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())


def _owner(file: int) -> str:
    try:
        return os.read(file, 1000).decode(errors="replace") or "of unknown process"
    except OSError:  # Windows locks the text away, too
        return "of unknown process"


def release(output_dir: str) -> None:
    """Let others in. The file stays, because one that is removed may be locked by two."""
    file = _held.pop(Path(output_dir).resolve(), None)
    if file is not None:
        os.ftruncate(file, 0)
        os.close(file)


@contextmanager
def holding(output_dir: str) -> Iterator[None]:
    """Have a folder, as of ``take``, for the body."""
    take(output_dir)
    try:
        yield
    finally:
        release(output_dir)
