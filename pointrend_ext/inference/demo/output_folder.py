"""A folder of results: nothing outside is touched, no input overwritten, no old result left."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from pointrend_ext.inference.demo.inputs import LIST_OF_RESULTS


class OutputFolder:
    """Gives out paths to write to, and remembers them in a list for the next run.

    Args:
        folder: made when something is written.
        inputs: files that must not be overwritten.
    """

    def __init__(self, folder: Path, inputs: Iterable[Path] = ()) -> None:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is a file: choose a folder as --output.")
        self.folder = folder
        self._inputs = {(x.stat().st_dev, x.stat().st_ino) for x in inputs if x.exists()}
        self._given: set[Path] = set()

    def clear(self) -> None:
        """Remove what the last run into this folder has listed, as far as it is still there."""
        listed = self.folder / LIST_OF_RESULTS
        try:
            lines = listed.read_text("utf-8").splitlines()
        except OSError:
            return
        for line in lines:
            try:
                path = self.folder / json.loads(line)
            except ValueError:  # the end of a list for which the disk had no room
                continue
            if path.is_file() and self._is_inside(path) and not self._is_input(path):
                path.unlink()
        listed.unlink()

    def path(self, below: Path) -> Path:
        """Return a path below the folder that can be written to; its folder is made.

        Raises:
            ValueError: an input lies there, this run has written it, or a link leads out of the
                folder.
        """
        path = self.folder / below
        if self._is_input(path):
            raise ValueError(
                f"{path} is an input and would be overwritten: choose another --output."
            )
        if not self._is_inside(path):
            raise ValueError(
                f"{path.parent} is a link that leads out of {self.folder}: remove it, or choose "
                "another --output."
            )
        if below in self._given:
            raise ValueError(f"{path} is another result of this run: give this input another name.")
        self._given.add(below)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()  # what it leads to is not ours
        with (self.folder / LIST_OF_RESULTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(below.as_posix()) + "\n")
        return path

    def write(self, below: Path, data: bytes) -> None:
        """Write a file, all of it or none; see ``path`` for errors."""
        path = self.path(below)
        try:
            path.write_bytes(data)
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def _is_inside(self, path: Path) -> bool:
        root = Path(os.path.realpath(self.folder))
        return Path(os.path.realpath(path.parent)).is_relative_to(root)

    def _is_input(self, path: Path) -> bool:
        if not path.exists() or path.is_symlink():  # a link is replaced, not followed
            return False
        stat = path.stat()
        return (stat.st_dev, stat.st_ino) in self._inputs
