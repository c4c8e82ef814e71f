"""Pictures of the objects in which models differ most."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycocotools.mask as mask_util

from pointrend_ext.evaluation.offline.objects import MATCH_IOU
from pointrend_ext.evaluation.report.html import model_colors_rgb
from pointrend_ext.visualization import (
    mark_window,
    pick_zoom_window,
    read_image_rgb,
    stack_rows,
    zoom_panel,
)

__all__ = ["object_pictures"]

_CELL_PX, _CONTOUR_PX = 300, 2.5
_ZOOM_SHARE = 0.45  # edge of the zoom in sizes of the object
_SMALLEST_ZOOM_PX, _MARGIN = 20, 0.25


def object_pictures(
    evaluation: Mapping[str, Any], count: int
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Draw the first examples: the object as each model sees it, and a piece of its outline.

    Args:
        evaluation: content of ``evaluation.json``; the files that it names are read.
        count: how many examples.

    Yields:
        The example and its picture, (H, W, 3) uint8 RGB.

    Raises:
        FileNotFoundError: A file of the evaluation is not there.
    """
    examples = [e for e in evaluation["examples"] if e["found_by_all"]][:count]
    missed = [e for e in evaluation["examples"] if not e["found_by_all"]][: max(1, count // 4)]
    if not examples and not missed:
        return
    truth = json.loads(Path(evaluation["data_set"]["source"]).read_text(encoding="utf-8"))
    annotations = {a["id"]: a for a in truth["annotations"]}
    sizes = {i["id"]: (i["height"], i["width"]) for i in truth["images"]}
    results = {
        model["name"]: json.loads(Path(model["predictions"]).read_text(encoding="utf-8"))
        for model in evaluation["models"]
    }
    for example in examples + missed:
        size_hw = sizes[example["image_id"]]
        true = _mask(annotations[example["annotation_id"]]["segmentation"], size_hw)
        masks = {}
        for name, found in example["models"].items():
            masks[name] = None
            if found is not None:
                masks[name] = _mask(results[name][found["prediction"]]["segmentation"], size_hw)
        yield example, _picture(_image(example, size_hw), true, masks, example)


def _picture(
    image: np.ndarray,
    true: np.ndarray,
    masks: Mapping[str, np.ndarray | None],
    example: Mapping[str, Any],
) -> np.ndarray:
    found = [mask for mask in masks.values() if mask is not None]
    size = max(_SMALLEST_ZOOM_PX, round(_ZOOM_SHARE * float(np.sqrt(max(true.sum(), 1)))))
    # Where one model alone is shown, it is compared with the truth.
    pair = (found[0], found[-1] if len(found) > 1 else true) if found else (true, true)
    zoom = pick_zoom_window(*pair, true, size)
    titles = ["ground truth", *(_title(n, example["models"][n]) for n in masks)]
    columns = list(zip(titles, [true, *masks.values()], strict=True))
    plain = [("", mask) for _, mask in columns]
    colors = model_colors_rgb(len(masks))
    framed = mark_window(image, zoom, width_px=2)
    top = _cells(framed, columns, _around(true, found), colors=colors, alpha=0.35)
    below = _cells(image, plain, zoom, colors=colors, reference=true, title_px=0)
    return stack_rows([top, below], gap_px=4)


def _cells(
    image: np.ndarray, columns: list, window: tuple[int, int, int, int], **drawing: Any
) -> np.ndarray:
    """Draw a window so that a column is about ``_CELL_PX`` wide."""
    width = window[2] - window[0]
    scale = max(1, round(_CELL_PX / width))
    shrink = _CELL_PX / (scale * width)
    panel = zoom_panel(
        image, columns, window, scale, contour_px=_CONTOUR_PX / min(shrink, 1), gap_px=6, **drawing
    )
    size = (len(columns) * (_CELL_PX + 6) - 6, max(1, round(panel.shape[0] * shrink)))
    how = cv2.INTER_AREA if shrink < 1 else cv2.INTER_CUBIC
    return cv2.resize(panel, size, interpolation=how)


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


def _title(name: str, found: Mapping[str, float] | None) -> str:
    if found is None:
        return f"{name}: not found at IoU {MATCH_IOU}"
    return f"{name}: IoU {100 * found['iou']:.0f}, boundary {100 * found['boundary_iou']:.0f}"


def _image(example: Mapping[str, Any], size_hw: tuple[int, int]) -> np.ndarray:
    """Read the image; without one the masks are drawn on grey."""
    if example["image_file"] is None:
        return np.full((*size_hw, 3), 128, np.uint8)
    return read_image_rgb(example["image_file"])


def _mask(segmentation: Any, size_hw: tuple[int, int]) -> np.ndarray:
    """Decode polygons or run lengths, (H, W) bool."""
    if isinstance(segmentation, list):
        segmentation = mask_util.merge(mask_util.frPyObjects(segmentation, *size_hw))
    elif isinstance(segmentation["counts"], list):
        segmentation = mask_util.frPyObjects(segmentation, *size_hw)
    return mask_util.decode(segmentation) > 0
