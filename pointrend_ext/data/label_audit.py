"""What is in all label maps of a data set: read once, and kept until a file changes."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pointrend_ext.data.check_cache import file_version, remembered, versions_key
from pointrend_ext.data.findings import Findings
from pointrend_ext.data.label_encoding import LabelEncoding, LabelReader, check_label_size
from pointrend_ext.data.label_maps import NOTES, StoredLabels, decode_label_map
from pointrend_ext.data.reading import read_image_size
from pointrend_ext.data.threads import in_threads

_CHECK = "label_maps-2"  # to be raised when a row changes its meaning
_IN_PARALLEL = 4, 8  # most of the work holds Python's lock; they hide the time of a slow disk


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
        problems: a message for each label map that cannot be used.
        findings: what is unusual about files that can be used.
    """

    num_maps: int
    values: dict[int, Occurrence] = field(default_factory=dict)
    colors: dict[int, Occurrence] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    def add(self, file: str, row: Any) -> None:
        """Take in what ``_count_one`` returned of a file."""
        if isinstance(row, str):
            self.problems.append(row)
            return
        codes, pixels, are_colors, note = row
        if note is not None:
            self.findings.add(NOTES[note], file)
        occurrences = self.colors if are_colors else self.values
        for code, number in zip(codes, pixels, strict=True):
            occurrences.setdefault(code, Occurrence()).add(number, 1, file)


def audit_label_maps(
    name: str,
    label_files: Sequence[str],
    image_files: Sequence[str],
    encoding: LabelEncoding | Sequence[LabelReader],
) -> Tally:
    """Read all label maps of a data set, and count what they hold; they have the images' sizes.

    Of files that have a reader each, labels are counted.

    Raises:
        FileNotFoundError: a file does not exist.
    """
    versions = (file_version(file) for file in (*label_files, *image_files))
    if isinstance(encoding, LabelEncoding):
        readers: Sequence[LabelEncoding | LabelReader] = [encoding] * len(label_files)
        settings: Any = asdict(encoding) if encoding.colors else None
    else:
        readers, settings = encoding, hashlib.sha256(repr(encoding).encode()).hexdigest()
    key = versions_key(_CHECK, versions, settings)
    files = [*zip(label_files, image_files, readers, strict=True)]
    title = f"{name}: reading label maps"
    count = in_threads(lambda row: _count_one(*row), files, title, *_IN_PARALLEL)
    rows = remembered(key, lambda: list(count))
    tally = Tally(len(label_files), findings=Findings(len(label_files)))
    for file, row in zip(label_files, rows, strict=True):
        tally.add(file, row)
    return tally


def _count_one(
    label_file: str, image_file: str, encoding: LabelEncoding | LabelReader
) -> str | list[Any]:
    """Count what one file holds, for JSON.

    Returns:
        Numbers or colours, the pixels of each, which of the two, and the index in ``NOTES`` of what
        is unusual, or None; a message where the file cannot be used.
    """
    try:
        if isinstance(encoding, LabelReader):
            stored = StoredLabels(encoding.read(label_file))
        else:
            stored = decode_label_map(label_file, encoding)
        check_label_size(label_file, stored.codes.shape, image_file, read_image_size(image_file))
    except ValueError as error:
        return str(error)
    # As np.unique(..., return_counts=True), some ten times faster: by runs of equal codes.
    flat = stored.codes.reshape(-1)
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)
    codes, inverse = np.unique(flat[ends], return_inverse=True)
    pixels = np.bincount(inverse, weights=np.diff(ends, prepend=-1)).astype(np.int64)
    note = None if stored.note is None else NOTES.index(stored.note)
    return [codes.tolist(), pixels.tolist(), stored.are_colors, note]
