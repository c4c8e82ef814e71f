"""What is in all label maps of a data set: read once, and kept until a file changes."""

import logging
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from pointrend_ext.data.check_cache import file_version, load_checked, store_checked, versions_key
from pointrend_ext.data.findings import Cause, Findings
from pointrend_ext.data.label_encoding import LabelEncoding
from pointrend_ext.data.label_maps import decode_label_map
from pointrend_ext.data.reading import read_image_size

__all__ = ["Occurrence", "Tally", "audit_label_maps"]

logger = logging.getLogger(__name__)

_CHECK = "label_maps-1"  # to be raised when a tally changes its meaning
_THREADS = 4  # most of the work holds Python's lock; they hide the time of a slow disk
_SECONDS_BETWEEN_LINES = 5.0
_MAX_PROBLEMS = 20


@dataclass
class Occurrence:
    """Where one number or colour occurs: pixels, label maps, the first of these by path."""

    pixels: int = 0
    maps: int = 0
    first: str = ""

    def add(self, pixels: int, maps: int, first: str) -> None:
        """Count more pixels, of so many label maps."""
        self.pixels += pixels
        self.maps += maps
        self.first = self.first or first


@dataclass
class Tally:
    """What the label maps of a data set hold.

    Attributes:
        num_maps: how many there are.
        values: by number in the files.
        colors: by packed colour, of files that are read by colour.
        num_problems: label maps that cannot be used.
        problems: a message for each of the first of those.
        findings: what is unusual about files that can be used.
    """

    num_maps: int
    values: dict[int, Occurrence] = field(default_factory=dict)
    colors: dict[int, Occurrence] = field(default_factory=dict)
    num_problems: int = 0
    problems: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    def add(self, place: str, counted: "_Counted | str") -> None:
        """Take in one label map, or the message why it cannot be used."""
        if isinstance(counted, str):
            self.num_problems += 1
            self.problems += [counted] if len(self.problems) < _MAX_PROBLEMS else []
            return
        for note in counted.notes:
            self.findings.add(note, place)
        occurrences = self.colors if counted.are_colors else self.values
        for code, pixels in zip(counted.codes, counted.pixels, strict=True):
            occurrences.setdefault(code, Occurrence()).add(pixels, 1, place)


@dataclass(frozen=True)
class _Counted:
    """Numbers or colours of one label map and their pixels."""

    codes: list[int]
    pixels: list[int]
    are_colors: bool
    notes: tuple[Cause, ...]


def audit_label_maps(
    name: str, label_files: Sequence[str], image_files: Sequence[str], encoding: LabelEncoding
) -> Tally:
    """Read all label maps of a data set and count what they hold.

    Args:
        name: of the data set, for the log.
        label_files: paths.
        image_files: the image of each, whose size it must have.
        encoding: says whether three channels are colours.

    Raises:
        FileNotFoundError: a file does not exist.
    """
    versions = (file_version(file) for file in (*label_files, *image_files))
    key = versions_key(_CHECK, versions, asdict(encoding) if encoding.colors else None)
    stored = load_checked(key)
    if stored is not None:
        return _restored(stored)
    tally = Tally(len(label_files), findings=Findings(len(label_files)))
    count = partial(_count_one, encoding=encoding)
    begin = said = time.monotonic()
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        results = pool.map(count, label_files, image_files)
        for number, (file, counted) in enumerate(zip(label_files, results, strict=True), start=1):
            tally.add(file, counted)
            if time.monotonic() - said > _SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                logger.info("Label maps of %r: %d of %d read.", name, number, tally.num_maps)
    seconds = time.monotonic() - begin
    if said != begin:
        text = "Label maps of %r: all %d read in %.0f s; next time only if a file has changed."
        logger.info(text, name, tally.num_maps, seconds)
    store_checked(key, _rows(tally))
    return tally


def _count_one(label_file: str, image_file: str, *, encoding: LabelEncoding) -> _Counted | str:
    """Count what one file holds; a message where it cannot be used."""
    try:
        stored = decode_label_map(label_file, encoding)
        size_hw = read_image_size(image_file)
    except ValueError as error:
        return str(error)
    if stored.codes.shape != size_hw:
        return (
            f"Label map {label_file!r} has (height, width) {stored.codes.shape}, but its image "
            f"{image_file!r} has {size_hw}. Make them the same size (labels by nearest neighbour)."
        )
    codes, pixels = _count(stored.codes)
    return _Counted(codes.tolist(), pixels.tolist(), stored.are_colors, stored.notes)


def _count(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Do ``np.unique(codes, return_counts=True)`` some ten times faster: by runs of equal ones."""
    flat = codes.reshape(-1)
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)
    lengths = np.diff(ends, prepend=-1)
    values, inverse = np.unique(flat[ends], return_inverse=True)
    return values, np.bincount(inverse, weights=lengths).astype(np.int64)


def _rows(tally: Tally) -> dict[str, Any]:
    """Return what JSON can hold; ``_restored`` is the inverse."""
    return {
        "num_maps": tally.num_maps,
        "values": _occurrence_rows(tally.values),
        "colors": _occurrence_rows(tally.colors),
        "num_problems": tally.num_problems,
        "problems": tally.problems,
        "findings": tally.findings.to_rows(),
    }


def _restored(stored: dict[str, Any]) -> Tally:
    number = stored["num_maps"]
    return Tally(
        number,
        _occurrences(stored["values"]),
        _occurrences(stored["colors"]),
        stored["num_problems"],
        stored["problems"],
        Findings.from_rows(stored["findings"], number),
    )


def _occurrence_rows(occurrences: dict[int, Occurrence]) -> list[list[Any]]:
    return [[code, o.pixels, o.maps, o.first] for code, o in occurrences.items()]


def _occurrences(rows: Iterable[list[Any]]) -> dict[int, Occurrence]:
    return {code: Occurrence(*rest) for code, *rest in rows}
