"""Finds weights by path or address, and writes files that are never half written."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlparse

from detectron2.checkpoint.catalog import ModelCatalog
from iopath.common.file_io import get_cache_dir

from pointrend_ext.model_zoo import download_address, download_place


def fetch(path: str, path_manager: Any) -> None:
    """Find or download a file: a local path, or an address such as ``detectron2://...``.

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
        raise FileNotFoundError(
            f"The weights file {local} {kind}; correct MODEL.WEIGHTS, or the file last_checkpoint "
            "beside it if a training is resumed."
        )


def _by_hand(path: str, error: Exception) -> str:
    message = f"{path} could not be downloaded ({type(error).__name__}: {error}). "
    scheme, _, name = path.partition("://")
    url = download_address(path)
    if scheme == "catalog":
        try:
            url = ModelCatalog.get(name)
        except (KeyError, RuntimeError):
            return f"{path} is not in Detectron2's model catalogue; correct MODEL.WEIGHTS."
    if not url.startswith(("http://", "https://", "ftp://")):
        return f"{message}Download it by hand and set MODEL.WEIGHTS to the file."
    cached = download_place(url, get_cache_dir())
    return f"{message}Download {url} elsewhere and put it at {cached}, or set MODEL.WEIGHTS to it."


@contextmanager
def open_atomically(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a local file for writing so that at any moment, a crash included, it is old or new.

    It is replaced when the block ends without an error.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.tmp")  # a crash leaves it, the next write reuses it
    try:
        with temporary.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    # The folder's list of names, so that the renaming outlasts a power failure. Not every system
    # opens folders, nor does every file system write them on request.
    with suppress(OSError):
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class AtomicPaths:
    """Detectron2's path manager, but that it writes local files atomically."""

    def __init__(self, path_manager: Any) -> None:
        self._path_manager = path_manager

    def __getattr__(self, name: str) -> Any:
        return getattr(self._path_manager, name)

    def open(self, path: str, mode: str = "r") -> AbstractContextManager[IO[Any]]:
        """Open a file, as the path manager does."""
        if "w" in mode and "://" not in path:
            return open_atomically(path, mode)
        return self._path_manager.open(path, mode)
