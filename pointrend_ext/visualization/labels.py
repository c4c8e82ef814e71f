"""Small text labels on plates, placed beside the objects they name."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pointrend_ext.visualization.colors import text_color_on
from pointrend_ext.visualization.raster import (
    paint_fill,
    paint_stroke,
    paint_text,
    rectangle,
    text_width,
)
from pointrend_ext.visualization.shapes import Shape

_SIDE_PAD = 0.55  # of the capital height
_LINE_PAD = 0.50
_GAP = 0.35
_COVERS_OWN, _COVERS_OTHER, _AWAY = 3.0, 1.0, 0.25  # what a plate position costs
_CROWDED = 0.3  # a plate larger than its object may cover this share of its area on objects
_SMALL_OBJECT = 10.0  # capital heights; smaller objects get smaller text,
_SMALLEST_TEXT = 0.75  # down to this share
_INNER_GRID = 512  # samples along the longer side when the middle of a region is looked for


@dataclass(frozen=True)
class Plate:
    """A label's place on the canvas in pixels, from (x, y), its left and top, on.

    Attributes:
        text: what is written, printable ASCII.
        cap_height_px: height of a capital letter.
    """

    text: str
    x: int
    y: int
    width: int
    height: int
    cap_height_px: float

    def overlaps(self, other: "Plate") -> bool:
        """Tell whether two plates share a pixel."""
        apart_x = self.x >= other.x + other.width or other.x >= self.x + self.width
        apart_y = self.y >= other.y + other.height or other.y >= self.y + self.height
        return not (apart_x or apart_y)


def ascii_text(text: str) -> str:
    """Drop accents and replace all else that Pillow's own font lacks with question marks."""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return "".join(c if 32 <= ord(c) < 127 else "?" for c in plain)


def place_label(
    text: str, shape: Shape, occupied: np.ndarray, placed: Sequence[Plate], *, cap_height_px: float
) -> Plate | None:
    """Choose where the label of one object goes.

    Positions around and, at worst, inside the object's bounding box are compared: a plate lies
    wholly on the canvas, covers as little as possible of its own object, then of other objects, and
    stays close. The choice is deterministic.

    Args:
        text: the label; empty text gets no plate.
        shape: the object.
        occupied: (H, W) bool, the union of all objects of the image.
        placed: plates that are already there; no new one overlaps them.
        cap_height_px: height of a capital letter in pixels.

    Returns:
        The plate, or None when the text or the object is empty or no place is left: every one
        overlaps another plate, or hides other objects for the name of a smaller one.
    """
    text = ascii_text(text).strip()
    if not text or shape.area == 0:
        return None
    size = float(np.sqrt(shape.width * shape.height))
    cap_height_px *= float(np.clip(size / (_SMALL_OBJECT * cap_height_px), _SMALLEST_TEXT, 1.0))
    cap_height_px, width, height = _fitting_size(text, cap_height_px, occupied.shape)
    inside = shape.inside()
    best: tuple[float, Plate] | None = None
    for x, y in _candidates(shape, inside, width, height, cap_height_px):
        x = int(np.clip(round(x), 0, occupied.shape[1] - width))
        y = int(np.clip(round(y), 0, occupied.shape[0] - height))
        plate = Plate(text, x, y, width, height, cap_height_px)
        if any(plate.overlaps(other) for other in placed):
            continue
        covered = _share(plate, occupied, 0, 0)
        if width * height > size**2 and covered > _CROWDED:
            continue
        own = _share(plate, inside, shape.top, shape.left)
        cost = _COVERS_OWN * own + _COVERS_OTHER * (covered - own) + _AWAY * _distance(plate, shape)
        if best is None or cost < best[0] - 1e-9:
            best = cost, plate
    return None if best is None else best[1]


def place_inside(
    text: str, mask: np.ndarray, placed: Sequence[Plate], *, cap_height_px: float
) -> Plate | None:
    """Choose where the label of a region goes whose surroundings have labels of their own.

    The plate is centred on the pixel of the region (H, W), bool, that is farthest from its
    boundary, moved onto the canvas. There is none when there is no text or no room: the region is
    thinner there than the plate is high, or a placed one is in the way.
    """
    text = ascii_text(text).strip()
    if not text:
        return None
    step = max(1, max(mask.shape) // _INNER_GRID)  # a coarse grid is exact enough, and fast
    padded = np.pad(mask[::step, ::step].astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    cap_height_px, width, height = _fitting_size(text, cap_height_px, mask.shape)
    if 2 * step * depth[y, x] < height:
        return None
    left = int(np.clip(step * (x + 0.5) - width / 2, 0, mask.shape[1] - width))
    top = int(np.clip(step * (y + 0.5) - height / 2, 0, mask.shape[0] - height))
    plate = Plate(text, left, top, width, height, cap_height_px)
    return None if any(plate.overlaps(other) for other in placed) else plate


def paint_plate(canvas: np.ndarray, plate: Plate, color: np.ndarray) -> None:
    """Draw a label of a colour in place, its corners rounded, its text in black or white."""
    cap, right, bottom = plate.cap_height_px, plate.x + plate.width, plate.y + plate.height
    radius = 0.3 * cap
    inner = rectangle((plate.x + radius, plate.y + radius, right - radius, bottom - radius))
    paint_fill(canvas, [inner], color, 1.0)
    paint_stroke(canvas, [inner], color, 2 * radius)  # lines have round corners
    left = plate.x + (plate.width - text_width(plate.text, cap)) / 2
    baseline = plate.y + (plate.height + cap) / 2
    paint_text(canvas, plate.text, (left, baseline), cap, text_color_on(color))


def _fitting_size(
    text: str, cap_height_px: float, canvas_hw: tuple[int, ...]
) -> tuple[float, int, int]:
    """Shrink a text until its plate fits on the canvas: height of capitals, width and height."""

    def plate_size(cap: float) -> tuple[float, float]:
        return text_width(text, cap) + 2 * _SIDE_PAD * cap, (1 + 2 * _LINE_PAD) * cap

    width, height = plate_size(cap_height_px)
    cap_height_px *= min(1.0, canvas_hw[1] / width, canvas_hw[0] / height)
    width, height = np.ceil(plate_size(cap_height_px)).astype(int).tolist()
    return cap_height_px, min(width, canvas_hw[1]), min(height, canvas_hw[0])


def _candidates(
    shape: Shape, inside: np.ndarray, width: int, height: int, cap_height_px: float
) -> list[tuple[float, float]]:
    """List plate corners (x, y), the preferred ones first."""
    x0, y0, x1, y1 = shape.left, shape.top, shape.left + shape.width, shape.top + shape.height
    gap = _GAP * cap_height_px
    middle_x, middle_y = (x0 + x1 - width) / 2, (y0 + y1 - height) / 2
    above, below = y0 - height - gap, y1 + gap
    before, after = x0 - width - gap, x1 + gap
    top_columns = np.flatnonzero(inside[0])
    summit_x = x0 + top_columns[len(top_columns) // 2] + 0.5
    along_x = (x0, middle_x, x1 - width)
    inner_y = (y0 + gap, y1 - height - gap)
    return [
        *((x, above) for x in (summit_x - width / 2, *along_x)),
        *((x, y) for y in (y0, middle_y, y1 - height) for x in (after, before)),
        *((x, below) for x in (middle_x, x0, x1 - width)),
        *((x, y) for y in inner_y for x in (x0 + gap, x1 - width - gap)),
        *((middle_x, y) for y in inner_y),
        *((x, above - height - gap) for x in along_x),
        *((x, below + height + gap) for x in along_x),
        (middle_x, middle_y),
    ]


def _share(plate: Plate, mask: np.ndarray, top: int, left: int) -> float:
    """Return which share of a plate's area lies on a mask that begins at a place in the image."""
    rows = slice(max(plate.y - top, 0), max(plate.y + plate.height - top, 0))
    columns = slice(max(plate.x - left, 0), max(plate.x + plate.width - left, 0))
    return np.count_nonzero(mask[rows, columns]) / (plate.width * plate.height)


def _distance(plate: Plate, shape: Shape) -> float:
    """Return the city-block gap between plate and object's box, in heights of the plate."""
    right, bottom = shape.left + shape.width, shape.top + shape.height
    gap_x = max(shape.left - plate.x - plate.width, plate.x - right, 0)
    gap_y = max(shape.top - plate.y - plate.height, plate.y - bottom, 0)
    return (gap_x + gap_y) / plate.height
