"""Outlines with few corners, as many as a stated Boundary IoU with the mask needs."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pointrend_ext.data.polygon_drawing import draw_polygons
from pointrend_ext.evaluation.boundary import boundary_width, mask_boundary
from pointrend_ext.evaluation.masks import mask_iou
from pointrend_ext.inference.exports.rings import Part, mask_parts
from pointrend_ext.visualization.mask_crop import window_of

_TRIES = 10  # of the bisection
_LEAST_PX = 0.25  # a tolerance that changes hardly anything
_MOST_PAIRS = 2**20  # of corners, whose distances are in memory at a time


@dataclass(frozen=True, eq=False)
class Outlined:
    """An object with its outline.

    Attributes:
        name: of its class.
        class_id: the place of the class.
        score: in [0, 1].
        box: left, top, right, bottom in pixels of the image.
        parts: its pieces, in pixels of the image.
        crop: its pixels (h, w) bool, no larger than they need, and their top and left edges.
    """

    name: str
    class_id: int
    score: float
    box: tuple[float, float, float, float]
    parts: list[Part]
    crop: tuple[np.ndarray, int, int]

    @property
    def has_holes(self) -> bool:
        """Whether a piece has a hole."""
        return any(len(part) > 1 for part in self.parts)


def outlined(
    objects: Any, names: Sequence[str], size_hw: tuple[int, int], boundary_iou: float
) -> Iterator[Outlined]:
    """Yield objects with their outlines; those without a pixel are passed over.

    Args:
        objects: R boxes, scores, class ids, and masks with a method ``crop``.
        names: of their classes.
        size_hw: of the image.
        boundary_iou: of the outline and the mask, at least; 1 for all corners.
    """
    rows = zip(names, objects.boxes, objects.scores, objects.classes, strict=True)
    for number, (name, box, score, class_id) in enumerate(rows):
        mask, top, left = objects.masks.crop(number)
        y0, x0, y1, x1 = window_of(mask)
        if not y1:
            continue
        mask = np.asarray(mask[y0:y1, x0:x1], bool)
        top, left = int(top) + y0, int(left) + x0
        parts = [
            [ring + np.array([left, top], np.int32) for ring in part] for part in mask_parts(mask)
        ]
        parts = simplified(parts, size_hw, boundary_iou)
        a, b, c, d = map(float, box)
        crop = mask, top, left
        yield Outlined(name, int(class_id), float(score), (a, b, c, d), parts, crop)


def simplified(parts: list[Part], size_hw: tuple[int, int], boundary_iou: float) -> list[Part]:
    """Leave out corners (Douglas and Peucker's algorithm) as far as the Boundary IoU allows.

    Args:
        parts: of ``mask_parts``, in pixels of the image.
        size_hw: of the image, which tells how wide a boundary is.
        boundary_iou: with the mask, at least; 1 for all corners.

    Returns:
        Parts with some of the corners; small parts and holes may be gone.
    """
    if boundary_iou >= 1:
        return parts
    corners = np.concatenate([ring for part in parts for ring in part])
    low, high = 0.0, float(max(np.ptp(corners, axis=0).max(), 1))
    best, step, target = parts, _LEAST_PX, boundary_of(parts, parts, size_hw)
    for _ in range(_TRIES):
        tried = _with_tolerance(parts, step)
        if tried and mask_iou(target, boundary_of(tried, parts, size_hw)) >= boundary_iou:
            best, low = tried, step
        else:
            high = step
        step = min(2 * step, high) if low == step and high > 2 * step else (low + high) / 2
    return best


def _with_tolerance(parts: list[Part], pixels: float) -> list[Part]:
    kept = []
    for part in parts:
        rings = [cv2.approxPolyDP(ring[:, None], pixels, True)[:, 0] for ring in part]
        if len(rings[0]) > 2:
            kept.append([rings[0], *(ring for ring in rings[1:] if len(ring) > 2)])
    return kept


def boundary_of(parts: list[Part], whole: list[Part], size_hw: tuple[int, int]) -> np.ndarray:
    """Draw the boundary (h, w) bool of an outline, in a window around one with all its corners."""
    corners = np.concatenate([ring for part in whole for ring in part])
    x0, y0 = np.maximum(corners.min(axis=0) - 1, 0)
    x1, y1 = np.minimum(corners.max(axis=0) + 1, size_hw[::-1])
    canvas = np.zeros((y1 - y0, x1 - x0), bool)
    mask, top, left = draw_parts(parts, size_hw)
    canvas[top - y0 : top - y0 + mask.shape[0], left - x0 : left - x0 + mask.shape[1]] = mask
    return mask_boundary(canvas, boundary_width(size_hw)).astype(bool)


def draw_parts(parts: list[Part], size_hw: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """Draw an outline as pycocotools draws its rings; of each part its own holes are cut out.

    Returns:
        The pixels (h, w) bool of the bounding box of the outer rings, its top and its left edge.
    """
    outer = [part[0].ravel().astype(float) for part in parts]
    mask, top, left = draw_polygons(outer, size_hw)
    if all(len(part) == 1 for part in parts):
        return mask, top, left
    mask = np.zeros_like(mask)
    for ring, part in zip(outer, parts, strict=True):  # a part may lie in the hole of another
        own, y, x = draw_polygons([ring], size_hw)
        for hole in part[1:]:
            _cut(own, (y, x), *draw_polygons([hole.ravel().astype(float)], size_hw))
        y, x = y - top, x - left
        mask[y : y + own.shape[0], x : x + own.shape[1]] |= own
    return mask, top, left


def _cut(mask: np.ndarray, corner: tuple[int, int], hole: np.ndarray, top: int, left: int) -> None:
    """Take a hole out of a mask that begins at ``corner``; a simplified one may reach beyond."""
    y, x = top - corner[0], left - corner[1]
    window = mask[max(y, 0) : max(y + hole.shape[0], 0), max(x, 0) : max(x + hole.shape[1], 0)]
    inside = hole[max(-y, 0) :, max(-x, 0) :]
    window &= ~inside[: window.shape[0], : window.shape[1]]


def joined_ring(rings: Sequence[np.ndarray]) -> np.ndarray:
    """Join rings to one that goes there and back between their nearest corners.

    Where a format has one ring per object: the bridges have no area, and holes stay holes for who
    fills by parity.

    Args:
        rings: outer rings, and holes.

    Returns:
        (K, 2).
    """
    joined = rings[0]
    if len(rings) == 1:
        return joined
    corners = np.concatenate(rings[1:]).astype(float)
    owners = np.repeat(np.arange(1, len(rings)), [len(ring) for ring in rings[1:]])
    gaps, opposite = np.full(len(corners), np.inf), np.zeros_like(corners)
    added = joined
    for _ in rings[1:]:  # Prim's way to a shortest tree
        for block in np.array_split(added, math.ceil(added.size * len(corners) / _MOST_PAIRS)):
            squares = (block[:, :1] - corners[:, 0]) ** 2 + (block[:, 1:] - corners[:, 1]) ** 2
            nearest = squares.argmin(axis=0)
            squares = squares[nearest, np.arange(len(corners))]
            closer = squares < gaps
            gaps[closer], opposite[closer] = squares[closer], block[nearest[closer]]
        corner = int(np.where(owners > 0, gaps, np.inf).argmin())
        number = owners[corner]
        first = int((owners == number).argmax())
        added = np.roll(rings[number], first - corner, axis=0)
        owners[owners == number] = 0
        at = int((joined == opposite[corner]).all(axis=1).argmax())
        joined = np.concatenate([joined[: at + 1], added, added[:1], joined[at:]])
    return joined
