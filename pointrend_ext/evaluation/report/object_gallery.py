"""Pictures of the objects in which models differ most."""

from collections.abc import Iterator

import numpy as np

from pointrend_ext.data.pixels import ANY_SIZE
from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.evaluation.offline.objects import MATCH_IOU
from pointrend_ext.evaluation.offline.record import Evaluation, FoundObject
from pointrend_ext.evaluation.report.pictures import CELL_PX, GAP_PX, model_colors_rgb, window_row
from pointrend_ext.evaluation.report.point_cells import PointsByModel, point_row, points_sentence
from pointrend_ext.evaluation.report.shown_objects import ShownObject, shown_objects
from pointrend_ext.visualization import mark_window, pick_zoom_window, stack_rows

_ZOOM_SHARE = 0.45  # edge of the zoom in sizes of the object
_SMALLEST_ZOOM_PX, _MARGIN = 20, 0.25


def object_pictures(
    evaluation: Evaluation, count: int, points: PointsByModel | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the first examples: the object as each model sees it, and a piece of its outline.

    ``points``, where models refined these objects, are drawn in a row of their own.

    Yields:
        A caption, and the picture (H, W, 3) uint8 RGB.
    """
    for shown in shown_objects(evaluation, count):
        example = shown.example
        if example.image_file is None:
            image = np.full((*shown.true.shape, 3), 128, np.uint8)
        else:
            image = read_image_rgb(example.image_file, ANY_SIZE)
        found = [f"{n} has score {f.score:.2f}" for n, f in example.models.items() if f is not None]
        caption = f"{example.class_name}, image {example.image_id}. "
        caption += f"{', '.join(found) or 'Not found'}. {points_sentence(example, points or {})}"
        yield caption.strip(), _picture(image, shown, points)


def _picture(image: np.ndarray, shown: ShownObject, points: PointsByModel | None) -> np.ndarray:
    true, masks = shown.true, shown.masks
    found = [mask for mask in masks.values() if mask is not None]
    size = max(_SMALLEST_ZOOM_PX, round(_ZOOM_SHARE * float(np.sqrt(max(true.sum(), 1)))))
    # Where one model alone is shown, it is compared with the truth.
    pair = (found[0], found[-1] if len(found) > 1 else true) if found else (true, true)
    zoom = pick_zoom_window(*pair, true, size)
    titles = ["ground truth", *(_title(n, shown.example.models[n]) for n in masks)]
    columns = [true, *masks.values()]
    colors = model_colors_rgb(len(masks))
    around = _around(true, found)
    objects = window_row(image, columns, around, titles, colors=colors, alpha=0.35)
    rows = [
        _framed(objects, around, zoom),
        window_row(image, columns, zoom, colors=colors, reference=true),
    ]
    if points:
        cells = [
            window_row(image, [mask], zoom, colors=[color])
            for mask, color in zip(columns[1:], colors[1:], strict=True)
        ]
        rows.append(point_row(cells, zoom, shown, points))
    return stack_rows(rows, gap_px=4)


def _framed(
    panel: np.ndarray, around: tuple[int, int, int, int], zoom: tuple[int, int, int, int]
) -> np.ndarray:
    """Frame the place of the zoom in every column of ``window_row`` of a square window."""
    scale = CELL_PX / (around[2] - around[0])
    frame = np.rint((np.array(zoom) - np.tile(around[:2], 2)) * scale).astype(int)
    panel = panel.copy()
    for left in range(0, panel.shape[1], CELL_PX + GAP_PX):
        cell = panel[-CELL_PX:, left : left + CELL_PX]
        cell[...] = mark_window(cell, frame, width_px=2)
    return panel


def _around(true: np.ndarray, found: list[np.ndarray]) -> tuple[int, int, int, int]:
    """Return a square around an object, as far as it lies in the image."""
    union = np.any([true, *found], axis=0)
    rows, columns = np.flatnonzero(union.any(axis=1)), np.flatnonzero(union.any(axis=0))
    height, width = union.shape
    side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = min(round(side * (1 + 2 * _MARGIN)) + 8, height, width)
    top = int(np.clip((rows[0] + rows[-1] + 1 - side) // 2, 0, height - side))
    left = int(np.clip((columns[0] + columns[-1] + 1 - side) // 2, 0, width - side))
    return left, top, left + side, top + side


def _title(name: str, found: FoundObject | None) -> str:
    if found is None:
        return f"{name}: not found at IoU {MATCH_IOU}"
    return f"{name}: IoU {100 * found.iou:.0f}, boundary {100 * found.boundary_iou:.0f}"
