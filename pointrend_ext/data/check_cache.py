"""Results of slow checks of files, kept until one of the files changes.

They lie in ``$POINTREND_CACHE``, by default ``pointrend_ext`` in the user's cache folder
(``$XDG_CACHE_HOME`` or ``~/.cache``), one JSON file per check. An empty ``POINTREND_CACHE`` turns
the cache off. A folder that cannot be written, or a damaged file, only costs the time of the check.
The latest 500 that were asked for stay.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_MOST = 500  # results; one takes some kB
_OURS = re.compile(r"[a-z_-]+-\d+-[0-9a-f]{32}\.(json|\d+\.part)")  # the folder may hold others'


def file_version(path: str | os.PathLike[str]) -> list[Any]:
    """Return absolute path, size and time of the last change of a file; OSError without one."""
    stat = os.stat(path)
    return [os.path.abspath(path), stat.st_size, stat.st_mtime_ns]


def versions_key(check: str, versions: Iterable[list[Any]], *settings: Any) -> str:
    """Return the key of a check: of its name and version, its files and its settings."""
    digest = hashlib.sha256(json.dumps([check, settings]).encode())
    for version in versions:
        digest.update(json.dumps(version).encode())
    return f"{check}-{digest.hexdigest()[:32]}"


def remembered(key: str, check: Callable[[], Any]) -> Any:
    """Return what a check returned before, or else does now; what it raises is not kept."""
    value = load_checked(key)
    if value is None:
        value = check()
        store_checked(key, value)
    return value


def load_checked(key: str) -> Any | None:
    """Return what was stored, or None."""
    path = _path(key)
    if path is None:
        return None
    try:
        value = json.loads(path.read_bytes())
        os.utime(path)  # asked for now
        return value
    except (OSError, ValueError):
        return None


def store_checked(key: str, value: Any) -> None:
    """Store a value that JSON can hold; whole or not at all, also with several processes."""
    path = _path(key)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(value))
        part.replace(path)
        ours = [entry for entry in os.scandir(path.parent) if _OURS.fullmatch(entry.name)]
        for entry in sorted(ours, key=lambda entry: entry.stat().st_mtime_ns)[:-_MOST]:
            os.unlink(entry)
    except OSError as error:
        logger.debug("The result of a check is not kept: %s", error)


def _path(key: str) -> Path | None:
    folder = os.environ.get("POINTREND_CACHE")
    if folder is None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = os.fspath(Path(base, "pointrend_ext"))
    return Path(folder, f"{key}.json") if folder else None
