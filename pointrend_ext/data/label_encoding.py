"""What the numbers or colours in the files of label maps mean, and sentences for other ones."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from pointrend_ext.data.findings import first_of

UNKNOWN = -1
"""The label of what is neither a class nor ignored."""

Color = tuple[int, int, int]


class LabelReader(ABC):
    """How one file is read that is a label map only by what its annotation says of it."""

    @abstractmethod
    def read(self, file_name: str) -> np.ndarray:
        """Return the label map (H, W), uint8; see ``read_label_map`` for errors."""


@dataclass(frozen=True)
class LabelEncoding:
    """From what a file holds to the labels that models and metrics know.

    Attributes:
        values: the number in the files of each label 0..C-1; a binary data set has two.
        ignore_value: the number in the files of pixels that do not count; None without any. It
            comes first: where it is one of ``values`` too, that class has no pixel.
        ignore_label: the label of those pixels.
        colors: (red, green, blue) of each label in files of three channels; None where such files
            cannot be read.
        ignore_color: the colour of pixels that do not count.
        is_guessed: ``values`` are not stated, but follow from an ``ignore_value`` of 0.
    """

    values: tuple[int, ...]
    ignore_value: int | None
    ignore_label: int
    colors: tuple[Color, ...] | None = None
    ignore_color: Color | None = None
    is_guessed: bool = False

    @classmethod
    def plain(cls, num_labels: int, ignore_label: int) -> "LabelEncoding":
        """Return the encoding whose numbers are the labels."""
        return cls(tuple(range(num_labels)), ignore_label, ignore_label)

    @property
    def is_plain(self) -> bool:
        """Whether numbers in files are labels already."""
        same = self.ignore_value in (None, self.ignore_label)
        return same and self.values == tuple(range(len(self.values)))

    def __deepcopy__(self, memo: dict) -> "LabelEncoding":
        """Return itself: records, which hold it, are copied for every image."""
        return self

    def labels_of_values(self, stored: np.ndarray) -> np.ndarray:
        """Translate numbers of any shape: int32 labels, ``UNKNOWN`` for others."""
        codes, labels = list(self.values), list(range(len(self.values)))
        if self.ignore_value is not None:
            labels = [
                self.ignore_label if v == self.ignore_value else label
                for v, label in zip(codes, labels, strict=True)
            ]
            if self.ignore_value not in codes:
                codes, labels = [*codes, self.ignore_value], [*labels, self.ignore_label]
        return _translate(stored, codes, labels)

    def labels_of_colors(self, packed: np.ndarray) -> np.ndarray:
        """Translate colours of ``pack_colors``: int32 labels, ``UNKNOWN`` for others."""
        colors = list(self.colors or ())
        labels = list(range(len(colors)))
        if self.ignore_color is not None:
            colors, labels = [*colors, self.ignore_color], [*labels, self.ignore_label]
        codes = pack_colors(np.array(colors, np.uint8).reshape(-1, 3))
        return _translate(packed, codes.tolist(), labels)


def pack_colors(rgb: np.ndarray) -> np.ndarray:
    """Return one int32 for each colour: (..., 3) uint8 becomes (...), red * 65536 + ..."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)
    return (red << 16) | (green << 8) | blue


def _translate(stored: np.ndarray, codes: list[int], labels: list[int]) -> np.ndarray:
    if not codes:
        return np.full(stored.shape, UNKNOWN, np.int32)
    if stored.dtype == np.uint8 and stored.size > 256:
        return _translate(np.arange(256), codes, labels)[stored]
    order = np.argsort(codes)
    known, found = np.array(codes)[order], np.array(labels, np.int32)[order]
    place = np.searchsorted(known, stored).clip(max=len(known) - 1)
    return np.where(known[place] == stored, found[place], np.int32(UNKNOWN))


def check_label_size(
    label_file: str, label_hw: tuple[int, ...], image_file: str, image_hw: tuple[int, int]
) -> None:
    """Raise ValueError where a label map has another (height, width) than its image."""
    if label_hw != image_hw:
        raise ValueError(
            f"Label map {label_file!r} has (height, width) {label_hw}, but its image "
            f"{image_file!r} has {image_hw}. Make them the same size (labels by nearest neighbour)."
        )


def check_label_values(labels: np.ndarray, num_classes: int, ignore_label: int, what: str) -> None:
    """Check that every pixel is a class or ignored.

    Args:
        labels: (H, W) integers, as read from the file.
        num_classes: number of classes C; 0..C-1 are allowed.
        ignore_label: the other allowed value.
        what: the labels are, the beginning of the message.

    Raises:
        ValueError: another value occurs.
    """
    valid = ((labels >= 0) & (labels < num_classes)) | (labels == ignore_label)
    if not valid.all():
        codes, counts = np.unique(labels[~valid], return_counts=True)
        encoding = LabelEncoding.plain(num_classes, ignore_label)
        raise ValueError(f"{what} {unknown_values(codes, counts, encoding)}")


def unknown_values(codes: np.ndarray, counts: np.ndarray, encoding: LabelEncoding) -> str:
    """Say which numbers are neither a class nor ignored.

    Args:
        codes: (N,) unknown numbers.
        counts: (N,) their pixels.
        encoding: says which numbers are known.
    """
    values = encoding.values
    is_range = values == tuple(range(values[0], values[0] + len(values)))
    known = f"{values[0]} to {values[-1]}" if is_range else ", ".join(map(str, values[:20]))
    ignored = "none is" if encoding.ignore_value is None else encoding.ignore_value
    return (
        f"contains the values {first_of(codes.tolist(), 10)} ({counts.sum()} pixels), which are "
        f"neither a class ({known}) nor ignored ({ignored}). Correct the label map; or the "
        "classes, in a description 'classes', 'values' and 'ignore_value' (docs/datasets.md), else "
        "MODEL.SEM_SEG_HEAD.NUM_CLASSES and IGNORE_VALUE and the stuff_classes and ignore_label of "
        "the data set's metadata."
    )


def unknown_colors(codes: np.ndarray, counts: np.ndarray, encoding: LabelEncoding) -> str:
    """Say which packed colours are of no class: the most frequent, and the nearest class colours.

    Args:
        codes: (N,) unknown colours.
        counts: (N,) their pixels.
        encoding: has ``colors``.
    """
    known = np.array(encoding.colors)
    shown = []
    for index in np.argsort(-counts, kind="stable")[:3]:
        color = _as_color(int(codes[index]))
        nearest = known[np.abs(known - color).sum(axis=1).argmin()].tolist()
        shown.append(f"{list(color)} ({counts[index]} pixels; nearest is {nearest})")
    more = f", and {len(codes) - 3} more" if len(codes) > 3 else ""
    channels = [_as_color(int(code)) for code in codes]
    is_grey = all(red == green == blue for red, green, blue in channels)
    hint = " All are grey: ids in three channels? Then leave 'colors' out." if is_grey else ""
    return (
        f"contains colours that are not among the 'colors' of the description: {', '.join(shown)}"
        f"{more}.{hint} Correct 'colors'; state 'ignore_color' if their pixels do not count; and "
        "make maps that were scaled smoothly or saved as JPEG again."
    )


def _as_color(packed: int) -> Color:
    return packed >> 16, packed >> 8 & 255, packed & 255
