"""Numbers and colours of label maps that mean nothing: found, and said in a sentence."""

import numpy as np

from pointrend_ext.data.findings import first_of
from pointrend_ext.data.label_encoding import LabelEncoding, as_color

__all__ = ["check_label_size", "check_label_values", "unknown_colors", "unknown_values"]


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
        f"contains the values {first_of(codes.tolist(), 10)} ({counts.sum()} pixels), which are neither a "
        f"class ({known}) nor ignored ({ignored}). Correct the label map; or the classes, in a "
        "description 'classes', 'values' and 'ignore_value' (docs/datasets.md), else "
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
        color = as_color(int(codes[index]))
        nearest = known[np.abs(known - color).sum(axis=1).argmin()].tolist()
        shown.append(f"{list(color)} ({counts[index]} pixels; nearest is {nearest})")
    more = f", and {len(codes) - 3} more" if len(codes) > 3 else ""
    channels = [as_color(int(code)) for code in codes]
    is_grey = all(red == green == blue for red, green, blue in channels)
    hint = " All are grey: ids in three channels? Then leave 'colors' out." if is_grey else ""
    return (
        f"contains colours that are not among the 'colors' of the description: {', '.join(shown)}"
        f"{more}.{hint} Correct 'colors'; state 'ignore_color' if their pixels do not count; and "
        "make maps that were scaled smoothly or saved as JPEG again."
    )
