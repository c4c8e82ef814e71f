"""What the numbers or colours in the files of label maps mean."""

from dataclasses import dataclass

import numpy as np

__all__ = ["UNKNOWN", "LabelEncoding", "as_color", "pack_colors"]

UNKNOWN = -1
"""The label of what is neither a class nor ignored."""

Color = tuple[int, int, int]


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


def as_color(packed: int) -> Color:
    """Return the colour that ``pack_colors`` packed."""
    return packed >> 16, packed >> 8 & 255, packed & 255


def _translate(stored: np.ndarray, codes: list[int], labels: list[int]) -> np.ndarray:
    if stored.dtype == np.uint8 and stored.size > 256:
        return _translate(np.arange(256), codes, labels)[stored]
    order = np.argsort(codes)
    known, found = np.array(codes)[order], np.array(labels, np.int32)[order]
    place = np.searchsorted(known, stored).clip(max=len(known) - 1)
    return np.where(known[place] == stored, found[place], np.int32(UNKNOWN))
