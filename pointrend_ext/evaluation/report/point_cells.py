"""The row of a gallery picture that shows where models refined."""

from collections.abc import Mapping, Sequence

import numpy as np

from pointrend_ext.evaluation.offline.record import ObjectExample
from pointrend_ext.evaluation.report.pictures import GAP_PX
from pointrend_ext.evaluation.report.shown_objects import RefinedPoints, ShownObject
from pointrend_ext.visualization import draw_points, titled_columns
from pointrend_ext.visualization.raster import paint_text

PointsByModel = Mapping[str, "Mapping[int | str, RefinedPoints] | None"]
"""By model the points of each object (by annotation id); None for a model that has no points."""

_TITLE_PX, _LEGEND_LEFT_PX, _LEGEND_LINE_PX, _LEGEND_CAP_PX = 20, 20, 28, 10
_INK = np.array([24, 24, 27])
_FINEST_PX, _COARSER_PX = 1.7, 0.8  # radius, and what each coarser step adds
# From the finest map to coarser ones; far from the colours of models.
_STEP_COLORS = np.array(
    [[250, 204, 21], [74, 222, 128], [232, 121, 249], [248, 113, 113], [212, 212, 216]], np.uint8
)


def point_row(
    backgrounds: Sequence[np.ndarray],
    window: tuple[int, int, int, int],
    shown: ShownObject,
    points: PointsByModel,
) -> np.ndarray:
    """Draw the points that lie in a window, one column per model after a legend.

    Args:
        backgrounds: (h, w, 3) uint8 RGB per model, the window in the size to draw it.
        window: left, top, right, bottom in pixels of the image.
        shown: the object.
        points: see ``PointsByModel``; models that are not in it are not drawn.

    Returns:
        (20 + h, (1 + models) * (w + GAP_PX) - GAP_PX, 3) uint8, RGB; titles are 20 px high.
    """
    key = shown.example.annotation_id
    found = {name: (points.get(name) or {}).get(key) for name in shown.masks}
    sides = sorted({int(s) for f in found.values() if f is not None for s in f.sides})[::-1]
    titles, cells = [""], [_legend(backgrounds[0].shape, sides)]
    for (name, refined), background in zip(found.items(), backgrounds, strict=True):
        if refined is not None:
            state, cell = "refined points", _with_points(background, window, refined, sides)
        else:
            state = "not detected" if points.get(name) is not None else "no points"
            cell = 255 - (255 - background) // 3  # faded
        titles.append(f"{name}: {state if name in points else 'not run again'}")
        cells.append(cell)
    return titled_columns(titles, cells, bar_px=_TITLE_PX, gap_px=GAP_PX)


def points_sentence(example: ObjectExample, points: PointsByModel) -> str:
    """Say in words what ``point_row`` shows of an object."""
    parts = []
    for name, of_objects in points.items():
        found = (of_objects or {}).get(example.annotation_id)
        if of_objects is None:
            parts.append(f"{name} has no points: its mask head does not refine.")
        elif found is None:
            parts.append(f"{name} does not detect it.")
        else:
            sides, counts = np.unique(found.sides, return_counts=True)
            steps = ", ".join(
                f"{c} of {s} x {s}" for s, c in zip(sides.tolist(), counts.tolist(), strict=True)
            )
            parts.append(f"{name} refines its box at {steps} cells.")
    return " ".join(parts)


def _with_points(
    cell: np.ndarray,
    window: tuple[int, int, int, int],
    refined: RefinedPoints,
    sides: Sequence[int],
) -> np.ndarray:
    corner, size = np.array(window[:2]), np.array(window[2:]) - window[:2]
    places = (refined.points_px - corner) / size
    inside = ((places >= 0) & (places < 1)).all(axis=1)
    for rank, side in reversed(list(enumerate(sides))):  # fine ones on top
        chosen = places[inside & (refined.sides == side)]
        cell = draw_points(cell, chosen, _color(rank), radius_px=_FINEST_PX + _COARSER_PX * rank)
    return cell


def _legend(shape: tuple[int, ...], sides: Sequence[int]) -> np.ndarray:
    """Write which colour belongs to which map, (h, w, 3) uint8."""
    height, width = shape[:2]
    cell = np.full((height, width, 3), 255, np.uint8)
    for rank, side in enumerate(sides):
        middle = height / 2 + (rank - (len(sides) - 1) / 2) * _LEGEND_LINE_PX
        dot = np.array([[_LEGEND_LEFT_PX / width, middle / height]])
        cell = draw_points(cell, dot, _color(rank), radius_px=_FINEST_PX + _COARSER_PX * rank)
        start = (2 * _LEGEND_LEFT_PX, middle + _LEGEND_CAP_PX / 2)
        paint_text(cell, f"cells of the {side} x {side} map", start, _LEGEND_CAP_PX, _INK)
    return cell


def _color(rank: int) -> np.ndarray:
    return _STEP_COLORS[min(rank, len(_STEP_COLORS) - 1)]
