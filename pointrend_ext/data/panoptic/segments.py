"""Pictures of segment ids: reading, checking against the list of segments, writing.

A pixel of the red, green and blue values R, G, B belongs to segment R + 256 G + 65536 B; 0 is none.
Files with one channel hold the ids themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pycocotools.mask as mask_util

from pointrend_ext.data.findings import first_of
from pointrend_ext.data.label_encoding import LabelEncoding, LabelReader
from pointrend_ext.data.label_maps import decode_label_map

_AS_COLORS = LabelEncoding((), None, 0, colors=())


def read_segment_ids(file_name: str) -> np.ndarray:
    """Return the segment id of every pixel, (H, W) int32.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is no picture of ids; the message names it.
    """
    stored = decode_label_map(file_name, _AS_COLORS)
    if stored.palette is not None:
        raise ValueError(
            f"Picture {file_name!r} has a palette, so that it is not certain whether its numbers "
            "or its colours are the ids of segments. Save it as RGB."
        )
    codes = stored.codes.astype(np.int32)
    if not stored.are_colors:
        return codes
    return (codes >> 16) | (codes & 0xFF00) | ((codes & 0xFF) << 16)  # red comes last in ids


def place_segments(ids: np.ndarray, listed: Sequence[int], what: str) -> np.ndarray:
    """Replace ids by places in a list, and check that list and picture hold the same segments.

    Args:
        ids: (H, W) integers, 0 where there is no segment.
        listed: the S ids of the list.
        what: is checked, the beginning of the message.

    Returns:
        (H, W) int32: 0 for none, n for the n-th segment of the list.

    Raises:
        ValueError: a pixel's segment is not listed, or a listed one has no pixel.
    """
    present, inverse = np.unique(ids, return_inverse=True)
    places = {0: 0, **{own: place for place, own in enumerate(listed, start=1)}}
    unknown = [own for own in present.tolist() if own not in places]
    absent = sorted(places.keys() - {0, *present.tolist()})
    for wrong, text in (
        (unknown, "the picture has pixels of the segments {}, which are not listed"),
        (absent, "the segments {} are listed, but have no pixel in the picture"),
    ):
        if wrong:
            raise ValueError(f"{what}: {text.format(first_of(wrong))}. Make them agree.")
    of_present = np.array([places[own] for own in present.tolist()], np.int32)
    return of_present[inverse].reshape(ids.shape)


@dataclass(frozen=True)
class SegmentLabels(LabelReader):
    """How the picture of one image is read as a label map, and as masks of objects.

    Attributes:
        ids: of its segments.
        labels: of each, in the label map.
        ignore_label: label of pixels of no segment.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    ignore_label: int

    def places(self, file_name: str) -> np.ndarray:
        """Read what ``place_segments`` returns; see there for errors."""
        return place_segments(read_segment_ids(file_name), self.ids, f"Picture {file_name!r}")

    def read(self, file_name: str) -> np.ndarray:
        """Read the label map (H, W), uint8."""
        return self.label_map(self.places(file_name))

    def label_map(self, places: np.ndarray) -> np.ndarray:
        """Return the labels of pixels of ``places``, uint8."""
        return np.array([self.ignore_label, *self.labels], np.uint8)[places]

    def mask(self, places: np.ndarray, segment_id: int) -> dict:
        """Return the pixels of a segment as a compressed run-length mask."""
        is_inside = places == 1 + self.ids.index(segment_id)
        return mask_util.encode(np.asfortranarray(is_inside, dtype=np.uint8))
