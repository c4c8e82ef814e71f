"""Finds weights by path or address, and writes files that are never half written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlparse

from detectron2.checkpoint.catalog import ModelCatalog
from detectron2.utils.file_io import Detectron2Handler
from iopath.common.file_io import get_cache_dir

__all__ = ["fetch", "write_atomically"]


def fetch(path: str, path_manager: Any) -> str:
    """Find or download a file.

    Args:
        path: a local path, or an address such as ``detectron2://...`` or ``https://...``, with or
            without a query.
        path_manager: Detectron2's; it keeps what it downloads.

    Returns:
        A local path.

    Raises:
        FileNotFoundError: there is no such file, or it cannot be downloaded; the message says where
            to put it by hand.
    """
    path = urlparse(path)._replace(query="").geturl()
    try:
        local = path_manager.get_local_path(path)
    # A handler can fail in any way: no network, an unknown catalogue entry, a full disk.
    except Exception as error:
        raise FileNotFoundError(_by_hand(path, error)) from error
    if not Path(local).is_file():
        kind = "is a folder" if Path(local).is_dir() else "does not exist"
        raise FileNotFoundError(f"The weights file {local} {kind}; correct MODEL.WEIGHTS.")
    return local


def _by_hand(path: str, error: Exception) -> str:
    message = f"{path} could not be downloaded ({type(error).__name__}: {error}). "
    url = path
    if path.startswith(Detectron2Handler.PREFIX):
        url = Detectron2Handler.S3_DETECTRON2_PREFIX + path[len(Detectron2Handler.PREFIX) :]
    elif path.startswith("catalog://"):
        try:
            url = ModelCatalog.get(path[len("catalog://") :])
        except (KeyError, RuntimeError):
            return f"{path} is not in Detectron2's model catalogue; correct MODEL.WEIGHTS."
    if not url.startswith(("http://", "https://", "ftp://")):
        return f"{message}Download it by hand and set MODEL.WEIGHTS to the file."
    cached = Path(get_cache_dir(), urlparse(url).path.lstrip("/"))
    return f"{message}Download {url} elsewhere and put it at {cached}, or set MODEL.WEIGHTS to it."


def write_atomically(path: str | Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file so that at any moment, a crash included, it is the old one or the new one.

    Args:
        path: a local file.
        write: writes the content to the open file that it is given.

    Raises:
        OSError: the file cannot be written, such as on a full disk; the old one is left.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.tmp")  # a crash leaves it, the next write reuses it
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Write the folder's list of names, so that the renaming outlasts a power failure."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # not every system opens folders
        return
    try:
        os.fsync(descriptor)
    except OSError:  # nor does every file system write them on request
        pass
    finally:
        os.close(descriptor)
