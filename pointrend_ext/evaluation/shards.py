"""Predictions on their way to the process that scores them: a file from each, a line per image."""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from detectron2.utils import comm

from pointrend_ext.checkpoint.files import open_atomically
from pointrend_ext.data.strict_json import parse_json
from pointrend_ext.processes import wait_for_all

_NUMBER = "[0-9]" * 5
_SEEN_S = 60.0  # after which a file that another machine has written must be there


class Shards:
    """The predictions of one evaluation, which no process holds in its memory.

    Each process writes ``NAME.00000-of-00002.jsonl`` (its rank, of how many), which has that name
    once it is complete. A line is the JSON list of the entries of one image.
    """

    def __init__(self, folder: str | Path | None, name: str) -> None:
        """Prepare; ``reset`` comes before the first image.

        Args:
            folder: where the files are, seen by all processes; None for one that is temporary, on
                one machine.
            name: begins the names of the files.
        """
        self._folder, self.name = folder, name
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.num_lines = 0  # of this process, then of all

    def reset(self) -> None:
        """Begin anew."""
        folder = self._folder
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="predictions_")
            folder = comm.all_gather(self._temporary.name)[0]
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._paths = [
            self.folder / f"{self.name}.{rank:05d}-of-{comm.get_world_size():05d}.jsonl"
            for rank in range(comm.get_world_size())
        ]
        own = self._paths[comm.get_rank()]
        own.unlink(missing_ok=True)
        if comm.is_main_process():  # of evaluations that were interrupted
            for path in self.folder.glob(f"{self.name}.*-of-*.*"):
                if path.with_suffix(".jsonl") not in self._paths:
                    path.unlink(missing_ok=True)
        self._file: IO[str] = own.with_suffix(".part").open("w", encoding="utf-8")
        self.num_lines = 0

    def write(self, entries: list[Any]) -> None:
        """Write the entries of one image."""
        self._file.write(f"{json.dumps(entries)}\n")
        self.num_lines += 1

    def finish(self) -> bool:
        """Wait until all processes have written all, however long that takes.

        Returns:
            Whether this is the process that goes on.

        Raises:
            OSError: what others have written is not seen here; LostProcess among others.
            ValueError: they have been scored and removed.
        """
        own = self._paths[comm.get_rank()]
        if not self._file.closed:
            self._file.close()
            own.with_suffix(".part").replace(own)
        elif not own.exists():
            raise ValueError(
                f"The predictions in {self.folder} have been scored and removed: before another "
                "evaluate(), call reset() and process() all images again."
            )
        wait_for_all()
        if not comm.is_main_process():
            return False
        end = time.monotonic() + _SEEN_S
        for rank, path in enumerate(self._paths):
            while not path.exists():
                if time.monotonic() > end:
                    raise FileNotFoundError(
                        f"The predictions of process {rank} are not in {self.folder}, where it has "
                        "written them: OUTPUT_DIR must be on a file system that all machines share."
                    )
                time.sleep(0.5)
        self.num_lines = sum(1 for _ in self._lines())
        return True

    def read(self) -> Iterator[list[Any]]:
        """Yield the entries of each image, in the order of the data set."""
        return map(json.loads, self._lines())

    def join(self, path: str | Path) -> None:
        """Write the entries of all images as one list, a JSON file, line by line."""
        with open_atomically(path, "w") as file:
            separator = "["
            for line in self._lines():
                entries = line.strip()[1:-1]
                if entries:
                    file.write(f"{separator}{entries}")
                    separator = ", "
            file.write("]" if separator != "[" else "[]")

    def remove(self) -> None:
        """Remove the files, after the last reading; temporary ones go with this object."""
        for path in self._paths if self._temporary is None else ():
            path.unlink(missing_ok=True)

    def _lines(self) -> Iterator[str]:
        for path in self._paths:
            with path.open(encoding="utf-8") as file:
                yield from file


def read_shards(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read the predictions of an evaluation that was interrupted while it scored.

    Raises:
        ValueError: there are none, some files are missing, or see ``parse_entries``.
    """
    found = sorted(Path(folder).glob(f"*_instances.{_NUMBER}-of-{_NUMBER}.jsonl"))
    if not found:
        raise ValueError(
            f"{folder} is a folder without predictions of an evaluation that was interrupted while "
            "it scored: name a file of results, such as coco_instances_results.json in it."
        )
    total = int(found[0].stem.rpartition("-of-")[2])
    begin, end = found[0].name.split(".")[0], f"-of-{total:05d}.jsonl"
    wanted = [Path(folder, f"{begin}.{rank:05d}{end}") for rank in range(total)]
    missing = [path.name for path in wanted if path not in found]
    if missing:
        raise ValueError(
            f"{folder} holds predictions of {total} processes, of which {len(missing)} are "
            f"missing ({missing[0]}): the evaluation was interrupted. Repeat it."
        )
    if found != wanted:
        other = next(path.name for path in found if path not in wanted)
        raise ValueError(
            f"{folder} holds predictions of several evaluations ({found[0].name}, {other}): "
            "move some of them elsewhere."
        )
    results: list[dict[str, Any]] = []
    for path in found:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                results += parse_entries(line, f"Results file {str(path)!r}: line {number}")
    return results


def parse_entries(data: bytes, source: str) -> list[dict[str, Any]]:
    """Read a JSON list of predictions; ``source`` begins messages.

    Raises:
        ValueError: it is not a list of dicts, or see ``parse_json``.
    """
    entries = parse_json(data, source)
    if not isinstance(entries, list):
        raise ValueError(f"{source} is not a list of predictions, but {str(entries)!r:.60}.")
    wrong = next((i for i, entry in enumerate(entries) if not isinstance(entry, dict)), None)
    if wrong is not None:
        raise ValueError(f"{source}: entry {wrong} is no prediction, but {entries[wrong]!r:.60}.")
    return entries
