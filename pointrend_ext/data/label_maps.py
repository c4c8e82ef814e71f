"""The one reader of label maps: of training, evaluation, saved predictions and reports alike."""

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from pointrend_ext.data.findings import Cause, Kind
from pointrend_ext.data.label_encoding import (
    UNKNOWN,
    LabelEncoding,
    LabelReader,
    pack_colors,
    unknown_colors,
    unknown_values,
)
from pointrend_ext.data.pillow_files import RefusedImage, number_of_pictures, opened, upright
from pointrend_ext.data.reading import open_file

IMAGE_ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
LABEL_ENDINGS = (".bmp", ".pgm", ".png", ".tif", ".tiff")
"""Endings of files that can hold a label map; no JPEG: it changes the ids."""

_FORMATS = ("BMP", "PNG", "PPM", "TIFF")
_MOST_PIXELS = 2 * 89_478_485  # from which on Pillow takes a file for an attack
_SMALL_GREYS = {"L;2": 85, "L;4": 17}  # Pillow spreads them over 0..255

_GREY_AS_RGB = Cause(Kind.NOTED, "label maps with three equal channels, read as one")
ONE_BIT = Cause(Kind.NOTED, "label maps of one bit, read as the values 0 and 1", is_expected=True)
_FLOATS = Cause(Kind.NOTED, "label maps of floating-point numbers, all of them whole")
NOTES = (_GREY_AS_RGB, ONE_BIT, _FLOATS)


@dataclass(frozen=True, eq=False)
class StoredLabels:
    """What one file holds.

    Attributes:
        codes: (H, W) integers: the numbers, or colours as of ``pack_colors``.
        are_colors: which of the two.
        palette: (P, 3) uint8, the colours by number, where the file has them.
        note: what is unusual about the file.
    """

    codes: np.ndarray
    are_colors: bool = False
    palette: np.ndarray | None = None
    note: Cause | None = None


def read_label_map(
    file_name: str, encoding: LabelEncoding | LabelReader | None = None
) -> np.ndarray:
    """Read a map of labels.

    Detectron2 converts label maps to grey values, which turns the ids of a palette PNG into
    luminances and clips 16-bit ids. Here the stored numbers are taken as they are.

    Args:
        file_name: path of the file.
        encoding: what the numbers or colours mean; None for numbers that are labels already.

    Returns:
        (H, W) integers, uint8 when they fit. With an encoding that is not plain, every pixel is a
        label or ``ignore_label``; else numbers are as in the file, for
        ``check_label_values``.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is unreadable, or no map of labels, or holds what ``encoding`` does not know;
            the message names the file.
    """
    if isinstance(encoding, LabelReader):
        return encoding.read(file_name)
    stored = decode_label_map(file_name, encoding)
    labels = stored.codes
    if encoding is not None and (stored.are_colors or not encoding.is_plain):
        translate = encoding.labels_of_colors if stored.are_colors else encoding.labels_of_values
        labels = translate(stored.codes)
        is_unknown = labels == UNKNOWN
        if is_unknown.any():
            codes, counts = np.unique(stored.codes[is_unknown], return_counts=True)
            say = unknown_colors if stored.are_colors else unknown_values
            raise ValueError(f"Label map {file_name!r} {say(codes, counts, encoding)}")
    if labels.size == 0 or (labels.min() >= 0 and labels.max() <= 255):
        labels = labels.astype(np.uint8)
    return labels


def decode_label_map(file_name: str, encoding: LabelEncoding | None = None) -> StoredLabels:
    """Read what a file holds; see ``read_label_map`` for errors."""
    what = f"Label map {file_name!r}"
    with opened(file_name, "Label map", open_file) as image:
        scale = _check_kind(image, what)
        stored = _codes(upright(image), what, encoding is not None and encoding.colors is not None)
    if scale != 1:
        whole = np.rint(stored.codes.astype(np.float64) * scale).astype(stored.codes.dtype)
        stored = replace(stored, codes=whole)
    if encoding is not None and encoding.colors is not None:
        _check_colors(stored, encoding, what)
    return stored


def _check_kind(image: Image.Image, what: str) -> float:
    """Refuse what changes ids; return the factor from Pillow's greys to the stored numbers."""
    codec, *_, args = next(iter(getattr(image, "tile", ())), ("", ""))
    raw = str(args[0] if isinstance(args, tuple) and args else args)
    if math.prod(image.size) > _MOST_PIXELS:
        raise RefusedImage(
            f"{what} is too large to be read: {image.width} x {image.height} pixels (width x "
            f"height) are more than {_MOST_PIXELS}. Cut image and label map into pieces."
        )
    if image.format not in _FORMATS or "jpeg" in str(image.info.get("compression", "")):
        raise RefusedImage(
            f"{what} is a {image.format} file whose compression changes the ids. Make the label "
            "maps again as PNG; converting this file does not bring the ids back."
        )
    num_pictures = number_of_pictures(image)
    if num_pictures > 1:
        raise RefusedImage(f"{what} holds {num_pictures} pictures, but a label map is one.")
    if raw in ("1;I", "L;I", "L;2I", "L;4I") and image.format == "TIFF":
        raise RefusedImage(
            f"{what} is an inverted TIFF (0 is white), so that programs disagree about its ids. "
            "Save it as PNG."
        )
    if ";16" in raw and image.mode not in ("I", "I;16", "I;16B", "I;16L"):
        raise RefusedImage(
            f"{what} has several channels of 16 bits, but a label map has one channel of ids, or "
            "three of 8 bits that are colours."
        )
    if codec.startswith("ppm"):  # greys below a largest one that is neither 255 nor 65535
        return int(args[1]) / (255 if image.mode == "L" else 65535)
    return 1 / _SMALL_GREYS.get(raw, 1)


def _codes(image: Image.Image, what: str, has_colors: bool) -> StoredLabels:
    """Return the numbers or colours of a decoded image, not yet scaled."""
    mode = image.mode
    if 0 in image.size:
        raise RefusedImage(f"{what} has no pixel.")
    if mode in ("LA", "PA", "RGBA"):
        alpha = np.asarray(image.getchannel("A"))
        if (alpha != 255).any():
            raise RefusedImage(
                f"{what} is transparent in {(alpha != 255).sum()} pixels, so that their class is "
                "not certain. Save it without transparency, as one channel of ids."
            )
        image = image.convert({"LA": "L", "PA": "P", "RGBA": "RGB"}[mode])
        mode = image.mode
    if mode == "RGB":
        rgb = np.asarray(image)
        if has_colors:
            return StoredLabels(pack_colors(rgb), are_colors=True)
        if (rgb == rgb[..., :1]).all():
            return StoredLabels(rgb[..., 0], note=_GREY_AS_RGB)
    if mode == "P":
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return StoredLabels(np.asarray(image), palette=palette)
    if mode == "1":
        return StoredLabels(np.asarray(image).astype(np.uint8), note=ONE_BIT)
    if mode == "F":
        return StoredLabels(_whole_numbers(np.asarray(image), what), note=_FLOATS)
    if mode in ("L", "I") or mode.startswith("I;16"):
        return StoredLabels(np.asarray(image))
    raise RefusedImage(
        f"{what} has {len(image.getbands())} channels ({mode}) that differ, but a label map has "
        "one channel that holds the class id of every pixel. Convert the colours to class ids; or, "
        "if they are RGB, state the colour of every class as 'colors' in the description."
    )


def _whole_numbers(values: np.ndarray, what: str) -> np.ndarray:
    is_whole = np.isfinite(values) & (values == np.rint(values)) & (np.abs(values) < 2**31)
    if is_whole.all():
        return values.astype(np.int32)
    first = values[~is_whole].flat[0]
    times = np.rint(values * 255)
    is_share = bool((np.abs(values * 255 - times) < 1e-3).all()) and values.min() >= 0
    hint = f" They seem to be ids divided by 255: {first:.6g} x 255 = {first * 255:.0f}."
    raise RefusedImage(
        f"{what} holds {(~is_whole).sum()} numbers that are not whole, such as {first:.6g}."
        f"{hint if is_share and values.max() <= 1 else ''} Save whole class ids as PNG."
    )


def _check_colors(stored: StoredLabels, encoding: LabelEncoding, what: str) -> None:
    """Refuse colours that two classes have, and a palette that contradicts its numbers."""
    colors = encoding.colors or ()
    repeated = next((color for color, times in Counter(colors).items() if times > 1), None)
    if stored.are_colors and repeated is not None:
        raise ValueError(
            f"{what} is coloured, but the colour {list(repeated)} stands for two classes in the "
            "'colors' of the description. Give each class its own."
        )
    if stored.palette is None:
        return
    used = np.unique(stored.codes)
    used = used[used < len(stored.palette)]
    by_number = encoding.labels_of_values(used)
    by_color = encoding.labels_of_colors(pack_colors(stored.palette[used]))
    differs = (by_color != UNKNOWN) & (by_color != by_number)
    if differs.any():
        number = int(used[differs][0])
        raise ValueError(
            f"{what} has a palette in which the number {number} has the colour "
            f"{stored.palette[number].tolist()}, which is that of another class by the 'colors' of "
            "the description. Save class ids (or RGB) instead, or correct 'colors'."
        )
